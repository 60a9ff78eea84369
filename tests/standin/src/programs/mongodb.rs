//! `mongodb`: opens the files, holds the lock, and needs its time to stop.

use super::{Death, OnDrop};
use crate::data::database::Database;
use crate::data::lockfile::{self, LeftBehind};
use crate::failure::Result;
use crate::supervisor::quit::Quit;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Runs mongod. Killed between the request to stop and its end, it leaves the lock behind.
pub async fn run(world: &World, pid: u32, quit: &Quit) -> Death {
    let _gone = OnDrop(|| *world.mongo() = None);
    if let Err(failure) = open(world, pid) {
        world.log("mongodb", &format!("fatal: {failure}"));
        world.mongod_starts("F", "STORAGE", 28_595, "Terminating.", &json!({"reason": failure.to_string()}));
        return Death(100);
    }
    quit.asked().await;
    let millis = world.mongod_stop_millis.load(Ordering::SeqCst);
    world.mongod_stops("CONTROL", 23_377, "Received signal", &json!({"signal": 15, "error": "Terminated"}));
    let wait = json!({"quiesceTimeMillis": millis});
    world.mongod_stops("REPL", 4_695_102, "Entering quiesce mode for shutdown", &wait);
    #[allow(clippy::cast_precision_loss, reason = "a few thousand milliseconds")]
    tokio::time::sleep(world.behaviour.pace.secs(millis as f64 / 1000.0)).await;
    *world.mongo() = None;
    match lockfile::give_back(&world.volume) {
        Ok(()) => {
            world.mongod_stops("STORAGE", 22_279, "shutdown: removing fs lock...", &Value::Null);
            world.mongod_stops("CONTROL", 20_565, "Now exiting", &Value::Null);
            world.mongod_stops("CONTROL", 23_138, "Shutting down", &json!({"exitCode": 0}));
            Death(0)
        }
        Err(failure) => {
            world.log("mongodb", &format!("fatal: {failure}"));
            Death(14)
        }
    }
}

fn open(world: &World, pid: u32) -> Result<()> {
    let path = world.volume.mongodb();
    world.mongod_starts(
        "I",
        "STORAGE",
        4_615_611,
        "MongoDB starting",
        &json!({"pid": pid, "port": 27_017, "dbPath": path}),
    );
    if let LeftBehind::Unclean(recoveries) = lockfile::take(&world.volume, pid)? {
        let text = "Detected unclean shutdown - Lock file is not empty";
        world.mongod_starts("W", "STORAGE", 22_271, text, &json!({"lockFile": world.volume.mongod_lock()}));
        world.mongod_starts("W", "STORAGE", 22_302, "Recovering data from the last clean checkpoint.", &Value::Null);
        world
            .log("mongodb", &format!("{text}; recovering data from the last clean checkpoint (recovery {recoveries})"));
    }
    *world.mongo() = Some(Database::open(&path)?);
    world.mongod_starts("I", "NETWORK", 23_016, "Waiting for connections", &json!({"port": 27_017, "ssl": "off"}));
    world.log("mongodb", "waiting for connections on port 27017");
    Ok(())
}
