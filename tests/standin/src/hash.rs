//! `hash`: proves that two volumes hold the same user data, byte for byte.
//!
//! One line a file, sorted by path: `sha256  mode uid:gid  path`. A link shows its target in place of a digest. The
//! last line is one digest over all the others.

use crate::failure::{Failure, Result};
use crate::options::Options;
use crate::paths::{STACKS, Volume};
use crate::say;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What counts as user data, below the volume's root.
const KEPT: &[&str] = &["ca-certs", "configuration/docker.env", "data/mongodb", "git-storage", "ssl"];
/// What changes by merely running.
const PASSING: &[&str] = &["data/mongodb/mongod.lock", "data/mongodb/log", "data/mongodb/fcv-probe.log"];

/// Prints the list and the total.
pub fn run(words: &[String]) -> Result<()> {
    let mut options = Options::read(words)?;
    let root: PathBuf = options.one::<String>("root")?.unwrap_or_else(|| STACKS.to_owned()).into();
    options.finish()?;
    let lines = lines(&Volume::at(root))?;
    lines.iter().for_each(|line| say::out(line));
    say::out(&format!("{}  total", total(&lines)));
    Ok(())
}

/// One digest over all lines.
pub fn total(lines: &[String]) -> String {
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line.as_bytes());
        digest.update(b"\n");
    }
    hex(&digest.finalize())
}

/// One line for each file, directory and link of the user data.
pub fn lines(volume: &Volume) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for kept in KEPT {
        walk(volume.root(), Path::new(kept), &mut found)?;
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found.into_iter().map(|(_, line)| line).collect())
}

fn walk(root: &Path, relative: &Path, found: &mut Vec<(Vec<u8>, String)>) -> Result<()> {
    if PASSING.iter().any(|passing| relative == Path::new(passing)) {
        return Ok(());
    }
    let path = root.join(relative);
    let Ok(meta) = fs::symlink_metadata(&path) else { return Ok(()) };
    let content = if meta.is_symlink() {
        format!("-> {}", fs::read_link(&path).map_err(Failure::at("read", &path))?.display())
    } else if meta.is_dir() {
        "directory".to_owned()
    } else if meta.is_file() {
        digest(&path)?
    } else {
        "special".to_owned()
    };
    let line = format!("{content}  {:04o} {}:{}  {}", meta.mode() & 0o7777, meta.uid(), meta.gid(), relative.display());
    found.push((relative.as_os_str().as_bytes().to_vec(), line));
    if meta.is_dir() {
        for entry in fs::read_dir(&path).map_err(Failure::at("read", &path))? {
            let entry = entry.map_err(Failure::at("read", &path))?;
            walk(root, &relative.join(entry.file_name()), found)?;
        }
    }
    Ok(())
}

fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Failure::at("open", path))?;
    let mut digest = Sha256::new();
    let mut block = vec![0u8; 1 << 18];
    loop {
        let length = file.read(&mut block).map_err(Failure::at("read", path))?;
        if length == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(block.get(..length).unwrap_or_default());
    }
}

/// Bytes as lower-case hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn content_mode_and_links_count_and_the_lock_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        fs::create_dir_all(volume.mongodb()).unwrap();
        fs::write(volume.mongodb().join("a.wt"), "one").unwrap();
        symlink("../../etc/passwd", volume.mongodb().join("link")).unwrap();
        let before = lines(&volume).unwrap();
        fs::write(volume.mongod_lock(), "1\n").unwrap();
        assert_eq!(lines(&volume).unwrap(), before);
        fs::set_permissions(volume.mongodb().join("a.wt"), fs::Permissions::from_mode(0o600)).unwrap();
        let after = lines(&volume).unwrap();
        assert_ne!(total(&after), total(&before));
        assert!(after.iter().any(|line| line.starts_with("-> ../../etc/passwd")));
    }
}
