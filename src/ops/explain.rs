//! What stands in the way of the next run on an instance, and what of it lifts when. Changes nothing.

use serde::Serialize;

use super::gate;
use super::history::{self, RunSummary};
use super::lock::{self, LockError};
use super::run::{self, RunError, Unended};
use super::state::StateError;
use super::{Tools, UnknownInstance};
use crate::engine::EngineError;
use crate::model::gate::weigh;
use crate::model::ids::{ImageId, InstanceName};
use crate::workflow::Outcome;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matter {
    /// What it stands in the way of.
    pub blocks: Blocks,
    /// What was seen.
    pub text: String,
    /// When it lifts, or what lifts it.
    pub lifts: Option<String>,
    /// What to type.
    pub command: Option<String>,
}

/// What a matter stands in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// Nothing: it is as it should be.
    Nothing,
    /// The next upgrade.
    Upgrades,
    /// Every run.
    Everything,
}

/// It cannot be found out.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// It is not configured.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// The state directory failed.
    #[error("{0}")]
    State(#[from] StateError),
    /// A journal cannot be read.
    #[error("{0}")]
    Run(#[from] RunError),
    /// The lock cannot be looked at.
    #[error("{0}")]
    Lock(#[from] LockError),
}

impl Matter {
    fn fine(text: String) -> Self {
        Self { blocks: Blocks::Nothing, text, lifts: None, command: None }
    }
}

/// Looks at runs, lock, container and gate of an instance. Neither the store nor the app is asked.
pub async fn explain(tools: &Tools, instance: &InstanceName) -> Result<Vec<Matter>, ExplainError> {
    let container = tools.instance(instance)?.container().to_owned();
    let unended = run::unended_runs(tools)?;
    // While an upgrade waits before it there is no next one to speak of.
    let waits = unended.waiting.iter().any(|run| run.instances.contains(instance));
    let mut matters = runs(tools, instance, unended).await?;
    let view = tools.engine.find(&container).await?;
    let image = view.as_ref().map(|view| view.image_id.clone());
    match view {
        None => matters.push(Matter {
            blocks: Blocks::Upgrades,
            text: format!("there is no container `{container}`"),
            lifts: Some("once there is one; a restore makes it".into()),
            command: Some(format!("tidegate restore {instance}")),
        }),
        Some(view) if !view.is_up() => matters.push(Matter {
            blocks: Blocks::Upgrades,
            text: format!("its container `{container}` does not run"),
            lifts: Some("once it runs and answers".into()),
            command: Some(format!("docker start {container}")),
        }),
        Some(view) if view.auto_remove => matters.push(Matter {
            blocks: Blocks::Everything,
            text: format!("`{container}` was started with --rm: a stop would remove it"),
            lifts: Some("once it was started without --rm".into()),
            command: None,
        }),
        Some(view) if view.health.as_deref() == Some("unhealthy") => matters.push(Matter {
            blocks: Blocks::Upgrades,
            text: format!("the engine says that `{container}` is unhealthy"),
            lifts: Some("once it answers; an upgrade asks the app itself".into()),
            command: Some(format!("docker logs --tail 50 {container}")),
        }),
        Some(view) => matters.push(Matter::fine(format!("`{container}` runs on {}", view.image_ref))),
    }
    if let Some(previous) = previous_stage(tools, instance).filter(|_| !waits) {
        matters.extend(gate(tools, instance, &previous, image).await?);
    }
    Ok(matters)
}

/// The stage that must have passed before an instance is upgraded.
pub fn previous_stage(tools: &Tools, instance: &InstanceName) -> Option<InstanceName> {
    let index = tools.settings.stages.iter().position(|stage| stage == instance)?;
    Some(tools.settings.stages[index.checked_sub(1)?].clone())
}

async fn runs(tools: &Tools, instance: &InstanceName, unended: Unended) -> Result<Vec<Matter>, ExplainError> {
    let held = lock::is_free(tools, instance).await?;
    let here = |runs: Vec<RunSummary>| runs.into_iter().filter(|run| run.instances.contains(instance));
    let open: Vec<RunSummary> = here(unended.open).collect();
    let mut matters = Vec::new();
    for run in &open {
        let at = run.at_step.as_deref().unwrap_or("its beginning");
        matters.push(match &held {
            Some(owner) if owner.run == run.run.as_str() => Matter {
                blocks: Blocks::Everything,
                text: format!(
                    "{} goes on (pid {} on {}, since {}), at {at}",
                    run.run, owner.pid, owner.host, owner.taken_at
                ),
                lifts: Some("when it ends".into()),
                command: Some(format!("tidegate logs {}", run.run)),
            },
            _ => Matter {
                blocks: Blocks::Everything,
                text: format!("{} was cut off at {at}", run.run),
                lifts: Some("once it is taken up and ended; it puts service back by itself".into()),
                command: Some(format!("tidegate resume {}", run.run)),
            },
        });
    }
    for run in here(unended.waiting) {
        let Some(wait) = run.waiting else { continue };
        matters.push(Matter {
            blocks: Blocks::Upgrades,
            text: format!("{} waits: {}", run.run, wait.reason),
            lifts: Some(match wait.until.parse::<jiff::Timestamp>() {
                Ok(until) => {
                    format!("once a person approves or rejects it, or at {}", until.strftime("%Y-%m-%d %H:%M:%S UTC"))
                }
                Err(_) => "once a person approves or rejects it".into(),
            }),
            command: Some(format!("tidegate approve {} --reason WHY", run.run)),
        });
    }
    if let Some(owner) = held.filter(|owner| !open.iter().any(|run| run.run.as_str() == owner.run)) {
        matters.push(Matter {
            blocks: Blocks::Everything,
            text: format!(
                "run {} has its lock (pid {} on {}, since {})",
                owner.run, owner.pid, owner.host, owner.taken_at
            ),
            lifts: Some("when it ends".into()),
            command: None,
        });
    }
    let ended = |run: &RunSummary| run.instances.contains(instance) && run.outcome.is_some();
    if let Some(run) = history::runs(&tools.state)?.into_iter().flatten().rfind(ended)
        && run.outcome == Some(Outcome::Stuck)
    {
        let why = run.undo_failure.or(run.failure).unwrap_or_default();
        matters.push(Matter {
            blocks: Blocks::Upgrades,
            text: format!("{} is stuck, and both states are kept: {why}", run.run),
            lifts: Some("once a person has looked and its undos were tried again".into()),
            command: Some(format!("tidegate resume {}", run.run)),
        });
    }
    if matters.is_empty() {
        matters.push(Matter::fine("no run is open, and its lock is free".into()));
    }
    Ok(matters)
}

/// The next upgrade can only be to what the stage before runs on now; anything else goes through that stage first.
async fn gate(
    tools: &Tools,
    instance: &InstanceName,
    previous: &InstanceName,
    image: Option<ImageId>,
) -> Result<Vec<Matter>, ExplainError> {
    let Some(ahead) = tools.engine.find(tools.container(previous)).await? else {
        return Ok(vec![Matter {
            blocks: Blocks::Upgrades,
            text: format!("`{previous}`, the stage before, has no container, so nothing can pass there"),
            lifts: Some(format!("once `{previous}` runs and was upgraded")),
            command: Some(format!("tidegate restore {previous}")),
        }]);
    };
    if Some(&ahead.image_id) == image.as_ref() {
        let text =
            format!("`{previous}` and `{instance}` run on the same image; the next upgrade begins at `{previous}`");
        return Ok(vec![Matter::fine(text)]);
    }
    let version = ahead.image_ref.rsplit(':').next().unwrap_or("VERSION").to_owned();
    let facts = gate::facts(tools, previous, instance, ahead.image_id).await?;
    let expires = facts.expires_at();
    let all = weigh(&facts);
    let opens = all.iter().all(|condition| condition.holds);
    let mut matters: Vec<Matter> = all
        .into_iter()
        .map(|condition| Matter {
            blocks: if condition.holds { Blocks::Nothing } else { Blocks::Upgrades },
            text: format!("gate to {}: {}", ahead.image_ref, condition.text),
            command: if condition.holds { None } else { Some(format!("tidegate upgrade {version} --only {previous}")) },
            lifts: condition.lifts,
        })
        .collect();
    if opens {
        matters.push(Matter {
            blocks: Blocks::Nothing,
            text: format!("the gate to {} is open", ahead.image_ref),
            lifts: expires.map(|at| format!("stays so until {}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))),
            command: Some(format!("tidegate upgrade {version}")),
        });
    }
    Ok(matters)
}
