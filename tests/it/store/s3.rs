//! What only a bucket can get wrong.
use bytes::Bytes;
use futures::TryStreamExt;
use tidegate::store::s3::{S3Credentials, S3Options, S3Store};
use tidegate::store::{ObjectStore, StoreError};
use tokio::net::TcpListener;

use super::proxy::{Plan, Proxy};
use super::{Bucket, PART_BYTES, SECRET, body, broken_body, key, sample};

async fn every_verb(store: &S3Store) -> Vec<StoreError> {
    vec![
        store.head(&key("a")).await.unwrap_err(),
        store.list("a").await.unwrap_err(),
        store.get(&key("a"), 9).await.unwrap_err(),
        store.get_stream(&key("a")).await.err().unwrap(),
        store.put(&key("a"), Bytes::from("x")).await.unwrap_err(),
        store.put_stream(&key("a"), body(&sample(9))).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn wrong_keys_are_denied() {
    let bucket = Bucket::start().await;
    let wrong_secret = S3Credentials::Key { id: "test".into(), secret: "not the secret".into() };
    let unknown = S3Credentials::Key { id: "nobody".into(), secret: SECRET.into() };
    for credentials in [wrong_secret, unknown] {
        let store = S3Store::connect(S3Options { credentials, ..bucket.options() }).await.unwrap();
        for error in every_verb(&store).await {
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_missing_bucket_is_not_an_empty_one() {
    let bucket = Bucket::start().await;
    let store = S3Store::connect(S3Options { bucket: "other".into(), ..bucket.options() }).await.unwrap();
    let errors = vec![
        store.head(&key("a")).await.unwrap_err(),
        store.list("a").await.unwrap_err(),
        store.get(&key("a"), 9).await.unwrap_err(),
        store.get_stream(&key("a")).await.err().unwrap(),
    ];
    for error in errors {
        assert!(matches!(&error, StoreError::NoBucket { bucket, .. } if bucket == "other"), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_at_the_endpoint_is_unreachable() {
    let bucket = Bucket::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let store = S3Store::connect(S3Options { endpoint: Some(endpoint.clone()), ..bucket.options() }).await.unwrap();
    let error = store.head(&key("a")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot reach the store s3://snapshots/deep/er at {endpoint}"));
}

#[tokio::test]
async fn the_secret_is_never_shown() {
    let bucket = Bucket::start().await;
    let mut shown = format!("{:?} {:?}", bucket.options(), bucket.store().await);
    let wrong = S3Credentials::Key { id: "test".into(), secret: "hidden-and-wrong".into() };
    let store = S3Store::connect(S3Options { credentials: wrong, ..bucket.options() }).await.unwrap();
    for error in every_verb(&store).await {
        shown.push_str(&format!("{error:?} {error}"));
    }
    assert!(!shown.contains(SECRET) && !shown.contains("hidden-and-wrong"), "{shown}");
}

#[tokio::test]
async fn certificates_that_are_none_are_an_error_and_not_a_panic() {
    let bucket = Bucket::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    let texts = ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"];
    for text in texts {
        std::fs::write(&pem, text).unwrap();
        let error = S3Store::connect(S3Options { ca_file: Some(pem.clone()), ..bucket.options() }).await.unwrap_err();
        assert!(matches!(error, StoreError::Request { .. }), "{error:?}");
    }
    std::fs::remove_file(&pem).unwrap();
    S3Store::connect(S3Options { ca_file: Some(pem), ..bucket.options() }).await.unwrap_err();
}

async fn behind(bucket: &Bucket, plans: &[Plan], forever: Option<Plan>) -> (S3Store, Proxy) {
    let proxy = Proxy::start(bucket.server.address(), plans, forever).await;
    let options = S3Options { endpoint: Some(proxy.endpoint()), ..bucket.options() };
    (S3Store::connect(options).await.unwrap(), proxy)
}

#[tokio::test]
async fn a_read_goes_on_where_the_connection_broke() {
    let bucket = Bucket::start().await;
    let bytes = sample(3 << 20);
    bucket.store().await.put(&key("a"), bytes.clone()).await.unwrap();
    let cuts = [400_000, 1_000_000, 300_000].map(Plan::CutAnswers);
    let (store, proxy) = behind(&bucket, &cuts, None).await;
    let blocks: Vec<Bytes> = store.get_stream(&key("a")).await.unwrap().try_collect().await.unwrap();
    assert!(blocks.concat() == bytes, "it came back changed");
    assert_eq!((proxy.connections(), proxy.plans_left()), (4, 0));
}

#[tokio::test]
async fn a_read_that_never_gets_on_ends_with_an_error() {
    let bucket = Bucket::start().await;
    bucket.store().await.put(&key("a"), sample(3 << 20)).await.unwrap();
    let (store, _proxy) = behind(&bucket, &[Plan::CutAnswers(400_000)], Some(Plan::CutAnswers(20))).await;
    let read: Result<Vec<Bytes>, _> = store.get_stream(&key("a")).await.unwrap().try_collect().await;
    read.unwrap_err();
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

#[tokio::test]
async fn an_upload_is_done_although_the_answer_to_its_end_was_lost() {
    let bucket = Bucket::start().await;
    let lose = Plan::LoseAnswerTo("<CompleteMultipartUpload");
    let (store, _proxy) = behind(&bucket, &[], Some(lose)).await;
    let bytes = sample(2 * PART_BYTES + 1);
    let receipt = store.put_stream(&key("a"), body(&bytes)).await.unwrap();
    assert_eq!(receipt.size_bytes, bytes.len() as u64);
    let found = bucket.store().await.head(&key("a")).await.unwrap().unwrap();
    assert_eq!(found.size_bytes, receipt.size_bytes);
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_sent_again() {
    let bucket = Bucket::start().await;
    let (store, proxy) = behind(&bucket, &[Plan::LoseAnswerTo("partNumber=2"); 1], None).await;
    let bytes = sample(3 * PART_BYTES);
    store.put_stream(&key("a"), body(&bytes)).await.unwrap();
    let blocks: Vec<Bytes> = bucket.store().await.get_stream(&key("a")).await.unwrap().try_collect().await.unwrap();
    assert!(blocks.concat() == bytes);
    assert!(proxy.connections() >= 2);
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
