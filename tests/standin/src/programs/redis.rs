//! `redis`: holds the sessions.

use super::{Death, OnDrop};
use crate::data::redis::Redis;
use crate::supervisor::quit::Quit;
use crate::world::World;

/// Runs Redis.
pub async fn run(world: &World, quit: &Quit) -> Death {
    let _gone = OnDrop(|| *world.redis() = None);
    match Redis::open(&world.volume.redis_dump()) {
        Ok(redis) => *world.redis() = Some(redis),
        Err(failure) => {
            world.log("redis", &format!("# Fatal error loading the DB: {failure}. Exiting."));
            return Death(1);
        }
    }
    world.log("redis", "* Ready to accept connections tcp");
    quit.asked().await;
    world.log("redis", "# Redis is now ready to exit, bye bye...");
    Death(0)
}
