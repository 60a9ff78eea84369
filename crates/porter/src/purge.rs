//! Deleting what a run kept.

use std::os::fd::OwnedFd;

use rustix::fs::Stat;

use crate::error::Trouble;
use crate::fs::{self, Kind};
use crate::mounts;
use crate::path::Rel;
use crate::place::{Place, folder_path, marker, open_if_there};
use crate::protocol::{FOLDER, MARKER};

/// A run's folder is renamed to this and its id before anything in it is deleted: something that was deleted in
/// part must never be put back.
pub(crate) const TRASH: &str = ".drop-";

/// Deletes all that a run kept; says how many files, folders and links those were.
pub(crate) fn purge(root: &str, run: &str) -> Result<u64, Trouble> {
    let place = Place::open(root, run)?;
    if marker(&place.root)?.as_deref() == Some(run) {
        return Err(Trouble::refused(format!("the run `{run}` is not finished with this mount: {MARKER}")));
    }
    let Some(folder) = place.folder()? else { return Ok(0) };
    let name = format!("{TRASH}{run}");
    let path = folder_path().join(name.as_bytes());
    for mount in mounts::below(&place.root)? {
        if mount.is_at_or_below(&path) || mount.is_at_or_below(&place.run_path()) {
            return Err(Trouble::refused(format!("`{mount}` is a mount point; nothing in it is deleted")));
        }
    }
    let mut entries = empty_and_remove(&folder, name.as_bytes(), &path)?;
    if fs::look(&folder, run.as_bytes(), &place.run_path())?.is_some() {
        fs::rename((&folder, run.as_bytes()), (&folder, name.as_bytes()), &place.run_path(), &path)?;
        fs::sync(&folder, &folder_path())?;
        entries += empty_and_remove(&folder, name.as_bytes(), &path)?;
    }
    if fs::names(&folder, &folder_path())?.is_empty() {
        fs::unlink(&place.root, FOLDER.as_bytes(), &folder_path(), true)?;
        place.keep_time()?;
    }
    Ok(entries)
}

/// Empties a folder however deep it is, with two folders open: what is below a folder in it is first moved up.
fn empty_and_remove(parent: &OwnedFd, name: &[u8], path: &Rel) -> Result<u64, Trouble> {
    let Some(trash) = open_if_there(parent, name, path)? else { return Ok(0) };
    let (mut entries, mut moved) = (0, 0_u64);
    loop {
        let names = fs::names(&trash, path)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            let path = path.join(&name);
            let Some(stat) = fs::look(&trash, &name, &path)? else { continue };
            let is_folder = fs::kind(&stat) == Kind::Folder;
            if is_folder {
                entries += hollow(&trash, &name, &path, &stat, &mut moved)?;
            }
            entries += u64::from(fs::unlink(&trash, &name, &path, is_folder)?);
        }
    }
    fs::unlink(parent, name, path, true)?;
    fs::sync(parent, &folder_path())?;
    Ok(entries)
}

/// Deletes the files of one folder in the trash and moves its folders up into the trash.
fn hollow(trash: &OwnedFd, name: &[u8], path: &Rel, stat: &Stat, moved: &mut u64) -> Result<u64, Trouble> {
    unlock(trash, name, path, stat)?;
    let folder = fs::open_folder(trash, name, path)?;
    let mut entries = 0;
    for child in fs::names(&folder, path)? {
        let path = path.join(&child);
        let Some(stat) = fs::look(&folder, &child, &path)? else { continue };
        if fs::kind(&stat) != Kind::Folder {
            entries += u64::from(fs::unlink(&folder, &child, &path, false)?);
            continue;
        }
        unlock(&folder, &child, &path, &stat)?;
        loop {
            *moved += 1;
            let target = format!("{TRASH}{moved}");
            if fs::rename((&folder, &child), (trash, target.as_bytes()), &path, &path)? {
                break;
            }
        }
    }
    Ok(entries)
}

/// Without the capability to override modes, a folder must be its owner's to be emptied or moved.
fn unlock(dir: &OwnedFd, name: &[u8], path: &Rel, stat: &Stat) -> Result<(), Trouble> {
    if stat.st_mode & 0o700 == 0o700 { Ok(()) } else { fs::make_writable(dir, name, path) }
}
