//! From the engine's archives to a part, and back: renames, leaves out, joins.
//!
//! A part's names are relative to the root of its mount. Docker's archive of `/v0/data/mongodb` names its entries
//! `mongodb/…`; in the part they are `data/mongodb/…`, and on the way back `v0/data/mongodb/…`. The root itself is `./`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use tidegate_porter::protocol::{FOLDER, MARKER};

use super::confine::parts_of;
use super::encode::{encode, end};
use super::header::Kind;
use super::parse::{Entry, Event, Parser};
use super::shown;
use super::walk::EntryCount;
use crate::stream::{ByteStream, StreamError};

/// An archive of the engine, and where its entries belong.
pub struct Source {
    /// The archive. It is read to its end before the next source is touched; see [`crate::stream::lazily`].
    pub tar: ByteStream,
    /// What every name in it starts with, such as `mongodb`; may be empty.
    pub strip: String,
    /// What stands in its place, relative to the mount's root, such as `data/mongodb`; empty for the root.
    pub prefix: String,
}

/// Joins archives of one mount to one tar with names relative to the mount's root.
///
/// Left out are `exclude` (relative to the root, with all that is below; the root itself is ignored) and what Tidegate keeps at the root for
/// itself. A hard link to something left out is [`StreamError::LinkToExcluded`]: its content would be missing.
/// The count is of the entries that were kept.
pub fn join(sources: Vec<Source>, exclude: &[String]) -> (ByteStream, EntryCount) {
    let own = [FOLDER, MARKER].map(str::to_owned);
    let leave_out = exclude.iter().chain(&own).map(|path| parts_of(path.as_bytes()));
    // The root itself cannot be meant: an archive of nothing would pass for a whole one.
    let leave_out = leave_out.filter(|path| !path.is_empty()).collect();
    let sources = sources.into_iter().map(|Source { tar, strip, prefix }| {
        let rename =
            Rename { strip: parts_of(strip.as_bytes()), base: Vec::new(), prefix: parts_of(prefix.as_bytes()) };
        (tar, rename)
    });
    retarget(sources.collect(), leave_out)
}

/// Joins parts to one tar in which each part's names lie below its `target`, such as `v0`.
///
/// Nothing in a part may claim what Tidegate keeps at a mount's root for itself; it is left out.
pub fn place(parts: Vec<(ByteStream, String)>) -> (ByteStream, EntryCount) {
    let leave_out = [FOLDER, MARKER].map(|path| parts_of(path.as_bytes())).to_vec();
    let sources = parts.into_iter().map(|(tar, target)| {
        let rename = Rename { strip: Vec::new(), base: parts_of(target.as_bytes()), prefix: Vec::new() };
        (tar, rename)
    });
    retarget(sources.collect(), leave_out)
}

/// As [`place`], but of nothing except the part's folders.
pub fn place_folders(tar: ByteStream, target: String) -> ByteStream {
    let rename = Rename { strip: Vec::new(), base: parts_of(target.as_bytes()), prefix: Vec::new() };
    let leave_out = [FOLDER, MARKER].map(|path| parts_of(path.as_bytes())).to_vec();
    unfold(Retarget { folders_only: true, ..Retarget::of([(tar, rename)].into(), leave_out) })
}

type Path = Vec<Vec<u8>>;

/// How the names of one source change, as path components.
struct Rename {
    strip: Path,
    /// Put in front, and not part of what exclusions are relative to.
    base: Path,
    prefix: Path,
}

impl Rename {
    /// Relative to the mount's root; `None` where the name does not start as it should.
    fn within_mount(&self, name: &[u8]) -> Option<Path> {
        let parts = parts_of(name);
        let rest = parts.strip_prefix(self.strip.as_slice())?;
        Some(self.prefix.iter().chain(rest).cloned().collect())
    }

    fn full(&self, within: &Path, slash: bool) -> Vec<u8> {
        let parts: Path = self.base.iter().chain(within).cloned().collect();
        let mut name = if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') };
        if slash {
            name.push(b'/');
        }
        name
    }
}

struct Retarget {
    sources: VecDeque<(ByteStream, Rename)>,
    parser: Parser,
    leave_out: Vec<Path>,
    folders_only: bool,
    /// Whether the entry whose body passes is left out.
    skipping: bool,
    ended: bool,
    count: EntryCount,
}

fn retarget(sources: VecDeque<(ByteStream, Rename)>, leave_out: Vec<Path>) -> (ByteStream, EntryCount) {
    let state = Retarget::of(sources, leave_out);
    let count = state.count.clone();
    (unfold(state), count)
}

fn unfold(state: Retarget) -> ByteStream {
    let output = stream::try_unfold(state, |mut state| async move {
        Ok::<_, StreamError>(state.next().await?.map(|block| (block, state)))
    });
    output.boxed()
}

impl Retarget {
    fn of(sources: VecDeque<(ByteStream, Rename)>, leave_out: Vec<Path>) -> Self {
        let (parser, count) = (Parser::default(), EntryCount::default());
        Self { sources, parser, leave_out, folders_only: false, skipping: false, ended: false, count }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        let mut output = BytesMut::new();
        while output.is_empty() && !self.ended {
            let Some((tar, rename)) = self.sources.front_mut() else {
                end(&mut output);
                self.ended = true;
                break;
            };
            let Some(mut data) = tar.try_next().await? else {
                self.parser.finish()?;
                self.parser = Parser::default();
                self.sources.pop_front();
                continue;
            };
            while let Some(event) = self.parser.next(&mut data)? {
                match event {
                    Event::Entry(entry) => {
                        let wanted = !self.folders_only || entry.kind == Kind::Folder;
                        self.skipping = !wanted || !pass(&entry, rename, &self.leave_out, &mut output)?;
                        if !self.skipping {
                            self.count.add_one();
                        }
                    }
                    Event::Body(bytes) if !self.skipping => output.extend_from_slice(&bytes),
                    Event::Body(_) | Event::End => {}
                }
            }
        }
        Ok((!output.is_empty()).then(|| output.freeze()))
    }
}

/// Appends the renamed headers of an entry; `false` where it is left out.
fn pass(entry: &Entry, rename: &Rename, leave_out: &[Path], output: &mut BytesMut) -> Result<bool, StreamError> {
    let unrelated = |reason| StreamError::UnsupportedEntry { entry: shown(&entry.name), reason };
    let out = |path: &Path| leave_out.iter().any(|excluded| path.starts_with(excluded));
    let within =
        rename.within_mount(&entry.name).ok_or_else(|| unrelated("its name is not below what was asked for"))?;
    if out(&within) {
        return Ok(false);
    }
    let link = if entry.kind == Kind::HardLink {
        let unknown = || unrelated("it is a hard link to something outside of what was asked for");
        let target = rename.within_mount(&entry.link).ok_or_else(unknown)?;
        if out(&target) {
            return Err(StreamError::LinkToExcluded { entry: shown(&entry.name), target: shown(&entry.link) });
        }
        rename.full(&target, false)
    } else {
        entry.link.clone()
    };
    encode(entry, rename.full(&within, entry.name.ends_with(b"/")), link, output);
    Ok(true)
}
