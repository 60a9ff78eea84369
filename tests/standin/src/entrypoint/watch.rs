//! Two scripts that run beside the programs: one takes the loading page away, one restarts a silent backend.

use crate::supervisor::socket::Order;
use crate::supervisor::{State, Supervisor};
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Seconds after which the loading page goes, ready or not.
const LOADING_PAGE_SECS: f64 = 180.0;
const POLL_SECS: f64 = 3.0;
const HEAL_AFTER_SECS: f64 = 120.0;
const HEAL_EVERY_SECS: f64 = 10.0;

/// Takes the loading page away when the backend is given up, or after three minutes. (The backend does it when ready.)
pub async fn loading_page(world: Arc<World>, supervisor: Arc<Supervisor>) {
    let pace = world.behaviour.pace;
    let end = Instant::now() + pace.secs(LOADING_PAGE_SECS);
    while world.loading_page.load(Ordering::SeqCst) {
        let given_up = supervisor.state_of("backend") == Some(State::Fatal);
        if given_up || Instant::now() >= end {
            world.loading_page.store(false, Ordering::SeqCst);
        }
        sleep(pace.secs(POLL_SECS).max(Duration::from_millis(25))).await;
    }
}

/// `APPSMITH_AUTO_HEAL=1`: restarts a backend that does not answer. It does not know of migrations, and that is the trap.
pub async fn heal(world: Arc<World>, supervisor: Arc<Supervisor>) {
    if world.settings().get("APPSMITH_AUTO_HEAL") != Some("1") {
        return;
    }
    let pace = world.behaviour.pace;
    sleep(pace.secs(HEAL_AFTER_SECS)).await;
    loop {
        if !world.api_is_open() {
            world.log("backend", "auto-heal: the backend does not answer, restarting it");
            supervisor.obey(Order::Stop { name: "backend".into() }).await;
            supervisor.obey(Order::Start { name: "backend".into() }).await;
        }
        sleep(pace.secs(HEAL_EVERY_SECS).max(Duration::from_millis(100))).await;
    }
}
