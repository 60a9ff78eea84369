//! What each program does while it runs.
//!
//! A program is one future. It holds what it offers (the database, the sessions, the open API) in the [`World`] through
//! a guard, so that even when it is killed (its future is dropped) it offers nothing any more, and cleans up nothing.

mod backend;
mod editor;
mod mongodb;
mod postgres;
mod redis;
mod rts;

use crate::broken::Broken;
use crate::supervisor::quit::Quit;
use crate::supervisor::spec::{Kind, Spec};
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Seconds that a program in a restart loop lives after it is RUNNING, and the least that it lives in all.
const LOOP_SECS: f64 = 10.0;
const SHORTEST_LIFE: Duration = Duration::from_millis(500);

/// How a program ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death(pub u8);

/// Runs a program until it is asked to quit, or dies by itself.
pub async fn run(kind: Kind, world: Arc<World>, pid: u32, quit: Quit) -> Death {
    match kind {
        Kind::Redis => redis::run(&world, &quit).await,
        Kind::Mongodb => mongodb::run(&world, pid, &quit).await,
        Kind::Rts => rts::run(&world, &quit).await,
        Kind::Backend => backend::run(&world, &quit).await,
        Kind::Editor => editor::run(&world, &quit).await,
        Kind::Postgres => postgres::run(&world, pid, &quit).await,
        Kind::Mcp => {
            world.log("mcp", "MCP server listening");
            idle(&quit).await
        }
        Kind::Stdout | Kind::Idle => idle(&quit).await,
    }
}

/// Runs a program that exits a moment after it is RUNNING, if it is told to do so.
pub async fn run_or_fail(spec: Spec, world: Arc<World>, pid: u32, quit: Quit) -> Death {
    let looping = world.behaviour.is(&Broken::RestartLoop(spec.name.to_owned()));
    let life = world.behaviour.pace.secs(spec.start_secs + LOOP_SECS).max(SHORTEST_LIFE);
    let program = run(spec.kind, Arc::clone(&world), pid, quit);
    if !looping {
        return program.await;
    }
    match timeout(life, program).await {
        Ok(death) => death,
        Err(_) => {
            world.log(spec.name, "fatal: unexpected end of the program");
            Death(1)
        }
    }
}

async fn idle(quit: &Quit) -> Death {
    quit.asked().await;
    Death(0)
}

/// Runs a last action even when the program is killed.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
