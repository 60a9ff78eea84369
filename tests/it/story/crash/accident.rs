//! What goes wrong once in a run.

use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::process::Command;

use super::engine::{EngineProxy, Fault};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accident {
    /// SIGKILL at the write of a line of the journal; 0 is the first.
    Kill {
        /// Which line.
        line: usize,
        /// When exactly.
        moment: Moment,
    },
    /// The engine answers a change with an error and does nothing.
    Refused {
        /// Which change; 0 is the first.
        change: usize,
    },
    /// The engine does it, and the connection breaks before it says so.
    Lost {
        /// Which change; 0 is the first.
        change: usize,
    },
}

/// When around a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it is written.
    Before,
    /// Half of it is.
    Torn,
    /// All of it is, and flushed.
    After,
}

impl Accident {
    /// Sees to it that it happens to the command.
    pub fn prepare(&self, command: &mut Command, engine: &EngineProxy) {
        match self {
            Self::Kill { line, moment } => {
                let moment = format!("{moment:?}").to_lowercase();
                command.env("LD_PRELOAD", killer()).env("TIDEGATE_KILL_AT", format!("{line}:{moment}"));
            }
            Self::Refused { change } => self.at_engine(command, engine, Fault::Refuse, *change),
            Self::Lost { change } => self.at_engine(command, engine, Fault::LoseAnswer, *change),
        }
    }

    fn at_engine(&self, command: &mut Command, engine: &EngineProxy, fault: Fault, change: usize) {
        engine.reset(Some((change, fault)));
        command.env("DOCKER_HOST", engine.host());
    }
}

/// The library that kills, made once from `kill.c` with the compiler that Rust links with.
fn killer() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kill-{}.so", std::process::id()));
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/story/crash/kill.c");
        let made = std::process::Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&to, &from]).output();
        let made = made.expect("a C compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        to
    })
    .clone()
}
