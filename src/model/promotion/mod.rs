//! What a promotion is about: commits, the things of an app as its repository holds them, and what changed.

pub mod address;
pub mod changes;
pub mod guard;
pub mod thing;

use serde::{Deserialize, Serialize};

pub use address::{Address, BadAddress, Host, InsteadOf};
pub use changes::{Change, Delta, How, summarise};
pub use thing::{Kind, Thing};

/// How a branch is brought into another: Git's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Fast-forward where it can be, else a merge commit.
    #[default]
    Ff,
    /// Always a merge commit.
    NoFf,
    /// Fast-forward, or not at all.
    FfOnly,
}

/// What the files of a repository say of their format; one without `metadata.json` says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// `clientSchemaVersion`.
    pub client: Option<u32>,
    /// `serverSchemaVersion`. An instance that reads less refuses the files.
    pub server: Option<u32>,
    /// `fileFormatVersion`.
    pub format: Option<u32>,
}
