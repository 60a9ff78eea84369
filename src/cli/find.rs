//! Finds the snapshot that a person means, and knows which ids are near where there is none.

use crate::config::Config;
use crate::model::ids::SnapshotId;
use crate::model::manifest::Manifest;
use crate::repository::{ManifestEntry, Repository, RepositoryError};
use crate::workflow::StepError;

/// How many near ids are named.
const NEAR_MAX: usize = 5;

/// No usable snapshot has that id.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct NoSnapshot {
    source: RepositoryError,
    /// The ids that differ least from it, the newest first among equals.
    pub near: Vec<SnapshotId>,
}

/// The snapshot with that id, or the only one whose id begins so.
pub(super) async fn snapshot(repository: &Repository, config: &Config, id: &str) -> Result<Manifest, StepError> {
    let source = match repository.find(id).await {
        Ok(manifest) => return Ok(manifest),
        Err(
            error @ (RepositoryError::NoSuchSnapshot { .. }
            | RepositoryError::AmbiguousSnapshot { .. }
            | RepositoryError::BrokenManifest { .. }),
        ) => error,
        Err(error) => return Err(error.into()),
    };
    let mut known = Vec::new();
    for instance in config.instances.keys() {
        let listed = repository.manifests(instance).await?;
        known.extend(listed.iter().rev().filter_map(ManifestEntry::manifest).map(|manifest| manifest.id.clone()));
    }
    Err(Box::new(NoSnapshot { source, near: nearest(id, known) }))
}

fn nearest(id: &str, mut known: Vec<SnapshotId>) -> Vec<SnapshotId> {
    known.sort_by_key(|known| strsim::damerau_levenshtein(id, known.as_str()));
    known.truncate(NEAR_MAX);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_ids_come_first() {
        let known = ["00000000", "3fa4c1d2", "3fa4c1d3", "99999999", "11111111", "22222222"];
        let known = known.map(|id| SnapshotId::new(id).unwrap()).to_vec();
        let near = nearest("3fa4d1c2", known);
        assert_eq!(near.len(), NEAR_MAX);
        assert_eq!([near[0].as_str(), near[1].as_str()], ["3fa4c1d2", "3fa4c1d3"]);
    }
}
