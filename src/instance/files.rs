//! One small file out of an instance's mounts, read through a helper.

use std::fmt;
use std::io::Read;

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::engine::{ContainerEngine, EngineError};
use crate::instance::mounts;
use crate::model::layout::helper_target;

/// A file with what says whose it is. May hold secrets, and prints without its content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallFile {
    /// All of it.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

impl fmt::Debug for SmallFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content, mode, uid, gid } = self;
        write!(f, "SmallFile({} bytes, mode {mode:o}, {uid}:{gid})", content.len())
    }
}

impl SmallFile {
    /// A tar with nothing but this file, under that name.
    pub fn archive(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(self.content.len() as u64);
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_mtime(0);
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header, name, self.content.as_slice())?;
        builder.into_inner()
    }
}

/// Reads the file at `path`, as the instance's container sees it, through a helper that has `mounts`
/// at `/v0`, `/v1` and so on. `None` where there is no such file. A file over `limit` bytes is an error.
pub async fn read_file(
    engine: &dyn ContainerEngine,
    helper: &str,
    mounts: &[String],
    path: &str,
    limit: usize,
) -> Result<Option<SmallFile>, EngineError> {
    let Some((index, rest)) = mounts::locate(mounts.iter().map(String::as_str), path) else {
        return Ok(None);
    };
    let failed = |source| EngineError::Request { action: format!("read `{path}` through `{helper}`"), source };
    let mut stream = match engine.archive_out(helper, &mounts::join(&helper_target(index), &rest)).await {
        Ok(stream) => stream,
        Err(EngineError::NoSuchPath { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Headers, padding and the end marker come on top of the file.
    let most = limit + 16 * 1024;
    let mut archive = Vec::new();
    while let Some(block) = stream.try_next().await.map_err(|error| failed(error.into()))? {
        if archive.len() + block.len() > most {
            return Err(failed(format!("it has more than {limit} bytes").into()));
        }
        archive.extend_from_slice(&block);
    }
    first_file(&archive).map_err(|error| failed(error.into()))
}

fn first_file(archive: &[u8]) -> std::io::Result<Option<SmallFile>> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            let header = entry.header();
            let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
            return Ok(Some(SmallFile { content, mode, uid, gid }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_behind_a_folder() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        builder.append_data(&mut header, "configuration/", std::io::empty()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        header.set_mode(0o600);
        header.set_uid(7);
        header.set_gid(0);
        builder.append_data(&mut header, "configuration/docker.env", &b"A=1\n"[..]).unwrap();
        let archive = builder.into_inner().unwrap();
        let file = first_file(&archive).unwrap().unwrap();
        assert_eq!(file, SmallFile { content: b"A=1\n".to_vec(), mode: 0o600, uid: 7, gid: 0 });
        assert_eq!(first_file(&file.archive("v0/docker.env").unwrap()).unwrap().unwrap(), file);
        assert_eq!(first_file(&[0; 1024]).unwrap(), None);
    }
}
