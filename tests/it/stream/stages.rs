//! Compression, digests, limits.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use proptest::prelude::*;
use tidegate::stream::*;
use tokio_util::sync::CancellationToken;

use super::{all, body, broken};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Neither all alike nor all different.
fn text(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i / 7 * 31 % 251) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_was_compressed_comes_back(size in 0usize..600_000, step in 1usize..200_000, level in 0u32..12) {
        let plain = text(size);
        let back = run(async {
            let packed = all(gzip(body(&plain, step), level)).await.unwrap();
            all(gunzip(body(&packed, step))).await.unwrap()
        });
        prop_assert!(back == plain);
    }

    #[test]
    fn blocks_are_regrouped_exactly(size in 0usize..5000, step in 1usize..300, block in 1usize..700) {
        let plain = text(size);
        let blocks: Vec<Bytes> = run(rechunk(body(&plain, step), block).map(Result::unwrap).collect());
        prop_assert!(blocks.iter().rev().skip(1).all(|one| one.len() == block));
        prop_assert!(blocks.iter().all(|one| !one.is_empty() && one.len() <= block));
        prop_assert_eq!(blocks.concat(), plain);
    }
}

#[tokio::test]
async fn gzip_is_what_other_programs_read_and_write() {
    let (one, two) = (text(70_000), text(300_000));
    let mut members = all(gzip(body(&one, 999), 1)).await.unwrap();
    members.extend(all(gzip(body(&two, 999), 9)).await.unwrap());
    assert_eq!(all(gunzip(body(&members, 1000))).await.unwrap(), [one.clone(), two].concat());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gz");
    std::fs::write(&path, all(gzip(body(&one, 999), 6)).await.unwrap()).unwrap();
    let output = std::process::Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
    assert!(output.status.success() && output.stdout == one);
}

#[tokio::test]
async fn compressed_data_that_is_cut_short_never_ends_cleanly() {
    let packed = all(gzip(body(&text(2000), 100), 6)).await.unwrap();
    for cut in 0..packed.len() {
        assert!(all(gunzip(body(&packed[..cut], 64))).await.is_err(), "cut at {cut}");
    }
    let mut tail = packed.clone();
    tail.extend_from_slice(b"garbage after the last member");
    assert!(all(gunzip(body(&tail, 64))).await.is_err());
    for at in [20, packed.len() / 2, packed.len() - 5] {
        let mut damaged = packed.clone();
        damaged[at] ^= 1;
        assert!(all(gunzip(body(&damaged, 64))).await.is_err(), "damaged at {at}");
    }
}

#[tokio::test]
async fn a_small_stream_that_grows_a_thousandfold_comes_in_small_blocks() {
    let zeros = stream::repeat_with(|| Ok(Bytes::from_static(&[0; 65536]))).take(1600).boxed();
    let packed = all(gzip(zeros, 9)).await.unwrap();
    assert!(packed.len() < 200_000);
    let mut total = 0;
    let mut plain = gunzip(body(&packed, 1 << 20));
    while let Some(block) = plain.next().await {
        let block = block.unwrap();
        assert!(block.len() < 8 << 20, "a block of {} bytes", block.len());
        total += block.len();
    }
    assert_eq!(total, 1600 * 65536);
}

#[tokio::test]
async fn every_stage_passes_an_error_on_and_ends() {
    let bytes = text(300_000);
    let token = CancellationToken::new();
    let stages: Vec<ByteStream> = vec![
        gzip(broken(&bytes, 10_000), 1),
        rechunk(broken(&bytes, 10_000), 7000),
        digest(broken(&bytes, 10_000)).0,
        checked(broken(&bytes, 10_000), "x", Digest::of(&bytes)),
        cancellable(broken(&bytes, 10_000), token.clone()),
        stall(broken(&bytes, 10_000), Duration::from_secs(60)),
        metered(broken(&bytes, 10_000), |_| {}),
        exactly(broken(&bytes, 10_000), 300_000),
        lazily(async { Err(StreamError::Cancelled) }),
        gunzip(broken(&all(gzip(body(&bytes, 10_000), 1)).await.unwrap(), 10_000)),
    ];
    for (index, mut stage) in stages.into_iter().enumerate() {
        let error = loop {
            match stage.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("stage {index} ended cleanly"),
            }
        };
        assert!(matches!(error, StreamError::Cancelled), "stage {index}: {error}");
        assert!(stage.next().await.is_none(), "stage {index} went on after its error");
    }
}

#[tokio::test]
async fn a_digest_is_there_after_the_end_and_only_then() {
    let (mut stream, handle) = digest(body(b"abc", 2));
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(handle.get(), None);
    assert!(stream.next().await.is_none());
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(handle.get().unwrap(), Digest { bytes: 3, sha256: known.into() });

    let (stream, handle) = digest(broken(b"abc", 1));
    all(stream).await.unwrap_err();
    assert_eq!(handle.get(), None);
}

#[tokio::test]
async fn other_bytes_than_expected_do_not_end_cleanly() {
    let expected = || Digest::of(b"expected");
    assert_eq!(all(checked(body(b"expected", 3), "x", expected())).await.unwrap(), b"expected");
    for other in [&b"Expected"[..], b"expecte", b"", b"expected!"] {
        let mut stream = checked(body(other, 3), "x", expected());
        let mut passed = 0;
        let error = loop {
            match stream.next().await.expect("no clean end") {
                Ok(block) => passed += block.len(),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, StreamError::Mismatch { what, .. } if what == "x"), "{error}");
        assert!(passed <= 8);
    }
    assert!(all(exactly(body(b"abc", 2), 2)).await.is_err());
    assert!(all(exactly(body(b"abc", 2), 4)).await.is_err());
    assert_eq!(all(exactly(body(b"abc", 2), 3)).await.unwrap(), b"abc");
}

#[tokio::test]
async fn cancelling_ends_a_stream_that_waits_for_its_source() {
    let token = CancellationToken::new();
    let mut stream = cancellable(body(b"ab", 1).chain(stream::pending()).boxed(), token.clone());
    assert!(stream.next().await.unwrap().is_ok());
    assert!(stream.next().await.unwrap().is_ok());
    let (next, ()) = tokio::join!(stream.next(), async { token.cancel() });
    assert!(matches!(next, Some(Err(StreamError::Cancelled))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_given_up_and_a_slow_reader_is_not() {
    let mut stream = stall(body(b"abc", 1).chain(stream::pending()).boxed(), Duration::from_secs(30));
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(stream.next().await.unwrap().is_ok());
    }
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Stalled { seconds: 30, bytes: 3 }), "{error}");
}

#[tokio::test]
async fn the_meter_sees_every_byte() {
    let seen = Arc::new(AtomicU64::new(0));
    let told = seen.clone();
    let meter = metered(body(&text(1000), 7), move |bytes| {
        told.fetch_add(bytes, Ordering::Relaxed);
    });
    all(meter).await.unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1000);
}
