//! Reads an archive of `appsmithctl backup` to its end.

use std::pin::pin;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::dump::DumpWalk;
use crate::stream::tar::{Event, Parser};
use crate::stream::{ByteStream, StreamError, gunzip};

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or is cut off.
    #[error("it cannot be read to its end")]
    Stream(#[from] StreamError),
    /// Something is not in it.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// The dump of the database is not whole.
    #[error("its dump of the database is not whole: {0}")]
    Dump(String),
}

const DUMP: &str = "mongodb-data.gz";
const MEMBERS: [&str; 4] = ["manifest.json", DUMP, "docker.env", "git-storage"];

/// Fails unless all members are there and whole, the dump's own end among them. `tar` holds the archive as its one file.
pub async fn check(tar: ByteStream) -> Result<(), ArchiveError> {
    let (sender, receiver) = mpsc::channel::<Bytes>(2);
    let walked = walk(gunzip(content(tar)), sender);
    let (members, dump) = tokio::join!(walked, follow(receiver));
    match members {
        Ok(members) => {
            if let Some(missing) = MEMBERS.iter().find(|wanted| !members.contains(wanted)) {
                return Err(ArchiveError::Missing(missing));
            }
            dump
        }
        Err(error) => Err(error.into()),
    }
}

/// The content of the one file in a tar.
fn content(tar: ByteStream) -> ByteStream {
    let state = (tar, Parser::default(), Bytes::new(), None);
    stream::try_unfold(state, |(mut tar, mut parser, mut data, mut left)| async move {
        loop {
            match parser.next(&mut data)? {
                Some(Event::Entry(entry)) if left.is_none() && entry.size_bytes > 0 => left = Some(entry.size_bytes),
                Some(Event::Entry(_)) => left = Some(0),
                Some(Event::Body(body)) => {
                    let body = without_padding(body, left.as_mut());
                    if !body.is_empty() {
                        return Ok(Some((body, (tar, parser, data, left))));
                    }
                }
                Some(Event::End) => {}
                None => match tar.try_next().await? {
                    Some(block) => data = block,
                    None => return parser.finish().map(|()| None),
                },
            }
        }
    })
    .boxed()
}

fn without_padding(body: Bytes, left: Option<&mut u64>) -> Bytes {
    let Some(left) = left else { return Bytes::new() };
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(body.len());
    *left -= taken as u64;
    body.slice(..taken)
}

/// Reads the archive's tar to its end, says which members came, and passes the dump's bytes on.
async fn walk(mut tar: ByteStream, dump: mpsc::Sender<Bytes>) -> Result<Vec<&'static str>, StreamError> {
    let (mut parser, mut members, mut dump) = (Parser::default(), Vec::new(), Some(dump));
    let (mut current, mut left) = (None, 0);
    while let Some(mut data) = tar.try_next().await? {
        while let Some(event) = parser.next(&mut data)? {
            match event {
                Event::Entry(entry) => {
                    if current == Some(DUMP) {
                        dump = None;
                    }
                    (current, left) = (member(&entry.name), entry.size_bytes);
                    members.extend(current);
                }
                Event::Body(body) => {
                    let body = without_padding(body, Some(&mut left));
                    if let (Some(DUMP), Some(sender)) = (current, &dump)
                        && sender.send(body).await.is_err()
                    {
                        // What is wrong with the dump is said by whoever has stopped to listen.
                        dump = None;
                    }
                }
                Event::End => {}
            }
        }
    }
    parser.finish().map(|()| members)
}

/// Which member a path is, or lies in. Old archives have all of them in one folder of the archive's own name.
fn member(name: &[u8]) -> Option<&'static str> {
    let name = String::from_utf8_lossy(name);
    let mut parts = name.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    parts.next_if(|part| part.starts_with("appsmith-backup-"));
    let first = parts.next()?;
    MEMBERS.into_iter().find(|member| *member == first)
}

async fn follow(dump: mpsc::Receiver<Bytes>) -> Result<(), ArchiveError> {
    let bytes = stream::unfold(dump, |mut dump| async move { dump.recv().await.map(|block| (Ok(block), dump)) });
    let mut plain = pin!(gunzip(bytes.fuse().boxed()));
    let mut walk = DumpWalk::default();
    let failed = |error: StreamError| ArchiveError::Dump(crate::model::chain::chain(&error));
    while let Some(block) = plain.try_next().await.map_err(failed)? {
        walk.push(&block).map_err(ArchiveError::Dump)?;
    }
    walk.finish().map(drop).map_err(ArchiveError::Dump)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    use super::*;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn packed(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// An archive as the engine sends it, in pieces.
    async fn checked(archive: &[u8]) -> Result<(), String> {
        let sent = packed(&[("appsmith-backup.tar.gz", archive)]);
        let pieces: Vec<_> = sent.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        check(stream::iter(pieces).boxed()).await.map_err(|error| crate::model::chain::chain(&error))
    }

    /// No collection at all: the tool's own document, and two ends.
    fn empty_dump() -> Vec<u8> {
        [&[0x6d, 0xe2, 0x99, 0x81][..], &[5, 0, 0, 0, 0], &[0xff; 4]].concat()
    }

    #[tokio::test]
    async fn an_archive_needs_all_of_its_members_at_its_root_or_in_its_folder() {
        let dump = gz(&empty_dump());
        let all = [("manifest.json", &b"{}"[..]), (DUMP, &dump), ("docker.env", b"A=1"), ("git-storage/a/HEAD", b"x")];
        assert_eq!(checked(&gz(&packed(&all))).await, Ok(()));
        let folder = all.map(|(name, content)| (format!("appsmith-backup-2024/{name}"), content));
        let folder = folder.each_ref().map(|(name, content)| (name.as_str(), *content));
        assert_eq!(checked(&gz(&packed(&folder))).await, Ok(()));
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            let (name, _) = some.remove(missing);
            let why = checked(&gz(&packed(&some))).await.unwrap_err();
            assert!(why.starts_with("it has no `") && name.starts_with(why[11..].trim_end_matches('`')), "{why}");
        }
    }

    /// P2. Whatever was cut off: the archive, or the dump in a whole archive.
    #[tokio::test]
    async fn what_is_cut_off_is_not_good() {
        let dump = gz(&empty_dump());
        let with = |dump: &[u8]| {
            let all = [("manifest.json", &b"{}"[..]), (DUMP, dump), ("docker.env", b"A=1"), ("git-storage/a", b"x")];
            gz(&packed(&all))
        };
        let whole = with(&dump);
        for length in [0, 5, whole.len() / 2, whole.len() - 1] {
            assert!(checked(&whole[..length]).await.is_err(), "{length}");
        }
        for length in [0, dump.len() / 2, dump.len() - 1] {
            let why = checked(&with(&dump[..length])).await.unwrap_err();
            assert!(why.starts_with("its dump of the database is not whole"), "{why}");
        }
        let why = checked(&with(&gz(&empty_dump()[..9]))).await.unwrap_err();
        assert_eq!(why, "its dump of the database is not whole: it stops in the middle");
    }
}
