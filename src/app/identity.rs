//! Who this process is.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgid, setuid};

use crate::ops::state::StateError;

/// Who runs this process, for journals: the login name; of root by sudo the one who called it.
pub(super) fn caller() -> String {
    let uid = nix::unistd::getuid();
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name);
    // Only root is believed about whom it acts for.
    match std::env::var("SUDO_USER") {
        Ok(user) if uid.is_root() && !user.is_empty() => format!("{user} (as root)"),
        _ => name,
    }
}

/// Root becomes the owner of the state directory, with that user's groups (`docker` among them). A directory that is
/// not there yet, or is root's own, changes nothing; anybody else stays who they are.
pub(super) fn take_that_of_the_owner(state_dir: &Path) -> Result<(), StateError> {
    let Ok(found) = std::fs::metadata(state_dir) else { return Ok(()) };
    if !geteuid().is_root() || found.uid() == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    let become_owner = || -> io::Result<()> {
        let user = User::from_uid(uid)?.ok_or_else(|| io::Error::other("its owner has no name on this host"))?;
        let name = CString::new(user.name).map_err(io::Error::other)?;
        initgroups(&name, gid)?;
        setgid(gid)?;
        setuid(uid)?;
        Ok(())
    };
    become_owner().map_err(|source| StateError::Io {
        action: "take the identity of the owner of",
        path: state_dir.to_owned(),
        source,
    })
}
