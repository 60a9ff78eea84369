//! The archive of `mongodump --archive --gzip`, in its real form.
//!
//! ```text
//! gzip of: magic, prelude, collections' metadata, end │ { namespace, documents…, end, namespace+EOF+CRC, end }…
//! ```
//!
//! All but the magic number are BSON documents; an end is four 0xFF bytes. A document of the stand-in travels as JSON text in a
//! BSON document.

use crate::supervisor::socket::Documents;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::{self, Read, Write};

const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
const END: [u8; 4] = [0xff; 4];

/// A value of a BSON document, as far as needed here.
enum Bson<'a> {
    Text(&'a str),
    Int(i32),
    Long(i64),
    Bool(bool),
}

/// Writes the archive of a database.
pub fn write(database: &str, documents: &Documents, out: impl Write) -> io::Result<()> {
    let mut out = GzEncoder::new(out, Compression::default());
    out.write_all(&MAGIC)?;
    let tool = [("concurrent_collections", Bson::Int(4)), ("version", Bson::Text("0.1"))];
    out.write_all(&document(&tool))?;
    for (name, all) in documents {
        let size = i32::try_from(all.len()).unwrap_or(i32::MAX);
        let metadata = [("metadata", Bson::Text("{\"indexes\":[]}")), ("size", Bson::Int(size))];
        out.write_all(&document(&[&namespace(database, name)[..], &metadata].concat()))?;
    }
    out.write_all(&END)?;
    for (name, all) in documents {
        let header = |eof, crc| {
            let rest = [("EOF", Bson::Bool(eof)), ("CRC", Bson::Long(crc))];
            document(&[&namespace(database, name)[..], &rest].concat())
        };
        out.write_all(&header(false, 0))?;
        let mut crc = !0;
        for one in all {
            let text = one.to_string();
            let bytes = document(&[("json", Bson::Text(&text))]);
            crc = crc64(crc, &bytes);
            out.write_all(&bytes)?;
        }
        out.write_all(&END)?;
        out.write_all(&header(true, (!crc).cast_signed()))?;
        out.write_all(&END)?;
    }
    out.finish().map(drop)
}

/// Reads an archive: the documents, and whether it was whole. As with mongorestore, what came before an error counts.
pub fn read(archive: impl Read) -> (Documents, io::Result<()>) {
    let mut documents = Documents::new();
    let whole = read_into(&mut documents, MultiGzDecoder::new(archive));
    (documents, whole)
}

fn read_into(documents: &mut Documents, mut archive: impl Read) -> io::Result<()> {
    let mut magic = [0; 4];
    archive.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::other("stream or file does not appear to be a mongodump archive"));
    }
    while next(&mut archive)?.is_some() {}
    loop {
        let mut length = [0; 4];
        if archive.read(&mut length[..1])? == 0 {
            return Ok(());
        }
        archive.read_exact(&mut length[1..])?;
        let header = body(&mut archive, length)?;
        let name = text(&header, "collection").ok_or_else(|| io::Error::other("corrupt namespace header"))?;
        let all = documents.entry(name).or_default();
        while let Some(bytes) = next(&mut archive)? {
            let json = text(&bytes, "json").ok_or_else(|| io::Error::other("not a document of a stand-in"))?;
            all.push(serde_json::from_str::<Value>(&json)?);
        }
    }
}

/// The next document, or `None` at an end.
fn next(archive: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    archive.read_exact(&mut length)?;
    if length == END { Ok(None) } else { body(archive, length).map(Some) }
}

fn body(archive: &mut impl Read, length: [u8; 4]) -> io::Result<Vec<u8>> {
    let size = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if !(5..=1 << 25).contains(&size) {
        return Err(io::Error::other("corrupt BSON"));
    }
    let mut bytes = vec![0; size];
    bytes[..4].copy_from_slice(&length);
    archive.read_exact(&mut bytes[4..])?;
    Ok(bytes)
}

fn namespace<'a>(database: &'a str, collection: &'a str) -> [(&'a str, Bson<'a>); 2] {
    [("db", Bson::Text(database)), ("collection", Bson::Text(collection))]
}

impl Clone for Bson<'_> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Bson<'_> {}

fn document(fields: &[(&str, Bson<'_>)]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for (name, value) in fields {
        let kind = match value {
            Bson::Text(_) => 0x02,
            Bson::Bool(_) => 0x08,
            Bson::Int(_) => 0x10,
            Bson::Long(_) => 0x12,
        };
        bytes.push(kind);
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        match value {
            Bson::Text(text) => {
                bytes.extend_from_slice(&u32::try_from(text.len() + 1).unwrap_or(u32::MAX).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(0);
            }
            Bson::Bool(yes) => bytes.push(u8::from(*yes)),
            Bson::Int(number) => bytes.extend_from_slice(&number.to_le_bytes()),
            Bson::Long(number) => bytes.extend_from_slice(&number.to_le_bytes()),
        }
    }
    bytes.push(0);
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&size.to_le_bytes());
    bytes
}

/// The text of that name in a document of our own, which has no name twice.
fn text(document: &[u8], name: &str) -> Option<String> {
    let field = [&[0x02], name.as_bytes(), &[0]].concat();
    let at = document.windows(field.len()).position(|window| window == field)? + field.len();
    let length = u32::from_le_bytes(document.get(at..at + 4)?.try_into().ok()?);
    let end = at + 4 + usize::try_from(length).ok()?.checked_sub(1)?;
    String::from_utf8(document.get(at + 4..end)?.to_vec()).ok()
}

/// CRC-64 with the ECMA polynomial, bit by bit: the stand-in has little data.
fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    let step = |crc: u64, byte: &u8| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xC96C_5795_D787_0F42 } else { 0 })
    };
    bytes.iter().fold(crc, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_dumped_is_read_and_a_cut_is_seen() {
        let documents = Documents::from([
            ("user".to_owned(), vec![json!({"_id": "1", "name": "Übel"}), json!({"_id": "2"})]),
            ("plugin".to_owned(), vec![json!({"_id": "p"})]),
        ]);
        let mut bytes = Vec::new();
        write("appsmith", &documents, &mut bytes).unwrap();
        let (again, whole) = read(&bytes[..]);
        whole.unwrap();
        assert_eq!(again, documents);
        let (_, cut) = read(&bytes[..bytes.len() / 2]);
        assert!(cut.is_err());
    }

    #[test]
    fn the_checksum_is_that_of_crc_64_xz() {
        assert_eq!(!crc64(!0, b"123456789"), 0x995D_C9BB_DF19_39FA);
    }
}
