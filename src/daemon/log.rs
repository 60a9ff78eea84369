//! Runs of the daemon, told to the log.

use crate::workflow::{Event, EventSink};

/// Logs what happens. Progress is left out: nobody watches a log move.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl EventSink for Log {
    fn emit(&self, event: Event) {
        match event {
            Event::RunStarted { run, workflow } => tracing::info!(%run, %workflow, "run goes on"),
            Event::StepDone { step, milliseconds, undo } => tracing::info!(%step, milliseconds, undo, "step done"),
            Event::StepFailed { step, error, undo: true } => tracing::warn!(%step, %error, "undo failed"),
            Event::Note { text, warning: true } => tracing::warn!(note = %text, "warning of a run"),
            Event::Note { text, warning: false } => tracing::info!(note = %text, "note of a run"),
            Event::RunFinished { run, outcome } => tracing::info!(%run, %outcome, "run ended"),
            Event::StepStarted { .. } | Event::StepFailed { .. } | Event::Progress { .. } => {}
        }
    }
}
