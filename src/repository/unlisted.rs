//! Objects that no manifest makes a snapshot of.

use std::collections::{BTreeMap, BTreeSet};

use super::manifests::Name;
use super::{Repository, RepositoryError};
use crate::model::ids::SnapshotId;

impl Repository {
    /// The snapshots that have parts and no manifest, with how many objects: of a run that goes on, of one that was cut
    /// off, or of a snapshot whose manifest was lost. Which of these is for the journals to say.
    pub async fn unlisted(&self) -> Result<BTreeMap<SnapshotId, usize>, RepositoryError> {
        // The parts first: a snapshot that is published in between is then found among the manifests.
        let parts = self.store.list("parts/").await?;
        let manifests = self.store.list("snapshots/").await?;
        let listed: BTreeSet<SnapshotId> =
            manifests.iter().filter_map(|object| Some(Name::read(&object.key)?.id)).collect();
        let mut unlisted = BTreeMap::new();
        for object in parts {
            let id = object.key.0.strip_prefix("parts/").and_then(|rest| rest.split_once('/'));
            let Some(id) = id.and_then(|(id, _)| SnapshotId::new(id).ok()) else { continue };
            if !listed.contains(&id) {
                *unlisted.entry(id).or_default() += 1;
            }
        }
        Ok(unlisted)
    }
}
