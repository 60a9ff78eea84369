//! The folder of one browser's profile, and the removal of those whose browser is gone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

const PREFIX: &str = "browser-";
const LOCK: &str = "tidegate.lock";

/// A folder of its own that only this user may enter. Its lock is held as long as this lives, so that it is known by
/// others to be in use.
#[derive(Debug)]
pub(super) struct Profile {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Profile {
    /// Makes one in `folder`, which must be there, and removes those that a killed process has left there.
    pub(super) fn make_in(folder: &Path) -> io::Result<Self> {
        sweep(folder);
        let path = folder.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let locked = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK));
        let locked = locked.and_then(|file| {
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))
        });
        match locked {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Best effort: what stays is swept by the next one.
    pub(super) async fn remove(self) {
        let removed = tokio::task::spawn_blocking(move || {
            std::fs::remove_dir_all(&self.path).map_err(|error| (self.path.clone(), error))
        });
        if let Ok(Err((profile, error))) = removed.await {
            tracing::warn!(profile = %profile.display(), %error, "browser's profile was not removed");
        }
    }
}

/// Removes profiles that nobody holds. One that has no lock yet is about to get it, or its maker has died in between:
/// it is empty then, so that only an empty folder is removed.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if !number.is_some_and(|number| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        let path = entry.path();
        match File::open(path.join(LOCK)) {
            Ok(file) => {
                if let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                    tracing::debug!(profile = %path.display(), "profile of a browser that is gone is removed");
                    let _ = std::fs::remove_dir_all(&path);
                }
            }
            Err(_) => drop(std::fs::remove_dir(&path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_profiles_that_nobody_holds_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let left = Profile::make_in(folder.path()).unwrap();
        std::fs::write(left.path().join("Cookies"), "x").unwrap();
        let kept = Profile::make_in(folder.path()).unwrap();
        let foreign = folder.path().join("browser-settings");
        std::fs::create_dir(&foreign).unwrap();
        let gone = left.path().to_owned();
        // As a kill would: the lock goes, the folder stays.
        drop(left);
        assert!(gone.exists());
        let next = Profile::make_in(folder.path()).unwrap();
        assert!(!gone.exists() && kept.path().exists() && next.path().exists() && foreign.exists());
        next.remove().await;
        kept.remove().await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
