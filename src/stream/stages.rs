//! The stages that leave the bytes as they are.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{ByteStream, StreamError};

/// A stream that is opened when its first byte is asked for. Several sources that must not be open at once can so
/// be handed over together.
pub fn lazily(open: impl Future<Output = Result<ByteStream, StreamError>> + Send + 'static) -> ByteStream {
    stream::once(open).try_flatten().boxed()
}

/// Regroups a stream into blocks of exactly `size_bytes` (at least 1); only the last may be shorter. Each block owns
/// its memory, so what waits downstream is no more than its length.
pub fn rechunk(input: ByteStream, size_bytes: usize) -> ByteStream {
    let size_bytes = size_bytes.max(1);
    stream::try_unfold((Some(input), Bytes::new()), move |(mut input, mut rest)| async move {
        let mut block = BytesMut::with_capacity(size_bytes);
        loop {
            let taken = rest.len().min(size_bytes - block.len());
            block.extend_from_slice(&rest.split_to(taken));
            let Some(source) = input.as_mut().filter(|_| block.len() < size_bytes) else { break };
            match source.try_next().await? {
                Some(next) => rest = next,
                None => input = None,
            }
        }
        Ok((!block.is_empty()).then(|| (block.freeze(), (input, rest))))
    })
    .boxed()
}

/// Passes everything on, and ends with an error instead of cleanly where there were not exactly `total` bytes.
pub fn exactly(input: ByteStream, total: u64) -> ByteStream {
    stream::try_unfold((input, 0), move |(mut input, seen)| async move {
        let next = input.try_next().await?;
        let bytes = seen + next.as_ref().map_or(0, |block| block.len() as u64);
        if bytes > total || next.is_none() && bytes < total {
            let source = format!("{total} bytes were announced").into();
            return Err(StreamError::Source { bytes, source });
        }
        Ok(next.map(|block| (block, (input, bytes))))
    })
    .boxed()
}

/// Joins small blocks until there are at least `least_bytes`, and never cuts one. For stages with a price a block.
pub(super) async fn coalesced(input: &mut ByteStream, least_bytes: usize) -> Result<Option<Bytes>, StreamError> {
    let Some(first) = input.try_next().await? else { return Ok(None) };
    if first.len() >= least_bytes {
        return Ok(Some(first));
    }
    let mut joined = BytesMut::with_capacity(2 * least_bytes);
    joined.extend_from_slice(&first);
    while joined.len() < least_bytes {
        let Some(block) = input.try_next().await? else { break };
        joined.extend_from_slice(&block);
    }
    Ok(Some(joined.freeze()))
}

/// Ends the stream with [`StreamError::Cancelled`] once `cancel` fires. Cancelling at the source lets every stage
/// downstream clean up after itself, which dropping them would not.
pub fn cancellable(input: ByteStream, cancel: CancellationToken) -> ByteStream {
    stream::try_unfold((input, cancel), |(mut input, cancel)| async move {
        let block = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(StreamError::Cancelled),
            // Cancel safe: a block in flight stays inside `input`.
            block = input.try_next() => block?,
        };
        Ok(block.map(|block| (block, (input, cancel))))
    })
    .boxed()
}

/// Ends the stream with [`StreamError::Stalled`] where the source gives nothing for `timeout`. Time in which nobody
/// asks for a block does not count, so a slow reader is not the source's fault.
pub fn stall(input: ByteStream, timeout: Duration) -> ByteStream {
    stream::try_unfold((input, 0), move |(mut input, bytes)| async move {
        let Ok(block) = tokio::time::timeout(timeout, input.try_next()).await else {
            return Err(StreamError::Stalled { seconds: timeout.as_secs(), bytes });
        };
        Ok(block?.map(|block| {
            let bytes = bytes + block.len() as u64;
            (block, (input, bytes))
        }))
    })
    .boxed()
}

/// Tells `tell` of every block's size as it passes. It is called often and must not block.
pub fn metered(input: ByteStream, tell: impl Fn(u64) + Send + Sync + 'static) -> ByteStream {
    input.inspect_ok(move |block| tell(block.len() as u64)).boxed()
}
