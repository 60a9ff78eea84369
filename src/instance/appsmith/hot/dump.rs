//! Follows the archive of `mongodump --archive` to its end, without holding more than one header of it.
//!
//! ```text
//! magic, documents (the first about the tool, one a collection), end
//! then blocks: { header, documents, end }, and for each collection at last { header with EOF and CRC, end }
//! ```
//!
//! The archive has no mark at its own end. But each collection has one, with a checksum over its documents, and the
//! collections are named at the beginning: so a dump that was cut off anywhere is told from a whole one.

use std::collections::{BTreeMap, BTreeSet};

const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
const END: [u8; 4] = [0xff; 4];
/// MongoDB's own limit for a document, with what comes on top of it.
const DOCUMENT_BYTES_MAX: usize = 17 << 20;

/// Database and collection.
type Namespace = (String, String);

/// How far it has come.
#[derive(Debug)]
pub struct DumpWalk {
    state: State,
    /// The beginning of what is read now.
    held: Vec<u8>,
    /// Collections whose end has not come, with the checksum of what did come.
    open: BTreeMap<Namespace, u64>,
    closed: BTreeSet<Namespace>,
    is_first: bool,
}

#[derive(Debug)]
enum State {
    Magic,
    /// A document about the tool or a collection, or the end of those.
    Prelude,
    /// A block's header; only here the archive may end.
    Header,
    /// A document of this collection, or the end of the block.
    Body(Namespace),
    /// So many bytes of a document are still to come.
    Inside(Namespace, usize),
    /// The end of a block that only says that its collection has ended.
    Closing,
}

impl Default for DumpWalk {
    fn default() -> Self {
        let (open, closed) = (BTreeMap::new(), BTreeSet::new());
        Self { state: State::Magic, held: Vec::new(), open, closed, is_first: true }
    }
}

impl DumpWalk {
    /// The next bytes. An error says what is wrong with the dump.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if let State::Inside(namespace, left) = &mut self.state {
                let (now, rest) = bytes.split_at(bytes.len().min(*left));
                if let Some(crc) = self.open.get_mut(namespace) {
                    *crc = crc64(*crc, now);
                }
                (*left, bytes) = (*left - now.len(), rest);
                if *left == 0 {
                    self.state = State::Body(std::mem::take(namespace));
                }
                continue;
            }
            let taken = bytes.len().min(self.wanted()? - self.held.len());
            self.held.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.held.len() == self.wanted()? {
                self.step()?;
            }
        }
        Ok(())
    }

    /// How many bytes have to be held before something can be said of them.
    fn wanted(&self) -> Result<usize, String> {
        let Some(length) = self.held.first_chunk::<4>() else { return Ok(4) };
        match self.state {
            State::Prelude | State::Header if *length != END => {
                let size = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
                if (5..=DOCUMENT_BYTES_MAX).contains(&size) { Ok(size) } else { Err(broken("a document's size")) }
            }
            _ => Ok(4),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let held = std::mem::take(&mut self.held);
        let is_end = held == END;
        match std::mem::replace(&mut self.state, State::Closing) {
            State::Magic if held == MAGIC => self.state = State::Prelude,
            State::Magic => return Err("it is not an archive of mongodump".into()),
            State::Prelude if is_end => self.state = State::Header,
            State::Prelude => {
                self.state = State::Prelude;
                let is_first = std::mem::replace(&mut self.is_first, false);
                let fields = Fields::of(&held)?;
                match fields.namespace() {
                    // A view has no documents of its own.
                    Some(_) if fields.text("type").as_deref() == Some("view") => {}
                    Some(namespace) => drop(self.open.insert(namespace, CRC_START)),
                    None if is_first => {}
                    None => return Err(broken("a description of a collection")),
                }
            }
            State::Header if is_end => return Err(broken("a block's header")),
            State::Header => {
                let fields = Fields::of(&held)?;
                let namespace = fields.namespace().ok_or_else(|| broken("a block's header"))?;
                if !fields.yes("EOF") {
                    self.open.entry(namespace.clone()).or_insert(CRC_START);
                    self.state = State::Body(namespace);
                    return Ok(());
                }
                let crc = self.open.remove(&namespace).ok_or_else(|| broken("the end of a collection"))?;
                if Some(!crc) != fields.long("CRC").map(i64::cast_unsigned) {
                    return Err(format!("the collection {} does not match its checksum", namespace.1));
                }
                self.closed.insert(namespace);
            }
            State::Closing if is_end => self.state = State::Header,
            State::Closing => return Err(broken("the end of a block")),
            State::Body(_) if is_end => self.state = State::Header,
            State::Body(namespace) => {
                let length: [u8; 4] = held.as_slice().try_into().unwrap_or_default();
                let size = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
                if !(5..=DOCUMENT_BYTES_MAX).contains(&size) {
                    return Err(broken("a document's size"));
                }
                if let Some(crc) = self.open.get_mut(&namespace) {
                    *crc = crc64(*crc, &length);
                }
                self.state = State::Inside(namespace, size - 4);
            }
            State::Inside(..) => return Err(broken("a document")),
        }
        Ok(())
    }

    /// Call it where the bytes end: how many collections the dump holds, or why it is not whole.
    pub fn finish(self) -> Result<usize, String> {
        if !matches!(self.state, State::Header) || !self.held.is_empty() {
            return Err("it stops in the middle".into());
        }
        match self.open.into_keys().next() {
            Some((_, collection)) => Err(format!("it stops before the end of the collection {collection}")),
            None => Ok(self.closed.len()),
        }
    }
}

