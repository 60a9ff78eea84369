//! Manifests: what makes a snapshot, and the list of them.

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;

use super::error::chain;
use super::{Repository, RepositoryError};
use crate::model::ids::{InstanceName, SnapshotId};
use crate::model::layout::{ObjectKey, manifest_key, manifest_prefix};
use crate::model::manifest::{FORMAT, Manifest};
use crate::store::StoreError;

const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Manifests that are read at once when they are listed.
const READS_MAX: usize = 8;

/// Something that lies where manifests lie.
#[derive(Clone, Debug, PartialEq)]
pub enum ManifestEntry {
    /// A manifest that can be used.
    Whole(Box<Manifest>),
    /// One that cannot. It is shown, not hidden: a person must know that there was a snapshot.
    Broken {
        /// Its key.
        key: ObjectKey,
        /// Why it cannot be used.
        reason: String,
    },
}

impl ManifestEntry {
    /// The manifest, if it can be used.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Whole(manifest) => Some(manifest),
            Self::Broken { .. } => None,
        }
    }
}

impl Repository {
    /// Makes the snapshot: writes its manifest, after everything that it names is there, and reads it back. Doing it
    /// again is `Ok`; a manifest is never replaced by a different one.
    pub async fn publish(&self, manifest: &Manifest) -> Result<ObjectKey, RepositoryError> {
        let key = key_of(manifest)?;
        self.check_presence(manifest).await?;
        let mut text = serde_json::to_vec_pretty(manifest).map_err(RepositoryError::encode)?;
        text.push(b'\n');
        let text = Bytes::from(text);
        match self.store.get(&key, MANIFEST_BYTES_MAX).await {
            Ok(there) if there == text => return Ok(key),
            Ok(_) | Err(StoreError::TooLarge { .. }) => return Err(RepositoryError::ManifestTaken { key }),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.store.put(&key, text.clone()).await?;
        if self.store.get(&key, MANIFEST_BYTES_MAX).await? != text {
            return Err(RepositoryError::NotKept { key });
        }
        tracing::info!(%key, "snapshot published");
        Ok(key)
    }

    /// The number after the highest one of the instance; 1 where it has no snapshot. Whoever asks must hold the
    /// instance's lock.
    pub async fn next_sequence(&self, instance: &InstanceName) -> Result<u64, RepositoryError> {
        let listed = self.store.list(&manifest_prefix(instance)).await?;
        let highest = listed.iter().filter_map(|object| Name::read(&object.key)).map(|name| name.sequence).max();
        Ok(highest.unwrap_or(0).saturating_add(1))
    }

    /// The snapshots of an instance, the oldest first.
    pub async fn manifests(&self, instance: &InstanceName) -> Result<Vec<ManifestEntry>, RepositoryError> {
        let listed = self.store.list(&manifest_prefix(instance)).await?;
        let mut reads = stream::iter(listed).map(|object| self.entry(object.key)).buffered(READS_MAX);
        let mut entries = Vec::new();
        while let Some(entry) = reads.next().await {
            entries.extend(entry?);
        }
        Ok(entries)
    }

    /// The snapshot with that id, or the only one whose id starts so, of any instance.
    pub async fn find(&self, id: &str) -> Result<Manifest, RepositoryError> {
        let listed = if id.is_empty() { Vec::new() } else { self.store.list("snapshots/").await? };
        let names = listed.into_iter().filter_map(|object| Some((Name::read(&object.key)?.id, object.key)));
        let mut found: Vec<(SnapshotId, ObjectKey)> =
            names.filter(|(known, _)| known.as_str().starts_with(id)).collect();
        let missing = || RepositoryError::NoSuchSnapshot { id: id.to_owned() };
        let (_, key) = found.pop().ok_or_else(missing)?;
        if let Some(last) = Name::read(&key).filter(|_| !found.is_empty()) {
            let found = found.into_iter().map(|(id, _)| id).chain([last.id]).collect();
            return Err(RepositoryError::AmbiguousSnapshot { id: id.to_owned(), found });
        }
        match self.entry(key).await?.ok_or_else(missing)? {
            ManifestEntry::Whole(manifest) => Ok(*manifest),
            ManifestEntry::Broken { key, reason } => Err(RepositoryError::BrokenManifest { key, reason }),
        }
    }

    /// `None` where it was deleted since it was listed.
    async fn entry(&self, key: ObjectKey) -> Result<Option<ManifestEntry>, RepositoryError> {
        let read = match self.store.get(&key, MANIFEST_BYTES_MAX).await {
            Ok(text) => read(&key, &text),
            Err(error @ StoreError::TooLarge { .. }) => Err(chain(&error)),
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match read {
            Ok(manifest) => ManifestEntry::Whole(Box::new(manifest)),
            Err(reason) => ManifestEntry::Broken { key, reason },
        }))
    }
}

/// Only what every format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

fn read(key: &ObjectKey, text: &[u8]) -> Result<Manifest, String> {
    let any: AnyFormat = serde_json::from_slice(text).map_err(|error| format!("it is not a manifest: {error}"))?;
    if any.format != FORMAT {
        return Err(format!("it has format {}; this version knows format {FORMAT}", any.format));
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| format!("it is not a manifest: {error}"))?;
    let expected = key_of(&manifest).map_err(|error| error.to_string())?;
    if expected != *key {
        return Err(format!("it is the manifest of `{expected}`"));
    }
    Ok(manifest)
}

fn key_of(manifest: &Manifest) -> Result<ObjectKey, RepositoryError> {
    let Manifest { instance, sequence, id, taken_at, .. } = manifest;
    let taken_at: Timestamp = taken_at.parse().map_err(|error| RepositoryError::BrokenManifest {
        key: manifest_key(instance, *sequence, "?", id),
        reason: format!("`{taken_at}` is not a time: {error}"),
    })?;
    Ok(manifest_key(instance, *sequence, &taken_at.strftime("%Y%m%dT%H%M%SZ").to_string(), id))
}

/// What the key of a manifest says.
pub(super) struct Name {
    sequence: u64,
    pub(super) id: SnapshotId,
}

impl Name {
    /// `snapshots/<instance>/<sequence>-<time>-<id>.json`; `None` for anything else.
    pub(super) fn read(key: &ObjectKey) -> Option<Self> {
        let (_, file) = key.0.strip_prefix("snapshots/")?.split_once('/')?;
        let (sequence, rest) = file.strip_suffix(".json")?.split_once('-')?;
        let (_, id) = rest.rsplit_once('-')?;
        Some(Self { sequence: sequence.parse().ok()?, id: SnapshotId::new(id).ok()? })
    }
}
