//! Moves entries from one folder tree into another of the same mount, with the same layout.

use std::os::fd::OwnedFd;

use crate::error::Trouble;
use crate::fs;
use crate::path::Rel;

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It moved.
    Now,
    /// Nothing lies there: it moved before, or never was.
    Nothing,
    /// Something lies at the target; nothing was changed.
    Occupied,
}

/// Keeps the folders of the last entry open, so that entries in order cost one rename each.
#[derive(Debug)]
pub(crate) struct Mover<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    held: Option<Held>,
    moved: u64,
}

#[derive(Debug)]
struct Held {
    parent: Rel,
    from: OwnedFd,
    to: OwnedFd,
}

impl<'a> Mover<'a> {
    pub fn new(from: &'a OwnedFd, to: &'a OwnedFd) -> Self {
        Self { from, to, held: None, moved: 0 }
    }

    /// Moves what lies at `path` to the same path in the other tree; makes folders there as needed.
    pub fn shift(&mut self, path: &Rel) -> Result<Moved, Trouble> {
        let Some((parent, name)) = path.split() else { return Err(Trouble::refused("the root cannot be moved")) };
        if self.held.as_ref().is_none_or(|held| held.parent != parent) {
            self.release()?;
            let Ok(from) = fs::walk(self.from, &parent)? else { return Ok(Moved::Nothing) };
            if fs::look(&from, name, path)?.is_none() {
                return Ok(Moved::Nothing);
            }
            let to = make_folders(self.to, &parent)?;
            self.held = Some(Held { parent, from, to });
        }
        let Some(held) = &self.held else { return Ok(Moved::Nothing) };
        if fs::look(&held.from, name, path)?.is_none() {
            return Ok(Moved::Nothing);
        }
        if !fs::rename((&held.from, name), (&held.to, name), path, path)? {
            return Ok(Moved::Occupied);
        }
        self.moved += 1;
        Ok(Moved::Now)
    }

    /// Has all moves on disk, and says how many they were.
    pub fn finish(mut self) -> Result<u64, Trouble> {
        self.release()?;
        Ok(self.moved)
    }

    fn release(&mut self) -> Result<(), Trouble> {
        if let Some(held) = self.held.take() {
            // The new name first: a file under both names is found, one under none is lost.
            fs::sync(&held.to, &held.parent)?;
            fs::sync(&held.from, &held.parent)?;
        }
        Ok(())
    }
}

/// The folder at `path`, with all folders on the way made.
pub(crate) fn make_folders(base: &OwnedFd, path: &Rel) -> Result<OwnedFd, Trouble> {
    let start = fs::walk(base, &Rel::root())?.map_err(|_| Trouble::refused("the root is not a folder"))?;
    let mut at = Rel::root();
    path.parts().try_fold(start, |dir, name| {
        at = at.join(name);
        fs::ensure_folder(&dir, name, &at)
    })
}
