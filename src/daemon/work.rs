//! What the supervisor's tasks do: serve a schedule, take up a run. Each puts everything together anew, as a command
//! would, so that nothing stale is held for months, and each ends by itself soon after `cancel` fires.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use crate::app::{App, AppError, Repositories};
use crate::config::Config;
use crate::model::ids::RunId;
use crate::model::manifest::Reason;
use crate::ops::run::{self, Plan, Resume, RunError, RunReport};
use crate::ops::schedules::{Entry, Job};
use crate::ops::upgrade::UpgradeError;
use crate::ops::{UnknownInstance, snapshot, upgrade};
use crate::workflow::Occasion;

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Engine, store or configuration.
    #[error("{0}")]
    App(#[from] AppError),
    /// The run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// The plan.
    #[error("{0}")]
    Upgrade(#[from] UpgradeError),
    /// The plan.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// The daemon stops.
    #[error("the daemon stops")]
    Stopped,
}

/// How a moment was served.
#[derive(Debug)]
pub enum Served {
    /// By a run.
    Run(Box<RunReport>),
    /// There was nothing to do, and why.
    Nothing(String),
}

/// Serves one moment of an entry.
pub async fn serve(
    config: Arc<Config>,
    entry: Entry,
    planned_at: Timestamp,
    cancel: CancellationToken,
) -> Result<Served, WorkError> {
    let app = open(&config, Repositories::OpenOrInit, &cancel).await?;
    let plan = match &entry.job {
        Job::Snapshot(instance) => {
            let plan = snapshot::plan(&app.tools, instance, None, Vec::new())?;
            Plan::Snapshot(snapshot::SnapshotPlan { reason: Reason::Schedule, ..plan })
        }
        Job::Upgrade(version) => {
            let plan = upgrade::plan(&app.tools, version, None, false, None).await?;
            if plan.stages.is_empty() {
                return Ok(Served::Nothing(format!("everything runs on {version} already")));
            }
            Plan::Upgrade(plan)
        }
    };
    let occasion = Occasion { schedule: entry.key, planned_at };
    let report = run::begin_scheduled(&app.tools, &plan, occasion, Arc::new(Log), cancel).await?;
    Ok(Served::Run(Box::new(report)))
}

/// Goes on with an open run, or ends one that waits, if its lock is free.
pub async fn take_up(
    config: Arc<Config>,
    run: RunId,
    how: Resume,
    cancel: CancellationToken,
) -> Result<RunReport, WorkError> {
    let app = open(&config, Repositories::Unasked, &cancel).await?;
    Ok(run::resume(&app.tools, &run, how, Arc::new(Log), cancel).await?)
}

/// Nothing is touched yet, so this may be dropped.
async fn open(config: &Config, repositories: Repositories, cancel: &CancellationToken) -> Result<App, WorkError> {
    let opened = cancel.run_until_cancelled(App::open(config, repositories)).await;
    Ok(opened.ok_or(WorkError::Stopped)??)
}
