//! Journaled steps with undo: the one engine behind snapshot, upgrade and restore. Knows no Docker and no S3.
//!
//! A workflow is a fixed list of [`Step`]s. Before a step touches the world the engine writes `Started`
//! to the journal; after it, `Done`. What comes next is always computed from those records by
//! [`RunState::next`], a pure function, so resuming after a crash is the same code as running.
//!
//! ```text
//!             Started ─► Done ──────────────────► (next step) ─► Completed
//! Pending ─►     │         └─ Reopened: a barrier, nothing of that stage is undone any more, the rest of it is done
//!                └─► Failed ─► UndoStarted ─► UndoDone ─► (previous started step) ─► RolledBack
//!                                   └───────► UndoFailed ─► (all others are still tried) ─► Stuck
//! ```
//!
//! Rules that make that safe, and that every step is tested against:
//! 1. `run` may be called again after any partial run, and must then finish the job.
//! 2. `undo` is called for every step that was *started*, whether it finished, failed or was cut off. So
//!    things are named after the run's id, never after an output that a half-run step had no time to record.
//! 3. A *service* undo decides the outcome: it is retried, and its failure does not stop the others, but is handed
//!    to them ([`RunCx::undo_failed`]), because some must then leave things as they are. A *clean-up* undo never
//!    fails a run.

mod drive;
mod event;
mod journal;
mod record;
mod replay;

pub use crate::model::chain::chain;
pub use drive::{DriveError, Driven, Guard, LeftAsIs, Retry, RunCx, Step, StepError, UndoKind, Waits, drive, shapes};
pub use event::{Event, EventSink, Silent};
pub use journal::{FileJournal, Journal, JournalError, is_finished, read_header};
pub use record::{Header, JOURNAL_FORMAT, Occasion, Record, Wait};
pub use replay::{IllegalRecord, Next, Outcome, RunState, StepShape, StepState};
