//! The crash matrix: the real workflows on an engine in memory, killed at every point, with every call and every step
//! failing, and a world that must be whole after each of them.
//!
//! [`world`] is all that outlives a process, [`life`] is one process, [`mortal`] is how it reaches the world, [`app`]
//! and [`data`] are what the instances run, and [`judge`] says what must be true in the end.
//!
//! Quick by default; `TIDEGATE_TEST_FULL=1` runs every pair of deaths.

mod app;
mod data;
mod deaths;
mod faults;
mod judge;
mod life;
mod mortal;
mod stuck;
mod twice;
mod world;

use app::Manner;
use world::Workflow;

/// What the matrix is run over.
const WORKFLOWS: [Workflow; 8] = [
    Workflow::Snapshot,
    Workflow::Upgrade(Manner::Good),
    Workflow::Upgrade(Manner::FailsChecks),
    Workflow::Upgrade(Manner::Ends),
    Workflow::Upgrade(Manner::EndsHalfWay),
    Workflow::Restore { well: true },
    Workflow::Restore { well: false },
    Workflow::RestoreGone,
];

fn is_full() -> bool {
    std::env::var_os("TIDEGATE_TEST_FULL").is_some_and(|value| value == "1")
}
