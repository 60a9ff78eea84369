//! What only a folder can get wrong.
use std::time::Duration;

use bytes::Bytes;
use tidegate::store::dir::DirStore;
use tidegate::store::{ObjectStore, StoreError};

use super::{body, key, sample};

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_an_empty_store() {
    let root = tempfile::tempdir().unwrap();
    let gone = root.path().join("mounted");
    assert!(matches!(DirStore::open(&gone).await.unwrap_err(), StoreError::Unreachable { .. }));
    assert!(!gone.exists());

    std::fs::create_dir(&gone).unwrap();
    let store = DirStore::open(&gone).await.unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    let errors = [
        store.head(&key("a")).await.unwrap_err(),
        store.get(&key("a"), 1).await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.delete(&key("a")).await.unwrap_err(),
        store.put(&key("a"), Bytes::new()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    }
    assert!(!gone.exists());
}

#[tokio::test]
async fn no_key_leads_out_of_the_folder_or_into_what_is_ours() {
    let root = tempfile::tempdir().unwrap();
    let store = DirStore::open(root.path().join("")).await.unwrap();
    for bad in ["../a", "a/../../b", "/etc/passwd", "", "a//b", "a/", ".unfinished/x", "a/.hidden", "a\0b"] {
        store.put(&key(bad), Bytes::new()).await.expect_err(bad);
        store.get(&key(bad), 1).await.expect_err(bad);
        store.delete(&key(bad)).await.expect_err(bad);
    }
}

#[tokio::test]
async fn a_dropped_write_leaves_no_file() {
    use futures::StreamExt;
    let root = tempfile::tempdir().unwrap();
    let store = DirStore::open(root.path()).await.unwrap();
    let endless = body(&sample(300_000)).chain(futures::stream::pending()).boxed();
    let name = key("a");
    let mut write = store.put_stream(&name, endless);
    assert!(futures::poll!(&mut write).is_pending());
    let unfinished = || std::fs::read_dir(root.path().join(".unfinished")).unwrap().count();
    let begun = async {
        while unfinished() == 0 {
            assert!(futures::poll!(&mut write).is_pending());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), begun).await.expect("the write never began");
    drop(write);
    assert_eq!(unfinished(), 0);
    assert_eq!(store.list("").await.unwrap(), []);
}
