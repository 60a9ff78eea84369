//! The lines of a journal.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::gate::Approval;
use crate::model::ids::RunId;

/// The journal format that this version writes.
pub const JOURNAL_FORMAT: u32 = 1;

/// The first line of a journal. With it on disk, the run exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`JOURNAL_FORMAT`].
    pub format: u32,
    /// The run's id; also the file's name.
    pub run: RunId,
    /// Which workflow.
    pub workflow: String,
    /// Which version of its step list. A step list is never changed, only a new version added.
    pub version: u32,
    /// The names of its steps, in order.
    pub steps: Vec<String>,
    /// What it was asked to do, as the workflow understands it. Without secrets.
    pub parameters: Value,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The moment of a schedule that it serves; `None` where a person began it. Part of the line that makes the run
    /// exist, so that a moment is served exactly if its run exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occasion: Option<Occasion>,
}

/// One planned moment of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Occasion {
    /// Which schedule, and for which instance if it has several.
    pub schedule: String,
    /// Its planned moment.
    pub planned_at: jiff::Timestamp,
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// For people: what is needed before what.
    pub reason: String,
    /// The fingerprint of what is to be approved; an approval of anything else counts for nothing.
    pub evidence: String,
    /// Until when it can be approved, RFC 3339.
    pub until: String,
}

/// One line after the first. Never reordered, never edited, only appended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record<N> {
    /// Written before the step's effect.
    Started {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
    },
    /// Written right after the step's effect.
    Done {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
        /// All that the run knows by now.
        notes: N,
    },
    /// Instead of `Done` for a step that reopens its stage: from here on no crash rolls that stage back.
    Reopened {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
        /// All that the run knows by now.
        notes: N,
    },
    /// The step gave up.
    Failed {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
        /// The whole cause chain.
        error: String,
    },
    /// The step waits for a person. As the last line it means that the run is at rest: no process holds it, it has no
    /// locks, and nobody takes it up by himself.
    Waiting {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
        /// For what.
        wait: Wait,
    },
    /// A person let a waiting step go on. It looks again at what it waited for before it does.
    Approved {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
        /// By whom, why, and for how long.
        approval: Approval,
    },
    /// The run is to be undone although no step failed: a person asked, or a crash came at a bad moment.
    RollBack {
        /// RFC 3339, UTC.
        at: String,
        /// Why.
        reason: String,
    },
    /// Written before the undo's effect.
    UndoStarted {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
    },
    /// Written right after the undo's effect.
    UndoDone {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
    },
    /// The undo failed after all retries.
    UndoFailed {
        /// Index of the step.
        step: usize,
        /// RFC 3339, UTC.
        at: String,
        /// The whole cause chain.
        error: String,
    },
    /// A person asks a stuck run to try its failed undos once more.
    RetryUndo {
        /// RFC 3339, UTC.
        at: String,
    },
    /// The last line of a run that ended.
    Finished {
        /// RFC 3339, UTC.
        at: String,
        /// How it ended.
        outcome: super::Outcome,
    },
}

impl<N> Record<N> {
    /// When it was written.
    pub fn at(&self) -> &str {
        match self {
            Self::Started { at, .. }
            | Self::Done { at, .. }
            | Self::Reopened { at, .. }
            | Self::Failed { at, .. }
            | Self::Waiting { at, .. }
            | Self::Approved { at, .. }
            | Self::RollBack { at, .. }
            | Self::UndoStarted { at, .. }
            | Self::UndoDone { at, .. }
            | Self::UndoFailed { at, .. }
            | Self::RetryUndo { at }
            | Self::Finished { at, .. } => at,
        }
    }

    /// The notes, where the record carries them.
    pub fn notes(&self) -> Option<&N> {
        match self {
            Self::Done { notes, .. } | Self::Reopened { notes, .. } => Some(notes),
            _ => None,
        }
    }
}
