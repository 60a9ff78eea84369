//! Puts an instance back to a snapshot: image, definition and data together.
//!
//! Nothing is destroyed before the replacement has passed its checks: what was there is set aside in the same
//! mount and kept for days.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::history;
use super::notes::Notes;
use super::steps::{
    ARCHIVE_PART, Aside, At, Await, Baseline, Check, Create, Expects, FetchSnapshot, Fill, From, Load, Look, Manner,
    Open, Park, Purpose, Reopen, Rest, RestoreImage, Settle, Start, Unload, VerifySnapshot,
};
use super::{Tools, UnknownInstance};
use crate::engine::EngineError;
use crate::model::ids::{InstanceName, SnapshotId};
use crate::model::manifest::{Manifest, Mode};
use crate::model::part::{PartPlan, mounts_of};
use crate::model::plan::choose::{NoChoice, Selector, choose};
use crate::repository::{ManifestEntry, RepositoryError};
use crate::workflow::Step;

/// What a restore run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePlan {
    /// Which instance.
    pub instance: InstanceName,
    /// Its container.
    pub container: String,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Why this one.
    pub why: String,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// Its version and image, for people.
    pub version: String,
    /// Bytes that are written.
    pub plain_bytes: u64,
    /// Bytes that are fetched.
    pub stored_bytes: u64,
    /// The mounts that are filled, with what of them.
    pub places: Vec<String>,
    /// The image that runs now; `None` where there is no container.
    pub from: Option<String>,
    /// How it was taken: the archive of a hot one is loaded by the app's own tool.
    #[serde(default, skip_serializing_if = "Mode::is_cold")]
    pub mode: Mode,
    /// What a person should think about before going on.
    pub warnings: Vec<String>,
    /// It is opened without waiting until it is ready and without checks, for a snapshot that is known not to pass.
    pub no_checks: bool,
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &RestorePlan) -> Vec<Box<dyn Step<Notes>>> {
    let at = || At { tools: tools.clone(), instance: plan.instance.clone(), stage: 0 };
    let mut steps: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(FetchSnapshot { at: at(), snapshot: plan.snapshot.clone() }),
        Box::new(RestoreImage { at: at() }),
        Box::new(VerifySnapshot { at: at() }),
        Box::new(Look { at: at(), purpose: Purpose::Restore }),
        Box::new(Rest { at: at(), manner: Manner::Restore }), // users are out from here
        Box::new(Park { at: at() }),
        Box::new(Aside { at: at() }),
        Box::new(Fill { at: at() }),
    ];
    if plan.mode == Mode::Hot {
        steps.push(Box::new(Load { at: at() })); // in a container that nobody else reaches
        steps.push(Box::new(Unload { at: at() }));
    }
    let rest: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(Settle { at: at() }),
        Box::new(Create { at: at(), from: From::Snapshot }),
        Box::new(Start { at: at(), puts_data_back: false }),
    ];
    steps.extend(rest);
    if !plan.no_checks {
        steps.push(Box::new(Await { at: at(), expects: Expects::Snapshot }));
        steps.push(Box::new(Check { at: at(), baseline: Baseline::Snapshot }));
    }
    steps.push(Box::new(Reopen { at: at(), counts: false })); // nothing is undone by a crash from here
    steps.push(Box::new(Open { at: at() }));
    steps
}

/// A restore that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not configured.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// No snapshot fits.
    #[error("cannot choose a snapshot of `{instance}`: {reason}")]
    NoChoice {
        /// Which.
        instance: InstanceName,
        /// Why not.
        reason: NoChoice,
        /// What there is.
        choices: Vec<SnapshotId>,
    },
    /// The repository failed.
    #[error("{0}")]
    Repository(#[from] RepositoryError),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

/// Plans a restore. Makes no state-changing call.
pub async fn plan(
    tools: &Tools,
    instance: &InstanceName,
    selector: &Selector,
    no_checks: bool,
) -> Result<RestorePlan, RestoreError> {
    let container = tools.instance(instance)?.container().to_owned();
    let listed = tools.repository.manifests(instance).await?;
    let whole: Vec<Manifest> = listed.iter().filter_map(|entry| entry.manifest().cloned()).collect();
    let now: Timestamp = (tools.now)();
    let upgrade = |manifest: &Manifest| history::upgrade_state(&tools.state, &manifest.run);
    let choice = choose(selector, &whole, &upgrade, now).map_err(|reason| RestoreError::NoChoice {
        instance: instance.clone(),
        reason,
        choices: whole.iter().rev().map(|manifest| manifest.id.clone()).collect(),
    })?;
    let chosen = whole.iter().find(|manifest| manifest.id == choice.id);
    let none = || RestoreError::NoChoice {
        instance: instance.clone(),
        reason: NoChoice::NoSuchId(choice.id.to_string()),
        choices: Vec::new(),
    };
    let manifest = chosen.ok_or_else(none)?;
    let view = tools.engine.find(&container).await?;
    let version = manifest.version.as_ref().map_or_else(|| manifest.image.reference.clone(), ToString::to_string);
    let mut warnings = choice.warnings;
    for entry in &listed {
        if let ManifestEntry::Broken { key, reason } = entry {
            warnings.push(format!("{key} was passed over: {reason}"));
        }
    }
    Ok(RestorePlan {
        instance: instance.clone(),
        container,
        snapshot: choice.id,
        why: choice.why,
        taken_at: manifest.taken_at.clone(),
        version,
        plain_bytes: manifest.plain_bytes(),
        stored_bytes: manifest.stored_bytes(),
        places: places(manifest),
        from: view.map(|view| view.image_ref),
        mode: manifest.mode,
        warnings,
        no_checks,
    })
}

/// Such as `/appsmith-stacks: configuration, database`.
fn places(manifest: &Manifest) -> Vec<String> {
    let plans: Vec<PartPlan> = manifest.parts.iter().map(|part| part.plan.clone()).collect();
    // What an archive holds is replaced, and so is what begins empty beside it.
    let name = |plan: &PartPlan| match plan.name.as_str() {
        ARCHIVE_PART if manifest.mode == Mode::Hot => "database, git-storage, redis, postgres".to_owned(),
        name => name.to_owned(),
    };
    let names_at = |mount: &String| {
        let names = plans.iter().filter(|plan| plan.mount == *mount).map(name);
        format!("{mount}: {}", names.collect::<Vec<_>>().join(", "))
    };
    mounts_of(&plans).iter().map(names_at).collect()
}
