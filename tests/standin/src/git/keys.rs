//! Deploy keys: made by `ssh-keygen`, kept encrypted in the database, written to a file only while git needs it.

use super::{Result, Trouble};
use crate::data::ids::Numbers;
use crate::paths;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The kinds that a client may ask for: as the interface calls it, key size, whether it is the default.
pub const KINDS: [(&str, u32, bool); 2] = [("ECDSA", 256, true), ("RSA", 4096, false)];

/// Both halves of a new key.
#[derive(Debug)]
pub struct Pair {
    /// As it stands in `authorized_keys`, with its comment.
    pub public: String,
    /// In OpenSSH's format.
    pub private: String,
}

/// Makes a key of a kind of [`KINDS`].
pub async fn make(kind: &str) -> Result<Pair> {
    let (kind, bits, _) = KINDS.into_iter().find(|(name, ..)| name.eq_ignore_ascii_case(kind)).unwrap_or(KINDS[0]);
    let scratch = Scratch::make()?;
    let path = scratch.0.join("key");
    let mut command = tokio::process::Command::new(paths::SSH_KEYGEN);
    command.args(["-q", "-t", &kind.to_lowercase(), "-b", &bits.to_string(), "-N", "", "-C", "appsmith", "-f"]);
    command.arg(&path).stdin(Stdio::null()).kill_on_drop(true);
    let done = match command.output().await {
        Ok(done) => done,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Trouble::NoGit),
        Err(error) => return Err(Trouble::at(Path::new(paths::SSH_KEYGEN))(error)),
    };
    if !done.status.success() {
        return Err(Trouble::Failed(String::from_utf8_lossy(&done.stderr).trim().to_owned()));
    }
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(Trouble::at(&path));
    Ok(Pair { public: read(path.with_extension("pub"))?.trim().to_owned(), private: read(path)? })
}

/// The private half as a file that ssh reads. It is gone when this is dropped.
#[derive(Debug)]
pub struct KeyFile {
    scratch: Scratch,
}

impl KeyFile {
    /// Writes it, readable only for its owner.
    pub fn write(private: &str) -> Result<Self> {
        let scratch = Scratch::make()?;
        let path = scratch.0.join("key");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(private.as_bytes())).map_err(Trouble::at(&path))?;
        Ok(Self { scratch })
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.scratch.0.join("key")
    }
}

/// A directory of one's own, outside of the volume.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self> {
        let root = if cfg!(test) { std::env::temp_dir() } else { paths::TMP.into() };
        let path = root.join(format!("git-key-{}", Numbers::random().object_id()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(Trouble::at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
