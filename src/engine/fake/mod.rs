//! An engine in memory, for tests: fast, and able to fail at every single call.
//!
//! Volumes are real folders, so the porter and archives do their real work. Images are closures that act on those
//! folders. A handle stands for one process of ours: [`FakeEngine::die`] ends it in the middle of a call, and
//! [`FakeEngine::attach`] is the next process, which finds the engine as the first one left it.

mod calls;
mod containers;
mod control;
mod faults;
mod files;
mod image;
mod state;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::faults::Process;
pub use self::faults::{Call, When};
pub use self::image::{ExecOutcome, FakeContainer, FakeImage, StartOutcome};
use self::state::State;

/// A handle to an engine in memory; clones are the same process.
#[derive(Clone)]
pub struct FakeEngine {
    state: Arc<Mutex<State>>,
    process: Arc<Mutex<Process>>,
}

impl FakeEngine {
    /// An engine without anything; volumes become folders below `root`.
    pub fn new(root: &Path) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(root))), process: Arc::default() }
    }

    /// The next process on the same engine.
    #[must_use]
    pub fn attach(&self) -> Self {
        Self { state: Arc::clone(&self.state), process: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeEngine").finish_non_exhaustive()
    }
}
