//! Writes: one request, or a multipart upload that is whole or gone.

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream as Body;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::stream::{self, FuturesUnordered};
use futures::{StreamExt, TryStreamExt};

use super::connect::ATTEMPTS;
use super::error::outcome_is_open;
use super::{Checksums, S3Store};
use crate::model::layout::ObjectKey;
use crate::store::{ObjectStore, PutReceipt, StoreError};
use crate::stream::{ByteStream, DigestHandle, StreamError, digest, rechunk};

/// Between two tries to finish an upload, growing.
const PAUSE: Duration = Duration::from_millis(500);
/// S3's own limit on the parts of one object.
const PARTS_MAX: usize = 10_000;

impl S3Store {
    pub(super) async fn upload(&self, key: &ObjectKey, body: ByteStream) -> Result<PutReceipt, StoreError> {
        let source = |source| StoreError::Source { key: key.clone(), source };
        let (body, digest) = digest(body);
        let mut parts = rechunk(body, self.part_bytes);
        let first = parts.try_next().await.map_err(source)?.unwrap_or_default();
        let second = parts.try_next().await.map_err(source)?;
        let Some(second) = second else {
            self.put_whole(key, first).await?;
            return self.receipt(key, &digest);
        };
        let upload = self.begin(key).await?;
        let parts = stream::iter([Ok(first), Ok(second)]).chain(parts).boxed();
        let uploaded = match self.upload_parts(key, &upload, parts).await {
            Ok(parts) => match self.receipt(key, &digest) {
                Ok(receipt) => self.complete(key, &upload, parts, receipt.size_bytes).await.map(|()| receipt),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if uploaded.is_err() {
            self.abort(key, &upload).await;
        }
        uploaded
    }

    pub(super) async fn put_whole(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError> {
        let request = self.client.put_object().bucket(&self.bucket).key(self.full_key(key));
        let request = request.set_checksum_algorithm(self.algorithm()).body(Body::from(body));
        request.send().await.map(drop).map_err(|error| self.failed("write", Some(key), error))
    }

    /// Named outright: the SDK's own default names it on the parts only, which some servers refuse in the end.
    fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        (self.checksums == Checksums::Always).then_some(ChecksumAlgorithm::Crc32)
    }

    fn receipt(&self, key: &ObjectKey, digest: &DigestHandle) -> Result<PutReceipt, StoreError> {
        let digest = digest.get().ok_or_else(|| {
            let source = StreamError::Source { bytes: 0, source: "its end was not seen".into() };
            StoreError::Source { key: key.clone(), source }
        })?;
        Ok(PutReceipt { size_bytes: digest.bytes, sha256: digest.sha256 })
    }

    async fn begin(&self, key: &ObjectKey) -> Result<String, StoreError> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(self.full_key(key));
        let begun = request.set_checksum_algorithm(self.algorithm()).send().await;
        let begun = begun.map_err(|error| self.failed("write", Some(key), error))?;
        begun.upload_id.ok_or_else(|| self.nonsense(format!("write `{key}`"), "no upload id"))
    }

    /// Returns only when no part is in flight any more, so that an abort cannot race one.
    async fn upload_parts(
        &self,
        key: &ObjectKey,
        upload: &str,
        mut body: ByteStream,
    ) -> Result<Vec<CompletedPart>, StoreError> {
        let mut in_flight = FuturesUnordered::new();
        let mut parts = Vec::new();
        let (mut failure, mut begun, mut ended) = (None, 0, false);
        loop {
            let room = !ended && failure.is_none() && in_flight.len() < self.parts_in_flight;
            tokio::select! {
                Some(done) = in_flight.next(), if !in_flight.is_empty() => match done {
                    Ok(part) => parts.push(part),
                    Err(error) => { failure.get_or_insert(error); }
                },
                block = body.next(), if room => match block {
                    None => ended = true,
                    Some(Err(source)) => failure = Some(StoreError::Source { key: key.clone(), source }),
                    Some(Ok(_)) if begun == PARTS_MAX => {
                        let part_bytes = self.part_bytes as u64;
                        failure = Some(StoreError::TooManyParts { key: key.clone(), max: PARTS_MAX, part_bytes });
                    }
                    Some(Ok(block)) => {
                        begun += 1;
                        in_flight.push(self.upload_part(key, upload, begun, block));
                    }
                },
                else => break,
            }
        }
        parts.sort_by_key(|part: &CompletedPart| part.part_number());
        failure.map_or(Ok(parts), Err)
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &str,
        number: usize,
        block: Bytes,
    ) -> Result<CompletedPart, StoreError> {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        // A body in memory, not a stream: the SDK can then sign it, and send it again.
        let request = self.client.upload_part().bucket(&self.bucket).key(self.full_key(key)).upload_id(upload);
        let request = request.set_checksum_algorithm(self.algorithm()).part_number(number).body(Body::from(block));
        let sent = request.send().await.map_err(|error| self.failed("write a part of", Some(key), error))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok(part.set_checksum_crc32(sent.checksum_crc32).build())
    }

    /// The answer may be what was lost, not the object. The SDK would ask again and then only learn that there is no
    /// such upload any more, so it is asked once at a time, and the object is looked for in between.
    async fn complete(
        &self,
        key: &ObjectKey,
        upload: &str,
        parts: Vec<CompletedPart>,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let once = aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled());
        let (mut lost, mut tries) = (false, 0);
        loop {
            let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(self.full_key(key));
            let request = request.upload_id(upload).multipart_upload(parts.clone());
            let sent = request.customize().config_override(once.clone()).send().await;
            let Err(error) = sent else { return Ok(()) };
            tries += 1;
            let again = outcome_is_open(&error);
            lost |= again;
            if lost
                && let Ok(Some(found)) = self.head(key).await
                && found.size_bytes == size_bytes
            {
                tracing::info!(%key, "upload was finished although its answer was lost");
                return Ok(());
            }
            if !again || tries == ATTEMPTS {
                return Err(self.failed("finish", Some(key), error));
            }
            tokio::time::sleep(PAUSE * tries).await;
        }
    }

    /// Best effort, and never instead of the error that led here.
    async fn abort(&self, key: &ObjectKey, upload: &str) {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(self.full_key(key));
        if let Err(error) = request.upload_id(upload).send().await {
            let error = aws_sdk_s3::error::DisplayErrorContext(&error).to_string();
            tracing::warn!(%key, upload, error, "upload not removed; its parts stay until a lifecycle rule removes them");
        }
    }
}
