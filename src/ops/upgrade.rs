//! Upgrades the instances of the pipeline, one after the other, each behind the gate of the one before.
//!
//! Read `steps` from top to bottom: it is the product in one list. What each step does, and how it is undone, is
//! in [`super::steps`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::notes::Notes;
use super::steps::{
    At, Await, Baseline, Check, Create, Expects, Finish, From, Gate, Look, Manner, Open, Park, Publish, Pull, Purpose,
    Read, Reopen, Rest, Start, Verify,
};
use super::{Tools, UnknownInstance};
use crate::engine::EngineError;
use crate::instance::NoWay;
use crate::model::ids::InstanceName;
use crate::model::manifest::Reason;
use crate::model::version::Version;
use crate::workflow::{RunState, Step, StepState};

/// What an upgrade run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradePlan {
    /// The image with its tag.
    pub reference: String,
    /// The version as it was asked for.
    pub version: String,
    /// The instances that are upgraded, in order.
    pub stages: Vec<StagePlan>,
    /// The instances that run on that image already.
    pub skipped: Vec<InstanceName>,
    /// Without gate and without checks.
    pub forced: bool,
    /// Why it is forced, for the journal.
    pub why: Option<String>,
}

/// One instance of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePlan {
    /// Which.
    pub instance: InstanceName,
    /// Its container.
    pub container: String,
    /// The image that it runs on now, as the operator wrote it.
    pub from: String,
    /// The stage that must have passed before.
    pub gate: Option<InstanceName>,
    /// Behind that gate it also waits for the approval of a person.
    #[serde(default)]
    pub approval: bool,
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &UpgradePlan) -> Vec<Box<dyn Step<Notes>>> {
    let instances: Vec<InstanceName> = plan.stages.iter().map(|stage| stage.instance.clone()).collect();
    let pull = Pull { tools: tools.clone(), reference: plan.reference.clone(), instances: instances.clone() };
    let mut steps: Vec<Box<dyn Step<Notes>>> = vec![Box::new(pull)];
    for (stage, one) in plan.stages.iter().enumerate() {
        let at = || At { tools: tools.clone(), instance: one.instance.clone(), stage };
        let reason = || Reason::BeforeUpgrade { to: plan.version.clone() };
        if let (Some(previous), false) = (&one.gate, plan.forced) {
            steps.push(Box::new(Gate { at: at(), previous: previous.clone(), approval: one.approval }));
        }
        steps.push(Box::new(Look { at: at(), purpose: Purpose::Upgrade { forced: plan.forced } }));
        steps.push(Box::new(Rest { at: at(), manner: Manner::Upgrade })); // users are out from here
        steps.push(Box::new(Read { at: at() }));
        steps.push(Box::new(Verify { at: at(), reason: reason(), tags: Vec::new() }));
        steps.push(Box::new(Publish { at: at(), reason: reason(), tags: Vec::new() }));
        steps.push(Box::new(Park { at: at() }));
        steps.push(Box::new(Create { at: at(), from: From::Target }));
        steps.push(Box::new(Start { at: at(), puts_data_back: true })); // data may be migrated from here
        steps.push(Box::new(Await { at: at(), expects: Expects::Target }));
        if !plan.forced {
            steps.push(Box::new(Check { at: at(), baseline: Baseline::Before }));
        }
        steps.push(Box::new(Reopen { at: at(), counts: !plan.forced })); // nothing of this stage is undone from here
        steps.push(Box::new(Open { at: at() }));
    }
    steps.push(Box::new(Finish { tools: tools.clone(), instances }));
    steps
}

