//! A snapshot's manifest: the object whose presence makes the snapshot.

use serde::{Deserialize, Serialize};

use crate::model::ids::{ImageId, InstanceName, RunId, SnapshotId};
use crate::model::layout::ObjectKey;
use crate::model::observation::Observation;
use crate::model::part::PartPlan;
use crate::model::version::Version;

/// The format that this version writes. Pre-release: a later format replaces it without a reader for it.
pub const FORMAT: u32 = 1;

/// What a snapshot is made of. Immutable, written last, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The snapshot's id.
    pub id: SnapshotId,
    /// Whose data it is.
    pub instance: InstanceName,
    /// Order among the snapshots of the instance; starts at 1.
    pub sequence: u64,
    /// When the data stood still, or when a hot one was begun; RFC 3339, UTC.
    pub taken_at: String,
    /// The run that took it.
    pub run: RunId,
    /// Why it was taken.
    pub reason: Reason,
    /// How it was taken. Manifests of before there were several say nothing, and are cold.
    #[serde(default, skip_serializing_if = "Mode::is_cold")]
    pub mode: Mode,
    /// The container's name.
    pub container: String,
    /// The image that ran: id, how the operator wrote it, and registry digests.
    pub image: ImageRecord,
    /// The app's version, where it has one.
    pub version: Option<Version>,
    /// The data format marker, where the app has one.
    pub data_format: Option<String>,
    /// Whether the app was healthy right before; a snapshot of an unhealthy instance is never chosen by itself.
    pub healthy: bool,
    /// Why it was not healthy, for people.
    pub unhealthy_because: Option<String>,
    /// Whether the app had shut down cleanly before its files were read; never of a hot one.
    pub clean: bool,
    /// What the checks saw right before.
    pub observation: Option<Observation>,
    /// The streams.
    pub parts: Vec<PartRecord>,
    /// The object with the container's definition.
    pub definition: ObjectRecord,
    /// When every byte was read back and matched, RFC 3339, UTC.
    pub verified_at: Option<String>,
    /// Tags given by a person.
    pub tags: Vec<String>,
    /// The host that took it, and the Tidegate version, for people.
    pub taken_by: String,
}

impl Manifest {
    /// Bytes in the store.
    pub fn stored_bytes(&self) -> u64 {
        let parts = self.parts.iter().map(|part| part.object.stored_bytes);
        parts.fold(self.definition.stored_bytes, u64::saturating_add)
    }
    /// Bytes of the tars before compression.
    pub fn plain_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.plain_bytes).fold(0, u64::saturating_add)
    }
}

/// How a snapshot is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All files, while the instance is at rest: one moment.
    #[default]
    Cold,
    /// While it runs: a dump by the app's own tool, and the files beside. Not one moment, so never the base of an upgrade.
    Hot,
}

impl Mode {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Hot => "hot",
        }
    }

    /// Whether it is the ordinary one.
    pub fn is_cold(&self) -> bool {
        *self == Self::Cold
    }
}

/// Why a snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// A person asked for it.
    Manual,
    /// A schedule asked for it.
    Schedule,
    /// It is the base of an upgrade.
    BeforeUpgrade {
        /// The version that came after.
        to: String,
    },
}

/// The image of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecord {
    /// The engine's id of it.
    pub id: ImageId,
    /// As the operator wrote it.
    pub reference: String,
    /// `name@sha256:…`, as registries know it; empty for an image that was never pulled or pushed.
    pub digests: Vec<String>,
}

/// A stored part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRecord {
    /// What it holds.
    pub plan: PartPlan,
    /// The stored bytes.
    pub object: ObjectRecord,
    /// Bytes of the tar before compression.
    pub plain_bytes: u64,
    /// Of the tar before compression, in hex.
    pub plain_sha256: String,
    /// Entries of the tar.
    pub entries: u64,
}

/// An object as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRecord {
    /// Its key.
    pub key: ObjectKey,
    /// Its size.
    pub stored_bytes: u64,
    /// Of the stored bytes, in hex.
    pub sha256: String,
}
