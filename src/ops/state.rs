//! The state directory: journals, what runs keep beside them, locks of this host, evidence.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::report::Looked;
use super::schedules::Book;
use crate::model::gate::Evidence;
use crate::model::ids::{InstanceName, RunId};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk or its rights.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon works on it.
    #[error("a daemon works on `{path}` already{}", pid.as_ref().map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    DaemonRuns {
        /// The state directory.
        path: PathBuf,
        /// Its process, if it can be told.
        pid: Option<String>,
    },
    /// A run could begin and then not write what it must keep.
    #[error("`{path}` has {free_bytes} bytes free, and a run needs {RUN_BYTES}")]
    NoRoom {
        /// The state directory.
        path: PathBuf,
        /// What is there.
        free_bytes: u64,
    },
    /// A file that is not what was written.
    #[error("`{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
}

/// What a run may need for its journal and beside it. It is looked for before a run begins; a disk that gets full after
/// that still has the room that the journal has allocated.
const RUN_BYTES: u64 = 4 << 20;

/// A file that a run keeps beside its journal (mode 0600), named by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    name: String,
    sha256: String,
}

/// What a file system has left for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// In bytes.
    pub bytes: u64,
    /// `None` where their number has no limit (Btrfs).
    pub inodes: Option<u64>,
}

