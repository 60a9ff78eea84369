//! A bucket as a store, over the AWS SDK.
//!
//! * A body that fits one part is one request; anything else is a multipart upload of parts held in memory, so that
//!   each can be sent again. An upload fails only when no part is in flight any more, and is then aborted.
//! * A read that breaks off goes on by a range request, as long as the object's tag is the same.
//! * The SDK's own guard against slow connections is off; `stall.rs` and a limit per request take its place.

mod connect;
mod error;
mod read;
mod stall;
mod sweep;
mod upload;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use bytes::Bytes;

use self::error::is_status;
use super::memory::collect;
use super::{ObjectInfo, ObjectStore, PutReceipt, StoreError};
use crate::model::layout::ObjectKey;
use crate::stream::ByteStream;

/// S3 takes no smaller part, but for the last.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// How to reach a bucket. It must exist.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// Put in front of every key; may be empty. Slashes at its ends do not matter.
    pub prefix: String,
    /// Such as `https://s3.example.org`; `None` is AWS.
    pub endpoint: Option<String>,
    /// `None` takes it from the environment or profile, and else is `us-east-1`.
    pub region: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Certificates in PEM that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Bytes of one part, at least [`PART_BYTES_MIN`]. S3 takes 10,000 parts an object.
    pub part_bytes: u64,
    /// Parts in flight at once, at least 1. Memory in use is about `part_bytes * (parts_in_flight + 1)`.
    pub parts_in_flight: usize,
    /// How long nothing may move in a read or a request; also what a request may take beyond the time that its bytes
    /// need on a slow line.
    pub stall_timeout: Duration,
    /// Whether requests carry checksums.
    pub checksums: Checksums,
    /// Who asks.
    pub credentials: S3Credentials,
}

/// Whether requests carry checksums besides their signature. Some S3-alikes refuse them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// CRC32 on every part and object.
    #[default]
    Always,
    /// Only where S3 demands one.
    WhenRequired,
}

/// Who asks. Never printed.
#[derive(Clone, Default)]
pub enum S3Credentials {
    /// Environment, profile, web identity, container or instance role, in that order.
    #[default]
    Chain,
    /// Given outright.
    Key {
        /// The access key's id.
        id: String,
        /// The secret.
        secret: String,
    },
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "Chain",
            Self::Key { .. } => "Key(..)",
        })
    }
}

/// A bucket.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ends in a slash.
    prefix: String,
    part_bytes: usize,
    parts_in_flight: usize,
    stall_timeout: Duration,
    checksums: Checksums,
    description: String,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("at", &self.description).finish_non_exhaustive()
    }
}

impl S3Store {
    fn full_key(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// S3 answers a missing bucket and a missing object alike where the answer has no body.
    async fn bucket_is_there(&self) -> Result<(), StoreError> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_status(&error, 404) => Err(self.no_bucket()),
            // Whoever may not look at the bucket as a whole may still use its objects.
            Err(error) if is_status(&error, 403) => Ok(()),
            Err(error) => Err(self.failed("look at the bucket", None, error)),
        }
    }

    fn no_bucket(&self) -> StoreError {
        StoreError::NoBucket { store: self.description.clone(), bucket: self.bucket.clone() }
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_stream(&self, key: &ObjectKey, body: ByteStream) -> Result<PutReceipt, StoreError> {
        self.upload(key, body).await
    }

    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError> {
        self.put_whole(key, body).await
    }

    async fn get_stream(&self, key: &ObjectKey) -> Result<ByteStream, StoreError> {
        Ok(self.open(key).await?.into_stream())
    }

    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let opened = self.open(key).await?;
        let size_bytes = opened.total_bytes();
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { key: key.clone(), size_bytes, limit_bytes });
        }
        collect(opened.into_stream()).await.map_err(|source| StoreError::Request {
            store: self.describe(),
            action: format!("read `{key}`"),
            source: source.into(),
        })
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let asked = self.client.head_object().bucket(&self.bucket).key(self.full_key(key)).send().await;
        match asked {
            Ok(found) => {
                let size_bytes = found.content_length().and_then(|length| u64::try_from(length).ok());
                let size_bytes = size_bytes.ok_or_else(|| self.nonsense(format!("look at `{key}`"), "no length"))?;
                Ok(Some(ObjectInfo { key: key.clone(), size_bytes }))
            }
            Err(error) if is_status(&error, 404) => self.bucket_is_there().await.map(|()| None),
            Err(error) => Err(self.failed("look at", Some(key), error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let action = format!("list `{prefix}`");
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(format!("{}{prefix}", self.prefix));
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(&action, None, error))?;
            for object in page.contents() {
                let key = object.key().and_then(|key| key.strip_prefix(&self.prefix));
                let size_bytes = object.size().and_then(|size| u64::try_from(size).ok());
                let (Some(key), Some(size_bytes)) = (key, size_bytes) else {
                    return Err(self.nonsense(action, "an object without a name or size"));
                };
                found.push(ObjectInfo { key: ObjectKey(key.to_owned()), size_bytes });
            }
        }
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.full_key(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => self.bucket_is_there().await,
            Err(error) => Err(self.failed("delete", Some(key), error)),
        }
    }

    async fn sweep(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        self.abort_old_uploads(prefix, age).await
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}
