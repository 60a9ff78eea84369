//! What a run said to people: its notes and warnings, kept beside its journal for whoever asks later.
//!
//! Nothing rests on them: a line that cannot be written is missed, and no run ends differently for it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::StateDir;
use crate::model::ids::RunId;
use crate::workflow::{Event, EventSink};

/// One line that a run said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// It was a warning.
    pub warning: bool,
    /// What.
    pub text: String,
}

/// Everything that a run said, in order. A line that cannot be read is left out, and so is all of it where there is no
/// file.
pub fn told(state: &StateDir, run: &RunId) -> Vec<Told> {
    let text = std::fs::read_to_string(path(state, run)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn path(state: &StateDir, run: &RunId) -> PathBuf {
    state.attachments(run).join("told.jsonl")
}

/// Passes every event on, and keeps the notes among them.
#[derive(Debug)]
pub(super) struct Keeping {
    inner: Arc<dyn EventSink>,
    path: PathBuf,
    clock: fn() -> jiff::Timestamp,
}

impl Keeping {
    pub(super) fn new(
        state: &StateDir,
        run: &RunId,
        clock: fn() -> jiff::Timestamp,
        inner: Arc<dyn EventSink>,
    ) -> Self {
        Self { inner, path: path(state, run), clock }
    }

    fn keep(&self, told: &Told) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?.write_all(&line)
    }
}

impl EventSink for Keeping {
    fn emit(&self, event: Event) {
        if let Event::Note { text, warning } = &event {
            let told = Told { at: (self.clock)().to_string(), warning: *warning, text: text.clone() };
            if let Err(error) = self.keep(&told) {
                tracing::debug!(path = %self.path.display(), %error, "a note of a run was not kept");
            }
        }
        self.inner.emit(event);
    }
}
