//! Follows a tar archive header by header without holding more than one header of it.

use bytes::{Bytes, BytesMut};

use super::header::{Header, Kind, Role};
use super::pax::Records;
use super::{BLOCK_BYTES, EXTENSION_BYTES_MAX, padding, shown};
use crate::stream::StreamError;

/// One entry of an archive with everything that its headers say of it.
#[derive(Clone)]
pub struct Entry {
    pub(super) header: Header,
    pub(super) records: Records,
    /// The name that counts, byte for byte.
    pub name: Vec<u8>,
    /// The link target that counts; empty where it is no link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes of content.
    pub size_bytes: u64,
}

/// The next thing in an archive.
pub enum Event {
    /// An entry begins.
    Entry(Box<Entry>),
    /// Content of the entry, with the padding after it.
    Body(Bytes),
    /// Both zero blocks came.
    End,
}

/// Reads an archive that arrives in pieces of any size.
#[derive(Default)]
pub struct Parser {
    block: BytesMut,
    state: State,
    offset: u64,
    /// The last entry seen, for messages.
    last: String,
    /// The body of the extension header being read.
    extension: BytesMut,
    global: Records,
    next: Next,
}

/// What extension headers said of the next real entry.
#[derive(Default)]
struct Next {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Next {
    fn is_empty(&self) -> bool {
        self.records.is_none() && self.name.is_none() && self.link.is_none()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// One zero block came; only a second may follow.
    HalfEnd,
    Body {
        left: u64,
    },
    Extension {
        left: u64,
        padding: u64,
        what: Extension,
    },
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    Pax,
    PaxGlobal,
    LongName,
    LongLink,
}

impl Parser {
    /// Takes the next event out of `data`; `None` once `data` is used up.
    pub fn next(&mut self, data: &mut Bytes) -> Result<Option<Event>, StreamError> {
        while !data.is_empty() {
            let event = match self.state {
                State::Header | State::HalfEnd => self.header_bytes(data)?,
                State::Body { left } => Some(self.body_bytes(data, left)),
                State::Extension { left, padding, what } => {
                    self.extension_bytes(data, left, padding, what)?;
                    None
                }
                State::End => {
                    // Archives are filled up with zeros; anything else would be lost without a word.
                    if data.iter().any(|byte| *byte != 0) {
                        return Err(StreamError::NotATarHeader { offset: self.offset });
                    }
                    self.take(data, u64::MAX);
                    None
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Call it where the bytes end; whether the archive was whole.
    pub fn finish(&self) -> Result<(), StreamError> {
        let entry = self.last.clone();
        let inside = !self.block.is_empty() || !self.next.is_empty();
        match self.state {
            State::End => Ok(()),
            State::Header | State::HalfEnd if !inside => Err(StreamError::MissingArchiveEnd { entry }),
            _ => Err(StreamError::TruncatedArchive { offset: self.offset, entry }),
        }
    }

    fn take(&mut self, data: &mut Bytes, most: u64) -> Bytes {
        let taken = usize::try_from(most).unwrap_or(usize::MAX).min(data.len());
        self.offset += taken as u64;
        data.split_to(taken)
    }

    fn body_bytes(&mut self, data: &mut Bytes, left: u64) -> Event {
        let taken = self.take(data, left);
        let left = left - taken.len() as u64;
        self.state = if left == 0 { State::Header } else { State::Body { left } };
        Event::Body(taken)
    }

    fn extension_bytes(
        &mut self,
        data: &mut Bytes,
        left: u64,
        padding: u64,
        what: Extension,
    ) -> Result<(), StreamError> {
        let body = self.take(data, left);
        self.extension.extend_from_slice(&body);
        let left = left - body.len() as u64;
        let skipped = if left == 0 { self.take(data, padding).len() as u64 } else { 0 };
        let padding = padding - skipped;
        self.state = State::Extension { left, padding, what };
        if left == 0 && padding == 0 {
            self.state = State::Header;
            self.extension_ends(what)?;
        }
        Ok(())
    }

    fn header_bytes(&mut self, data: &mut Bytes) -> Result<Option<Event>, StreamError> {
        let taken = self.take(data, (BLOCK_BYTES - self.block.len()) as u64);
        self.block.extend_from_slice(&taken);
        if self.block.len() < BLOCK_BYTES {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        block.copy_from_slice(&self.block.split());
        if block != [0; BLOCK_BYTES] {
            return self.header(block);
        }
        if !self.next.is_empty() {
            return Err(self.not_a_header());
        }
        let ends = self.state == State::HalfEnd;
        self.state = if ends { State::End } else { State::HalfEnd };
        Ok(ends.then_some(Event::End))
    }

    fn header(&mut self, block: [u8; BLOCK_BYTES]) -> Result<Option<Event>, StreamError> {
        if self.state == State::HalfEnd {
            return Err(self.not_a_header());
        }
        let header = Header::read(block).ok_or_else(|| self.not_a_header())?;
        let what = match header.role(&[]) {
            Role::Entry(_) => return self.entry(header).map(|entry| Some(Event::Entry(Box::new(entry)))),
            Role::Unknown => return Err(unsupported(&header.name(), "its type is unknown")),
            Role::Pax => Extension::Pax,
            Role::PaxGlobal => Extension::PaxGlobal,
            Role::LongName => Extension::LongName,
            Role::LongLink => Extension::LongLink,
        };
        let left = header.size().ok_or_else(|| self.not_a_header())?;
        if left > EXTENSION_BYTES_MAX {
            return Err(unsupported(&header.name(), "its extension header is too long"));
        }
        self.state = State::Extension { left, padding: padding(left), what };
        if left == 0 {
            self.state = State::Header;
            self.extension_ends(what)?;
        }
        Ok(None)
    }

    fn extension_ends(&mut self, what: Extension) -> Result<(), StreamError> {
        let body = self.extension.split().freeze();
        let twice = || unsupported(&body, "it has two extension headers of one kind");
        let slot = match what {
            Extension::Pax | Extension::PaxGlobal => {
                let records =
                    Records::read(&body).ok_or_else(|| unsupported(&body, "its PAX records are malformed"))?;
                if what == Extension::PaxGlobal {
                    if [&b"path"[..], b"linkpath", b"size"].iter().any(|key| records.get(key).is_some()) {
                        return Err(unsupported(&body, "a global PAX header names or sizes entries"));
                    }
                    self.global = self.global.overlaid(records);
                    return Ok(());
                }
                return self.next.records.replace(records).map_or(Ok(()), |_| Err(twice()));
            }
            Extension::LongName => &mut self.next.name,
            Extension::LongLink => &mut self.next.link,
        };
        let text = body.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        slot.replace(text).map_or(Ok(()), |_| Err(twice()))
    }

    fn entry(&mut self, header: Header) -> Result<Entry, StreamError> {
        let Next { records, name: gnu_name, link: gnu_link } = std::mem::take(&mut self.next);
        let records = self.global.overlaid(records.unwrap_or_default());
        let own_name = header.name();
        let pick = |key: &[u8], gnu: Option<Vec<u8>>, own: Vec<u8>| match (records.get(key), gnu) {
            (Some(_), Some(_)) => Err(unsupported(&own_name, "it has two long names")),
            (Some(pax), None) if pax.is_empty() || pax.contains(&0) => {
                Err(unsupported(&own_name, "its PAX name cannot be a name"))
            }
            (Some(pax), None) => Ok(pax.to_vec()),
            (None, gnu) => Ok(gnu.unwrap_or(own)),
        };
        let name = pick(b"path", gnu_name, own_name.clone())?;
        let link = pick(b"linkpath", gnu_link, header.link())?;
        if records.has_prefix(b"GNU.sparse.") {
            return Err(unsupported(&name, "it is a sparse file"));
        }
        let Role::Entry(kind) = header.role(&name) else {
            return Err(self.not_a_header());
        };
        let size_bytes = match records.get(b"size") {
            Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            None => header.size(),
        };
        // Anything longer cannot be a file, and sums of offsets must not overflow.
        let size_bytes = size_bytes.filter(|size| *size < 1 << 62).ok_or_else(|| self.not_a_header())?;
        self.last = shown(&name);
        if name.is_empty() || kind == Kind::HardLink && link.is_empty() {
            return Err(self.not_a_header());
        }
        if escapes(&name) || kind == Kind::HardLink && escapes(&link) {
            return Err(StreamError::EscapingEntry { entry: shown(&name) });
        }
        if kind != Kind::File && size_bytes > 0 {
            return Err(unsupported(&name, "it has content although its type has none"));
        }
        let left = size_bytes + padding(size_bytes);
        self.state = if left == 0 { State::Header } else { State::Body { left } };
        Ok(Entry { header, records, name, link, kind, size_bytes })
    }

    fn not_a_header(&self) -> StreamError {
        StreamError::NotATarHeader { offset: self.offset - BLOCK_BYTES as u64 }
    }
}

fn unsupported(name: &[u8], reason: &'static str) -> StreamError {
    let most = name.len().min(300);
    StreamError::UnsupportedEntry { entry: shown(&name[..most]), reason }
}

/// Absolute, or with a `..` in it.
pub(super) fn escapes(path: &[u8]) -> bool {
    path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..")
}