fn broken(what: &str) -> String {
    format!("{what} cannot be read")
}

/// The plain fields of a BSON document.
struct Fields<'a>(Values<'a>);

/// Kind and bytes by name.
type Values<'a> = BTreeMap<&'a [u8], (u8, &'a [u8])>;

impl<'a> Fields<'a> {
    fn of(document: &'a [u8]) -> Result<Self, String> {
        Self::read(document).map(Self).ok_or_else(|| broken("a header"))
    }

    fn read(document: &'a [u8]) -> Option<Values<'a>> {
        let mut rest = document.get(4..document.len().checked_sub(1)?)?;
        let mut fields = BTreeMap::new();
        while let Some((kind, after)) = rest.split_first() {
            let zero = after.iter().position(|byte| *byte == 0)?;
            let (name, after) = (&after[..zero], &after[zero + 1..]);
            let size = |at: &[u8]| usize::try_from(u32::from_le_bytes(*at.first_chunk()?)).ok();
            let length = match kind {
                0x01 | 0x09 | 0x11 | 0x12 => 8,
                0x02 => size(after)?.checked_add(4)?,
                0x03 | 0x04 => size(after)?,
                0x05 => size(after)?.checked_add(5)?,
                0x07 => 12,
                0x08 => 1,
                0x0a => 0,
                0x10 => 4,
                _ => return None,
            };
            fields.insert(name, (*kind, after.get(..length)?));
            rest = &after[length..];
        }
        Some(fields)
    }

    fn text(&self, name: &str) -> Option<String> {
        let (_, bytes) = self.0.get(name.as_bytes()).filter(|(kind, _)| *kind == 0x02)?;
        Some(String::from_utf8_lossy(bytes.get(4..bytes.len().checked_sub(1)?)?).into_owned())
    }

    fn yes(&self, name: &str) -> bool {
        self.0.get(name.as_bytes()).is_some_and(|(kind, bytes)| *kind == 0x08 && bytes.first() == Some(&1))
    }

    fn long(&self, name: &str) -> Option<i64> {
        let (_, bytes) = self.0.get(name.as_bytes()).filter(|(kind, _)| *kind == 0x12)?;
        Some(i64::from_le_bytes(*bytes.first_chunk()?))
    }

    fn namespace(&self) -> Option<Namespace> {
        self.text("db").zip(self.text("collection"))
    }
}

const CRC_START: u64 = !0;

/// CRC-64 with the ECMA polynomial, reflected.
fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(crc, |crc, byte| (crc >> 8) ^ CRC_TABLE[usize::from(*byte ^ crc as u8)])
}

const CRC_TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = (index as u64, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xC96C_5795_D787_0F42 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
        [&[kind], name.as_bytes(), &[0], value].concat()
    }

    fn text(name: &str, value: &str) -> Vec<u8> {
        let length = u32::try_from(value.len() + 1).unwrap().to_le_bytes();
        field(0x02, name, &[&length, value.as_bytes(), &[0]].concat())
    }

    fn document(fields: &[Vec<u8>]) -> Vec<u8> {
        let body = fields.concat();
        [&u32::try_from(body.len() + 5).unwrap().to_le_bytes()[..], &body, &[0]].concat()
    }

    fn header(collection: &str, end: Option<u64>) -> Vec<u8> {
        let eof = field(0x08, "EOF", &[u8::from(end.is_some())]);
        let crc = field(0x12, "CRC", &end.unwrap_or(0).to_le_bytes());
        document(&[text("db", "appsmith"), text("collection", collection), eof, crc])
    }

    /// Two collections whose blocks alternate, an empty one, and a view. With the places where something ends.
    fn archive() -> (Vec<u8>, Vec<usize>) {
        let tool = document(&[field(0x10, "concurrent_collections", &[4, 0, 0, 0]), text("version", "0.1")]);
        let about = |name: &str, kind: &str| {
            document(&[text("db", "appsmith"), text("collection", name), text("metadata", "{}"), text("type", kind)])
        };
        let documents = ["one", "two", "three"].map(|it| document(&[text("_id", it), field(0x0a, "nothing", &[])]));
        let crc = |all: &[&Vec<u8>]| !all.iter().fold(CRC_START, |crc, it| crc64(crc, it));
        let [one, two, three] = &documents;
        let pieces = [
            MAGIC.to_vec(),
            tool,
            about("user", "collection"),
            about("plugin", "collection"),
            about("empty", "collection"),
            about("seen", "view"),
            END.to_vec(),
            [header("user", None), one.clone(), END.to_vec()].concat(),
            [header("plugin", None), two.clone(), END.to_vec()].concat(),
            [header("user", None), three.clone(), END.to_vec()].concat(),
            [header("user", Some(crc(&[one, three]))), END.to_vec()].concat(),
            [header("plugin", Some(crc(&[two]))), END.to_vec()].concat(),
            [header("empty", Some(crc(&[]))), END.to_vec()].concat(),
        ];
        let mut whole = Vec::new();
        let mut ends = Vec::new();
        for piece in pieces {
            whole.extend(piece);
            ends.push(whole.len());
        }
        (whole, ends)
    }

    fn walk(bytes: &[u8], step: usize) -> Result<usize, String> {
        let mut walk = DumpWalk::default();
        bytes.chunks(step).try_for_each(|piece| walk.push(piece))?;
        walk.finish()
    }

    #[test]
    fn a_whole_dump_is_followed_in_pieces_of_any_size() {
        let (whole, _) = archive();
        for step in [1, 3, 7, 64, whole.len()] {
            assert_eq!(walk(&whole, step), Ok(3), "{step}");
        }
        assert_eq!(crc64(CRC_START, b"123456789"), !0x995D_C9BB_DF19_39FA);
    }

    /// P2. Also where a piece ends: the archive itself has no end marker.
    #[test]
    fn a_dump_that_was_cut_off_anywhere_is_not_whole() {
        let (whole, ends) = archive();
        for length in 0..whole.len() {
            assert!(walk(&whole[..length], 64).is_err(), "cut at {length}, ends at {ends:?}");
        }
        assert_eq!(walk(&whole[..ends[11]], 64).unwrap_err(), "it stops before the end of the collection empty");
    }

    #[test]
    fn a_changed_byte_of_a_document_is_seen() {
        let (whole, _) = archive();
        let at = whole.windows(5).position(|window| window == b"three").unwrap();
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert_eq!(walk(&changed, 64).unwrap_err(), "the collection user does not match its checksum");
        assert!(walk(b"PK\x03\x04 something else", 64).unwrap_err().contains("not an archive of mongodump"));
        assert!(walk(&[&MAGIC[..], &[255, 255, 255, 127]].concat(), 64).is_err());
    }
}
