//! Takes a snapshot of one instance.
//!
//! Cold only for now: the instance rests while its files are read. It runs again before the stored bytes are read
//! back and before the manifest makes the snapshot exist.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::notes::Notes;
use super::steps::{At, Await, Expects, Look, Manner, Publish, Purpose, Read, Rest, Tidy, Verify, Wake};
use super::{Tools, UnknownInstance};
use crate::model::ids::InstanceName;
use crate::model::manifest::Reason;
use crate::workflow::Step;

/// What a snapshot run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotPlan {
    /// Of which instance.
    pub instance: InstanceName,
    /// Its container.
    pub container: String,
    /// Why.
    pub reason: Reason,
    /// Tags given by a person.
    pub tags: Vec<String>,
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &SnapshotPlan) -> Vec<Box<dyn Step<Notes>>> {
    let at = || At { tools: tools.clone(), instance: plan.instance.clone(), stage: 0 };
    let (reason, tags) = (plan.reason.clone(), plan.tags.clone());
    vec![
        Box::new(Look { at: at(), purpose: Purpose::Snapshot }),
        Box::new(Rest { at: at(), manner: Manner::Snapshot }),
        Box::new(Read { at: at() }),
        Box::new(Wake { at: at() }),
        Box::new(Await { at: at(), expects: Expects::AsBefore }),
        Box::new(Verify { at: at(), reason: reason.clone(), tags: tags.clone() }),
        Box::new(Publish { at: at(), reason, tags }), // from here on the snapshot exists
        Box::new(Tidy { at: at() }),
    ]
}

/// Plans a snapshot. Looks at the configuration only.
pub fn plan(tools: &Tools, instance: &InstanceName, tags: Vec<String>) -> Result<SnapshotPlan, UnknownInstance> {
    let container = tools.instance(instance)?.container().to_owned();
    Ok(SnapshotPlan { instance: instance.clone(), container, reason: Reason::Manual, tags })
}
