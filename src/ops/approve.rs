//! What a person says to an upgrade that waits at a gate: go on, or end here.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::history;
use super::run::{self, Plan, Resume, RunError, RunReport};
use super::steps::GateShut;
use super::upgrade::UpgradePlan;
use super::{Tools, gate};
use crate::engine::EngineError;
use crate::model::gate::{Approval, Condition, weigh};
use crate::model::ids::{InstanceName, RunId};
use crate::workflow::{EventSink, Header, JournalError, Outcome, Record, Wait};

/// What is put before a person.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// The run that waits.
    pub run: RunId,
    /// What it goes on with once it is approved.
    pub instance: InstanceName,
    /// The image with its tag.
    pub reference: String,
    /// What the gate saw just now; all of it holds.
    pub conditions: Vec<Condition>,
    /// What the approval is bound to.
    pub evidence: String,
    /// Until when it can be approved, RFC 3339.
    pub until: String,
    /// Until when an approval that is given now counts, RFC 3339.
    pub counts_until: String,
}

/// It cannot be approved. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// The run.
    #[error("{0}")]
    Run(#[from] RunError),
    /// Its journal.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The engine.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// What it rests on does not hold any more.
    #[error("{run} cannot be approved any more")]
    Shut {
        /// Which.
        run: RunId,
        /// What does not hold.
        #[source]
        source: GateShut,
    },
    /// It holds again, but not by what was put before a person.
    #[error("what {run} was to be approved by has changed since: it is {now} now and was {then}")]
    Changed {
        /// Which.
        run: RunId,
        /// The fingerprint that was put before a person, or that they named.
        then: String,
        /// The present one.
        now: String,
    },
}

/// Looks at what a waiting run is to be approved by. Changes nothing.
///
/// `seen` is the fingerprint that the person has looked at, if they name it.
pub async fn question(tools: &Tools, run: &RunId, seen: Option<&str>) -> Result<Question, ApproveError> {
    let story = history::story(&tools.state, run)?;
    let wait = waiting(&story.header, &story.records)?;
    let other = |reason: &str| RunError::OtherVersion { run: run.clone(), reason: reason.into() };
    let Plan::Upgrade(plan) = run::plan_of(&story.header)? else {
        return Err(other("only an upgrade waits").into());
    };
    let (instance, previous) = stage(&story.header, wait.0, &plan).ok_or_else(|| other("it waits at no gate"))?;
    let notes = story.records.iter().rev().find_map(Record::notes).cloned().unwrap_or_default();
    let target = notes.of(&instance).target.ok_or_else(|| other("it knows of no image"))?;
    let facts = gate::facts(tools, &previous, &instance, target.id).await?;
    let (conditions, shut) = weigh(&facts).into_iter().partition::<Vec<_>, _>(|condition| condition.holds);
    if !shut.is_empty() {
        return Err(ApproveError::Shut { run: run.clone(), source: GateShut { instance, shut } });
    }
    let now = facts.fingerprint();
    for then in [Some(wait.1.evidence.as_str()), seen].into_iter().flatten() {
        if then != now {
            return Err(ApproveError::Changed { run: run.clone(), then: then.to_owned(), now });
        }
    }
    let expires_at = facts.expires_at().unwrap_or(facts.now);
    let counts_until = facts.now.checked_add(tools.settings.approval_max_age).unwrap_or(expires_at).min(expires_at);
    Ok(Question {
        run: run.clone(),
        instance,
        reference: plan.reference,
        conditions,
        evidence: now,
        until: expires_at.to_string(),
        counts_until: counts_until.to_string(),
    })
}

/// Lets the run go on, and drives it to its end. The gate looks once more, under the locks, before it opens.
///
/// Not cancel safe: ask it to stop through `cancel`; it then undoes what it has done.
pub async fn approve(
    tools: &Arc<Tools>,
    question: &Question,
    by: String,
    reason: String,
    events: Arc<dyn EventSink>,
    cancel: CancellationToken,
) -> Result<RunReport, RunError> {
    let (evidence, until) = (question.evidence.clone(), question.counts_until.clone());
    let approval = Approval { by, reason, evidence, until };
    run::resume(tools, &question.run, Resume::Approve(approval), events, cancel).await
}

/// Ends a run that waits: what is behind the gate is not touched, what is before it stays as it is.
///
/// Not cancel safe.
pub async fn reject(
    tools: &Arc<Tools>,
    run: &RunId,
    by: &str,
    reason: &str,
    events: Arc<dyn EventSink>,
) -> Result<RunReport, RunError> {
    let why = format!("rejected by {by}: {reason}");
    run::resume(tools, run, Resume::Reject { why }, events, CancellationToken::new()).await
}

/// Whether the time to approve is over. A time that cannot be read never ends.
pub fn is_over(wait: &Wait, now: Timestamp) -> bool {
    wait.until.parse::<Timestamp>().is_ok_and(|until| until < now)
}

/// The step that waits, and for what.
fn waiting<N>(header: &Header, records: &[Record<N>]) -> Result<(usize, Wait), RunError> {
    let how = match records.last() {
        Some(Record::Waiting { step, wait, .. }) => return Ok((*step, wait.clone())),
        Some(Record::Finished { outcome, .. }) => ended(*outcome),
        _ => "it is at work, or was cut off".to_owned(),
    };
    Err(RunError::WaitsForNobody { run: header.run.clone(), how })
}

/// For [`RunError::WaitsForNobody`].
pub(super) fn ended(outcome: Outcome) -> String {
    format!("it ended, {outcome}")
}

/// The stage behind the gate that a step is, and the one before it.
fn stage(header: &Header, step: usize, plan: &UpgradePlan) -> Option<(InstanceName, InstanceName)> {
    let name = header.steps.get(step)?.strip_prefix("gate before ")?;
    let stage = plan.stages.iter().find(|stage| stage.instance.as_str() == name)?;
    Some((stage.instance.clone(), stage.gate.clone()?))
}
