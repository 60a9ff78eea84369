//! An S3 server behind a network that breaks, and one that has bad hours.
//!
//! The server in this process checks signatures; where it matters what a server keeps, it is asked again directly.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tidegate::store::s3::{S3Options, S3Store};
use tidegate::store::{ObjectStore, StoreError};
use tidegate::stream::StreamError;

use super::moto::Moto;
use super::proxy::{Plan, Proxy};
use super::{Bucket, PART_BYTES, body, broken_body, key, options_at, sample};

async fn at(upstream: SocketAddr, plans: &[Plan], forever: Option<Plan>, stall: Duration) -> (S3Store, Proxy) {
    let proxy = Proxy::start(upstream, plans, forever).await;
    let options = S3Options { stall_timeout: stall, ..options_at(proxy.endpoint()) };
    (S3Store::connect(options).await.unwrap(), proxy)
}

async fn behind(bucket: &Bucket, plans: &[Plan], forever: Option<Plan>) -> (S3Store, Proxy) {
    at(bucket.server.address(), plans, forever, Duration::from_secs(20)).await
}

const LARGE: usize = 16 << 20;
const SHORT: Duration = Duration::from_secs(1);
/// Much longer than what is waited for, and shorter than the limit on a whole request of [`LARGE`], 257 s.
const SOON: Duration = Duration::from_secs(200);

async fn read(store: &S3Store, name: &str) -> Result<Bytes, StreamError> {
    let blocks: Vec<Bytes> = store.get_stream(&key(name)).await.unwrap().try_collect().await?;
    Ok(blocks.concat().into())
}

/// The object is there exactly once, whole, and nothing else is.
async fn is_there_once(direct: &S3Store, name: &str, bytes: &Bytes) {
    let listed = direct.list(name).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|object| (object.key.0.as_str(), object.size_bytes)).collect();
    assert_eq!(listed, [(name, bytes.len() as u64)]);
    assert!(read(direct, name).await.unwrap() == *bytes, "it came back changed");
}

#[tokio::test]
async fn a_read_goes_on_where_the_connection_broke() {
    let bucket = Bucket::start().await;
    let bytes = sample(3 << 20);
    bucket.store().await.put(&key("a"), bytes.clone()).await.unwrap();
    let cuts = [400_000, 1_000_000, 300_000].map(Plan::CutAnswers);
    let (store, proxy) = behind(&bucket, &cuts, None).await;
    assert!(read(&store, "a").await.unwrap() == bytes, "it came back changed");
    assert_eq!((proxy.connections(), proxy.plans_left()), (4, 0));
}

#[tokio::test]
async fn a_read_that_never_gets_on_ends_with_an_error() {
    let bucket = Bucket::start().await;
    bucket.store().await.put(&key("a"), sample(3 << 20)).await.unwrap();
    let (store, _proxy) = behind(&bucket, &[Plan::CutAnswers(400_000)], Some(Plan::CutAnswers(20))).await;
    read(&store, "a").await.unwrap_err();
    let (store, _proxy) = behind(&bucket, &[], Some(Plan::CutAnswers(400_000))).await;
    // The same through the verb for small objects: an error, never a short success.
    let read = store.get(&key("a"), 4 << 20).await;
    assert!(read.as_ref().map_or(true, |bytes| bytes.len() == 3 << 20), "{} bytes", read.unwrap().len());
}

#[tokio::test]
async fn an_object_that_was_replaced_is_not_read_on() {
    let bucket = Bucket::start().await;
    let direct = bucket.store().await;
    direct.put(&key("a"), sample(3 << 20)).await.unwrap();
    let (store, proxy) = behind(&bucket, &[Plan::CutAnswers(400_000)], None).await;
    let mut read = store.get_stream(&key("a")).await.unwrap();
    read.try_next().await.unwrap().unwrap();
    let mut other = sample(3 << 20).to_vec();
    other.reverse();
    direct.put(&key("a"), other.into()).await.unwrap();
    let rest: Result<Vec<Bytes>, _> = read.try_collect().await;
    let error = rest.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the object was replaced while it was read");
    assert_eq!(proxy.connections(), 2);
}

