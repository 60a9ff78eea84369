//! `mongod.lock`, which tells a clean stop from a kill.

use crate::failure::{Failure, Result};
use crate::paths::Volume;
use std::fs;

/// How the database was left by whoever ran last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// Never run, or stopped cleanly.
    Clean,
    /// Killed. The number counts all recoveries so far, this one included.
    Unclean(u32),
}

/// Takes the lock. After a kill the recovery is counted in the `UNCLEAN` marker.
pub fn take(volume: &Volume, pid: u32) -> Result<LeftBehind> {
    let lock = volume.mongod_lock();
    let left = match fs::metadata(&lock) {
        Ok(meta) if meta.len() > 0 => LeftBehind::Unclean(count_recovery(volume)?),
        _ => LeftBehind::Clean,
    };
    fs::write(&lock, format!("{pid}\n")).map_err(Failure::at("write", &lock))?;
    Ok(left)
}

/// Gives the lock back after a clean stop: the file stays, empty.
pub fn give_back(volume: &Volume) -> Result<()> {
    let lock = volume.mongod_lock();
    fs::write(&lock, "").map_err(Failure::at("empty", &lock))
}

fn count_recovery(volume: &Volume) -> Result<u32> {
    let marker = volume.unclean_marker();
    let so_far: u32 = super::file::text(&marker)?.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    super::file::replace(&marker, format!("{}\n", so_far + 1).as_bytes())?;
    Ok(so_far + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_shows_and_a_clean_stop_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        fs::create_dir_all(volume.mongodb()).unwrap();
        assert_eq!(take(&volume, 21).unwrap(), LeftBehind::Clean);
        assert_eq!(take(&volume, 22).unwrap(), LeftBehind::Unclean(1));
        give_back(&volume).unwrap();
        assert_eq!(fs::metadata(volume.mongod_lock()).unwrap().len(), 0);
        assert_eq!(take(&volume, 23).unwrap(), LeftBehind::Clean);
        assert_eq!(take(&volume, 24).unwrap(), LeftBehind::Unclean(2));
    }
}
