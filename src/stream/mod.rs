//! Byte streams and their stages.
//!
//! ```text
//! snapshot  archive_out ─► tar ─► gzip ─► digest ─► stall/cancel ─► put_stream
//! restore   get_stream ─► digest ─► gunzip ─► tar ─► stall/cancel ─► archive_in
//! ```
//!
//! The one law of this module: **a stream that ends without an error was complete.** A source that
//! cannot tell must not end quietly. Every stage passes an error on and then ends.

pub mod codec;
pub mod digest;
pub mod stages;
pub mod tar;

use bytes::Bytes;
use futures::stream::BoxStream;

pub use codec::{gunzip, gzip};
pub use digest::{Digest, DigestHandle, checked, digest};
pub use stages::{cancellable, exactly, lazily, metered, rechunk, stall};

/// Bytes as they come. Ends without an error only if everything came.
pub type ByteStream = BoxStream<'static, Result<Bytes, StreamError>>;

/// An error of any kind, as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a stream is not whole.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The engine, the store or the disk at the other end failed.
    #[error("the source broke off after {bytes} bytes")]
    Source {
        /// How many bytes came before.
        bytes: u64,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Nothing came for too long.
    #[error("nothing came for {seconds} s, after {bytes} bytes")]
    Stalled {
        /// The limit.
        seconds: u64,
        /// How many bytes came before.
        bytes: u64,
    },
    /// The archive ends inside a header or a file.
    #[error("the archive stops at byte {offset} in the middle of `{entry}`")]
    TruncatedArchive {
        /// Where it stops.
        offset: u64,
        /// The last entry seen.
        entry: String,
    },
    /// The archive ends between two entries, without its end marker.
    #[error("the archive has no end marker after `{entry}`; entries may be missing")]
    MissingArchiveEnd {
        /// The last entry seen.
        entry: String,
    },
    /// An entry that would be written outside its folder.
    #[error("the archive entry `{entry}` points outside its folder")]
    EscapingEntry {
        /// The name as the archive has it.
        entry: String,
    },
    /// A block that should be a tar header and is not.
    #[error("not a tar header at byte {offset}")]
    NotATarHeader {
        /// Where.
        offset: u64,
    },
    /// An entry that means different things to different readers, or that Tidegate cannot carry.
    #[error("the archive entry `{entry}` cannot be carried: {reason}")]
    UnsupportedEntry {
        /// The name as the archive has it.
        entry: String,
        /// What about it.
        reason: &'static str,
    },
    /// A hard link to a file that is left out, so that its content would be lost.
    #[error("`{entry}` is a hard link to `{target}`, which the snapshot leaves out")]
    LinkToExcluded {
        /// The link.
        entry: String,
        /// The file that it points at.
        target: String,
    },
    /// What was read is not what was written.
    #[error("`{what}` does not match its checksum: expected {expected}, got {found}")]
    Mismatch {
        /// The object or part.
        what: String,
        /// What its manifest says.
        expected: String,
        /// What came.
        found: String,
    },
    /// The compressed data is damaged.
    #[error("cannot {action} the data")]
    Codec {
        /// `compress` or `decompress`.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Asked to stop by the operator or by shutdown.
    #[error("stopped on request")]
    Cancelled,
}
