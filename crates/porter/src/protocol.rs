//! What Tidegate asks of a porter, and what it answers: one JSON document each way.
//!
//! The request is the porter's only argument, so it holds no secret. The answer is the last line of
//! its standard output. Both sides are built from this file; a porter image is named by the hash of
//! its program, so the two never disagree.

use serde::{Deserialize, Serialize};

/// Which files below a mount's root are meant. Paths are relative, without a leading `/` or `..`. The most specific
/// path decides; one that is both included and excluded, as when two parts are put together, is included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cover {
    /// Files and folders with all that is below them. The empty string is the mount's root.
    pub include: Vec<String>,
    /// Left out although something in `include` holds them.
    pub exclude: Vec<String>,
}

/// One job at one mount. Every job may be asked again after any partial run and then finishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Says what lies there; changes nothing, and works on a read-only mount.
    List {
        /// The mount's root inside the porter's container.
        root: String,
        /// What to count.
        cover: Cover,
        /// Single files of which the size is wanted, such as a lock file.
        stat: Vec<String>,
    },
    /// Moves everything covered into `<root>/.tidegate/<run>/aside`, by rename, entry by entry, and
    /// leaves [`MARKER`] at the root. A folder that holds something excluded stays, and what is
    /// covered inside it moves.
    Aside {
        /// The mount's root inside the porter's container.
        root: String,
        /// Names the place; see `Back` and `Drop`.
        run: String,
        /// What moves.
        cover: Cover,
    },
    /// Fills with what the earlier run `from` had set aside and nobody put back: it moves to where it was, by rename.
    /// To be asked after `Aside` of `run`, whose cover must hold all that `from` had set aside. `Back` of `run` then
    /// also gives it back to `from`, so that nothing that was set aside is lost.
    Recall {
        /// The mount's root inside the porter's container.
        root: String,
        /// The run that has set aside what is there now.
        run: String,
        /// The run that had set aside what comes back.
        from: String,
    },
    /// Says that the filling after `Aside` is complete: flushes the file system, then removes
    /// [`MARKER`].
    Settle {
        /// The mount's root inside the porter's container.
        root: String,
        /// The run that set things aside.
        run: String,
    },
    /// Undoes `Aside`: what lies at the covered places now moves to `<root>/.tidegate/<run>/failed`,
    /// what was set aside moves back, and [`MARKER`] goes.
    Back {
        /// The mount's root inside the porter's container.
        root: String,
        /// The run that set things aside.
        run: String,
    },
    /// Deletes single files that an app's own tool has made for Tidegate. What is not there is fine; a folder, or a way
    /// that leads through a link, is refused.
    Remove {
        /// The mount's root inside the porter's container.
        root: String,
        /// Relative to it.
        files: Vec<String>,
    },
    /// Deletes `<root>/.tidegate/<run>` with all that lies in it. Refused while [`MARKER`] names
    /// that run.
    Drop {
        /// The mount's root inside the porter's container.
        root: String,
        /// The run that set things aside.
        run: String,
    },
}

/// The folder at a mount's root that belongs to Tidegate (mode 0700), never part of a snapshot.
pub const FOLDER: &str = ".tidegate";

/// The file at a mount's root that is there while files are set aside or filled. Its content is the
/// run's id. Nothing may be started on a mount that has it.
pub const MARKER: &str = ".tidegate-filling";

/// What a porter answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To `List`.
    Listing(Listing),
    /// To everything else.
    Done {
        /// How many entries were moved or deleted by this call; 0 where all was done before.
        entries: u64,
    },
    /// The job failed; what was done so far is journaled and the job may be asked again.
    Failed {
        /// What was tried, on which path, and why it failed.
        error: String,
        /// The file system has no room (ENOSPC or EDQUOT).
        disk_full: bool,
    },
}

/// What lies at a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The entries of the root and of those folders that an included or excluded path lies in, sorted by path. Also
    /// those that are not covered, with nothing counted. What a folder inside such a folder holds counts for both.
    pub entries: Vec<Entry>,
    /// The wanted single files that exist.
    pub stats: Vec<Stat>,
    /// Bytes that a new file may take.
    pub free_bytes: u64,
    /// Inodes that are left; `u64::MAX` where the file system has no such limit.
    pub free_inodes: u64,
    /// The run named by [`MARKER`], if it is there.
    pub filling: Option<String>,
    /// The runs that have something under [`FOLDER`].
    pub asides: Vec<String>,
}

/// A file or folder with what is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the mount's root; bytes that are not UTF-8 are shown as U+FFFD.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes of the covered files at and below it.
    pub bytes: u64,
    /// Covered files, folders and links at and below it.
    pub files: u64,
    /// It is a mount point of its own, so it cannot be moved and is a matter of another mount.
    pub mount_point: bool,
}

/// One wanted file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Relative to the mount's root.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// Not a job at a mount: ends a command that ran past its limit. Runs in a container that sees the engine's processes.
/// Answered with [`Answer::Done`], which counts the processes that were killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum KillRequest {
    /// Kills a process and all that descend from it, as long as they belong to the container.
    Kill {
        /// As the engine's host counts.
        pid: u32,
        /// The container's full id.
        container: String,
    },
}
