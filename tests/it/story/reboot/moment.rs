//! When the machine goes down.

use std::path::Path;

use tokio::process::Command;

use crate::story::crash::accident::{self, halt_at};
use crate::story::crash::engine::{EngineProxy, Fault};
use crate::story::proxy::{Proxy, Trap};
use crate::story::wait_for;
use crate::story::work::Work;

/// When.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Such a record has just been written to the journal: kind and step, of `staging`.
    Record(&'static str, &'static str),
    /// The engine has got a change, of that number, and has not answered.
    Change(usize),
    /// The data is on its way to the store.
    Reading,
    /// The data is on its way from the store into the volume.
    Filling,
}

/// A run without any accident.
pub struct Measure {
    /// Kind and step of each record, from the second line on.
    pub records: Vec<(String, String)>,
    /// What it asked the engine to change.
    pub changes: usize,
}

/// Each phase of a workflow.
pub fn phases(work: Work) -> Vec<Moment> {
    let records: &[(&str, &str)] = match work {
        Work::Snapshot => &[
            ("done", "look at"),
            ("started", "rest"),
            ("done", "rest"),
            ("done", "read"),
            ("done", "wake"),
            ("done", "publish"),
        ],
        Work::Upgrade => &[
            ("done", "look at"),
            ("started", "rest"),
            ("done", "rest"),
            ("done", "publish"),
            ("started", "park"),
            ("done", "park"),
            ("done", "create"),
            ("done", "start"),
            ("done", "wait for"),
            ("started", "check"),
            ("reopened", "reopen"),
            ("done", "open"),
        ],
        Work::Failing => &[
            ("failed", "check"),
            ("undo_started", "start"),
            ("undo_done", "start"),
            ("undo_done", "create"),
            ("undo_done", "park"),
            ("undo_started", "rest"),
            ("undo_done", "rest"),
        ],
        Work::Restore => &[
            ("done", "look at"),
            ("done", "rest"),
            ("started", "park"),
            ("started", "set aside"),
            ("done", "set aside"),
            ("done", "fill"),
            ("done", "settle"),
            ("done", "create"),
            ("done", "start"),
            ("started", "check"),
            ("reopened", "reopen"),
            ("done", "open"),
        ],
    };
    records.iter().map(|(kind, verb)| Moment::Record(kind, verb)).collect()
}

/// What went wrong once, and is tried each time.
pub fn troubles(work: Work) -> Vec<Moment> {
    match work {
        // It started again, was not waited for, failed its checks and was undone.
        Work::Restore => vec![Moment::Record("done", "wait for")],
        Work::Snapshot | Work::Upgrade | Work::Failing => Vec::new(),
    }
}

/// What lies between two records.
pub fn in_the_midst(work: Work, measure: &Measure) -> Vec<Moment> {
    let changes = (0..measure.changes).map(Moment::Change);
    let flows = match work {
        Work::Snapshot | Work::Upgrade => Moment::Reading,
        Work::Failing | Work::Restore => Moment::Filling,
    };
    // As often as all changes together.
    changes.chain(std::iter::repeat_n(flows, measure.changes)).collect()
}

impl Moment {
    /// Sees to it that the command stands still then.
    pub fn prepare(&self, command: &mut Command, measure: &Measure, halt: &Path, engine: &EngineProxy, store: &Proxy) {
        // Every byte is read once to verify it; the second time it fills the volume.
        let (method, pass) = match self {
            Self::Record(kind, verb) => {
                let step = format!("{verb} staging");
                let found = measure.records.iter().position(|(it, name)| it == kind && *name == step);
                let line = found.unwrap_or_else(|| panic!("no {kind} `{step}` in {:?}", measure.records)) + 1;
                return halt_at(command, line, accident::Moment::After, halt);
            }
            Self::Change(change) => {
                engine.reset(Some((*change, Fault::Hold)));
                command.env("DOCKER_HOST", engine.host());
                return;
            }
            Self::Reading => ("PUT", 0),
            Self::Filling => ("GET", 1),
        };
        store.set(Trap { method, path: "database".into(), pass, after_bytes: 64 << 10 });
    }

    /// Waits for it.
    pub async fn comes(&self, halt: &Path, engine: &EngineProxy, store: &Proxy) {
        match self {
            Self::Record(..) => wait_for(&format!("{self:?}"), async || halt.exists().then_some(())).await,
            Self::Change(_) => engine.held().await,
            Self::Reading | Self::Filling => store.caught().await,
        }
    }
}
