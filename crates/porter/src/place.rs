//! Tidegate's own things at a mount's root: the marker, and one folder a run.

use std::os::fd::OwnedFd;

use crate::error::Trouble;
use crate::fs::{self, Attributes};
use crate::path::{Rel, check_run};
use crate::protocol::{FOLDER, MARKER};

/// Files that were set aside, in the layout that they had.
pub(crate) const ASIDE: &[u8] = b"aside";
/// Files that were in the way of putting back, in the layout that they had.
pub(crate) const FAILED: &[u8] = b"failed";

/// A mount's root, held open, and the run that works on it.
#[derive(Debug)]
pub(crate) struct Place {
    pub root: OwnedFd,
    pub run: String,
    /// The root as it was when the job began: making and removing our own things changes its time.
    root_before: Attributes,
}

impl Place {
    pub fn open(root: &str, run: &str) -> Result<Self, Trouble> {
        check_run(run)?;
        let root = fs::open_root(root)?;
        let root_before = Attributes::of(&fs::own_stat(&root, &Rel::root())?);
        Ok(Self { root, run: run.to_owned(), root_before })
    }

    /// `.tidegate`, if it is there.
    pub fn folder(&self) -> Result<Option<OwnedFd>, Trouble> {
        open_if_there(&self.root, FOLDER.as_bytes(), &folder_path())
    }

    /// `.tidegate/<run>`, if it is there.
    pub fn run_folder(&self) -> Result<Option<OwnedFd>, Trouble> {
        match self.folder()? {
            Some(folder) => open_if_there(&folder, self.run.as_bytes(), &self.run_path()),
            None => Ok(None),
        }
    }

    /// `.tidegate/<run>`, made if it is missing.
    pub fn make_run_folder(&self) -> Result<OwnedFd, Trouble> {
        let folder = fs::ensure_folder(&self.root, FOLDER.as_bytes(), &folder_path())?;
        fs::ensure_folder(&folder, self.run.as_bytes(), &self.run_path())
    }

    /// `.tidegate/<run>`, for messages.
    pub fn run_path(&self) -> Rel {
        folder_path().join(self.run.as_bytes())
    }

    /// Whether the marker is there and names this run; refuses where it names another.
    pub fn is_marked(&self) -> Result<bool, Trouble> {
        match marker(&self.root)? {
            None => Ok(false),
            Some(run) if run == self.run => Ok(true),
            Some(run) => Err(Trouble::refused(format!("the run `{run}` is not finished with this mount: {MARKER}"))),
        }
    }

    /// Puts the marker up, on disk before anything moves.
    pub fn mark(&self, run_folder: &OwnedFd) -> Result<(), Trouble> {
        if self.is_marked()? {
            return Ok(());
        }
        fs::write_whole(run_folder, b"marker.new", &self.root, MARKER.as_bytes(), &marker_path(), self.run.as_bytes())
    }

    /// Takes the marker of this run down. What was done before is on disk by then.
    pub fn unmark(&self) -> Result<(), Trouble> {
        if self.is_marked()? {
            fs::unlink(&self.root, MARKER.as_bytes(), &marker_path(), false)?;
            fs::sync(&self.root, &Rel::root())?;
        }
        Ok(())
    }

    /// Gives the root the time that it had when the job began.
    pub fn keep_time(&self) -> Result<(), Trouble> {
        self.root_before.put_back_time(&self.root, &Rel::root())
    }
}

/// The run that the marker names.
pub(crate) fn marker(root: &OwnedFd) -> Result<Option<String>, Trouble> {
    let content = fs::read_small(root, MARKER.as_bytes(), &marker_path(), 4096)?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).trim().to_owned()))
}

/// A folder that may be missing; anything else in its place is refused.
pub(crate) fn open_if_there(dir: &OwnedFd, name: &[u8], path: &Rel) -> Result<Option<OwnedFd>, Trouble> {
    match fs::look(dir, name, path)? {
        None => Ok(None),
        Some(_) => fs::open_folder(dir, name, path).map(Some),
    }
}

pub(crate) fn folder_path() -> Rel {
    Rel::root().join(FOLDER.as_bytes())
}

fn marker_path() -> Rel {
    Rel::root().join(MARKER.as_bytes())
}
