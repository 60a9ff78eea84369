//! Failing at a chosen call, and remembering all calls.

use super::FakeEngine;
use crate::engine::EngineError;

/// Whether a call that fails has had its effect: the answer can get lost, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing happened.
    Before,
    /// It happened, and the answer got lost.
    After,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method's name.
    pub verb: &'static str,
    /// The container or image that it was about.
    pub target: String,
    /// Whether it may change something; only those are counted for faults.
    pub changes: bool,
}

/// One process of ours, as the engine sees it.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Calls of this process that may change something, so far.
    pub changes: u64,
    pub fault: Option<Fault>,
    pub dead: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub nth: u64,
    pub when: When,
    pub kills: bool,
}

/// The fault that a test asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Injected(pub &'static str);

/// A call under way: fails now, or once its effect is there.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket {
    fails_after: bool,
    action: String,
}

impl FakeEngine {
    /// Notes a call, and says whether it may go on.
    pub(super) fn enter(&self, verb: &'static str, target: &str, changes: bool) -> Result<Ticket, EngineError> {
        let action = format!("{verb} `{target}`");
        let failed = |why| EngineError::Request { action: action.clone(), source: Box::new(Injected(why)) };
        let fault = {
            let mut process = self.process();
            if process.dead {
                return Err(failed("this process is dead"));
            }
            process.changes += u64::from(changes);
            let due = process.changes;
            let fault = process.fault.filter(|fault| changes && fault.nth == due);
            if let Some(Fault { kills, .. }) = fault {
                process.dead = kills;
                process.fault = None;
            }
            fault
        };
        let mut state = self.state();
        state.calls.push(Call { verb, target: target.to_owned(), changes });
        if state.down {
            let source = Box::new(Injected("connection refused"));
            return Err(EngineError::Unreachable { address: "fake".into(), source });
        }
        match fault {
            Some(Fault { when: When::Before, .. }) => Err(failed("failed on purpose, before its effect")),
            fault => Ok(Ticket { fails_after: fault.is_some(), action }),
        }
    }

    /// Makes the process's `nth` call from now on that may change something fail (counted from 1), once.
    pub fn fail(&self, nth: u64, when: When) {
        let mut process = self.process();
        let nth = process.changes + nth;
        process.fault = Some(Fault { nth, when, kills: false });
    }

    /// Ends this process at its `nth` call from now on that may change something: that call and all later ones fail.
    pub fn die(&self, nth: u64, when: When) {
        let mut process = self.process();
        let nth = process.changes + nth;
        process.fault = Some(Fault { nth, when, kills: true });
    }

    /// How many calls of this process could have changed something.
    pub fn changes(&self) -> u64 {
        self.process().changes
    }

    /// Whether [`die`](Self::die) has come true.
    pub fn is_dead(&self) -> bool {
        self.process().dead
    }

    /// All calls of all processes.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }
}

impl Ticket {
    /// Passes the answer on, unless it gets lost.
    pub fn leave<T>(self, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        if self.fails_after {
            let source = Box::new(Injected("failed on purpose, after its effect"));
            return Err(EngineError::Request { action: self.action, source });
        }
        answer
    }
}
