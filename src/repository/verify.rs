//! Whether a snapshot is whole.

use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::error::chain;
use super::parts::digest_of;
use super::{Problem, ProblemKind, Progress, Repository, RepositoryError};
use crate::model::layout::ObjectKey;
use crate::model::manifest::{Manifest, ObjectRecord};
use crate::store::StoreError;
use crate::stream::{ByteStream, StreamError, cancellable, checked, metered};

impl Repository {
    /// Reads every byte of a snapshot back: stored bytes, plain bytes, the archives, the definition. What is missing
    /// or damaged is named in [`RepositoryError::NotWhole`], all of it.
    ///
    /// `progress` is told of plain bytes. Safe to drop.
    pub async fn verify(
        &self,
        manifest: &Manifest,
        cancel: CancellationToken,
        progress: Progress,
    ) -> Result<(), RepositoryError> {
        let mut problems = Vec::new();
        for part in &manifest.parts {
            let key = &part.object.key;
            let opened = match self.read_part(part).await {
                Ok(tar) => Ok(tar),
                Err(RepositoryError::Store(error)) => Err(error),
                Err(error) => return Err(error),
            };
            problems.extend(read_through(key, opened, &cancel, &progress).await?);
        }
        let record = &manifest.definition;
        let opened = self.store.get_stream(&record.key).await;
        let opened = opened.map(|body| checked(body, record.key.to_string(), digest_of(record)));
        problems.extend(read_through(&record.key, opened, &cancel, &progress).await?);
        if problems.is_empty() {
            // Its bytes are right; what they say must still be a definition.
            self.read_definition(manifest).await?;
        }
        whole(manifest, problems)
    }

    /// Whether every object of a snapshot is there and has its size. Reads none of them.
    pub async fn check_presence(&self, manifest: &Manifest) -> Result<(), RepositoryError> {
        let mut problems = Vec::new();
        for ObjectRecord { key, stored_bytes, .. } in records(manifest) {
            let (kind, reason) = match self.store.head(key).await? {
                Some(found) if found.size_bytes == *stored_bytes => continue,
                Some(found) => (ProblemKind::Damaged, format!("it has {} bytes, not {stored_bytes}", found.size_bytes)),
                None => (ProblemKind::Missing, "the store does not have it".to_owned()),
            };
            problems.push(Problem { key: key.clone(), kind, reason });
        }
        whole(manifest, problems)
    }
}

fn records(manifest: &Manifest) -> impl Iterator<Item = &ObjectRecord> {
    manifest.parts.iter().map(|part| &part.object).chain([&manifest.definition])
}

fn whole(manifest: &Manifest, problems: Vec<Problem>) -> Result<(), RepositoryError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(RepositoryError::NotWhole { snapshot: manifest.id.clone(), problems })
}

/// Reads to the end. What is wrong with the object is the answer; that the store cannot be asked is an error.
async fn read_through(
    key: &ObjectKey,
    opened: Result<ByteStream, StoreError>,
    cancel: &CancellationToken,
    progress: &Progress,
) -> Result<Option<Problem>, RepositoryError> {
    let problem = |kind, reason| Ok(Some(Problem { key: key.clone(), kind, reason }));
    let body = match opened {
        Ok(body) => body,
        Err(StoreError::NotFound { .. }) => {
            return problem(ProblemKind::Missing, "the store does not have it".to_owned());
        }
        Err(error) => return Err(error.into()),
    };
    let progress = progress.clone();
    let mut body = cancellable(metered(body, move |bytes| progress(bytes)), cancel.clone());
    loop {
        match body.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(source @ StreamError::Cancelled) => return Err(RepositoryError::Stopped { key: key.clone(), source }),
            Err(error @ (StreamError::Source { .. } | StreamError::Stalled { .. })) => {
                return problem(ProblemKind::Unreadable, chain(&error));
            }
            Err(error) => return problem(ProblemKind::Damaged, chain(&error)),
        }
    }
}