/// Tidegate's own directory on this host.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Makes what is missing. Its folders are for the owner only.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        for folder in [root.to_owned(), root.join("runs"), root.join("locks"), root.join("evidence")] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|source| StateError::Io { action: "make the folder", path: folder, source })?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fails if a run that begins now could soon not be written down.
    pub fn has_room(&self) -> Result<(), StateError> {
        let free_bytes = self.free()?.bytes;
        if free_bytes < RUN_BYTES {
            return Err(StateError::NoRoom { path: self.root.clone(), free_bytes });
        }
        Ok(())
    }

    /// What its file system has left.
    pub fn free(&self) -> Result<Free, StateError> {
        free_of(&self.root).map_err(|source| StateError::Io { action: "look at", path: self.root.clone(), source })
    }

    /// Where the evidence of checks of a run lies; it may not be there.
    pub fn pictures(&self, run: &RunId, instance: &InstanceName) -> PathBuf {
        self.all_pictures(run).join(instance.as_str())
    }

    /// The folder with [`StateDir::pictures`] of all instances of a run.
    pub(super) fn all_pictures(&self, run: &RunId) -> PathBuf {
        self.attachments(run).join("pictures")
    }

    /// Keeps what the checks of a run saw, for reports. The newest look of an instance replaces the one before.
    pub fn keep_look(&self, run: &RunId, looked: &Looked) -> Result<(), StateError> {
        let folder = self.attachments(run);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| StateError::Io { action: "make the folder", path: folder.clone(), source })?;
        let path = folder.join(look_file(&looked.instance));
        let text = serde_json::to_vec(looked)
            .map_err(|error| StateError::Damaged { path: path.clone(), reason: error.to_string() })?;
        write_durably(&path, &text)
    }

    /// What [`StateDir::keep_look`] kept; `None` where the run did not come to it.
    pub fn look(&self, run: &RunId, instance: &InstanceName) -> Result<Option<Looked>, StateError> {
        let path = self.attachments(run).join(look_file(instance));
        let text = match fs::read(&path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| StateError::Io { action: "read", path: path.clone(), source })?,
        };
        serde_json::from_slice(&text).map_err(|error| StateError::Damaged { path, reason: error.to_string() })
    }

    /// Where the evidence of the last checks of an instance outside of any run lies; it may not be there.
    pub fn smoke(&self, instance: &InstanceName) -> PathBuf {
        self.all_smoke().join(instance.as_str())
    }

    /// The folder with [`StateDir::smoke`] of all instances.
    pub(super) fn all_smoke(&self) -> PathBuf {
        self.root.join("smoke")
    }

    /// Makes this process the only daemon on it, for as long as what is returned lives.
    pub fn lock_daemon(&self) -> Result<Flock<File>, StateError> {
        let path = self.root.join("daemon.lock");
        let failed = |action, source| StateError::Io { action, path: path.clone(), source };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let file = options.open(&path).map_err(|error| failed("open", error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => {
                file.set_len(0)
                    .and_then(|()| (&*file).write_all(std::process::id().to_string().as_bytes()))
                    .map_err(|error| failed("write", error))?;
                Ok(file)
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let read = file.read_to_string(&mut pid).is_ok() && !pid.is_empty();
                Err(StateError::DaemonRuns { path: self.root.clone(), pid: read.then_some(pid) })
            }
            Err((_, errno)) => Err(failed("lock", errno.into())),
        }
    }

    /// Whether a daemon works on it. Holds the daemon's lock for a blink, which a daemon that begins right then has to
    /// be patient with.
    pub fn daemon_runs(&self) -> bool {
        let Ok(file) = File::open(self.root.join("daemon.lock")) else { return false };
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    }

    /// A run's journal.
    pub fn journal(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(format!("{run}.jsonl"))
    }

    /// The folder of what a run keeps beside its journal; it may not be there.
    pub(super) fn attachments(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(run.as_str())
    }

    /// The file whose `flock` orders the processes of this host.
    pub fn lock_file(&self, container: &str) -> PathBuf {
        self.root.join("locks").join(format!("{container}.lock"))
    }

    /// Where copies of the apps' repositories lie. They can be removed at any time.
    pub fn repositories(&self) -> PathBuf {
        self.root.join("git")
    }

    /// The ids of all runs, oldest first within a workflow.
    pub fn runs(&self) -> Result<Vec<RunId>, StateError> {
        let folder = self.root.join("runs");
        let failed = |source| StateError::Io { action: "list", path: folder.clone(), source };
        let mut runs = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let run = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|name| RunId::new(name).ok());
            runs.extend(run);
        }
        runs.sort();
        Ok(runs)
    }

    /// Keeps `value` beside the run's journal, durably, readable by the owner only.
    pub fn attach(&self, run: &RunId, what: &str, value: &impl Serialize) -> Result<FileRef, StateError> {
        let folder = self.attachments(run);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { action, path, source }
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(failed("make the folder", &folder))?;
        let text = serde_json::to_vec(value)
            .map_err(|error| StateError::Damaged { path: folder.clone(), reason: error.to_string() })?;
        let sha256 = hex(&Sha256::digest(&text));
        let name = format!("{what}-{}.json", &sha256[..16]);
        let path = folder.join(&name);
        write_durably(&path, &text)?;
        Ok(FileRef { name, sha256 })
    }

    /// Reads what [`StateDir::attach`] kept, and checks it.
    pub fn attached<T: DeserializeOwned>(&self, run: &RunId, file: &FileRef) -> Result<T, StateError> {
        let path = self.attachments(run).join(&file.name);
        let text = fs::read(&path).map_err(|source| StateError::Io { action: "read", path: path.clone(), source })?;
        if hex(&Sha256::digest(&text)) != file.sha256 {
            return Err(StateError::Damaged { path, reason: "its hash is not the one in the journal".into() });
        }
        serde_json::from_slice(&text).map_err(|error| StateError::Damaged { path, reason: error.to_string() })
    }

    /// Keeps the newest evidence of an instance.
    pub fn keep_evidence(&self, evidence: &Evidence) -> Result<(), StateError> {
        let path = self.evidence_path(&evidence.instance);
        let text = serde_json::to_vec_pretty(evidence)
            .map_err(|error| StateError::Damaged { path: path.clone(), reason: error.to_string() })?;
        write_durably(&path, &text)
    }

    /// The newest evidence of an instance. One that cannot be read is none: the gate stays shut.
    pub fn evidence(&self, instance: &InstanceName) -> Option<Evidence> {
        let text = fs::read(self.evidence_path(instance)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What passed before does not stand any more: the instance was put back.
    pub fn drop_evidence(&self, instance: &InstanceName) -> Result<(), StateError> {
        let path = self.evidence_path(instance);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StateError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Keeps what is known of the schedules.
    pub fn keep_schedules(&self, book: &Book) -> Result<(), StateError> {
        let path = self.schedules_path();
        let text = serde_json::to_vec_pretty(book)
            .map_err(|error| StateError::Damaged { path: path.clone(), reason: error.to_string() })?;
        write_durably(&path, &text)
    }

    /// What is known of the schedules; nothing at first.
    pub fn schedules(&self) -> Result<Book, StateError> {
        let path = self.schedules_path();
        let text = match fs::read(&path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Book::new()),
            text => text.map_err(|source| StateError::Io { action: "read", path: path.clone(), source })?,
        };
        serde_json::from_slice(&text).map_err(|error| StateError::Damaged { path, reason: error.to_string() })
    }

    fn schedules_path(&self) -> PathBuf {
        self.root.join("schedules.json")
    }

    fn evidence_path(&self, instance: &InstanceName) -> PathBuf {
        self.root.join("evidence").join(format!("{instance}.json"))
    }
}

fn look_file(instance: &InstanceName) -> String {
    format!("looked-{instance}.json")
}

/// What the file system of `path` has left.
pub(super) fn free_of(path: &Path) -> std::io::Result<Free> {
    let found = statvfs(path)?;
    Ok(Free {
        bytes: found.blocks_available().saturating_mul(found.fragment_size()),
        inodes: (found.files() > 0).then(|| found.files_available()),
    })
}

/// Written whole and flushed under another name, then renamed, then the folder flushed.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let failed = |action| move |source| StateError::Io { action, path: path.to_owned(), source };
    let draft = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&draft).map_err(failed("write"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    file.sync_all().map_err(failed("flush"))?;
    fs::rename(&draft, path).map_err(failed("rename to"))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flush the folder of"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
