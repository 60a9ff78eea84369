//! The workflows: one file each, its step list on top.
//!
//! Start with [`upgrade`]: its list names everything else. The steps that several workflows share are in [`steps`].

pub mod album;
pub mod approve;
pub mod doctor;
pub mod explain;
pub mod forecast;
pub mod gate;
pub mod give_way;
pub mod history;
pub mod lock;
pub mod notes;
pub mod promote;
pub mod report;
pub mod restore;
pub mod run;
pub mod schedules;
pub mod smoke;
pub mod snapshot;
pub mod state;
pub mod steps;
pub mod told;
pub mod undo;
pub mod upgrade;
pub mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::ContainerEngine;
use crate::instance::InstanceAdapter;
use crate::model::allow::AllowChange;
use crate::model::ids::InstanceName;
use crate::model::manifest::Mode;
use crate::repository::Repository;
use state::StateDir;

/// What every workflow works with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The container engine that the instances run on.
    pub engine: Arc<dyn ContainerEngine>,
    /// Where snapshots go.
    pub repository: Arc<Repository>,
    /// The managed instances.
    pub instances: BTreeMap<InstanceName, Arc<dyn InstanceAdapter>>,
    /// Where journals lie.
    pub state: StateDir,
    /// Between which places apps are promoted, and by which repositories; `None` where that is not configured.
    pub promotion: Option<promote::Promotion>,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// What the configuration says.
    pub settings: Settings,
}

/// The part of the configuration that workflows look at.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The instances in the order in which they are upgraded.
    pub stages: Vec<InstanceName>,
    /// The image's repository, without a tag.
    pub image: Option<String>,
    /// How long an app must have answered before it counts as ready; what a wait for it takes at the least.
    pub stable_for: SignedDuration,
    /// How long a pass on the stage before counts.
    pub evidence_max_age: SignedDuration,
    /// The stages that need the approval of a person.
    pub approval: Vec<InstanceName>,
    /// How long an approval counts.
    pub approval_max_age: SignedDuration,
    /// How snapshots are taken where nobody says. That of an upgrade is always cold.
    pub snapshot_mode: Mode,
    /// gzip's level, 1 to 9.
    pub compression_level: u32,
    /// How long what a restore has set aside is kept.
    pub keep_aside: SignedDuration,
    /// After a restore the app's cache begins empty.
    pub empty_cache: bool,
    /// How long the engine or the store may stay silent inside a transfer.
    pub stall_timeout: std::time::Duration,
    /// For service undos.
    pub retry: crate::workflow::Retry,
    /// What may differ from how it was before.
    pub allow_change: Vec<AllowChange>,
    /// How long pictures of checks are kept.
    pub keep_pictures: SignedDuration,
    /// The host's name, for manifests.
    pub host: String,
    /// The run whose lock may be taken, because a person says that it is dead.
    pub take_over: Option<String>,
    /// What the operator said is fine.
    pub acknowledged: BTreeMap<InstanceName, Acknowledged>,
}

/// What an operator said is fine about an instance, and would stop a run otherwise.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    /// Fields of its container's definition that may get lost when it is created anew, such as `MacAddress`.
    pub fields: Vec<String>,
    /// Other containers that may write to its data while it rests.
    pub writers: Vec<String>,
}

impl Tools {
    /// The adapter of an instance that is known to be configured.
    pub fn instance(&self, name: &InstanceName) -> Result<&Arc<dyn InstanceAdapter>, UnknownInstance> {
        self.instances.get(name).ok_or_else(|| UnknownInstance::new(name, self.instances.keys()))
    }

    /// The name of an instance's container; the instance's own name where it is not configured.
    pub fn container<'a>(&'a self, name: &'a InstanceName) -> &'a str {
        self.instances.get(name).map_or(name.as_str(), |instance| instance.container())
    }
}

/// The configuration has no such instance.
#[derive(Debug, thiserror::Error)]
#[error("there is no instance `{name}` in the configuration; it has {known}")]
pub struct UnknownInstance {
    /// What was asked for.
    pub name: InstanceName,
    /// What there is.
    pub known: String,
}

impl UnknownInstance {
    /// `known` are those that there are.
    pub fn new<'a>(name: &InstanceName, known: impl Iterator<Item = &'a InstanceName>) -> Self {
        Self { name: name.clone(), known: known.map(ToString::to_string).collect::<Vec<_>>().join(", ") }
    }
}
