//! Where snapshots live: a bucket or a folder, spoken to through few verbs.
//!
//! An object is there whole or not at all. Nothing here rests on conditional writes: they are not
//! reliable on every S3.

pub mod absent;
pub mod dir;
pub mod faulty;
pub mod memory;
pub mod s3;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::layout::ObjectKey;
use crate::stream::{BoxError, ByteStream, StreamError};

/// Where snapshots live. Every call may be made again.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Writes `body` as one object that is either there whole or not at all.
    ///
    /// Drive it to its end: dropping the future may leave parts of an upload in the bucket. To stop
    /// early, end `body` with an error; the upload is then aborted.
    async fn put_stream(&self, key: &ObjectKey, body: ByteStream) -> Result<PutReceipt, StoreError>;

    /// Writes a small object in one request, durably; an object of that name is replaced. After an error the old
    /// object is there, or the new one, each whole; doing it again is safe.
    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError>;

    /// Reads an object. Where the connection breaks it goes on by a range request, as long as the
    /// object is the same; its length is checked at the end.
    async fn get_stream(&self, key: &ObjectKey) -> Result<ByteStream, StoreError>;

    /// Reads a small object; one of more than `limit_bytes` is [`StoreError::TooLarge`].
    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError>;

    /// Size and name, or `None` where there is no such object.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError>;

    /// Every object whose key starts with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// Deleting what is not there is `Ok`.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Removes what writes below `prefix` that never ended have left behind, if it is older than `age`; how many there
    /// were. A store that leaves nothing, or that cannot tell, has 0.
    async fn sweep(&self, prefix: &str, age: Duration) -> Result<u64, StoreError>;

    /// How many more bytes it takes, where that can be told: in a folder what its disk has left, in a bucket nothing.
    async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// How a person would name it, such as `s3://bucket/prefix at http://127.0.0.1:9000`.
    fn describe(&self) -> String;
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Its size.
    pub size_bytes: u64,
}

/// Proof that an object is there whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReceipt {
    /// Stored bytes.
    pub size_bytes: u64,
    /// Of the stored bytes, in hex.
    pub sha256: String,
}

/// What went wrong at the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers at the endpoint, or the folder cannot be opened.
    #[error("cannot reach the store {store}")]
    Unreachable {
        /// [`ObjectStore::describe`].
        store: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The server answers, and its certificate is not trusted.
    #[error("the certificate of the store {store} is not trusted")]
    Untrusted {
        /// [`ObjectStore::describe`].
        store: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The bucket is in another region than the one that requests are signed for.
    #[error("the store {store} is not in the region that it was asked in, so it did not {action}")]
    WrongRegion {
        /// [`ObjectStore::describe`].
        store: String,
        /// What was tried, such as ``write `x` ``.
        action: String,
        /// Where it says that it is.
        region: Option<String>,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The keys are wrong, or they may not do this.
    #[error("the store {store} refused to {action}")]
    Denied {
        /// [`ObjectStore::describe`].
        store: String,
        /// What was tried, such as ``write `x` ``.
        action: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is no such bucket.
    #[error("there is no bucket `{bucket}` at {store}")]
    NoBucket {
        /// [`ObjectStore::describe`].
        store: String,
        /// Its name.
        bucket: String,
    },
    /// There is no such object.
    #[error("`{key}` is not in the store {store}")]
    NotFound {
        /// [`ObjectStore::describe`].
        store: String,
        /// Its key.
        key: ObjectKey,
    },
    /// The store has no room.
    #[error("the store {store} is full: cannot write `{key}`")]
    Full {
        /// [`ObjectStore::describe`].
        store: String,
        /// The object that did not fit.
        key: ObjectKey,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// An object that should be small is not.
    #[error("`{key}` has {size_bytes} bytes, over the limit of {limit_bytes}")]
    TooLarge {
        /// Its key.
        key: ObjectKey,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The body that was to be written ended with an error; nothing was written.
    #[error("the upload of `{key}` was given up and removed")]
    Source {
        /// The object that is not there.
        key: ObjectKey,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// S3 takes 10,000 parts an object.
    #[error("`{key}` needs more than {max} parts of {part_bytes} bytes; raise `store.part_size`")]
    TooManyParts {
        /// The object that is not there.
        key: ObjectKey,
        /// S3's limit.
        max: usize,
        /// The configured size.
        part_bytes: u64,
    },
    /// Anything else.
    #[error("cannot {action} in the store {store}")]
    Request {
        /// [`ObjectStore::describe`].
        store: String,
        /// What was tried, such as ``write `x` ``.
        action: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}
