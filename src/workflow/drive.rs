//! Runs the steps from wherever the journal says they are.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::event::{Event, EventSink};
use super::journal::{Journal, JournalError};
use super::record::{Record, Wait};
use super::replay::{IllegalRecord, Next, Outcome, RunState, StepShape};
use crate::model::chain::chain;
use crate::model::gate::Approval;
use crate::model::ids::RunId;

/// The reason a step gave up. Retrying a request is the step's own business; this is final for the run.
pub type StepError = Box<dyn std::error::Error + Send + Sync>;

/// Which undos decide the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoKind {
    /// Brings an instance back to its users: wake, container, definition, data. Retried; its failure is *stuck*.
    Service,
    /// Removes leftovers. Tried again only where an answer was lost; a failure is noted and never fails a run.
    CleanUp,
    /// The step leaves nothing behind.
    Nothing,
}

/// The journaled unit of a run, and its reversal.
#[async_trait]
pub trait Step<N>: Send + Sync {
    /// Unique in its list, such as `rest production`.
    fn name(&self) -> String;

    /// The stage it belongs to; `None` for what concerns the whole run.
    fn stage(&self) -> Option<usize> {
        None
    }

    /// Its end is the moment after which users may write: from then on nothing of its stage is undone.
    fn reopens(&self) -> bool {
        false
    }

    /// What its undo is about.
    fn undo_kind(&self) -> UndoKind {
        UndoKind::Nothing
    }

    /// Does it, or does the rest of it. What it learns goes into `notes`, which are saved with `Done`.
    async fn run(&self, cx: &RunCx, notes: &mut N) -> Result<(), StepError>;

    /// Undoes it, or the rest of it; also where it got only half way. `notes` are those of the last step that ended.
    async fn undo(&self, _cx: &RunCx, _notes: &N) -> Result<(), StepError> {
        Ok(())
    }
}

/// Asked before each step and each undo: are the locks that this run rests on still its own?
#[async_trait]
pub trait Guard: Send + Sync + fmt::Debug {
    /// Fails if another has taken over, or if that cannot be found out now.
    async fn still_ours(&self) -> Result<(), StepError>;
}

/// An undo that must not be done, because one that came before it failed. Not tried again in this run.
#[derive(Debug, thiserror::Error)]
#[error("left as it is: {reason}")]
pub struct LeftAsIs {
    /// Which undo failed, and what would go wrong.
    pub reason: String,
}

/// Not a failure: the step needs a person, and the run is laid to rest until there is an answer.
#[derive(Debug, thiserror::Error)]
#[error("it waits: {}", .0.reason)]
pub struct Waits(pub Wait);

