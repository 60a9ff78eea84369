//! The promises, kept by the real program against a real engine, registry and S3 server.
//!
//! A [`pair::Pair`] is two seeded stand-ins and all that Tidegate needs around them. Each test is named for the promise
//! that it would break. Kill points are sampled, with the seed printed; TIDEGATE_TEST_FULL=1 takes all of them.
#![allow(clippy::print_stdout, reason = "a failed test shows what was chosen and measured")]

mod approve;
mod clone;
mod compose;
mod content;
mod crash;
mod evidence;
mod field;
mod fit;
mod full;
mod hot;
mod input;
mod interrupt;
pub mod journal;
mod kill;
mod memory;
mod observer;
pub mod pair;
mod plans;
mod promote;
pub mod proxy;
mod reads;
mod reboot;
mod refusals;
mod restore;
mod rollback;
pub mod running;
mod side;
mod smoke;
mod store;
mod undo;
mod work;
mod yard;

use std::time::{Duration, Instant};

/// Longer than anything takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Looks again and again until `look` finds something. The only way in which these tests wait.
pub async fn wait_for<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    wait_at_most(LIMIT, what, look).await
}

/// As [`wait_for`], with a limit of its own.
pub async fn wait_at_most<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
