//! Begins runs, and takes up those that were cut off ([`resume`]). The same for every workflow.

mod patience;
mod resume;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::album;
use super::give_way;
use super::history::{self, RunSummary};
use super::lock::{LockError, Locks};
use super::notes::Notes;
use super::promote::{self, PromotePlan};
use super::restore::{self, RestorePlan};
use super::snapshot::{self, SnapshotPlan};
use super::state::StateError;
use super::told::Keeping;
use super::undo::{self, UndoPlan};
use super::upgrade::{self, UpgradePlan};
use super::{Tools, UnknownInstance};
use crate::engine::EngineError;
use crate::model::ids::{BadName, InstanceName, RunId};
use crate::workflow::{
    DriveError, Event, EventSink, FileJournal, Header, JOURNAL_FORMAT, Journal, JournalError, Occasion, Outcome,
    Record, RunCx, Step, StepError, drive,
};
pub use patience::{hiccup, outage};
pub use resume::{Resume, resume, resume_through};

/// What a run does, as its journal keeps it. `--dry-run` prints it, and a run carries it out: the very same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "workflow", rename_all = "snake_case")]
pub enum Plan {
    /// Take a snapshot of one instance.
    Snapshot(SnapshotPlan),
    /// Upgrade the pipeline, or one stage of it.
    Upgrade(UpgradePlan),
    /// Put one instance back.
    Restore(RestorePlan),
    /// Undo a restore.
    Undo(UndoPlan),
    /// Bring one app from staging to production.
    Promote(Box<PromotePlan>),
}

impl Plan {
    /// The workflow's name and the version of its step list.
    pub fn workflow(&self) -> (&'static str, u32) {
        match self {
            Self::Snapshot(_) => ("snapshot", 1),
            Self::Upgrade(_) => ("upgrade", 1),
            Self::Restore(_) => ("restore", 1),
            Self::Undo(_) => ("undo", 1),
            Self::Promote(_) => ("promote", 1),
        }
    }

    /// The instances that it is about; their locks are held while it runs.
    pub fn instances(&self) -> Vec<InstanceName> {
        match self {
            Self::Snapshot(plan) => vec![plan.instance.clone()],
            Self::Restore(plan) => vec![plan.instance.clone()],
            Self::Undo(plan) => vec![plan.instance.clone()],
            // Both must stay what they are: neither upgraded nor put back in the meantime.
            Self::Promote(plan) => {
                let mut both = vec![plan.staging.instance.clone(), plan.production.instance.clone()];
                both.sort();
                both.dedup();
                both
            }
            // Also the stages behind whose gate it waits, so that they stay what the gate saw.
            Self::Upgrade(plan) => {
                let mut all: Vec<InstanceName> = plan.stages.iter().map(|stage| stage.instance.clone()).collect();
                all.extend(plan.stages.iter().filter_map(|stage| stage.gate.clone()));
                all.sort();
                all.dedup();
                all
            }
        }
    }

    /// The containers that it changes, by instance.
    fn containers(&self) -> Vec<(InstanceName, String)> {
        match self {
            Self::Snapshot(plan) => vec![(plan.instance.clone(), plan.container.clone())],
            Self::Restore(plan) => vec![(plan.instance.clone(), plan.container.clone())],
            Self::Undo(plan) => vec![(plan.instance.clone(), plan.container.clone())],
            Self::Promote(_) => Vec::new(),
            Self::Upgrade(plan) => {
                plan.stages.iter().map(|stage| (stage.instance.clone(), stage.container.clone())).collect()
            }
        }
    }

    /// Its steps, in order.
    pub fn steps(&self, tools: &Arc<Tools>) -> Vec<Box<dyn Step<Notes>>> {
        match self {
            Self::Snapshot(plan) => snapshot::steps(tools, plan),
            Self::Upgrade(plan) => upgrade::steps(tools, plan),
            Self::Restore(plan) => restore::steps(tools, plan),
            Self::Undo(plan) => undo::steps(tools, plan),
            Self::Promote(plan) => promote::steps(tools, plan),
        }
    }
}

