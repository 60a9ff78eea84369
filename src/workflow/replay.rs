//! What the records amount to, and what comes next. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// What the state machine must know of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Its name, unique in the list.
    pub name: String,
    /// The stage it belongs to; `None` for what concerns the whole run.
    pub stage: Option<usize>,
    /// Its end reopens its stage.
    pub reopens: bool,
    /// Its undo decides the outcome.
    pub service_undo: bool,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun, and perhaps cut off.
    Started,
    /// Over.
    Done,
    /// Waits for a person; it is run again once there is an answer.
    Waiting,
    /// Gave up.
    Failed,
    /// Its undo has begun, and was perhaps cut off.
    Undoing,
    /// Undone.
    Undone,
    /// Its undo gave up.
    UndoFailed,
}

/// What the engine does next. Everything about recovery is in how this is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this step, perhaps again.
    Run(usize),
    /// Undo this step, perhaps again.
    Undo(usize),
    /// Nothing is left to do.
    Finish(Outcome),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step is done.
    Completed,
    /// Every step that may be undone is undone.
    RolledBack,
    /// A service undo failed after retries, or a step of a stage that was reopened; all other undos were tried. A
    /// person must look.
    Stuck,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::RolledBack => "rolled back",
            Self::Stuck => "stuck",
        })
    }
}

/// A record that cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index} does not follow from those before it: {record}")]
pub struct IllegalRecord {
    /// Counted from 0, without the header.
    pub index: usize,
    /// The record, without its notes.
    pub record: String,
}

/// What the records so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunState {
    shapes: Vec<StepShape>,
    states: Vec<StepState>,
    rolling_back: bool,
    reopened: Vec<usize>,
    finished: Option<Outcome>,
}

impl RunState {
    /// Applies the records in order; one that cannot follow is an error, never a guess.
    pub fn replay<N>(shapes: &[StepShape], records: &[Record<N>]) -> Result<Self, IllegalRecord> {
        let mut state = Self {
            shapes: shapes.to_vec(),
            states: vec![StepState::Pending; shapes.len()],
            rolling_back: false,
            reopened: Vec::new(),
            finished: None,
        };
        for (index, record) in records.iter().enumerate() {
            state.apply(record).ok_or_else(|| IllegalRecord { index, record: describe(record) })?;
        }
        Ok(state)
    }

    /// Returns `None` where the record cannot follow; the state is then unchanged.
    pub fn apply<N>(&mut self, record: &Record<N>) -> Option<()> {
        use StepState as S;
        let (step, to) = match record {
            Record::RollBack { .. } => {
                let open = self.finished.is_none() && !self.rolling_back;
                return open.then(|| self.rolling_back = true);
            }
            Record::RetryUndo { .. } => return self.retry(),
            Record::Finished { outcome, .. } => {
                let legal = self.finished.is_none() && self.next() == Next::Finish(*outcome);
                return legal.then(|| self.finished = Some(*outcome));
            }
            Record::Started { step, .. } => (*step, S::Started),
            Record::Done { step, .. } | Record::Reopened { step, .. } => (*step, S::Done),
            Record::Failed { step, .. } => (*step, S::Failed),
            Record::Waiting { step, .. } => (*step, S::Waiting),
            Record::Approved { step, .. } => {
                let waits = self.finished.is_none() && self.states.get(*step) == Some(&S::Waiting);
                return waits.then_some(());
            }
            Record::UndoStarted { step, .. } => (*step, S::Undoing),
            Record::UndoDone { step, .. } => (*step, S::Undone),
            Record::UndoFailed { step, .. } => (*step, S::UndoFailed),
        };
        let from = *self.states.get(step)?;
        let reopens = self.shapes.get(step)?.reopens;
        let legal = self.finished.is_none()
            && matches!(
                (from, to),
                (S::Pending | S::Started | S::Waiting, S::Started)
                    | (S::Started, S::Done | S::Failed | S::Waiting)
                    | (S::Waiting, S::Failed)
                    | (S::Started | S::Waiting | S::Done | S::Failed | S::Undoing, S::Undoing)
                    | (S::Undoing, S::Undone | S::UndoFailed)
            )
            && match to {
                S::Started => self.next() == Next::Run(step),
                S::Undoing => self.next() == Next::Undo(step),
                S::Done => matches!(record, Record::Reopened { .. }) == reopens,
                _ => true,
            };
        legal.then(|| {
            if to == S::Done && reopens {
                self.reopened.extend(self.shapes[step].stage);
            }
            self.rolling_back |= to == S::Failed && !self.is_kept(step);
            self.states[step] = to;
        })
    }

