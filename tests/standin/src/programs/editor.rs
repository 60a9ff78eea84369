//! `editor`: the web server. The entry point started it already for the loading page; this takes it over.

use super::{Death, OnDrop};
use crate::supervisor::quit::Quit;
use crate::web;
use crate::world::{World, lock};
use std::sync::Arc;

/// Runs the web server.
pub async fn run(world: &Arc<World>, quit: &Quit) -> Death {
    if lock(&world.front).is_none() {
        match web::open(world).await {
            Ok(front) => *lock(&world.front) = Some(front),
            Err(failure) => {
                world.log("editor", &failure.to_string());
                return Death(1);
            }
        }
    }
    let _closed = OnDrop(|| {
        if let Some(front) = lock(&world.front).take() {
            front.close();
        }
    });
    world.log("editor", "serving initial configuration");
    quit.asked().await;
    Death(0)
}
