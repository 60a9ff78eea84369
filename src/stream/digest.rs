//! Size and sha256 of the bytes that pass.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest as _, Sha256};

use super::{ByteStream, StreamError};

/// What identifies a run of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// How many.
    pub bytes: u64,
    /// Their sha256, in lower-case hex.
    pub sha256: String,
}

impl Digest {
    /// Of bytes that are at hand.
    pub fn of(bytes: &[u8]) -> Self {
        let mut running = Running::default();
        running.push(bytes);
        running.finish()
    }
}

/// A digest in the making.
#[derive(Clone, Debug, Default)]
pub struct Running {
    bytes: u64,
    hash: Sha256,
}

impl Running {
    /// Takes the next bytes in.
    pub fn push(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        self.hash.update(block);
    }

    /// The digest of all that was pushed.
    pub fn finish(self) -> Digest {
        Digest { bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}

/// Where the digest can be read once the stream has ended.
#[derive(Clone, Debug, Default)]
pub struct DigestHandle(Arc<OnceLock<Digest>>);

impl DigestHandle {
    /// `None` until the stream has ended without an error.
    pub fn get(&self) -> Option<Digest> {
        self.0.get().cloned()
    }
}

/// Passes everything on; the digest can be read after the end.
pub fn digest(input: ByteStream) -> (ByteStream, DigestHandle) {
    let handle = DigestHandle::default();
    let told = handle.clone();
    let output = at_end(input, move |found| {
        let _ = told.0.set(found);
        Ok(())
    });
    (output, handle)
}

/// Passes everything on, but ends with [`StreamError::Mismatch`] instead of cleanly where the bytes are not the
/// `expected` ones. `what` names them in the error. Bytes over the expected size are not passed on.
pub fn checked(input: ByteStream, what: impl Into<String>, expected: Digest) -> ByteStream {
    let (what, limit) = (what.into(), expected.bytes);
    let too_long = StreamError::Mismatch {
        what: what.clone(),
        expected: format!("{limit} bytes"),
        found: "more of them".to_owned(),
    };
    let within = stream::try_unfold((input, 0, Some(too_long)), move |(mut input, seen, mut too_long)| async move {
        let Some(block) = input.try_next().await? else { return Ok(None) };
        let seen = seen + block.len() as u64;
        match too_long.take_if(|_| seen > limit) {
            Some(error) => Err(error),
            None => Ok(Some((block, (input, seen, too_long)))),
        }
    })
    .boxed();
    at_end(within, move |found| {
        if found == expected {
            return Ok(());
        }
        let (expected, found) = if found.bytes == expected.bytes {
            (format!("sha256 {}", expected.sha256), format!("sha256 {}", found.sha256))
        } else {
            (format!("{} bytes", expected.bytes), format!("{} bytes", found.bytes))
        };
        Err(StreamError::Mismatch { what, expected, found })
    })
}

fn at_end(input: ByteStream, judge: impl FnOnce(Digest) -> Result<(), StreamError> + Send + 'static) -> ByteStream {
    stream::try_unfold((input, Running::default(), judge), |(mut input, mut running, judge)| async move {
        match input.try_next().await? {
            Some(block) => {
                running.push(&block);
                Ok(Some((block, (input, running, judge))))
            }
            None => judge(running.finish()).map(|()| None::<(Bytes, _)>),
        }
    })
    .boxed()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
