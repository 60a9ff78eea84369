//! A store in memory, for tests and as the plainest reading of the contract.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};

use super::{ObjectInfo, ObjectStore, PutReceipt, StoreError};
use crate::model::layout::ObjectKey;
use crate::stream::{ByteStream, Digest};

/// Objects in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<ObjectKey, Bytes>>>,
}

impl MemoryStore {
    /// All objects, to look at or to damage.
    pub fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        let found = self.objects().get(key).cloned();
        found.ok_or_else(|| StoreError::NotFound { store: self.describe(), key: key.clone() })
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put_stream(&self, key: &ObjectKey, mut body: ByteStream) -> Result<PutReceipt, StoreError> {
        let mut whole = BytesMut::new();
        while let Some(block) = body.next().await {
            let block = block.map_err(|source| StoreError::Source { key: key.clone(), source })?;
            whole.extend_from_slice(&block);
        }
        let whole = whole.freeze();
        let Digest { bytes: size_bytes, sha256 } = Digest::of(&whole);
        self.put(key, whole).await?;
        Ok(PutReceipt { size_bytes, sha256 })
    }

    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError> {
        self.objects().insert(key.clone(), body);
        Ok(())
    }

    async fn get_stream(&self, key: &ObjectKey) -> Result<ByteStream, StoreError> {
        let mut whole = self.read(key)?;
        let blocks = std::iter::from_fn(move || {
            let next = whole.split_to(whole.len().min(64 << 10));
            (!next.is_empty()).then_some(next)
        });
        Ok(stream::iter(blocks.map(Ok)).boxed())
    }

    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let whole = self.read(key)?;
        let size_bytes = whole.len() as u64;
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { key: key.clone(), size_bytes, limit_bytes });
        }
        Ok(whole)
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let size_bytes = self.objects().get(key).map(|body| body.len() as u64);
        Ok(size_bytes.map(|size_bytes| ObjectInfo { key: key.clone(), size_bytes }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let objects = self.objects();
        let below = objects.iter().filter(|(key, _)| key.0.starts_with(prefix));
        Ok(below.map(|(key, body)| ObjectInfo { key: key.clone(), size_bytes: body.len() as u64 }).collect())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.objects().remove(key);
        Ok(())
    }

    async fn sweep(&self, _prefix: &str, _age: Duration) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn describe(&self) -> String {
        "in memory".to_owned()
    }
}

/// Reads a stream of a known, small size.
pub(super) async fn collect(body: ByteStream) -> Result<Bytes, crate::stream::StreamError> {
    let whole = body.try_fold(BytesMut::new(), |mut whole, block| async move {
        whole.extend_from_slice(&block);
        Ok(whole)
    });
    Ok(whole.await?.freeze())
}