/// A run that cannot begin or go on. Nothing was touched, or the journal says what was.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another run has an instance.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// The state directory failed.
    #[error("{0}")]
    State(#[from] StateError),
    /// The journal failed.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The run is open: `tidegate resume` takes it up.
    #[error("run {run} was cut off")]
    CutOff {
        /// Which.
        run: RunId,
        /// Why.
        #[source]
        source: DriveError,
    },
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// An instance has vanished from the configuration.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// A later run has changed what its undos would put back.
    #[error("run {run} is stuck, and {by} has brought its instance on since; its undos would put old data over that")]
    Overtaken {
        /// The stuck run.
        run: RunId,
        /// The later one.
        by: RunId,
    },
    /// The journal is of another version of this program, or of another configuration.
    #[error("run {run} was begun by another version or configuration of tidegate: {reason}")]
    OtherVersion {
        /// Which.
        run: RunId,
        /// What differs.
        reason: String,
    },
    /// An instance has an open run already.
    #[error("run {} on `{instance}` was cut off and has to be ended first", open.run)]
    OpenRun {
        /// Which instance.
        instance: InstanceName,
        /// The run.
        open: Box<RunSummary>,
    },
    /// An upgrade of that instance waits for a person.
    #[error("{run} waits for a person before it goes on with `{instance}`")]
    Waits {
        /// Which instance.
        instance: InstanceName,
        /// The upgrade.
        run: RunId,
    },
    /// It does not wait, so there is nothing to approve and nothing to reject.
    #[error("{run} does not wait for anybody: {how}")]
    WaitsForNobody {
        /// Which.
        run: RunId,
        /// How it ended, or that it is at work.
        how: String,
    },
    /// A name that cannot be made.
    #[error("{0}")]
    Name(#[from] BadName),
}

/// How a run ended.
#[derive(Debug)]
pub struct RunReport {
    /// The run.
    pub summary: RunSummary,
    /// How; `None` for one that waits for a person ([`RunSummary::waiting`]).
    pub outcome: Option<Outcome>,
    /// The step that gave up with its typed reason, if that was in this process.
    pub failure: Option<(String, StepError)>,
    /// Whether any instance had been touched by it when it failed.
    pub touched: bool,
    /// Whether somebody asked it to stop.
    pub cancelled: bool,
    /// Whether that was a restore, which goes first.
    pub gave_way: bool,
}

/// Begins a run and drives it to its end.
///
/// Not cancel safe: ask it to stop through `cancel`; it then undoes what it has done.
pub async fn begin(
    tools: &Arc<Tools>,
    plan: &Plan,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
) -> Result<RunReport, RunError> {
    begin_for(tools, plan, None, events, cancel, |journal| journal).await
}

/// As [`begin`], for one moment of a schedule.
pub async fn begin_scheduled(
    tools: &Arc<Tools>,
    plan: &Plan,
    occasion: Occasion,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
) -> Result<RunReport, RunError> {
    begin_for(tools, plan, Some(occasion), events, cancel, |journal| journal).await
}

/// As [`begin`], with the journal seen through a decorator.
pub async fn begin_through<J: Journal<Notes>>(
    tools: &Arc<Tools>,
    plan: &Plan,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
    through: impl FnOnce(FileJournal<Notes>) -> J,
) -> Result<RunReport, RunError> {
    begin_for(tools, plan, None, events, cancel, through).await
}

async fn begin_for<J: Journal<Notes>>(
    tools: &Arc<Tools>,
    plan: &Plan,
    occasion: Option<Occasion>,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
    through: impl FnOnce(FileJournal<Notes>) -> J,
) -> Result<RunReport, RunError> {
    tools.state.has_room()?;
    let run = new_run_id(tools, plan)?;
    let locks = match plan {
        Plan::Restore(plan) => give_way::take(tools, &run, &plan.instance, &*events, &cancel).await?,
        Plan::Snapshot(plan) => {
            give_way::nobody_asks(tools, &plan.instance)?;
            Locks::take(tools, &run, std::slice::from_ref(&plan.instance)).await?
        }
        _ => Locks::take(tools, &run, &plan.instances()).await?,
    };
    let (locks, cancel) = (Arc::new(locks), cancel.child_token());
    let driven = async {
        no_open_run(tools, &run, plan)?;
        album::drop_old(tools).await;
        let steps = plan.steps(tools);
        let (workflow, version) = plan.workflow();
        let header = Header {
            format: JOURNAL_FORMAT,
            run: run.clone(),
            workflow: workflow.into(),
            version,
            steps: steps.iter().map(|step| step.name()).collect(),
            parameters: parameters(plan),
            started_at: (tools.now)().to_string(),
            occasion,
        };
        let mut journal = through(FileJournal::create(&tools.state.journal(&run), &header)?);
        events.emit(Event::RunStarted { run: run.to_string(), workflow: workflow.into() });
        let cx = cx(tools, &run, events.clone(), cancel.clone(), locks.clone());
        carry_on(tools, &run, &steps, &mut journal, &cx).await
    };
    let driven = until_asked(tools, &run, plan, &*events, &cancel, driven).await;
    locks.release().await;
    driven
}

/// Drives a run to its end; a snapshot is stopped when a restore asks it to give way, and undoes what it has done.
async fn until_asked(
    tools: &Tools,
    run: &RunId,
    plan: &Plan,
    events: &dyn EventSink,
    cancel: &CancellationToken,
    driven: impl Future<Output = Result<RunReport, RunError>>,
) -> Result<RunReport, RunError> {
    let Plan::Snapshot(plan) = plan else { return driven.await };
    tokio::pin!(driven);
    tokio::select! {
        ended = &mut driven => return ended,
        () = give_way::is_asked_to(tools, run, &plan.instance) => {}
    }
    let text = format!("a restore asks for `{}`: the snapshot gives way", plan.instance);
    events.emit(Event::Note { text, warning: true });
    cancel.cancel();
    let report = driven.await?;
    Ok(RunReport { gave_way: report.outcome == Some(Outcome::RolledBack), ..report })
}

/// The runs of this host that have not ended, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Unended {
    /// Those at work, and those that were cut off.
    pub open: Vec<RunSummary>,
    /// Those that wait for a person.
    pub waiting: Vec<RunSummary>,
}

