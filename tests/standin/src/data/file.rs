//! Files that are either old or new, never half.

use crate::failure::{Failure, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Replaces `path` by `bytes` in one step, durably.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = File::create(&aside).map_err(Failure::at("create", &aside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Failure::at("write", &aside))?;
    fs::rename(&aside, path).map_err(Failure::at("replace", path))?;
    if let Some(directory) = path.parent() {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(Failure::at("sync", directory))?;
    }
    Ok(())
}

/// The text of a file, or `None` if there is no such file.
pub fn text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::at("read", path)(error)),
    }
}
