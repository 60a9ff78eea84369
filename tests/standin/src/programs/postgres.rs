//! `postgres`: the mock database. Only its files matter here.

use super::Death;
use crate::supervisor::quit::Quit;
use crate::world::World;

/// Runs PostgreSQL: `postmaster.pid` is there while it runs and after a kill.
pub async fn run(world: &World, pid: u32, quit: &Quit) -> Death {
    let file = world.volume.postgres().join("postmaster.pid");
    if let Err(error) = std::fs::write(&file, format!("{pid}\n")) {
        world.log("postgres", &format!("FATAL:  could not write lock file: {error}"));
        return Death(1);
    }
    world.log("postgres", "LOG:  database system is ready to accept connections");
    quit.asked().await;
    tokio::time::sleep(world.behaviour.pace.secs(0.5)).await;
    let _ = std::fs::remove_file(&file);
    world.log("postgres", "LOG:  database system is shut down");
    Death(0)
}
