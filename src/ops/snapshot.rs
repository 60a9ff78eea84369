//! Takes a snapshot of one instance.
//!
//! Cold: the instance rests while its files are read. It runs again before the stored bytes are read back and before the
//! manifest makes the snapshot exist. Hot: it is never stopped. Its own tool makes an archive of what cannot be copied while
//! it is used, and that is read together with the files beside.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::notes::Notes;
use super::steps::{
    Archive, At, Await, ClearArchive, Expects, Look, Manner, Prepare, Publish, Purpose, Read, Rest, Tidy, Verify, Wake,
};
use super::{Tools, UnknownInstance};
use crate::model::ids::InstanceName;
use crate::model::manifest::{Mode, Reason};
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
    /// How.
    #[serde(default)]
    pub mode: Mode,
    /// Tags given by a person.
    pub tags: Vec<String>,
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &SnapshotPlan) -> Vec<Box<dyn Step<Notes>>> {
    let at = || At { tools: tools.clone(), instance: plan.instance.clone(), stage: 0 };
    let (reason, tags) = (plan.reason.clone(), plan.tags.clone());
    let mut steps: Vec<Box<dyn Step<Notes>>> = match plan.mode {
        Mode::Cold => vec![
            Box::new(Look { at: at(), purpose: Purpose::Snapshot }),
            Box::new(Rest { at: at(), manner: Manner::Snapshot }),
            Box::new(Read { at: at() }),
            Box::new(Wake { at: at() }),
            Box::new(Await { at: at(), expects: Expects::AsBefore }),
        ],
        Mode::Hot => vec![
            Box::new(Look { at: at(), purpose: Purpose::HotSnapshot }),
            Box::new(Prepare { at: at() }),
            Box::new(Archive { at: at() }), // by the app's own tool, in the running container
            Box::new(Read { at: at() }),
            Box::new(ClearArchive { at: at() }),
        ],
    };
    let rest: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(Verify { at: at(), reason: reason.clone(), tags: tags.clone() }),
        Box::new(Publish { at: at(), reason, tags }), // from here on the snapshot exists
        Box::new(Tidy { at: at() }),
    ];
    steps.extend(rest);
    steps
}

/// Plans a snapshot. Looks at the configuration only.
///
/// Where nobody says how, the configuration does, for those that can be taken so; the others are taken cold.
pub fn plan(
    tools: &Tools,
    instance: &InstanceName,
    mode: Option<Mode>,
    tags: Vec<String>,
) -> Result<SnapshotPlan, UnknownInstance> {
    let adapter = tools.instance(instance)?;
    let container = adapter.container().to_owned();
    let configured = || if adapter.hot().is_some() { tools.settings.snapshot_mode } else { Mode::Cold };
    let mode = mode.unwrap_or_else(configured);
    Ok(SnapshotPlan { instance: instance.clone(), container, reason: Reason::Manual, mode, tags })
}
