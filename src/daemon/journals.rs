//! The journals of this host, looked at again and again: which runs are open, and which moments were served.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::model::ids::RunId;
use crate::ops::approve::is_over;
use crate::ops::history;
use crate::ops::run::Resume;
use crate::ops::schedules::Attempt;
use crate::ops::state::{StateDir, StateError};
use crate::workflow::{JournalError, Wait, chain};

/// What is known of all journals. A look reads only those that have changed since the last one.
#[derive(Debug)]
pub struct Journals {
    state: StateDir,
    known: BTreeMap<RunId, Known>,
}

#[derive(Debug)]
struct Known {
    length: u64,
    changed: Option<SystemTime>,
    /// `None` for a run that never began and for a journal that cannot be read.
    run: Option<Run>,
}

/// What the daemon must know of one run.
#[derive(Clone, Debug)]
struct Run {
    open: bool,
    /// What it waits for.
    waiting: Option<Wait>,
    /// The schedule's key, and how the run went.
    attempt: Option<(String, Attempt)>,
}

impl Journals {
    /// Knows nothing yet.
    pub fn new(state: StateDir) -> Self {
        Self { state, known: BTreeMap::new() }
    }

    /// Looks at the directory, and reads what has changed. Blocks.
    ///
    /// A journal that cannot be read is said once, and is not that of an open run here: nothing could be done with it,
    /// and no run begins on its host until a person has looked.
    pub fn look(&mut self) -> Result<(), StateError> {
        let runs = self.state.runs()?;
        self.known.retain(|run, _| runs.binary_search(run).is_ok());
        for run in runs {
            let Ok(seen) = fs::metadata(self.state.journal(&run)) else { continue };
            let (length, changed) = (seen.len(), seen.modified().ok());
            if self.known.get(&run).is_some_and(|known| (known.length, known.changed) == (length, changed)) {
                continue;
            }
            let read = match history::story(&self.state, &run) {
                Ok(story) => Some(read(&history::summary(&story))),
                Err(JournalError::Empty { .. }) => None,
                Err(error) => {
                    tracing::error!(%run, error = %chain(&error), "journal cannot be read");
                    None
                }
            };
            self.known.insert(run, Known { length, changed, run: read });
        }
        Ok(())
    }

    /// The runs that are to be ended, each with the schedule that it belongs to: those that are open, and those that
    /// nobody has approved in time.
    pub fn unended(&self, now: Timestamp) -> impl Iterator<Item = (&RunId, Option<&str>, Resume)> {
        self.known.iter().filter_map(move |(id, known)| {
            let run = known.run.as_ref()?;
            let how = match &run.waiting {
                Some(wait) if is_over(wait, now) => Resume::Expire,
                None if run.open => Resume::TakeUp,
                _ => return None,
            };
            Some((id, run.attempt.as_ref().map(|(key, _)| key.as_str()), how))
        })
    }

    /// The runs that a schedule has begun.
    pub fn attempts(&self, key: &str) -> Vec<Attempt> {
        let runs = self.known.values().filter_map(|known| known.run.as_ref()?.attempt.as_ref());
        runs.filter(|(of, _)| of == key).map(|(_, attempt)| attempt.clone()).collect()
    }
}

fn read(run: &history::RunSummary) -> Run {
    let open = run.is_open();
    let attempt = run.occasion.as_ref().map(|occasion| {
        let attempt = Attempt { planned_at: occasion.planned_at, open, stopped: run.stopped };
        (occasion.schedule.clone(), attempt)
    });
    Run { open, waiting: run.waiting.clone(), attempt }
}
