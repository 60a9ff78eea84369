//! Writes an entry's headers anew under another name.

use bytes::BytesMut;

use super::header::{Header, Kind};
use super::parse::Entry;
use super::{BLOCK_BYTES, padding};

/// Appends the headers of `entry`, renamed. Everything else that its headers say is kept byte for byte; what does not
/// fit the plain header goes into a PAX record, and what was in one stays in one.
pub(super) fn encode(entry: &Entry, name: Vec<u8>, link: Vec<u8>, output: &mut BytesMut) {
    let mut header = entry.header.clone();
    let mut records = entry.records.clone();
    if !header.set_name(&name) || records.get(b"path").is_some() {
        records.set(b"path", name);
    }
    if matches!(entry.kind, Kind::HardLink | Kind::Symlink)
        && (!header.set_link(&link) || records.get(b"linkpath").is_some())
    {
        records.set(b"linkpath", link);
    }
    if !records.is_empty() {
        let body = records.write();
        output.extend_from_slice(&Header::pax(body.len()).sealed());
        output.extend_from_slice(&body);
        output.resize(output.len() + padding(body.len() as u64) as usize, 0);
    }
    output.extend_from_slice(&header.sealed());
}

/// Appends the two zero blocks that end an archive.
pub(super) fn end(output: &mut BytesMut) {
    output.resize(output.len() + 2 * BLOCK_BYTES, 0);
}
