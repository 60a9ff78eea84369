//! The contract of [`ObjectStore`], as plain functions over any store.
use bytes::Bytes;
use futures::TryStreamExt;
use tidegate::store::dir::DirStore;
use tidegate::store::faulty::FaultyStore;
use tidegate::store::memory::MemoryStore;
use tidegate::store::s3::{Checksums, S3Options, S3Store};
use tidegate::store::{ObjectStore, StoreError};
use tidegate::stream::Digest;

use super::moto::Moto;
use super::{Bucket, PART_BYTES, body, broken_body, key, sample};

async fn read(store: &dyn ObjectStore, name: &str) -> Bytes {
    let blocks: Vec<Bytes> = store.get_stream(&key(name)).await.unwrap().try_collect().await.unwrap();
    blocks.concat().into()
}

async fn keeps_the_contract(store: &dyn ObjectStore) {
    streams_of_any_size_come_back(store).await;
    a_broken_body_leaves_nothing(store).await;
    small_objects_are_replaced(store).await;
    what_is_not_there_is_said_so(store).await;
    lists_are_sorted_and_below_the_prefix(store).await;
    nothing_is_left_to_sweep(store).await;
}

async fn streams_of_any_size_come_back(store: &dyn ObjectStore) {
    for size in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 4 * PART_BYTES + 12_345] {
        let bytes = sample(size);
        let name = format!("sizes/{size}");
        let receipt = store.put_stream(&key(&name), body(&bytes)).await.unwrap();
        assert_eq!((receipt.size_bytes, receipt.sha256), (size as u64, Digest::of(&bytes).sha256));
        assert_eq!(store.head(&key(&name)).await.unwrap().unwrap().size_bytes, size as u64);
        assert!(read(store, &name).await == bytes, "{size} bytes came back changed");
    }
}

async fn a_broken_body_leaves_nothing(store: &dyn ObjectStore) {
    for size in [0, 1, PART_BYTES, 2 * PART_BYTES + 7, 6 * PART_BYTES] {
        let name = key(&format!("broken/{size}"));
        let error = store.put_stream(&name, broken_body(&sample(size))).await.unwrap_err();
        assert!(matches!(error, StoreError::Source { .. }), "{error}");
        assert_eq!(store.head(&name).await.unwrap(), None, "after {size} bytes");
    }
    assert_eq!(store.list("broken").await.unwrap(), []);
}

async fn small_objects_are_replaced(store: &dyn ObjectStore) {
    let name = key("small/a.json");
    for text in ["one", "", "something longer", "two"] {
        store.put(&name, Bytes::from(text)).await.unwrap();
        assert_eq!(store.get(&name, 16).await.unwrap(), text);
    }
    let error = store.get(&name, 2).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { size_bytes: 3, limit_bytes: 2, .. }), "{error}");
    for _ in 0..2 {
        store.delete(&name).await.unwrap();
        assert_eq!(store.head(&name).await.unwrap(), None);
    }
}

async fn what_is_not_there_is_said_so(store: &dyn ObjectStore) {
    let name = key("none/of/this");
    assert_eq!(store.head(&name).await.unwrap(), None);
    assert_eq!(store.list("none").await.unwrap(), []);
    assert!(matches!(store.get(&name, 9).await.unwrap_err(), StoreError::NotFound { key, .. } if key == name));
    assert!(matches!(store.get_stream(&name).await.err(), Some(StoreError::NotFound { key, .. }) if key == name));
}

async fn lists_are_sorted_and_below_the_prefix(store: &dyn ObjectStore) {
    for name in ["list/b/2", "list/a", "list/b/10", "list/b-c", "listless"] {
        store.put(&key(name), Bytes::from(name.to_owned())).await.unwrap();
    }
    let names = async |prefix: &str| -> Vec<String> {
        let found = store.list(prefix).await.unwrap();
        assert!(found.iter().all(|object| object.size_bytes == object.key.0.len() as u64));
        found.into_iter().map(|object| object.key.0).collect()
    };
    assert_eq!(names("list/").await, ["list/a", "list/b-c", "list/b/10", "list/b/2"]);
    assert_eq!(names("list/b").await, ["list/b-c", "list/b/10", "list/b/2"]);
    assert_eq!(names("list/b/").await, ["list/b/10", "list/b/2"]);
    assert_eq!(names("list").await.len(), 5);
    assert_eq!(names("lost").await.len(), 0);
}

async fn nothing_is_left_to_sweep(store: &dyn ObjectStore) {
    let before = store.list("").await.unwrap();
    assert_eq!(store.sweep("", std::time::Duration::ZERO).await.unwrap(), 0, "unfinished writes");
    assert_eq!(store.list("").await.unwrap(), before);
}

#[tokio::test]
async fn memory() {
    keeps_the_contract(&MemoryStore::default()).await;
}

#[tokio::test]
async fn a_faulty_store_without_faults() {
    keeps_the_contract(&FaultyStore::new(std::sync::Arc::new(MemoryStore::default()))).await;
}

#[tokio::test]
async fn folder() {
    let root = tempfile::tempdir().unwrap();
    keeps_the_contract(&DirStore::open(root.path()).await.unwrap()).await;
    let left = std::fs::read_dir(root.path().join(".unfinished")).unwrap().count();
    assert_eq!(left, 0, "a broken body left a file");
}

#[tokio::test]
async fn s3() {
    let bucket = Bucket::start().await;
    keeps_the_contract(&bucket.store().await).await;
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
}

/// Over a second server, which keeps what the first one ignores; signatures are checked by the first one only.
#[tokio::test]
async fn moto() {
    let moto = Moto::start().await;
    keeps_the_contract(&moto.store().await).await;
    assert_eq!(moto.unfinished().await, Vec::<String>::new());
}

#[tokio::test]
async fn s3_without_checksums_and_prefix() {
    let bucket = Bucket::start().await;
    let options = S3Options { checksums: Checksums::WhenRequired, prefix: String::new(), ..bucket.options() };
    keeps_the_contract(&S3Store::connect(options).await.unwrap()).await;
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
}
