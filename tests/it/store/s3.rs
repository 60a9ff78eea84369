//! What only a bucket can get wrong.
use bytes::Bytes;
use tidegate::store::s3::{S3Credentials, S3Options, S3Store};
use tidegate::store::{ObjectStore, StoreError};
use tokio::net::TcpListener;

use super::{Bucket, SECRET, body, key, sample};

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