    fn retry(&mut self) -> Option<()> {
        let stuck = self.finished == Some(Outcome::Stuck);
        stuck.then(|| {
            self.finished = None;
            for index in 0..self.states.len() {
                self.states[index] = match self.states[index] {
                    StepState::UndoFailed => StepState::Undoing,
                    StepState::Failed if self.is_kept(index) => StepState::Started,
                    state => state,
                };
            }
        })
    }

    /// What comes next.
    pub fn next(&self) -> Next {
        use StepState as S;
        if let Some(outcome) = self.finished {
            return Next::Finish(outcome);
        }
        // Whatever else fails, what was reopened to users is seen through to its end.
        let open = |index: &usize| matches!(self.states[*index], S::Pending | S::Started | S::Waiting);
        let unfinished = |index: &usize| open(index) && self.is_kept(*index);
        if let Some(index) = (0..self.states.len()).find(unfinished) {
            return Next::Run(index);
        }
        if self.rolling_back {
            let touched = |index: &usize| {
                matches!(self.states[*index], S::Started | S::Waiting | S::Done | S::Failed | S::Undoing)
                    && !self.is_kept(*index)
            };
            return match (0..self.states.len()).rev().find(touched) {
                Some(index) => Next::Undo(index),
                None if self.is_stuck() => Next::Finish(Outcome::Stuck),
                None => Next::Finish(Outcome::RolledBack),
            };
        }
        if self.is_stuck() {
            return Next::Finish(Outcome::Stuck);
        }
        (0..self.states.len()).find(open).map_or(Next::Finish(Outcome::Completed), Next::Run)
    }

    /// Behind the barrier: its stage was reopened, so it is never undone, and what is left of it is done.
    pub fn is_kept(&self, index: usize) -> bool {
        self.shapes[index].stage.is_some_and(|stage| self.reopened.contains(&stage))
    }

    /// A service undo gave up, or a step that was to open a reopened stage fully.
    fn is_stuck(&self) -> bool {
        (0..self.states.len()).any(|index| match self.states[index] {
            StepState::UndoFailed => self.shapes[index].service_undo,
            StepState::Failed => self.is_kept(index),
            _ => false,
        })
    }

    /// The names of the steps whose undo failed.
    pub fn undo_failed(&self) -> Vec<String> {
        self.names_in(StepState::UndoFailed)
    }

    /// The names of the steps that are undone.
    pub fn undone(&self) -> Vec<String> {
        self.names_in(StepState::Undone)
    }

    fn names_in(&self, wanted: StepState) -> Vec<String> {
        self.steps().filter(|(_, state)| *state == wanted).map(|(shape, _)| shape.name.clone()).collect()
    }

    /// Whether the run is being undone.
    pub fn is_rolling_back(&self) -> bool {
        self.rolling_back
    }

    /// The step that waits for a person.
    pub fn waiting(&self) -> Option<usize> {
        self.states.iter().position(|state| *state == StepState::Waiting)
    }

    /// Whether that stage was reopened.
    pub fn is_reopened(&self, stage: usize) -> bool {
        self.reopened.contains(&stage)
    }

    /// How it ended, if its last line says so.
    pub fn finished(&self) -> Option<Outcome> {
        self.finished
    }

    /// Where the step of that name is.
    pub fn state_of(&self, name: &str) -> Option<StepState> {
        self.shapes.iter().position(|shape| shape.name == name).map(|index| self.states[index])
    }

    /// The steps with where they are.
    pub fn steps(&self) -> impl Iterator<Item = (&StepShape, StepState)> {
        self.shapes.iter().zip(self.states.iter().copied())
    }
}

fn describe<N>(record: &Record<N>) -> String {
    let (kind, step) = match record {
        Record::Started { step, .. } => ("started", Some(step)),
        Record::Done { step, .. } => ("done", Some(step)),
        Record::Reopened { step, .. } => ("reopened", Some(step)),
        Record::Failed { step, .. } => ("failed", Some(step)),
        Record::Waiting { step, .. } => ("waiting", Some(step)),
        Record::Approved { step, .. } => ("approved", Some(step)),
        Record::RollBack { .. } => ("roll_back", None),
        Record::UndoStarted { step, .. } => ("undo_started", Some(step)),
        Record::UndoDone { step, .. } => ("undo_done", Some(step)),
        Record::UndoFailed { step, .. } => ("undo_failed", Some(step)),
        Record::RetryUndo { .. } => ("retry_undo", None),
        Record::Finished { .. } => ("finished", None),
    };
    step.map_or_else(|| kind.to_owned(), |step| format!("{kind} of step {step}"))
}
