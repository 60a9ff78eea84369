//! Secrets lie in files of their own, and are read when they are needed.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// No secret of ours is longer; a greater file is a mistaken path.
const LIMIT_BYTES: u64 = 64 * 1024;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself; for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not there, or may not be read.
    #[error("cannot read the secret in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("`{}` should hold a secret and is empty", .0.display())]
    Empty(PathBuf),
    /// It is no secret but something else.
    #[error("`{}` is over {LIMIT_BYTES} bytes, too long for a secret", .0.display())]
    TooLong(PathBuf),
}

/// Reads the secret in the file at `path`: all of it but the line end after it. Blocks.
///
/// Warns when every user of the host may read the file.
pub fn read_secret(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |source| SecretError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.mode() & 0o004 != 0 {
        tracing::warn!(path = %path.display(), "secret may be read by every user; `chmod o-r` would change that");
    }
    let mut text = String::new();
    file.take(LIMIT_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LIMIT_BYTES {
        return Err(SecretError::TooLong(path.to_owned()));
    }
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(SecretError::Empty(path.to_owned())),
        secret => Ok(Secret(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_file_without_its_line_end_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, " hunter2 \r\n").unwrap();
        let secret = read_secret(&path).unwrap();
        assert_eq!(secret.reveal(), " hunter2 ");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn a_file_without_a_secret_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        assert!(matches!(read_secret(&path), Err(SecretError::Read { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_secret(&path), Err(SecretError::Empty(_))));
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretError::TooLong(_))));
    }
}
