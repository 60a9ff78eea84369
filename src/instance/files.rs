//! One small file out of an instance's mounts, read through a helper.

use std::io::Read;

use futures::TryStreamExt;

use crate::engine::{ContainerEngine, EngineError};
use crate::instance::mounts;
use crate::model::layout::helper_target;

/// Reads the file at `path`, as the instance's container sees it, through a helper that has `mounts`
/// at `/v0`, `/v1` and so on. `None` where there is no such file. A file over `limit` bytes is an error.
pub async fn read_file(
    engine: &dyn ContainerEngine,
    helper: &str,
    mounts: &[String],
    path: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, EngineError> {
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

fn first_file(archive: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(Some(content));
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
        builder.append_data(&mut header, "configuration/docker.env", &b"A=1\n"[..]).unwrap();
        let archive = builder.into_inner().unwrap();
        assert_eq!(first_file(&archive).unwrap().unwrap(), b"A=1\n");
        assert_eq!(first_file(&[0; 1024]).unwrap(), None);
    }
}
