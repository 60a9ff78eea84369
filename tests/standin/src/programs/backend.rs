//! `backend`: waits for what it needs, migrates, and opens the API.
//!
//! ```text
//! start ... 20 s RUNNING ... migration time ... API open ............ asked to quit ... graceful stop
//!           supervisor's view                   what users see
//! ```

use super::{Death, OnDrop};
use crate::broken::Broken;
use crate::data::migration::{self, Unit};
use crate::data::{accounts, database::Collection, marker};
use crate::envfile::Settings;
use crate::failure::{Failure, Result};
use crate::supervisor::quit::Quit;
use crate::time::Moment;
use crate::world::{World, lock};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Seconds after which supervisor calls the backend RUNNING.
const START_SECS: f64 = 20.0;
/// Seconds from RUNNING to ready, with and without change units to run.
const MIGRATION_SECS: f64 = 20.0;
const PLAIN_SECS: f64 = 5.0;
/// Seconds that Spring waits for the database before it gives up.
const DATABASE_PATIENCE_SECS: f64 = 30.0;
/// Seconds of graceful shutdown.
const GRACE_SECS: f64 = 4.0;

/// Runs the backend.
pub async fn run(world: &World, quit: &Quit) -> Death {
    let born = Instant::now();
    let _closed = OnDrop(|| {
        world.api_open.store(false, Ordering::SeqCst);
        world.backend_ends.fetch_add(1, Ordering::SeqCst);
    });
    tokio::select! {
        () = quit.asked() => return Death(143),
        booted = boot(world, born) => if let Err(failure) = booted {
            world.log("backend", &format!("ERROR Application run failed: {failure}"));
            return Death(1);
        }
    }
    world.api_open.store(true, Ordering::SeqCst);
    world.loading_page.store(false, Ordering::SeqCst);
    world.log("backend", &format!("Started ServerApplication in {:.3} seconds", born.elapsed().as_secs_f64()));
    if world.behaviour.is(&Broken::HealthFlap) {
        let moment = world.behaviour.pace.secs(4.0).max(Duration::from_millis(300));
        if quit.sleep(moment).await {
            world.log("backend", "ERROR Instance schema check failed, exiting");
            return Death(1);
        }
    }
    quit.asked().await;
    world.log("backend", "Commencing graceful shutdown. Waiting for active requests to complete");
    world.api_open.store(false, Ordering::SeqCst);
    tokio::time::sleep(world.behaviour.pace.secs(GRACE_SECS)).await;
    world.log("backend", "Graceful shutdown complete");
    Death(143)
}

async fn boot(world: &World, born: Instant) -> Result<()> {
    let pace = world.behaviour.pace;
    let settings = Settings::load(&world.volume, world.behaviour.version, &world.container)?;
    *lock(&world.settings) = settings;
    while !world.rts_up.load(Ordering::SeqCst) {
        world.log("backend", "Waiting for RTS to start ...");
        tokio::time::sleep(pace.secs(1.0).max(Duration::from_millis(20))).await;
    }
    if world.behaviour.is(&Broken::BackendFatal) {
        tokio::time::sleep(pace.secs(3.0)).await;
        world.log("backend", "ERROR Mongock: error in change unit, ABORTED MIGRATION");
        return Err(Failure::new("a change unit failed"));
    }
    wait_for_database(world, born).await?;
    accounts::check(&world.volume, &lock(&world.settings))?;
    let units = match &*world.mongo() {
        Some(database) => migration::pending(database, &world.behaviour),
        None => return Err(Failure::new("the database went away")),
    };
    let migration_secs = if units.is_empty() { PLAIN_SECS } else { MIGRATION_SECS };
    let ready = born + pace.secs(START_SECS + migration_secs);
    migrate(world, &units, born + pace.secs(START_SECS), ready).await?;
    for way in &world.behaviour.broken {
        if let Broken::MigrationLog(word) = way {
            world.log("backend", &format!("ERROR Mongock: {word} MIGRATION - ChangeUnit[id=page-layouts]"));
            world.log("backend", "ERROR io.mongock.runner: error executing the migration, it is given up");
        }
    }
    if world.behaviour.is(&Broken::NeverReady) {
        world.log("backend", "INFO Mongock: change unit still running");
        std::future::pending::<()>().await;
    }
    sleep_until(ready).await;
    Ok(())
}

async fn wait_for_database(world: &World, born: Instant) -> Result<()> {
    let patience = world.behaviour.pace.secs(DATABASE_PATIENCE_SECS).max(Duration::from_millis(500));
    while world.mongo().is_none() || world.redis().is_none() {
        if born.elapsed() > patience {
            return Err(Failure::new(
                "Timed out while waiting for a server that matches ReadPreference. Connection refused",
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Runs the change units one by one over the migration time. Each is on disk before the next begins.
async fn migrate(world: &World, units: &[Unit], from: Instant, until: Instant) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    take_mongock_lock(world).await?;
    // One-way from here: an older image refuses this data even if not one document has changed yet.
    marker::raise(&world.volume, world.behaviour.format)?;
    let count = u32::try_from(units.len()).unwrap_or(1);
    for (number, unit) in (0u32..).zip(units) {
        sleep_until(from + (until - from) * number / count).await;
        with_database(world, |database| migration::apply(database, unit, &world.behaviour))?;
        world.log("backend", &format!("INFO Mongock: APPLIED - ChangeUnit[id={}]", unit.id()));
    }
    with_database(world, |database| database.remove(Collection::MongockLock, |_| true))?;
    world.log("backend", &format!("INFO Mongock: migration finished, {count} change units applied"));
    Ok(())
}

/// A lock that a killed backend left behind is waited for, as Mongock does until it expires.
async fn take_mongock_lock(world: &World) -> Result<()> {
    let held = world.mongo().as_ref().is_some_and(|database| database.all(Collection::MongockLock).next().is_some());
    if held {
        world.log("backend", "INFO Mongock: lock is held by other process, waiting for it to expire");
        tokio::time::sleep(world.behaviour.pace.secs(world.behaviour.open.mongock_lock_secs)).await;
    }
    let lock = json!({"_id": "lock", "key": "DEFAULT_KEY", "status": "LOCK_HELD", "since": Moment::now().iso()});
    with_database(world, |database| database.put(Collection::MongockLock, lock))?;
    world.log("backend", "INFO Mongock: acquired process lock");
    Ok(())
}

fn with_database(world: &World, edit: impl FnOnce(&mut crate::data::database::Database)) -> Result<()> {
    let mut guard = world.mongo();
    let database = guard.as_mut().ok_or_else(|| Failure::new("the database went away"))?;
    edit(database);
    database.commit()
}
