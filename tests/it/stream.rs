//! The byte stages, and tar archives against the `tar` crate and GNU tar.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]
mod retarget;
mod stages;
mod walk;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tidegate::stream::{ByteStream, StreamError};

/// `bytes` in blocks of `step`.
pub fn body(bytes: &[u8], step: usize) -> ByteStream {
    let blocks: Vec<_> = bytes.chunks(step.max(1)).map(|block| Ok(Bytes::copy_from_slice(block))).collect();
    stream::iter(blocks).boxed()
}

/// `bytes`, and then an error instead of the end.
pub fn broken(bytes: &[u8], step: usize) -> ByteStream {
    body(bytes, step).chain(stream::iter([Err(StreamError::Cancelled)])).boxed()
}

/// All that came, or the error that came instead.
pub async fn all(stream: ByteStream) -> Result<Vec<u8>, StreamError> {
    let joined = stream.try_fold(Vec::new(), |mut joined, block| async move {
        joined.extend_from_slice(&block);
        Ok(joined)
    });
    joined.await
}

/// For stages that need no runtime.
pub fn now(stream: ByteStream) -> Result<Vec<u8>, StreamError> {
    futures::executor::block_on(all(stream))
}
