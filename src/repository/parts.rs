//! The bytes of a snapshot: parts and the definition.

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{Progress, Repository, RepositoryError};
use crate::model::definition::Definition;
use crate::model::ids::SnapshotId;
use crate::model::layout::{definition_key, part_key};
use crate::model::manifest::{Manifest, ObjectRecord, PartRecord};
use crate::model::part::PartPlan;
use crate::store::StoreError;
use crate::stream::tar::{confined, walk};
use crate::stream::{ByteStream, Digest, StreamError, cancellable, checked, digest, gunzip, gzip, metered};

const DEFINITION_BYTES_MAX: u64 = 16 << 20;

impl Repository {
    /// Writes a part in one pass, and says what was written. The tar is followed to its end marker: one that is cut
    /// short leaves nothing in the store.
    ///
    /// `progress` is told of bytes before compression. Drive it to its end; to stop early, fire `cancel`: the upload
    /// is then removed. A source that may hang should have a [`crate::stream::stall`] of its own.
    pub async fn write_part(
        &self,
        snapshot: &SnapshotId,
        plan: &PartPlan,
        tar: ByteStream,
        level: u32,
        cancel: CancellationToken,
        progress: Progress,
    ) -> Result<PartRecord, RepositoryError> {
        let key = part_key(snapshot, &plan.name);
        let (tar, entries) = walk(cancellable(tar, cancel));
        let (tar, plain) = digest(metered(tar, move |bytes| progress(bytes)));
        let receipt = self.store.put_stream(&key, gzip(tar, level)).await?;
        let plain = plain.get().ok_or_else(|| {
            let source = StreamError::Source { bytes: 0, source: "its end was not seen".into() };
            StoreError::Source { key: key.clone(), source }
        })?;
        Ok(PartRecord {
            plan: plan.clone(),
            object: ObjectRecord { key, stored_bytes: receipt.size_bytes, sha256: receipt.sha256 },
            plain_bytes: plain.bytes,
            plain_sha256: plain.sha256,
            entries: entries.get(),
        })
    }

    /// The plain tar of a part. It ends cleanly only if every stored byte, every plain byte and the archive's end are
    /// what they were when it was written, and if no entry lies outside of what the part covers; whatever came before
    /// an error must be thrown away.
    pub async fn read_part(&self, record: &PartRecord) -> Result<ByteStream, RepositoryError> {
        let key = record.object.key.to_string();
        let stored = self.store.get_stream(&record.object.key).await?;
        let stored = checked(stored, key.clone(), digest_of(&record.object));
        let plain = Digest { bytes: record.plain_bytes, sha256: record.plain_sha256.clone() };
        Ok(confined(checked(gunzip(stored), key, plain), &record.plan.cover))
    }

    /// Writes the container's definition of a snapshot. It holds the environment, and so secrets: whoever may read
    /// the store may read them.
    pub async fn write_definition(
        &self,
        snapshot: &SnapshotId,
        definition: &Definition,
    ) -> Result<ObjectRecord, RepositoryError> {
        let key = definition_key(snapshot);
        let text = Bytes::from(serde_json::to_vec_pretty(definition).map_err(RepositoryError::encode)?);
        let Digest { bytes: stored_bytes, sha256 } = Digest::of(&text);
        self.store.put(&key, text).await?;
        Ok(ObjectRecord { key, stored_bytes, sha256 })
    }

    /// Reads the container's definition back, and checks that it is the one that was written.
    pub async fn read_definition(&self, manifest: &Manifest) -> Result<Definition, RepositoryError> {
        let record = &manifest.definition;
        let text = self.store.get(&record.key, DEFINITION_BYTES_MAX).await?;
        let bad = |source| RepositoryError::BadDefinition { key: record.key.clone(), source };
        let (found, expected) = (Digest::of(&text), digest_of(record));
        if found != expected {
            let (expected, found) = (expected.sha256, found.sha256);
            return Err(bad(StreamError::Mismatch { what: record.key.to_string(), expected, found }.into()));
        }
        // The text of a JSON error may quote the text that it stumbled over.
        serde_json::from_slice(&text).map_err(|error| {
            bad(format!("it is not a definition (line {}, column {})", error.line(), error.column()).into())
        })
    }
}

pub(super) fn digest_of(record: &ObjectRecord) -> Digest {
    Digest { bytes: record.stored_bytes, sha256: record.sha256.clone() }
}
