//! Gzip, block by block. No thread outlives one block, so nothing here can hold up shutdown, and what an encoder
//! would write when it is dropped goes nowhere.

use std::io::{self, Write};

use bytes::{Buf, BufMut, Bytes, BytesMut, buf::Writer};
use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};
use futures::{StreamExt, stream};

use super::stages::coalesced;
use super::{ByteStream, StreamError};

/// A trip to the blocking pool is paid once for at least so many bytes.
const BLOCK_BYTES: usize = 128 << 10;
/// What is decompressed at once may grow a thousandfold; so little goes in at a time that the output stays small.
const BITE_BYTES: usize = 4 << 10;
/// The output is passed on once there is so much of it.
const OUTPUT_BYTES: usize = 512 << 10;

/// Compresses at `level`, from 0 (stored) to 9 (smallest). Levels above 9 count as 9.
pub fn gzip(input: ByteStream, level: u32) -> ByteStream {
    let encoder = GzEncoder::new(BytesMut::new().writer(), Compression::new(level.min(9)));
    stream::try_unfold(Some((input, encoder)), |open| async move {
        let Some((mut input, mut encoder)) = open else { return Ok(None) };
        while let Some(block) = coalesced(&mut input, BLOCK_BYTES).await? {
            encoder = blocking("compress", move || encoder.write_all(&block).map(|()| encoder)).await?;
            let ready = encoder.get_mut().get_mut().split().freeze();
            if !ready.is_empty() {
                return Ok(Some((ready, Some((input, encoder)))));
            }
        }
        let rest = blocking("compress", move || encoder.finish()).await?;
        Ok(Some((rest.into_inner().freeze(), None)))
    })
    .boxed()
}

/// Decompresses all members. A stream without a member, or that ends inside one, is an error.
pub fn gunzip(input: ByteStream) -> ByteStream {
    let state = Some(Gunzip { input, decoder: MultiGzDecoder::new(BytesMut::new().writer()), pending: Bytes::new() });
    stream::try_unfold(state, |open| async move {
        let Some(mut open) = open else { return Ok(None) };
        loop {
            if open.pending.is_empty() {
                match coalesced(&mut open.input, BLOCK_BYTES).await? {
                    Some(block) => open.pending = block,
                    None => break,
                }
            }
            let Gunzip { input, mut decoder, mut pending } = open;
            let done = move || inflate(&mut decoder, &mut pending).map(|ready| (ready, decoder, pending));
            let (ready, decoder, pending) = blocking("decompress", done).await?;
            open = Gunzip { input, decoder, pending };
            if !ready.is_empty() {
                return Ok(Some((ready, Some(open))));
            }
        }
        let rest = blocking("decompress", move || open.decoder.finish()).await?;
        let rest = rest.into_inner().freeze();
        Ok((!rest.is_empty()).then_some((rest, None)))
    })
    .boxed()
}

struct Gunzip {
    input: ByteStream,
    decoder: MultiGzDecoder<Writer<BytesMut>>,
    pending: Bytes,
}

/// Decompresses `pending` until it is used up or there is enough output.
fn inflate(decoder: &mut MultiGzDecoder<Writer<BytesMut>>, pending: &mut Bytes) -> io::Result<Bytes> {
    while !pending.is_empty() && decoder.get_ref().get_ref().len() < OUTPUT_BYTES {
        let bite = pending.len().min(BITE_BYTES);
        let taken = decoder.write(&pending[..bite])?;
        if taken == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the decoder takes no more"));
        }
        pending.advance(taken);
    }
    Ok(decoder.get_mut().get_mut().split().freeze())
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StreamError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|source| StreamError::Codec { action, source }),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and never ran it.
            Err(_) => Err(StreamError::Cancelled),
        },
    }
}
