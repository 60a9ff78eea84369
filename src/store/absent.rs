//! A store that cannot be used now, in the place of the one that is configured.
//!
//! Putting service back after a crash mostly needs the engine alone; it must not fail because the store is away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{ObjectInfo, ObjectStore, PutReceipt, StoreError};
use crate::model::layout::ObjectKey;
use crate::stream::ByteStream;

/// Refuses every call with the reason why the real one could not be opened.
#[derive(Clone, Debug)]
pub struct AbsentStore {
    reason: Arc<str>,
}

impl AbsentStore {
    /// `reason` is the whole cause chain.
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into() }
    }

    fn refuse<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Unreachable { store: self.describe(), source: self.reason.to_string().into() })
    }
}

#[async_trait]
impl ObjectStore for AbsentStore {
    async fn put_stream(&self, _key: &ObjectKey, _body: ByteStream) -> Result<PutReceipt, StoreError> {
        self.refuse()
    }
    async fn put(&self, _key: &ObjectKey, _body: Bytes) -> Result<(), StoreError> {
        self.refuse()
    }
    async fn get_stream(&self, _key: &ObjectKey) -> Result<ByteStream, StoreError> {
        self.refuse()
    }
    async fn get(&self, _key: &ObjectKey, _limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.refuse()
    }
    async fn head(&self, _key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.refuse()
    }
    async fn list(&self, _prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.refuse()
    }
    async fn delete(&self, _key: &ObjectKey) -> Result<(), StoreError> {
        self.refuse()
    }
    async fn sweep(&self, _prefix: &str, _age: Duration) -> Result<u64, StoreError> {
        self.refuse()
    }
    fn describe(&self) -> String {
        "that is configured".into()
    }
}
