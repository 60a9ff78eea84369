//! Takes up runs that exist: cut off, stuck, or waiting for a person.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Plan, RunError, RunReport, carry_on, cx, no_open_run, plan_of, until_asked};
use crate::model::gate::Approval;
use crate::model::ids::{InstanceName, RunId};
use crate::ops::Tools;
use crate::ops::approve::{self, is_over};
use crate::ops::history::{self, Story};
use crate::ops::lock::Locks;
use crate::ops::notes::Notes;
use crate::ops::restore::RestorePlan;
use crate::ops::undo::UndoPlan;
use crate::ops::upgrade::{self, Recovery};
use crate::workflow::{
    Event, EventSink, FileJournal, Header, Journal, Outcome, Record, RunCx, RunState, StepState, chain, shapes,
};

/// Why a run that exists goes on.
#[derive(Clone, Debug)]
pub enum Resume {
    /// It was cut off, or is stuck and its undos are to be tried again, or it waits and is to look again at what for.
    TakeUp,
    /// A person lets it go on.
    Approve(Approval),
    /// It waits, and is to end here. What it has done and opened to users stays.
    Reject {
        /// By whom and why.
        why: String,
    },
    /// As `Reject`, if its time to be approved is over; else nothing is done.
    Expire,
}

/// Goes on with a run: takes it up, or carries out what a person said to it. What is finished is left alone.
///
/// Not cancel safe: ask it to stop through `cancel`; it then undoes what it has done.
pub async fn resume(
    tools: &Arc<Tools>,
    run: &RunId,
    how: Resume,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
) -> Result<RunReport, RunError> {
    resume_through(tools, run, how, events, cancel, |journal| journal).await
}

/// As [`resume`], with the journal seen through a decorator.
pub async fn resume_through<J: Journal<Notes>>(
    tools: &Arc<Tools>,
    run: &RunId,
    how: Resume,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
    through: impl FnOnce(FileJournal<Notes>) -> J,
) -> Result<RunReport, RunError> {
    let Story { header, .. } = history::story(&tools.state, run)?;
    let (plan, cancel) = (plan_of(&header)?, cancel.child_token());
    for instance in plan.instances() {
        tools.instance(&instance)?;
    }
    same_containers(tools, run, &plan)?;
    let locks = Arc::new(Locks::take(tools, run, &plan.instances()).await?);
    let driven = async {
        // Opened only under the lock: another process may have ended it a moment ago.
        let mut journal = through(FileJournal::open(&tools.state.journal(run))?);
        let steps = plan.steps(tools);
        let names: Vec<String> = steps.iter().map(|step| step.name()).collect();
        if names != header.steps {
            return Err(RunError::OtherVersion { run: run.clone(), reason: "its steps are others".into() });
        }
        events.emit(Event::RunStarted { run: run.to_string(), workflow: header.workflow.clone() });
        let now = || (tools.now)().to_string();
        let shapes = shapes(&steps);
        let cut_off = |source| RunError::CutOff { run: run.clone(), source };
        let cx = cx(tools, run, events.clone(), cancel.clone(), locks.clone());
        let state = RunState::replay(&shapes, journal.records()).map_err(|error| cut_off(error.into()))?;
        if let Some(step) = state.waiting().filter(|_| !state.is_rolling_back()) {
            no_open_run(tools, run, &plan)?;
            match how {
                // It looks again at what it waits for. After an approval that was cut off it goes on by that.
                Resume::TakeUp => {}
                Resume::Approve(approval) => journal.append(&Record::Approved { step, at: now(), approval }).await?,
                Resume::Reject { why } => journal.append(&Record::Failed { step, at: now(), error: why }).await?,
                // Somebody may have looked again or approved it since the daemon saw that its time was over.
                Resume::Expire => match journal.records().last() {
                    Some(Record::Waiting { wait, .. }) if is_over(wait, (tools.now)()) => {
                        let error = "nobody approved it in time".to_owned();
                        journal.append(&Record::Failed { step, at: now(), error }).await?;
                    }
                    _ => {
                        let how = "its time is not over".to_owned();
                        return Err(RunError::WaitsForNobody { run: run.clone(), how });
                    }
                },
            }
        } else if !matches!(how, Resume::TakeUp) {
            let how = state.finished().map_or_else(|| "it is at work".to_owned(), approve::ended);
            return Err(RunError::WaitsForNobody { run: run.clone(), how });
        } else if state.finished() == Some(Outcome::Stuck) {
            // That of a promotion sees for itself whether somebody has come after it.
            if !matches!(plan, Plan::Promote(_)) {
                nothing_came_after(tools, &header, &plan)?;
            }
            journal.append(&Record::RetryUndo { at: now() }).await?;
        } else if state.finished().is_none() && !state.is_rolling_back() {
            let recovery = match &plan {
                // A snapshot unwinds: the instance runs again, and the next one is taken later.
                Plan::Snapshot(_) => Recovery::RollBack("it was cut off".into()),
                Plan::Upgrade(plan) => upgrade::recover(tools, plan, &state).await?,
                // Every step finds out what is done already.
                Plan::Promote(_) => Recovery::GoOn,
                Plan::Restore(RestorePlan { instance, container, .. })
                | Plan::Undo(UndoPlan { instance, container, .. }) => {
                    go_on(tools, &cx, &state, instance, container).await?
                }
            };
            if let Recovery::RollBack(reason) = recovery {
                journal.append(&Record::RollBack { at: now(), reason }).await?;
            }
        }
        carry_on(tools, run, &steps, &mut journal, &cx).await
    };
    let driven = until_asked(tools, run, &plan, &*events, &cancel, driven).await;
    locks.release().await;
    driven
}