/// A body that stands still is as broken as one that ends.
#[tokio::test]
async fn a_read_that_stalls_goes_on_over_another_connection() {
    let bucket = Bucket::start().await;
    let bytes = sample(3 << 20);
    bucket.store().await.put(&key("a"), bytes.clone()).await.unwrap();
    let (store, proxy) = at(bucket.server.address(), &[Plan::StopAnswers(400_000)], None, SHORT).await;
    assert!(read(&store, "a").await.unwrap() == bytes, "it came back changed");
    assert_eq!(proxy.connections(), 2);

    // For ever: it ends.
    let (store, _proxy) = at(bucket.server.address(), &[], Some(Plan::StopAnswers(400)), SHORT).await;
    let began = Instant::now();
    assert!(store.get(&key("a"), 4 << 20).await.is_err());
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
}

/// One part of 16 MiB may take 256 s by the limit on whole requests; that nothing moves is seen long before. It is
/// larger than what the kernel takes without anybody reading it.
#[tokio::test]
async fn an_upload_that_stalls_is_sent_over_another_connection() {
    let bucket = Bucket::start().await;
    let bytes = sample(LARGE + 1);
    let large = async |plans: &[Plan], forever| {
        let proxy = Proxy::start(bucket.server.address(), plans, forever).await;
        let options = options_at(proxy.endpoint());
        let options = S3Options { stall_timeout: SHORT, part_bytes: LARGE as u64, ..options };
        (S3Store::connect(options).await.unwrap(), proxy)
    };
    let (store, proxy) = large(&[Plan::StopRequests(300_000); 2], None).await;
    let began = Instant::now();
    let receipt = store.put_stream(&key("a"), body(&bytes)).await.unwrap();
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    assert_eq!((receipt.size_bytes, proxy.plans_left()), (bytes.len() as u64, 0));
    is_there_once(&bucket.store().await, "a", &bytes).await;

    // All of it is taken, and no answer comes.
    let (store, proxy) = at(bucket.server.address(), &[Plan::StopAnswers(0); 2], None, SHORT).await;
    store.put(&key("a"), bytes.slice(..9)).await.unwrap();
    assert_eq!(proxy.plans_left(), 0);

    let (store, _proxy) = large(&[], Some(Plan::StopRequests(100_000))).await;
    let began = Instant::now();
    let error = store.put_stream(&key("b"), body(&bytes)).await.unwrap_err();
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

/// Slower than the stall limit in all, but always something moves.
#[tokio::test]
async fn a_slow_connection_is_not_a_dead_one() {
    let bucket = Bucket::start().await;
    let bytes = sample(2 << 20);
    let slow = Some(Plan::Slow(Duration::from_millis(15)));
    let (store, proxy) = at(bucket.server.address(), &[], slow, SHORT).await;
    let began = Instant::now();
    store.put_stream(&key("a"), body(&bytes)).await.unwrap();
    assert!(read(&store, "a").await.unwrap() == bytes, "it came back changed");
    assert!(began.elapsed() > 2 * SHORT, "the proxy was not slow");
    assert!(proxy.connections() <= 2, "{} connections", proxy.connections());
}

/// The connection is cut in the middle of what is sent: of the first request, of a part, of the one that ends it all.
#[tokio::test]
async fn a_cut_upload_is_sent_again() {
    let bucket = Bucket::start().await;
    for (name, size) in [("small", 1 << 20), ("large", 3 * PART_BYTES + 7)] {
        let bytes = sample(size);
        let cuts = [100_000, 900_000, 50].map(Plan::CutRequests);
        let (store, proxy) = behind(&bucket, &cuts, None).await;
        let receipt = store.put_stream(&key(name), body(&bytes)).await.unwrap();
        assert_eq!((receipt.size_bytes, proxy.plans_left()), (size as u64, 0));
        is_there_once(&bucket.store().await, name, &bytes).await;
        assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_sent_again() {
    let bucket = Bucket::start().await;
    let (store, proxy) = behind(&bucket, &[Plan::LoseAnswerTo("partNumber=2"); 1], None).await;
    let bytes = sample(3 * PART_BYTES);
    store.put_stream(&key("a"), body(&bytes)).await.unwrap();
    is_there_once(&bucket.store().await, "a", &bytes).await;
    assert!(proxy.connections() >= 2);
}

/// Carried out, and the answer is lost: once, and every time. Either it says that it is done, or it can be done again.
async fn answers_to_writes_are_lost(upstream: SocketAddr, direct: &S3Store) {
    let lost = [("small", 9, "PUT /"), ("large", 2 * PART_BYTES + 1, "<CompleteMultipartUpload")];
    // Another key each: the server in this process keeps the checksum of what was there before.
    for (name, size, what) in lost {
        let bytes = sample(size);
        for forever in [None, Some(Plan::LoseAnswerTo(what))] {
            let plans = [Plan::LoseAnswerTo(what); 2];
            let (store, _proxy) = at(upstream, &plans, forever, Duration::from_secs(20)).await;
            match store.put_stream(&key(name), body(&bytes)).await {
                Ok(receipt) => assert_eq!(receipt.size_bytes, size as u64),
                Err(error) => {
                    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
                    assert_eq!((forever.is_some(), what), (true, "PUT /"), "{error:?}");
                    direct.put_stream(&key(name), body(&bytes)).await.unwrap();
                }
            }
            is_there_once(direct, name, &bytes).await;
            direct.delete(&key(name)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_or_can_be_repeated() {
    let bucket = Bucket::start().await;
    answers_to_writes_are_lost(bucket.server.address(), &bucket.store().await).await;
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
    let moto = Moto::start().await;
    answers_to_writes_are_lost(moto.address, &moto.store().await).await;
    assert_eq!(moto.unfinished().await, Vec::<String>::new());
}

/// The body fails while parts are in flight: the abort must come after the last of them.
#[tokio::test]
async fn a_given_up_upload_leaves_no_parts() {
    let bucket = Bucket::start().await;
    let (store, proxy) = behind(&bucket, &[], None).await;
    let bytes = sample(7 * PART_BYTES);
    for _ in 0..5 {
        store.put_stream(&key("a"), broken_body(&bytes)).await.unwrap_err();
    }
    assert_eq!(proxy.in_flight_at_aborts(), [0; 5], "parts in flight when the upload was aborted");
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
    assert_eq!(store.list("").await.unwrap(), []);
}

const BUSY: Plan = Plan::Refuse { what: " /", status: 503, code: "SlowDown" };

/// A busy server is asked again, and is not reached in the end: callers know that this may pass.
#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let bucket = Bucket::start().await;
    let bytes = sample(2 * PART_BYTES + 1);
    for what in ["?uploads", "partNumber=1", "partNumber=3", "uploadId="] {
        let busy = Plan::Refuse { what, status: 503, code: "SlowDown" };
        let (store, proxy) = behind(&bucket, &[busy, Plan::Pass, busy, Plan::Pass], None).await;
        store.put_stream(&key("a"), body(&bytes)).await.unwrap();
        is_there_once(&bucket.store().await, "a", &bytes).await;
        assert!(proxy.connections() >= 2, "{what}");
    }
    let (store, proxy) = behind(&bucket, &[BUSY, BUSY], None).await;
    assert!(read(&store, "a").await.unwrap() == bytes);
    assert_eq!(proxy.plans_left(), 0);

    let (store, _proxy) = behind(&bucket, &[], Some(BUSY)).await;
    let errors = [
        store.list("").await.unwrap_err(),
        store.get(&key("a"), 9).await.unwrap_err(),
        store.put(&key("a"), Bytes::new()).await.unwrap_err(),
        store.put_stream(&key("a"), body(&bytes)).await.unwrap_err(),
        store.delete(&key("a")).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    }
    is_there_once(&bucket.store().await, "a", &bytes).await;
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
}

/// The server goes bad in the middle of a read: the rest is asked for, and asked for again.
#[tokio::test]
async fn a_busy_server_in_the_middle_of_a_read() {
    let bucket = Bucket::start().await;
    let bytes = sample(3 << 20);
    bucket.store().await.put(&key("a"), bytes.clone()).await.unwrap();
    let (store, proxy) = behind(&bucket, &[Plan::CutAnswers(400_000), BUSY, BUSY], None).await;
    assert!(read(&store, "a").await.unwrap() == bytes, "it came back changed");
    assert_eq!(proxy.connections(), 4);
}

/// What the keys may not do is told at once, by its own name, and nothing is left.
#[tokio::test]
async fn a_missing_right_is_denied() {
    let bucket = Bucket::start().await;
    let bytes = sample(2 * PART_BYTES + 1);
    let denied = |what| Some(Plan::Refuse { what, status: 403, code: "AccessDenied" });
    let (store, _proxy) = behind(&bucket, &[], denied("list-type=2")).await;
    let error = store.list("x").await.unwrap_err();
    assert!(matches!(&error, StoreError::Denied { action, .. } if action == "list `x`"), "{error:?}");
    let (store, _proxy) = behind(&bucket, &[], denied("PUT /")).await;
    let error = store.put(&key("a"), Bytes::new()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Denied { action, .. } if action == "write `a`"), "{error:?}");
    let error = store.put_stream(&key("a"), body(&bytes)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Denied { .. }), "{error:?}");
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
    let (store, _proxy) = behind(&bucket, &[], denied("DELETE /")).await;
    assert!(matches!(store.delete(&key("a")).await.unwrap_err(), StoreError::Denied { .. }));
}

#[tokio::test]
async fn another_region_is_told_with_its_name() {
    let bucket = Bucket::start().await;
    let elsewhere = Plan::Refuse { what: " /", status: 301, code: "PermanentRedirect" };
    let (store, _proxy) = behind(&bucket, &[], Some(elsewhere)).await;
    let errors = [store.head(&key("a")).await.unwrap_err(), store.list("").await.unwrap_err()];
    for error in errors {
        let region = "eu-central-1";
        assert!(matches!(&error, StoreError::WrongRegion { region: Some(named), .. } if named == region), "{error:?}");
    }
}

/// A write whose future is dropped leaves its parts; they go once they are old, and nobody else's do.
/// pgbackrest#2686: a partial backup that could not be deleted blocked the next.
#[tokio::test]
async fn old_unfinished_uploads_of_ours_are_swept() {
    let moto = Moto::start().await;
    let other = S3Store::connect(S3Options { prefix: String::new(), ..moto.options() }).await.unwrap();
    let ours = moto.store().await;
    for (store, name) in [(&ours, "parts/1"), (&ours, "parts/2"), (&ours, "else/3"), (&other, "parts/4")] {
        let before = moto.unfinished().await.len();
        let endless = body(&sample(2 * PART_BYTES)).chain(futures::stream::pending()).boxed();
        let name = key(name);
        tokio::select! {
            ended = store.put_stream(&name, endless) => panic!("it ended: {ended:?}"),
            () = async { while moto.unfinished().await.len() == before {} } => {}
        }
    }
    let week = Duration::from_secs(7 * 24 * 3600);
    // Its uploads all begin in 2010, whatever the clock says.
    assert_eq!(ours.sweep("parts/", 52 * 100 * week).await.unwrap(), 0);
    assert_eq!(moto.unfinished().await.len(), 4);
    assert_eq!(ours.sweep("parts/", week).await.unwrap(), 2);
    let mut left = moto.unfinished().await;
    left.sort();
    assert_eq!(left, ["deep/er/else/3", "parts/4"]);
    assert_eq!(ours.sweep("parts/", week).await.unwrap(), 0);
}
