//! Reads that go on where the connection broke.

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream as Body;
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::S3Store;
use super::error::is_status;
use crate::model::layout::ObjectKey;
use crate::store::StoreError;
use crate::stream::{BoxError, ByteStream, StreamError};

/// Breaks in a row before a read is given up.
const BREAKS_MAX: u32 = 6;
/// Breaks with less than this between them are in a row; a server that gives a few bytes each time never ends.
const HEADWAY_BYTES: u64 = 64 << 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// An object being read.
pub(super) struct Opened {
    store: S3Store,
    key: ObjectKey,
    tag: Option<String>,
    total_bytes: u64,
    read_bytes: u64,
    breaks: u32,
    /// What had been read at the last break.
    broke_at: u64,
    body: Body,
}

impl S3Store {
    pub(super) async fn open(&self, key: &ObjectKey) -> Result<Opened, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.full_key(key));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if is_status(&error, 404) => {
                self.bucket_is_there().await?;
                return Err(StoreError::NotFound { store: self.description.clone(), key: key.clone() });
            }
            Err(error) => return Err(self.failed("read", Some(key), error)),
        };
        let total_bytes = length(&answer).ok_or_else(|| self.nonsense(format!("read `{key}`"), "no length"))?;
        Ok(Opened {
            store: self.clone(),
            key: key.clone(),
            tag: answer.e_tag,
            total_bytes,
            read_bytes: 0,
            breaks: 0,
            broke_at: 0,
            body: answer.body,
        })
    }
}

fn length(answer: &GetObjectOutput) -> Option<u64> {
    u64::try_from(answer.content_length()?).ok()
}

impl Opened {
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(super) fn into_stream(self) -> ByteStream {
        stream::try_unfold(self, |mut open| async move { Ok(open.next().await?.map(|block| (block, open))) }).boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            let why: BoxError = match tokio::time::timeout(self.store.stall_timeout, self.body.next()).await {
                Ok(Some(Ok(block))) => {
                    self.read_bytes += block.len() as u64;
                    if self.read_bytes - self.broke_at >= HEADWAY_BYTES {
                        self.breaks = 0;
                    }
                    if self.read_bytes > self.total_bytes {
                        return Err(self.broken("it is longer than was announced".into()));
                    }
                    return Ok(Some(block));
                }
                Ok(None) if self.read_bytes == self.total_bytes => return Ok(None),
                Ok(None) => "the connection ended early".into(),
                Ok(Some(Err(error))) => error.into(),
                Err(_) => format!("nothing came for {} s", self.store.stall_timeout.as_secs()).into(),
            };
            self.resume(why).await?;
        }
    }

    fn broken(&self, source: BoxError) -> StreamError {
        StreamError::Source { bytes: self.read_bytes, source }
    }

    /// Asks for the rest, until it comes or there is no hope.
    async fn resume(&mut self, mut why: BoxError) -> Result<(), StreamError> {
        // With all bytes here it is the checksum that is wrong, and no range will mend that.
        if self.read_bytes >= self.total_bytes {
            return Err(self.broken(why));
        }
        self.broke_at = self.read_bytes;
        let Some(tag) = self.tag.clone() else { return Err(self.broken(why)) };
        while self.breaks < BREAKS_MAX {
            tracing::debug!(key = %self.key, read_bytes = self.read_bytes, error = %why, "read broke off, going on");
            tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.breaks)).await;
            self.breaks += 1;
            let store = &self.store;
            let request = store.client.get_object().bucket(&store.bucket).key(store.full_key(&self.key));
            let range = format!("bytes={}-", self.read_bytes);
            // The tries are counted here, not in the SDK.
            let once = aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled());
            let request = request.range(range).if_match(&tag).customize().config_override(once);
            match request.send().await {
                // Not every server honours the condition.
                Ok(answer) if answer.e_tag.as_deref() != Some(&tag) => return Err(self.broken(CHANGED.into())),
                Ok(answer) if length(&answer) != Some(self.total_bytes - self.read_bytes) => {
                    return Err(self.broken("the server did not go on where the read broke off".into()));
                }
                Ok(answer) => {
                    self.body = answer.body;
                    return Ok(());
                }
                Err(error) if is_status(&error, 412) => return Err(self.broken(CHANGED.into())),
                Err(error) => match store.failed("go on reading", Some(&self.key), error) {
                    error @ StoreError::Unreachable { .. } => why = error.into(),
                    error @ StoreError::Request { .. } => why = error.into(),
                    error => return Err(self.broken(error.into())),
                },
            }
        }
        Err(self.broken(why))
    }
}

const CHANGED: &str = "the object was replaced while it was read";
