//! What can be wrong with a repository.

use std::fmt;

use crate::model::ids::SnapshotId;
use crate::model::layout::ObjectKey;
use crate::store::StoreError;
use crate::stream::{BoxError, StreamError};

/// An object that is not as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which object.
    pub key: ObjectKey,
    /// What kind of trouble.
    pub kind: ProblemKind,
    /// What was found.
    pub reason: String,
}

/// Whether the data is lost, or only could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// It is not there.
    Missing,
    /// It is there, and other bytes than were written.
    Damaged,
    /// It could not be read to its end; it may be whole.
    Unreadable,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ProblemKind::Missing => "is missing",
            ProblemKind::Damaged => "is damaged",
            ProblemKind::Unreadable => "could not be read",
        };
        write!(f, "`{}` {kind}: {}", self.key, self.reason)
    }
}

/// What went wrong with a repository.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store holds no repository. It may be empty, or the wrong one.
    #[error("there is no repository in the store {store}")]
    NotThere {
        /// Where.
        store: String,
    },
    /// Another version of Tidegate wrote it.
    #[error("the repository in {store} has format {found}; this version knows format {known}")]
    UnknownFormat {
        /// Where.
        store: String,
        /// What it says.
        found: u32,
        /// What we can read.
        known: u32,
    },
    /// `repository.json` is there and says nothing that we understand.
    #[error("`repository.json` in the store {store} is not a repository's")]
    BadHeader {
        /// Where.
        store: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Objects of a snapshot are missing or damaged: all of them, not just the first.
    #[error("snapshot {snapshot} is not whole: {}", listed(.problems))]
    NotWhole {
        /// Which.
        snapshot: SnapshotId,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// The manifest of a snapshot cannot be used.
    #[error("the manifest `{key}` cannot be used: {reason}")]
    BrokenManifest {
        /// Its key.
        key: ObjectKey,
        /// Why.
        reason: String,
    },
    /// A manifest of that name is there and says something else. Manifests are never replaced.
    #[error("a different manifest `{key}` is there already")]
    ManifestTaken {
        /// Its key.
        key: ObjectKey,
    },
    /// What the store gave back is not what was just written.
    #[error("the store gave `{key}` back changed right after it was written")]
    NotKept {
        /// Its key.
        key: ObjectKey,
    },
    /// No snapshot has an id that starts so.
    #[error("there is no snapshot `{id}`")]
    NoSuchSnapshot {
        /// What was asked for.
        id: String,
    },
    /// Several snapshots have ids that start so.
    #[error("`{id}` could be any of {}", candidates(.found))]
    AmbiguousSnapshot {
        /// What was asked for.
        id: String,
        /// Their ids.
        found: Vec<SnapshotId>,
    },
    /// The definition of a snapshot is not one.
    #[error("the definition `{key}` cannot be used")]
    BadDefinition {
        /// Its key.
        key: ObjectKey,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Something of ours could not be put into JSON.
    #[error("cannot write it as JSON")]
    Encode(#[source] serde_json::Error),
    /// Reading an object was stopped.
    #[error("`{key}` was not read to its end")]
    Stopped {
        /// Its key.
        key: ObjectKey,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl RepositoryError {
    pub(super) fn encode(error: serde_json::Error) -> Self {
        Self::Encode(error)
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

fn candidates(found: &[SnapshotId]) -> String {
    found.iter().map(SnapshotId::as_str).collect::<Vec<_>>().join(", ")
}

/// An error with all its causes, on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
