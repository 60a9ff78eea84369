//! Room that a run keeps for its way back. Filling a mount may take all the room that there is, and the way back needs
//! some: for the marker, for folders, for lines of the journal. On a full mount nothing could run any more without it.

use std::os::fd::OwnedFd;

use crate::error::Trouble;
use crate::fs;
use crate::journal::Journal;
use crate::path::Rel;
use crate::place::{Place, open_if_there};

const FOLDER: &[u8] = b"ballast";
/// A folder takes a block of most file systems, and an inode.
const BLOCK: [u8; 8192] = [0; 8192];
/// For marker, journal, and the folders on top.
const MORE: usize = 8;

/// Takes an inode and a block for each folder that the way back may have to make. Fails where there is no room for it;
/// nothing was moved by then.
pub(crate) fn take(place: &Place, journal: &Journal) -> Result<(), Trouble> {
    let path = place.run_path().join(FOLDER);
    let folder = fs::ensure_folder(journal.folder(), FOLDER, &path)?;
    for number in 0..journal.kept.len() + MORE {
        let name = number.to_string().into_bytes();
        fs::write_new(&folder, &name, &path.join(&name), &BLOCK)?;
    }
    Ok(())
}

/// Gives it back, as the first thing on the way back.
pub(crate) fn give(place: &Place, run_folder: &OwnedFd) -> Result<(), Trouble> {
    let path: Rel = place.run_path().join(FOLDER);
    let Some(folder) = open_if_there(run_folder, FOLDER, &path)? else { return Ok(()) };
    for name in fs::names(&folder, &path)? {
        fs::unlink(&folder, &name, &path.join(&name), false)?;
    }
    fs::unlink(run_folder, FOLDER, &path, true).map(|_| ())
}