/// Looks for the runs that have not ended. A journal that cannot be read may be that of an open run, so it is an error;
/// one without a complete first line is that of a run that never began.
pub fn unended_runs(tools: &Tools) -> Result<Unended, RunError> {
    let mut unended = Unended::default();
    for run in history::unended(&tools.state)? {
        match run {
            Ok(run) if run.is_open() => unended.open.push(run),
            Ok(run) if run.waiting.is_some() => unended.waiting.push(run),
            Ok(_) | Err(JournalError::Empty { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unended)
}

/// The open ones of [`unended_runs`].
pub fn open_runs(tools: &Tools) -> Result<Vec<RunSummary>, RunError> {
    Ok(unended_runs(tools)?.open)
}

/// The plan that a journal keeps.
pub fn plan_of(header: &Header) -> Result<Plan, RunError> {
    serde_json::from_value(header.parameters.clone())
        .map_err(|error| RunError::OtherVersion { run: header.run.clone(), reason: error.to_string() })
}

async fn carry_on(
    tools: &Arc<Tools>,
    run: &RunId,
    steps: &[Box<dyn Step<Notes>>],
    journal: &mut impl Journal<Notes>,
    cx: &RunCx,
) -> Result<RunReport, RunError> {
    let driven = drive(steps, journal, cx, Notes::default()).await;
    let driven = driven.map_err(|source| RunError::CutOff { run: run.clone(), source })?;
    let story = history::story(&tools.state, run)?;
    // A merge that ended was pushed; one that did not may have been refused, and is looked for before it is undone.
    let verb_of = |step: &usize| story.header.steps.get(*step).and_then(|name| name.split(' ').next());
    let began = |record: &Record<Notes>| match record {
        Record::Started { step, .. } => verb_of(step) == Some("rest"),
        Record::Done { step, .. } => verb_of(step) == Some("merge"),
        _ => false,
    };
    let touched = story.records.iter().any(began);
    Ok(RunReport {
        summary: history::with_what_came_after(&tools.state, history::summary(&story)),
        outcome: driven.outcome,
        failure: driven.failure,
        touched,
        cancelled: cx.cancel.is_cancelled(),
        gave_way: false,
    })
}

fn cx(tools: &Tools, run: &RunId, events: Arc<dyn EventSink>, cancel: CancellationToken, guard: Arc<Locks>) -> RunCx {
    let events = Arc::new(Keeping::new(&tools.state, run, tools.now, events));
    RunCx {
        run: run.clone(),
        cancel,
        events,
        guard,
        retry: tools.settings.retry.clone(),
        clock: tools.now,
        approval: None,
        undo_failed: Vec::new(),
        undone: Vec::new(),
    }
}

/// Two runs on one instance would each undo the other's work. One that waits for a person stands in nobody's way but
/// that of another upgrade: it looks again before it goes on.
fn no_open_run(tools: &Tools, run: &RunId, plan: &Plan) -> Result<(), RunError> {
    let shared = |other: &RunSummary| plan.instances().into_iter().find(|instance| other.instances.contains(instance));
    let Unended { open, waiting } = unended_runs(tools)?;
    for open in open.into_iter().filter(|open| open.run != *run) {
        if let Some(instance) = shared(&open) {
            return Err(RunError::OpenRun { instance, open: Box::new(open) });
        }
    }
    if let Plan::Upgrade(_) = plan {
        for waiting in waiting.into_iter().filter(|waiting| waiting.run != *run) {
            if let Some(instance) = shared(&waiting) {
                return Err(RunError::Waits { instance, run: waiting.run });
            }
        }
    }
    Ok(())
}

fn parameters(plan: &Plan) -> serde_json::Value {
    // Plain data with string keys always serialises; a journal without a plan would be refused by `plan_of`.
    serde_json::to_value(plan).unwrap_or_default()
}

fn new_run_id(tools: &Tools, plan: &Plan) -> Result<RunId, BadName> {
    let time = (tools.now)().strftime("%Y%m%d-%H%M%S").to_string();
    RunId::new(format!("{}-{time}-{:04x}", plan.workflow().0, rand::random::<u16>()))
}
