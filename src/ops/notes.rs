//! What a run knows: saved with every `Done`, so small. What is large or secret lies in files beside the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::FileRef;
use crate::engine::{ContainerView, Listing};
use crate::instance::Cleanliness;
use crate::model::definition::{Definition, MountSource, RestartPolicy};
use crate::model::ids::{CommitId, ImageId, InstanceName, RunId, SnapshotId};
use crate::model::manifest::{ImageRecord, ObjectRecord, PartRecord};
use crate::model::observation::Observation;
use crate::model::part::PartPlan;
use crate::model::verdict::answers;
use crate::model::version::Version;

/// What a run knows of its instances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// By instance.
    pub instances: BTreeMap<InstanceName, InstanceNotes>,
    /// Of a promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<PromotionNotes>,
}

/// What a run knows of the app that it promotes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionNotes {
    /// What the checks saw in production before.
    pub baseline: Option<FileRef>,
    /// When the app had been deployed then, in the instance's words.
    pub deployed_at: Option<String>,
    /// The commit that was pushed; `None` where there was nothing to merge.
    pub made: Option<CommitId>,
}

impl Notes {
    /// What is known of an instance; nothing at first.
    pub fn of(&self, name: &InstanceName) -> InstanceNotes {
        self.instances.get(name).cloned().unwrap_or_default()
    }

    /// To learn something of an instance.
    pub fn of_mut(&mut self, name: &InstanceName) -> &mut InstanceNotes {
        self.instances.entry(name.clone()).or_default()
    }
}

/// What a run knows of one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceNotes {
    /// How it was before anything was touched ([`Before`]); `None` where there was no container.
    pub before: Option<FileRef>,
    /// Whether its container ran then, and so runs again at the end.
    pub was_up: bool,
    /// Its restart policy then.
    pub restart: Option<RestartPolicy>,
    /// The image that it is to run on.
    pub target: Option<Target>,
    /// When it was stopped, RFC 3339.
    pub down_at: Option<String>,
    /// When it answered again, RFC 3339.
    pub up_at: Option<String>,
    /// The container as it stood when it had come to rest: nobody may have started it since.
    pub rested: Option<Life>,
    /// What a snapshot of it holds, seen at rest; what was there while it ran may have changed until then.
    pub parts: Option<Vec<PartPlan>>,
    /// The id of the container that was created for the new image.
    pub created: Option<String>,
    /// Whether it had shut down cleanly.
    pub clean: Option<Cleanliness>,
    /// The snapshot that is being written.
    pub snapshot: Option<SnapshotNotes>,
    /// The archive that an app's own tool makes while it runs.
    pub hot: Option<HotNotes>,
    /// The manifest that data is put back from.
    pub manifest: Option<FileRef>,
    /// The definition that belongs to that manifest.
    pub definition: Option<FileRef>,
    /// What of it is put in place otherwise than it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation: Option<FileRef>,
    /// What an undo brings back ([`Recall`]).
    pub recall: Option<FileRef>,
    /// The outcome of the checks, for people.
    pub verdict: Option<VerdictNotes>,
}

/// One life of a container: another start, or another container of that name, is another life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// The engine's id.
    pub id: String,
    /// When it was started last.
    pub started_at: Option<String>,
}

impl Life {
    /// Of a container as it is now.
    pub fn of(view: &ContainerView) -> Self {
        Self { id: view.id.clone(), started_at: view.started_at.clone() }
    }
}

/// The snapshot that is being written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotNotes {
    /// Its id.
    pub id: SnapshotId,
    /// When the data stood still.
    pub taken_at: String,
    /// The parts that are in the store.
    pub parts: Vec<PartRecord>,
    /// The definition's object.
    pub definition: ObjectRecord,
    /// The app's data format marker.
    pub data_format: Option<String>,
    /// When it was read back.
    pub verified_at: Option<String>,
}

/// What a run knows of the archive of a snapshot that is taken while the app runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotNotes {
    /// The archives that were there before; other people's.
    pub known: Vec<String>,
    /// When that was written down, RFC 3339: right before the tool began.
    pub prepared_at: String,
    /// The archive, once it is made.
    pub archive: Option<String>,
    /// The moment at which it was begun, RFC 3339.
    pub taken_at: Option<String>,
}

/// The image that an instance is to run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What a person reads, such as `appsmith/appsmith-ce:v2.5.1`.
    pub reference: String,
    /// The engine's id of it.
    pub id: ImageId,
    /// As registries know it.
    pub digests: Vec<String>,
    /// The version that its label or its tag names.
    pub version: Option<Version>,
}

/// The outcome of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictNotes {
    /// Whether they passed.
    pub pass: bool,
    /// How many passed.
    pub passed_count: usize,
    /// What did not, one line each.
    pub lines: Vec<String>,
}

/// What a restore had replaced and an undo of it brings back. Holds the environment, as [`Before`] does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// The restore, or the undo of one.
    pub run: RunId,
    /// How the instance was before it.
    pub before: Before,
    /// What it had set aside beside that which its manifest covers.
    pub parts: Vec<PartPlan>,
}

/// How an instance was before a run touched it. Holds the environment, so it lies in a file of mode 0600.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Its container.
    pub definition: Definition,
    /// Its life at that moment.
    pub life: Life,
    /// Its image.
    pub image: ImageRecord,
    /// Its version.
    pub version: Option<Version>,
    /// What a snapshot of it holds.
    pub parts: Vec<PartPlan>,
    /// What lay at its mounts.
    pub listings: Vec<(String, Listing)>,
    /// What the checks saw; `None` where it did not answer.
    pub observation: Option<Observation>,
    /// Why it was not healthy.
    pub unhealthy_because: Option<String>,
}

impl Before {
    /// Whether the app answered: without that, nothing after can be judged by it.
    pub fn answers(&self) -> bool {
        self.observation.as_ref().is_some_and(answers)
    }

    /// What is mounted at `destination`.
    pub fn source_of(&self, destination: &str) -> Option<&MountSource> {
        self.definition.mounts.iter().find(|mount| mount.destination == destination).map(|mount| &mount.source)
    }
}
