//! The crash matrix: the real workflows on an engine in memory, killed at every point, with every call and every step
//! failing, and a world that must be whole after each of them.
//!
//! [`world`] is all that outlives a process, [`life`] is one process, [`mortal`] is how it reaches the world, [`app`]
//! and [`data`] are what the instances run, and [`judge`] says what must be true in the end.
//!
//! Quick by default: killed at every point, and of all other cases a sample that is another one each time
//! (`TIDEGATE_TEST_SEED` repeats it). `TIDEGATE_TEST_FULL=1` runs all of them, and many pairs of deaths.

mod app;
mod data;
mod deaths;
mod doctor;
mod faults;
mod hot;
mod judge;
mod life;
mod mortal;
mod pictures;
mod stuck;
mod twice;
mod verify;
mod waits;
mod world;

use app::Manner;
use world::Workflow;

/// What the matrix is run over.
const WORKFLOWS: [Workflow; 11] = [
    Workflow::Snapshot,
    Workflow::Upgrade(Manner::Good),
    Workflow::Upgrade(Manner::FailsChecks),
    Workflow::Upgrade(Manner::Ends),
    Workflow::Upgrade(Manner::EndsHalfWay),
    Workflow::Restore { well: true },
    Workflow::Restore { well: false },
    Workflow::RestoreGone,
    Workflow::Clone,
    Workflow::Undo { well: true },
    Workflow::Undo { well: false },
];

/// Says which sample is taken; every failure names it.
fn seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let given = || std::env::var("TIDEGATE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    *SEED.get_or_init(|| given().unwrap_or_else(rand::random))
}

/// All of them in full, else one in so many.
fn sample<T>(cases: impl IntoIterator<Item = T>, one_in: usize) -> impl Iterator<Item = T> {
    let one_in = if is_full() { 1 } else { one_in };
    let skipped = usize::try_from(seed() % 1_000).unwrap_or_default() % one_in;
    cases.into_iter().skip(skipped).step_by(one_in)
}

fn is_full() -> bool {
    std::env::var_os("TIDEGATE_TEST_FULL").is_some_and(|value| value == "1")
}
