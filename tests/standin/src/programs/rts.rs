//! `rts`: the backend waits for it, and that is all it does here.

use super::{Death, OnDrop};
use crate::supervisor::quit::Quit;
use crate::world::World;
use std::sync::atomic::Ordering;

/// Runs RTS.
pub async fn run(world: &World, quit: &Quit) -> Death {
    let _gone = OnDrop(|| world.rts_up.store(false, Ordering::SeqCst));
    world.rts_up.store(true, Ordering::SeqCst);
    world.log("rts", "RTS version and health-check ready at port 8091");
    quit.asked().await;
    Death(0)
}
