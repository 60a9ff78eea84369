//! What goes wrong once in a run.

use std::path::{Path, PathBuf};
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
    /// From a line of the journal on, 0 is the first, the disk of the state directory is full.
    Full {
        /// Which line.
        line: usize,
        /// What journals have.
        room: Room,
    },
}

/// The room that is there for the journal on a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// What was reserved for it when the run began.
    Reserved,
    /// Not even that: the file system cannot reserve.
    Nothing,
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
    pub fn prepare(&self, command: &mut Command, engine: &EngineProxy, state: &Path) {
        match self {
            Self::Kill { line, moment } => kill_at(command, *line, *moment),
            Self::Full { line, room } => {
                let room = format!("{room:?}").to_lowercase();
                command.env("LD_PRELOAD", library(&FULL)).env("TIDEGATE_FULL_AT", format!("{line}:{room}"));
                command.env("TIDEGATE_FULL_DIR", state);
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

/// Sees to it that the command gets a SIGKILL at the write of that line of its journal.
pub fn kill_at(command: &mut Command, line: usize, moment: Moment) {
    let moment = format!("{moment:?}").to_lowercase();
    command.env("LD_PRELOAD", library(&KILL)).env("TIDEGATE_KILL_AT", format!("{line}:{moment}"));
}

/// As [`kill_at`], but the command stands still from then on, and makes that file to say so.
pub fn halt_at(command: &mut Command, line: usize, moment: Moment, file: &Path) {
    kill_at(command, line, moment);
    command.env("TIDEGATE_HALT", file);
}

/// A library to preload: its name, and where it lies once it was made.
type Library = (&'static str, OnceLock<PathBuf>);

static KILL: Library = ("kill", OnceLock::new());
static FULL: Library = ("full", OnceLock::new());

/// Made once from its source with the compiler that Rust links with.
fn library((name, made): &Library) -> &Path {
    made.get_or_init(|| {
        // The id of a process in another namespace may be the same.
        let file = format!("{name}-{}-{:x}.so", std::process::id(), rand::random::<u64>());
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/story/crash/{name}.c"));
        let made = std::process::Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&to, &from]).output();
        let made = made.expect("a C compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        to
    })
}
