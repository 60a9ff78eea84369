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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notes::Notes;
    use crate::workflow::{FileJournal, Header, JOURNAL_FORMAT, Journal, Occasion, Outcome, Record};

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    async fn append(state: &StateDir, run: &RunId, record: Record<Notes>) {
        FileJournal::open(&state.journal(run)).unwrap().append(&record).await.unwrap();
    }

    fn header(run: &RunId) -> Header {
        Header {
            format: JOURNAL_FORMAT,
            run: run.clone(),
            workflow: "upgrade".into(),
            version: 1,
            steps: vec!["gate before production".into()],
            parameters: serde_json::Value::Null,
            started_at: at("03:00:01").to_string(),
            occasion: Some(Occasion { schedule: "nightly".into(), planned_at: at("03:00:00") }),
        }
    }

    /// The moment counts as begun as soon as the run exists, and so it is begun once.
    #[tokio::test]
    async fn a_run_serves_its_moment_from_its_first_line_on() {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) =
            (StateDir::open(folder.path()).unwrap(), RunId::new("upgrade-20261121-030001-7f3a").unwrap());
        let mut journals = Journals::new(state.clone());
        journals.look().unwrap();
        assert_eq!(journals.attempts("nightly"), []);
        FileJournal::<Notes>::create(&state.journal(&run), &header(&run)).unwrap();
        let attempt = |open, stopped| Attempt { planned_at: at("03:00:00"), open, stopped };
        let unended = |journals: &mut Journals, now: &str| {
            journals.look().unwrap();
            journals
                .unended(at(now))
                .map(|(_, key, how)| (key.map(str::to_owned), format!("{how:?}")))
                .collect::<Vec<_>>()
        };
        let nightly = |how: &str| vec![(Some("nightly".to_owned()), how.to_owned())];
        assert_eq!(unended(&mut journals, "04:00:00"), nightly("TakeUp"));
        assert_eq!((journals.attempts("nightly"), journals.attempts("other")), (vec![attempt(true, false)], vec![]));

        // At rest it is nobody's until its time is over.
        append(&state, &run, Record::Started { step: 0, at: at("03:00:02").to_string() }).await;
        let wait = Wait { reason: "a person".into(), evidence: "e".into(), until: at("05:00:00").to_string() };
        append(&state, &run, Record::Waiting { step: 0, at: at("03:00:03").to_string(), wait }).await;
        assert_eq!(unended(&mut journals, "04:00:00"), []);
        assert_eq!(unended(&mut journals, "05:00:01"), nightly("Expire"));
        assert_eq!(journals.attempts("nightly"), [attempt(false, false)]);

        append(&state, &run, Record::RollBack { at: at("05:00:02").to_string(), reason: "asked".into() }).await;
        append(&state, &run, Record::Finished { at: at("05:00:03").to_string(), outcome: Outcome::RolledBack }).await;
        assert_eq!(unended(&mut journals, "06:00:00"), []);
        assert_eq!(journals.attempts("nightly"), [attempt(false, true)]);
    }
}