/// A restore goes on, and so does an undo: what was there is safe. A reboot has left its container down.
async fn go_on(
    tools: &Tools,
    cx: &RunCx,
    state: &RunState,
    instance: &InstanceName,
    container: &str,
) -> Result<Recovery, RunError> {
    let is_done = |verb: &str| state.state_of(&format!("{verb} {instance}")) == Some(StepState::Done);
    if !is_done("start") {
        return Ok(Recovery::GoOn);
    }
    tools.engine.start(container).await?;
    // What it was waited for before may have gone since; the checks that come next are of an app that is ready.
    if is_done("wait for") && !state.is_reopened(0) {
        let (adapter, tell) = (tools.instance(instance)?, |text| cx.note(text));
        tokio::select! {
            ready = adapter.ready(&*tools.engine, None, &tell) => {
                if let Err(error) = ready {
                    cx.warn(format!("{}; the checks will tell", chain(&error)));
                }
            }
            () = cx.cancel.cancelled() => {}
        }
    }
    Ok(Recovery::GoOn)
}

/// The undos of an old run would put its old data over what came after it.
fn nothing_came_after(tools: &Tools, header: &Header, plan: &Plan) -> Result<(), RunError> {
    let later = history::runs(&tools.state)?.into_iter().flatten().find(|other| {
        let shares = other.instances.iter().any(|instance| plan.instances().contains(instance));
        other.run != header.run && other.started_at > header.started_at && shares && !other.reopened.is_empty()
    });
    later.map_or(Ok(()), |later| Err(RunError::Overtaken { run: header.run.clone(), by: later.run }))
}

/// The configuration may have changed since the run began; its undos must not touch other containers.
fn same_containers(tools: &Tools, run: &RunId, plan: &Plan) -> Result<(), RunError> {
    for (instance, container) in plan.containers() {
        let now = tools.instance(&instance)?.container();
        if now != container {
            let reason = format!("`{instance}` was the container `{container}` then and is `{now}` now");
            return Err(RunError::OtherVersion { run: run.clone(), reason });
        }
    }
    Ok(())
}