/// How often a service undo is tried, and how long to wait before each new try.
#[derive(Clone, Debug)]
pub struct Retry {
    /// One new try after each of these.
    pub pauses: Vec<Duration>,
    /// Says of an error that somebody is not reachable just now, and how long to be patient with that: such tries do
    /// not count.
    pub outage: fn(&(dyn std::error::Error + 'static)) -> Option<Duration>,
    /// Says of an error that nobody knows whether the thing was done, because its answer was lost. A step that fails so
    /// is run again.
    pub hiccup: fn(&(dyn std::error::Error + 'static)) -> bool,
}

/// How often a step is run again because an answer was lost.
const HICCUPS: usize = 2;

/// How long to wait before asking somebody again who was not reachable.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);

impl Default for Retry {
    fn default() -> Self {
        Self {
            pauses: [200, 1_000, 3_000, 8_000].map(Duration::from_millis).to_vec(),
            outage: |_| None,
            hiccup: |_| false,
        }
    }
}

impl Retry {
    /// Whether to try again; waits first. `outage` is what [`Retry::outage`] says of the error, `began` when the
    /// first try was made.
    async fn again(&self, outage: Option<Duration>, began: Instant, tries: &mut usize) -> bool {
        if outage.is_some_and(|patience| began.elapsed() < patience) {
            tokio::time::sleep(OUTAGE_PAUSE).await;
            return true;
        }
        let Some(pause) = self.pauses.get(*tries) else { return false };
        *tries += 1;
        tokio::time::sleep(*pause).await;
        true
    }
}

/// What every step gets.
#[derive(Clone, Debug)]
pub struct RunCx {
    /// Things are named after it.
    pub run: RunId,
    /// Fires when a person or shutdown asks the run to stop. While a run is undone it never fires.
    pub cancel: CancellationToken,
    /// Where to tell.
    pub events: Arc<dyn EventSink>,
    /// The locks.
    pub guard: Arc<dyn Guard>,
    /// For service undos.
    pub retry: Retry,
    /// The clock.
    pub clock: fn() -> jiff::Timestamp,
    /// What a person said to this step, if it has waited for that.
    pub approval: Option<Approval>,
    /// The names of the steps whose undo has failed. An undo that would build on one of them must leave things as
    /// they are and fail, too.
    pub undo_failed: Vec<String>,
    /// The names of the steps that are undone already.
    pub undone: Vec<String>,
}

impl RunCx {
    /// Now, as journals have it: RFC 3339, UTC.
    pub fn now(&self) -> String {
        (self.clock)().to_string()
    }

    /// Tries what must not be given up lightly, with the patience of a service undo.
    pub async fn patiently<E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<(), E>
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        let (began, mut tries) = (Instant::now(), 0);
        loop {
            let Err(error) = attempt().await else { return Ok(()) };
            tracing::info!(run = %self.run, error = %chain(&error), "trying again");
            let outage = (self.retry.outage)(&error);
            if !self.retry.again(outage, began, &mut tries).await {
                return Err(error);
            }
        }
    }

    /// Tells a person something.
    pub fn note(&self, text: impl Into<String>) {
        self.events.emit(Event::Note { text: text.into(), warning: false });
    }

    /// Warns a person of something.
    pub fn warn(&self, text: impl Into<String>) {
        self.events.emit(Event::Note { text: text.into(), warning: true });
    }
}

/// The run cannot go on, and the journal does not say how it ended: it is still open.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal cannot be read or written.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The journal contradicts itself.
    #[error("the journal of this run cannot be followed")]
    Illegal(#[from] IllegalRecord),
    /// Another has taken the lock, or the engine that keeps it did not answer for too long.
    #[error("this run cannot be sure of its lock any more and stops where it is")]
    LostLock(#[source] StepError),
}

/// What the state machine must know of these steps.
pub fn shapes<N>(steps: &[Box<dyn Step<N>>]) -> Vec<StepShape> {
    let shape = |step: &dyn Step<N>| StepShape {
        name: step.name(),
        stage: step.stage(),
        reopens: step.reopens(),
        service_undo: step.undo_kind() == UndoKind::Service,
    };
    steps.iter().map(|step| shape(&**step)).collect()
}

/// How a run ended, and why.
#[derive(Debug)]
pub struct Driven {
    /// How; `None` for a run that waits for a person.
    pub outcome: Option<Outcome>,
    /// The step that gave up, with its typed reason; `None` where that happened in an earlier process.
    pub failure: Option<(String, StepError)>,
}

/// Runs `steps` until nothing is left to do or a person is needed, and says how the run ended.
///
/// Not cancel safe, on purpose: callers spawn it and ask it to stop through [`RunCx::cancel`], which is looked
/// at between steps and by steps between their own effects.
pub async fn drive<N>(
    steps: &[Box<dyn Step<N>>],
    journal: &mut dyn Journal<N>,
    cx: &RunCx,
    first_notes: N,
) -> Result<Driven, DriveError>
where
    N: Clone + fmt::Debug + Send + Sync + Serialize + DeserializeOwned,
{
    let shapes = shapes(steps);
    let mut notes = journal.records().iter().rev().find_map(|record| record.notes().cloned()).unwrap_or(first_notes);
    let mut cx = cx.clone();
    let of = steps.len();
    let mut failure = None;
    loop {
        let state = RunState::replay(&shapes, journal.records())?;
        if state.is_rolling_back() {
            // Undoing is not cancelled: it is how a run stops.
            cx.cancel = CancellationToken::new();
        }
        match state.next() {
            Next::Finish(outcome) => {
                if state.finished().is_none() {
                    journal.append(&Record::Finished { at: cx.now(), outcome }).await?;
                    cx.events.emit(Event::RunFinished { run: cx.run.to_string(), outcome });
                }
                return Ok(Driven { outcome: Some(outcome), failure });
            }
            Next::Run(step) if cx.cancel.is_cancelled() && !state.is_kept(step) => {
                journal.append(&Record::RollBack { at: cx.now(), reason: "stopped on request".into() }).await?;
            }
            Next::Run(step) => {
                still_ours(&cx).await?;
                cx.approval = approval(journal.records(), step);
                journal.append(&Record::Started { step, at: cx.now() }).await?;
                let name = &shapes[step].name;
                let clock = Instant::now();
                cx.events.emit(Event::StepStarted { step: name.clone(), number: step + 1, of, undo: false });
                let span = tracing::info_span!("step", run = %cx.run, step = %name);
                let record = match run(&*steps[step], &cx, &notes).instrument(span).await {
                    Ok(draft) => {
                        notes = draft.clone();
                        let milliseconds = millis(clock);
                        cx.events.emit(Event::StepDone { step: name.clone(), milliseconds, undo: false });
                        let at = cx.now();
                        if shapes[step].reopens {
                            Record::Reopened { step, at, notes: draft }
                        } else {
                            Record::Done { step, at, notes: draft }
                        }
                    }
                    Err(error) => {
                        if let (Some(Waits(wait)), false) = (error.downcast_ref(), cx.cancel.is_cancelled()) {
                            journal.append(&Record::Waiting { step, at: cx.now(), wait: wait.clone() }).await?;
                            return Ok(Driven { outcome: None, failure });
                        }
                        let text = chain(&*error);
                        tracing::info!(run = %cx.run, step = %name, error = %text, "step failed");
                        cx.events.emit(Event::StepFailed { step: name.clone(), error: text.clone(), undo: false });
                        failure = Some((name.clone(), error));
                        // A step that was asked to stop has not failed, and what it says is only how it stopped.
                        if cx.cancel.is_cancelled() && !state.is_kept(step) {
                            Record::RollBack { at: cx.now(), reason: format!("stopped in `{name}`: {text}") }
                        } else {
                            Record::Failed { step, at: cx.now(), error: text }
                        }
                    }
                };
                journal.append(&record).await?;
            }
            Next::Undo(step) => {
                still_ours(&cx).await?;
                cx.undo_failed = state.undo_failed();
                cx.undone = state.undone();
                journal.append(&Record::UndoStarted { step, at: cx.now() }).await?;
                let record = undo(&*steps[step], step, of, &cx, &notes).await;
                journal.append(&record).await?;
            }
        }
    }
}

/// The last word of a person on a step.
fn approval<N>(records: &[Record<N>], wanted: usize) -> Option<Approval> {
    records.iter().rev().find_map(|record| match record {
        Record::Approved { step, approval, .. } if *step == wanted => Some(approval.clone()),
        _ => None,
    })
}

/// Runs a step, and again where an answer was lost; each time from the notes of before it.
async fn run<N: Clone>(step: &dyn Step<N>, cx: &RunCx, notes: &N) -> Result<N, StepError> {
    let mut tries = 0;
    loop {
        let mut draft = notes.clone();
        let Err(error) = step.run(cx, &mut draft).await else { return Ok(draft) };
        if !(cx.retry.hiccup)(&*error) || tries == HICCUPS || cx.cancel.is_cancelled() {
            return Err(error);
        }
        tries += 1;
        tracing::info!(run = %cx.run, step = %step.name(), error = %chain(&*error), "step is run again");
        tokio::time::sleep(OUTAGE_PAUSE).await;
    }
}

/// An engine that restarts is asked again, for as long as the patience with it lasts: giving up here would leave
/// whatever is at rest down.
async fn still_ours(cx: &RunCx) -> Result<(), DriveError> {
    let (began, mut tries) = (Instant::now(), 0);
    loop {
        let Err(error) = cx.guard.still_ours().await else { return Ok(()) };
        let outage = (cx.retry.outage)(&*error);
        if outage.is_none() || !cx.retry.again(outage, began, &mut tries).await {
            return Err(DriveError::LostLock(error));
        }
    }
}

async fn undo<N: Send + Sync>(step: &dyn Step<N>, index: usize, of: usize, cx: &RunCx, notes: &N) -> Record<N> {
    let (name, clock) = (step.name(), Instant::now());
    if step.undo_kind() == UndoKind::Nothing {
        return Record::UndoDone { step: index, at: cx.now() };
    }
    cx.events.emit(Event::StepStarted { step: name.clone(), number: index + 1, of, undo: true });
    let mut tries = 0;
    loop {
        let span = tracing::info_span!("undo", run = %cx.run, step = %name);
        let error = match step.undo(cx, notes).instrument(span).await {
            Ok(()) => {
                cx.events.emit(Event::StepDone { step: name, milliseconds: millis(clock), undo: true });
                return Record::UndoDone { step: index, at: cx.now() };
            }
            Err(error) => error,
        };
        // Only a lost answer: what tidies up must not keep a run from its end.
        if step.undo_kind() == UndoKind::CleanUp && (cx.retry.hiccup)(&*error) && tries < HICCUPS {
            tries += 1;
            tracing::info!(run = %cx.run, step = %name, error = %chain(&*error), "tidying up is done again");
            tokio::time::sleep(OUTAGE_PAUSE).await;
            continue;
        }
        let worth_another_try = step.undo_kind() == UndoKind::Service && !error.is::<LeftAsIs>();
        let text = chain(&*error);
        tracing::info!(run = %cx.run, step = %name, error = %text, "undo failed");
        let outage = (cx.retry.outage)(&*error);
        if !worth_another_try || !cx.retry.again(outage, clock, &mut tries).await {
            cx.events.emit(Event::StepFailed { step: name, error: text.clone(), undo: true });
            return Record::UndoFailed { step: index, at: cx.now(), error: text };
        }
    }
}

fn millis(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX)
}