/// An upgrade that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// It is not configured.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// Nothing says where images come from.
    #[error("`pipeline.image` is not configured, so `{version}` names no image")]
    NoImage {
        /// What was asked for.
        version: String,
    },
    /// A tag that moves cannot be gated.
    #[error("`{version}` is a tag that moves; name a version such as `v2.5.1`")]
    MovingTag {
        /// What was asked for.
        version: String,
    },
    /// Forcing is for one instance, named.
    #[error("--force needs --only INSTANCE: it switches the checks off")]
    ForceNeedsOne,
    /// It does not belong to the pipeline.
    #[error("`{instance}` is not a stage of the pipeline")]
    NoStage {
        /// What was asked for.
        instance: InstanceName,
    },
    /// There is nothing to upgrade.
    #[error("there is no container `{container}` for `{instance}`")]
    NoContainer {
        /// Which.
        instance: InstanceName,
        /// Its name.
        container: String,
    },
    /// The versions do not allow it.
    #[error("{0}")]
    NoWay(#[from] NoWay),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

/// Plans an upgrade. Makes no state-changing call.
pub async fn plan(
    tools: &Tools,
    version: &str,
    only: Option<&InstanceName>,
    forced: bool,
    why: Option<String>,
) -> Result<UpgradePlan, UpgradeError> {
    let image = tools.settings.image.clone();
    let image = image.ok_or_else(|| UpgradeError::NoImage { version: version.to_owned() })?;
    let target = Version::parse(version).map_err(|_| UpgradeError::MovingTag { version: version.to_owned() })?;
    if forced && only.is_none() {
        return Err(UpgradeError::ForceNeedsOne);
    }
    let reference = format!("{image}:{version}");
    let local = tools.engine.image(&reference).await?;
    let (mut stages, mut skipped) = (Vec::new(), Vec::new());
    for (index, instance) in tools.settings.stages.iter().enumerate() {
        if only.is_some_and(|only| only != instance) {
            continue;
        }
        let adapter = tools.instance(instance)?;
        let container = adapter.container().to_owned();
        let Some(view) = tools.engine.find(&container).await? else {
            return Err(UpgradeError::NoContainer { instance: instance.clone(), container });
        };
        if local.as_ref().is_some_and(|local| local.id == view.image_id) {
            skipped.push(instance.clone());
            continue;
        }
        let tag =
            view.image_ref.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag.to_owned());
        let running = tag.and_then(|tag| Version::parse(&tag).ok());
        if let Some(running) = running {
            let hops = adapter.hops(&running, &target)?;
            if let [first, _, ..] = hops.as_slice() {
                let reason = format!("{first} has to come first: upgrade to it, then to {target}");
                return Err(NoWay { from: running, to: target, reason }.into());
            }
        }
        let gate = index.checked_sub(1).map(|previous| tools.settings.stages[previous].clone());
        let approval = gate.is_some() && !forced && tools.settings.approval.contains(instance);
        stages.push(StagePlan { instance: instance.clone(), container, from: view.image_ref, gate, approval });
    }
    if let (Some(only), true, true) = (only, stages.is_empty(), skipped.is_empty()) {
        return Err(UpgradeError::NoStage { instance: only.clone() });
    }
    Ok(UpgradePlan { reference, version: version.to_owned(), stages, skipped, forced, why })
}

/// What to do with an upgrade that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Go on from where it was.
    GoOn,
    /// Undo what may be undone.
    RollBack(String),
}

/// After a crash the *phase* decides. (a) The new image never started: back, the data is untouched. (b) It started
/// and is not reopened: if its container still runs, its ready gate goes on, because a migration is never cut off by a
/// crash of ours; else back with the data. (c) Reopened: on.
pub(super) async fn recover(tools: &Tools, plan: &UpgradePlan, state: &RunState) -> Result<Recovery, EngineError> {
    let touched = |stage: &StagePlan, verb: &str| {
        state.state_of(&format!("{verb} {}", stage.instance)).is_some_and(|state| state != StepState::Pending)
    };
    let open = plan.stages.iter().enumerate().filter(|(index, _)| !state.is_reopened(*index));
    for (_, stage) in open {
        if touched(stage, "start") {
            let runs = tools.engine.find(&stage.container).await?.is_some_and(|view| view.is_up());
            let gone = format!("the new container of `{}` does not run any more", stage.instance);
            return Ok(if runs { Recovery::GoOn } else { Recovery::RollBack(gone) });
        }
        if touched(stage, "rest") {
            return Ok(Recovery::RollBack(format!(
                "it was cut off before the new image of `{}` was started",
                stage.instance
            )));
        }
    }
    let any_reopened = (0..plan.stages.len()).any(|stage| state.is_reopened(stage));
    if any_reopened {
        Ok(Recovery::GoOn)
    } else {
        Ok(Recovery::RollBack("it was cut off before it touched anything".into()))
    }
}
