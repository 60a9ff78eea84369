//! The state of one program, and the line that `status` shows of it.

use super::socket::Info;
use crate::time::{Moment, millis_since_epoch, timedelta};
use crate::world::lock;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex};

/// The states of supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not started, or stopped on request.
    #[default]
    Stopped,
    /// Started, but not yet for `startsecs`.
    Starting,
    /// Started, for at least `startsecs`.
    Running,
    /// Ended too early; will be tried again.
    Backoff,
    /// Asked to end.
    Stopping,
    /// Ended by itself after it had been RUNNING.
    Exited,
    /// Given up.
    Fatal,
}

impl State {
    /// RUNNING, and nothing else.
    pub fn is_running(self) -> bool {
        self == Self::Running
    }

    /// One of the states for which `status` exits 3.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Stopped | Self::Exited | Self::Fatal)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
        };
        f.pad(name)
    }
}

/// What is known of a program; shared between its manager and whoever asks.
#[derive(Clone, Debug, Default)]
pub struct View {
    record: Arc<Mutex<Record>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    state: State,
    pid: u32,
    started_millis: u64,
    stopped_millis: u64,
}

impl View {
    /// A new process of the program begins.
    pub fn starts(&self, pid: u32) {
        let mut record = lock(&self.record);
        *record = Record { state: State::Starting, pid, started_millis: millis_since_epoch(), ..*record };
    }

    /// Enters a state.
    pub fn enters(&self, state: State) {
        let mut record = lock(&self.record);
        record.state = state;
        if state.is_down() || state == State::Backoff {
            record.stopped_millis = millis_since_epoch();
        }
    }

    /// The present state.
    pub fn state(&self) -> State {
        lock(&self.record).state
    }

    /// What a client is told.
    pub fn info(&self, name: &str) -> Info {
        let record = *lock(&self.record);
        Info { name: name.to_owned(), state: record.state, description: record.description() }
    }
}

impl Record {
    fn description(&self) -> String {
        match self.state {
            State::Running => {
                let up_secs = millis_since_epoch().saturating_sub(self.started_millis) / 1000;
                format!("pid {}, uptime {}", self.pid, timedelta(up_secs))
            }
            State::Backoff | State::Fatal => "Exited too quickly (process log may have details)".to_owned(),
            State::Stopped | State::Exited if self.started_millis == 0 => "Not started".to_owned(),
            State::Stopped | State::Exited => Moment::at(self.stopped_millis).twelve_hours(),
            State::Starting | State::Stopping => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_describes_what_it_went_through() {
        let view = View::default();
        assert_eq!(view.info("rts").description, "Not started");
        view.starts(123);
        assert_eq!((view.state(), view.info("rts").description.as_str()), (State::Starting, ""));
        view.enters(State::Running);
        assert_eq!(view.info("rts").description, "pid 123, uptime 0:00:00");
        view.enters(State::Fatal);
        assert_eq!(view.info("rts").description, "Exited too quickly (process log may have details)");
        view.enters(State::Stopped);
        assert!(view.info("rts").description.ends_with('M'));
    }
}
