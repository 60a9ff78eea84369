//! Snapshots on a store.
//!
//! ```text
//! repository.json                            that there is a repository, and its format
//! probe.json                                 that objects can be written; see [`Repository::probe`]
//! parts/<snapshot>/<part>.tar.gz             a part's files
//! parts/<snapshot>/definition.json           the container's definition
//! snapshots/<instance>/<seq>-<time>-<id>.json   the manifest, written last: the commit point
//! ```
//!
//! What no manifest names is not a snapshot. A part is read and written in one pass, without a temporary file, and
//! memory does not grow with its size.

mod error;
mod manifests;
mod parts;
mod unlisted;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::error::{Problem, ProblemKind, RepositoryError};
pub use self::manifests::ManifestEntry;
use crate::model::ids::InstanceName;
use crate::model::layout::{PARTS_PREFIX, manifest_prefix, probe_key, repository_key};
use crate::model::manifest::{FORMAT, Manifest};
use crate::store::{ObjectStore, StoreError};

/// Told of bytes as they pass. Called often; must not block.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// How long the parts of an upload that was never finished are kept.
pub const UNFINISHED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const HEADER_BYTES_MAX: u64 = 64 << 10;
const HEADER_KIND: &str = "tidegate-repository";

/// `repository.json`. Fields that a later version adds do not matter here; its `format` does.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    kind: String,
    format: u32,
}

/// A repository that is there and whose format is known.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Arc<dyn ObjectStore>,
}

impl Repository {
    /// Asks nothing: for commands that only plan, and for stores that may have no repository yet. A store without one
    /// lists no snapshots.
    pub fn unopened(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Opens what is there; [`RepositoryError::NotThere`] where the store holds no repository.
    pub async fn open(store: Arc<dyn ObjectStore>) -> Result<Self, RepositoryError> {
        let key = repository_key();
        let text = match store.get(&key, HEADER_BYTES_MAX).await {
            Ok(text) => text,
            Err(StoreError::NotFound { store, .. }) => return Err(RepositoryError::NotThere { store }),
            Err(error) => return Err(error.into()),
        };
        let unreadable = |source| RepositoryError::BadHeader { store: store.describe(), source };
        let header: Header = serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?;
        if header.kind != HEADER_KIND {
            return Err(unreadable(format!("its kind is `{}`", header.kind).into()));
        }
        if header.format != FORMAT {
            return Err(RepositoryError::UnknownFormat {
                store: store.describe(),
                found: header.format,
                known: FORMAT,
            });
        }
        Ok(Self { store })
    }

    /// Opens the repository, and makes an empty one where there is none. May be called by several at once.
    pub async fn open_or_init(store: Arc<dyn ObjectStore>) -> Result<Self, RepositoryError> {
        match Self::open(store.clone()).await {
            Err(RepositoryError::NotThere { .. }) => {}
            opened => return opened,
        }
        let header = Header { kind: HEADER_KIND.to_owned(), format: FORMAT };
        let mut text = serde_json::to_vec_pretty(&header).map_err(RepositoryError::encode)?;
        text.push(b'\n');
        store.put(&repository_key(), Bytes::from(text)).await?;
        tracing::info!(store = store.describe(), "repository made");
        Self::open(store).await
    }

    /// Whether the store takes objects and lists them: whoever stops an instance for a snapshot asks before.
    pub async fn probe(&self, instance: &InstanceName) -> Result<(), RepositoryError> {
        self.store.put(&probe_key(), Bytes::from_static(b"{}\n")).await?;
        self.store.list(&manifest_prefix(instance)).await?;
        Ok(())
    }

    /// How many bytes the newest snapshot of `instance` took, and how many the store has left, if it can tell and that is
    /// less: the next one will hardly fit. No forecast where there is no snapshot yet.
    pub async fn too_little_room(&self, instance: &InstanceName) -> Result<Option<(u64, u64)>, RepositoryError> {
        let Some(free_bytes) = self.store.free_bytes().await? else { return Ok(None) };
        let listed = self.manifests(instance).await?;
        let last_bytes = listed.iter().rev().find_map(|entry| entry.manifest()).map(Manifest::stored_bytes);
        Ok(last_bytes.filter(|last_bytes| free_bytes < *last_bytes).map(|last_bytes| (last_bytes, free_bytes)))
    }

    /// Removes parts of uploads that died more than [`UNFINISHED_KEPT`] ago; how many there were. An upload that still
    /// runs is never that old, and nothing outside our prefix is looked at.
    pub async fn sweep(&self) -> Result<u64, RepositoryError> {
        Ok(self.store.sweep(PARTS_PREFIX, UNFINISHED_KEPT).await?)
    }

    /// How a person would name the store.
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }
}
