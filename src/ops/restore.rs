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
    ARCHIVE_PART, Adapt, Aside, At, Await, Baseline, Check, Create, Expects, FetchSnapshot, Fill, From, Load, Look,
    Manner, Open, Park, ProveKeys, Purpose, Reopen, Rest, RestoreImage, Settle, Start, Unload, VerifySnapshot,
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
    /// Whose snapshot it is, where that is another instance's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<InstanceName>,
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
    /// The app's cache begins empty, and its users log in again.
    #[serde(default)]
    pub empty_cache: bool,
    /// The app opens one secret of its data before it is opened to its users; runs of before did not.
    #[serde(default)]
    pub proves_keys: bool,
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &RestorePlan) -> Vec<Box<dyn Step<Notes>>> {
    let at = || At { tools: tools.clone(), instance: plan.instance.clone(), stage: 0 };
    let of_another = plan.of.is_some();
    let mut steps: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(FetchSnapshot { at: at(), snapshot: plan.snapshot.clone(), of_another }),
        Box::new(RestoreImage { at: at() }),
        Box::new(VerifySnapshot { at: at() }),
    ];
    if of_another || plan.empty_cache {
        steps.push(Box::new(Adapt { at: at(), of_another, empty_cache: plan.empty_cache }));
    }
    let replace: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(Look { at: at(), purpose: Purpose::Restore }),
        Box::new(Rest { at: at(), manner: Manner::Restore }), // users are out from here
        Box::new(Park { at: at() }),
        Box::new(Aside { at: at() }),
        Box::new(Fill { at: at() }),
    ];
    steps.extend(replace);
    if plan.mode == Mode::Hot {
        steps.push(Box::new(Load { at: at() })); // in a container that nobody else reaches
        steps.push(Box::new(Unload { at: at() }));
    }
    let begin: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(Settle { at: at() }),
        Box::new(Create { at: at(), from: From::Snapshot }),
        Box::new(Start { at: at(), puts_data_back: false }),
    ];
    steps.extend(begin);
    if !plan.no_checks {
        steps.push(Box::new(Await { at: at(), expects: Expects::Snapshot }));
        if plan.proves_keys {
            steps.push(Box::new(ProveKeys { at: at() }));
        }
        let baseline = if of_another { Baseline::SnapshotOfAnother } else { Baseline::Snapshot };
        steps.push(Box::new(Check { at: at(), baseline }));
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

/// What a person wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The instance that is put back.
    pub instance: InstanceName,
    /// Whose snapshot, where that is another's: then what the container is, and its settings, stay as they are.
    pub of: Option<InstanceName>,
    /// Which one.
    pub selector: Selector,
    /// See [`RestorePlan::no_checks`].
    pub no_checks: bool,
}

/// Plans a restore. Makes no state-changing call.
pub async fn plan(tools: &Tools, wanted: &Wanted) -> Result<RestorePlan, RestoreError> {
    let Wanted { instance: target, of, selector, no_checks } = wanted;
    let container = tools.instance(target)?.container().to_owned();
    let instance = of.as_ref().unwrap_or(target);
    // What an upgrade of the other one did is nothing to go back from here.
    let selector = if of.is_some() && *selector == Selector::Auto { &Selector::Latest } else { selector };
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
    if of.is_some() {
        warnings.extend(foreign(instance, target));
    }
    for entry in &listed {
        if let ManifestEntry::Broken { key, reason } = entry {
            warnings.push(format!("{key} was passed over: {reason}"));
        }
    }
    Ok(RestorePlan {
        instance: target.clone(),
        container,
        of: of.clone(),
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
        no_checks: *no_checks,
        // The sessions of the one must not open the other.
        empty_cache: of.is_some() || tools.settings.empty_cache,
        proves_keys: true,
    })
}

/// What somebody should know before he puts the data of one instance into another.
fn foreign(of: &InstanceName, target: &InstanceName) -> [String; 3] {
    [
        format!(
            "its data sources hold the credentials of `{of}`: every query that runs on `{target}` from then on reads and \
             writes the databases of `{of}`"
        ),
        format!(
            "its Git keys are those of `{of}`, too: a commit or a pull on `{target}` pushes to the same repositories"
        ),
        format!("people log in to `{target}` with their accounts of `{of}`; who is logged in now is logged out"),
    ]
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
