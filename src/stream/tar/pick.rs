//! One small file out of an archive.

use futures::TryStreamExt;

use super::confine::parts_of;
use super::header::Kind;
use super::parse::{Event, Parser};
use super::shown;
use crate::stream::{ByteStream, StreamError};

/// The content of the file at `path`; `None` where the archive has no such file, or something else by that name. The
/// archive is read to its end, so what comes is what was written. More than `limit` bytes are an error.
pub async fn pick(mut tar: ByteStream, path: &str, limit: usize) -> Result<Option<Vec<u8>>, StreamError> {
    let wanted = parts_of(path.as_bytes());
    let (mut parser, mut found, mut left) = (Parser::default(), None, 0);
    while let Some(mut data) = tar.try_next().await? {
        while let Some(event) = parser.next(&mut data)? {
            match event {
                Event::Entry(entry) => {
                    left = 0;
                    if entry.kind == Kind::File && parts_of(&entry.name) == wanted {
                        let reason = "it is larger than such a file ever is";
                        let too_large = || StreamError::UnsupportedEntry { entry: shown(&entry.name), reason };
                        left = usize::try_from(entry.size_bytes)
                            .ok()
                            .filter(|size| *size <= limit)
                            .ok_or_else(too_large)?;
                        found = Some(Vec::with_capacity(left));
                    }
                }
                Event::Body(bytes) => {
                    // The padding comes with the last of it.
                    let taken = left.min(bytes.len());
                    left -= taken;
                    if let (Some(content), true) = (&mut found, taken > 0) {
                        content.extend_from_slice(&bytes[..taken]);
                    }
                }
                Event::End => {}
            }
        }
    }
    parser.finish()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{StreamExt, stream};

    use super::super::place_folders;
    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, kind, content: &str| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o750);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        };
        add("redis/", tar::EntryType::Directory, "");
        add("redis/dump.rdb", tar::EntryType::Regular, "sessions");
        add("redis/deep/", tar::EntryType::Directory, "");
        add("other", tar::EntryType::Regular, &"x".repeat(1000));
        builder.into_inner().unwrap()
    }

    /// In pieces of that size.
    fn body(bytes: &[u8], step: usize) -> ByteStream {
        let pieces: Vec<_> = bytes.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        stream::iter(pieces).boxed()
    }

    #[tokio::test]
    async fn the_one_file_is_found_however_the_archive_arrives() {
        for step in [1, 7, 512, 1 << 20] {
            let found = pick(body(&archive(), step), "redis/dump.rdb", 100).await.unwrap();
            assert_eq!(found.unwrap(), b"sessions", "{step}");
        }
        for missing in ["redis", "redis/dump", "dump.rdb"] {
            assert_eq!(pick(body(&archive(), 512), missing, 100).await.unwrap(), None, "{missing}");
        }
        pick(body(&archive(), 512), "other", 999).await.unwrap_err();
        let cut = archive();
        pick(body(&cut[..cut.len() - 1024], 512), "redis/dump.rdb", 100).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_part_can_be_put_in_place_without_its_files() {
        let placed = place_folders(body(&archive(), 100), "v0".into());
        let bytes: Vec<u8> = placed.map(|block| block.unwrap().to_vec()).concat().await;
        let mut names = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            names.push((entry.path().unwrap().display().to_string(), entry.header().mode().unwrap()));
        }
        assert_eq!(names, [("v0/redis/".to_owned(), 0o750), ("v0/redis/deep/".to_owned(), 0o750)]);
    }
}
