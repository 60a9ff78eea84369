//! What happens in a run, as data. Shown elsewhere.

use std::fmt;

use serde::Serialize;

use super::Outcome;

/// Takes note of what happens. Never blocks, never fails: telling must not break doing.
pub trait EventSink: Send + Sync + fmt::Debug {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// What a person or program may want to know about a run, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The journal exists.
    RunStarted {
        /// The run.
        run: String,
        /// Which workflow.
        workflow: String,
    },
    /// A step begins.
    StepStarted {
        /// Its name.
        step: String,
        /// Counted from 1.
        number: usize,
        /// How many the run has.
        of: usize,
        /// It is being undone.
        undo: bool,
    },
    /// A step ended well.
    StepDone {
        /// Its name.
        step: String,
        /// How long it took.
        milliseconds: u64,
        /// It was undone.
        undo: bool,
    },
    /// A step, or its undo, gave up.
    StepFailed {
        /// Its name.
        step: String,
        /// The whole cause chain.
        error: String,
        /// It was the undo.
        undo: bool,
    },
    /// At most a few a second; the only event that a sink may drop.
    Progress {
        /// What moves, such as `production/database`.
        what: String,
        /// How much so far.
        bytes: u64,
        /// How much in all, where that is known.
        total_bytes: Option<u64>,
    },
    /// Something that a person should know.
    Note {
        /// One line.
        text: String,
        /// It is a warning.
        warning: bool,
    },
    /// The last line of the journal is written.
    RunFinished {
        /// The run.
        run: String,
        /// How it ended.
        outcome: Outcome,
    },
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: Event) {}
}
