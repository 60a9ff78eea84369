//! Tar archives as streams: followed to their end, renamed, joined.
//!
//! Readers of tar differ where an archive says a thing twice. What one reader would take for a file's content another
//! takes for a header, so everything ambiguous is refused: two names for one entry, a size on an entry that has no
//! content, sparse files, unknown types.
//!
//! ```text
//! parse ─► walk      passes the bytes on, and fails where the archive is cut short or would escape
//!       ├► confined  the same, and fails where an entry lies outside of its part
//!       ├► retarget  writes each header anew under another name, leaves entries out, joins archives
//!       └► pick      one file of it
//! ```

mod confine;
mod encode;
mod header;
mod parse;
mod pax;
mod pick;
mod retarget;
mod walk;

pub use parse::{Entry, Event, Parser};
pub use pick::pick;
pub use retarget::{Source, join, place, place_folders};
pub use walk::{EntryCount, confined, walk};

/// Tar comes in blocks of this size.
pub(crate) const BLOCK_BYTES: usize = 512;
/// No name and no set of extended attributes is anywhere near this long.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// Bytes after a body up to the next block.
fn padding(size: u64) -> u64 {
    (BLOCK_BYTES as u64 - size % BLOCK_BYTES as u64) % BLOCK_BYTES as u64
}

/// A name for people.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
