//! Process 1, from start to stop. The steps and their order are those of the real entry point.
//!
//! ```text
//! phase 0  environment, info.json to the log             refused
//! phase 1  web server with the loading page, data init   / 200, /info 200, /api 502, supervisorctl fails
//! phase 2  supervisord, programs STARTING                the same, supervisorctl answers
//! phase 3  all RUNNING, backend migrates                 the same, the engine says healthy
//! phase 4  API open                                      ready
//! ```

mod guard;
pub mod tree;
mod watch;

use crate::behaviour::Behaviour;
use crate::broken::Broken;
use crate::data::accounts;
use crate::data::database::Database;
use crate::data::redis::Redis;
use crate::envfile::{self, Settings};
use crate::failure::{Failure, Result};
use crate::paths::{self, Volume};
use crate::supervisor::{self, Supervisor, socket, spec};
use crate::world::{World, lock};
use crate::{say, web};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Seconds until the web server is up.
const PHASE_0_SECS: f64 = 1.0;
/// Seconds of a start on existing data: certificates, PostgreSQL.
const WARM_SECS: f64 = 3.0;
/// Seconds that a first start sleeps, twice, while the database comes up.
const FIRST_INIT_SECS: f64 = 10.0;

/// Runs the container. Exit code 0 after a stop, 1 when the entry point gave up.
pub fn run() -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = runtime.map_err(Failure::of("cannot start the runtime"))?.block_on(live())?;
    // Whatever still runs inside dies with process 1.
    std::process::exit(code.into())
}

async fn live() -> Result<u8> {
    let mut stop = Stop::listen()?;
    let behaviour = Behaviour::load()?;
    // Old images have none.
    let info = crate::data::file::text(Path::new(paths::INFO))?.unwrap_or_default();
    let container = envfile::container_variables(std::env::vars());
    let world = Arc::new(World::new(Volume::at(paths::STACKS), behaviour, info, container));
    let specs = tokio::select! {
        () = stop.asked() => return Ok(143),
        prepared = prepare(&world) => match prepared {
            Ok(specs) => specs,
            Err(failure) => {
                say::err(&failure.to_string());
                return Ok(1);
            }
        }
    };
    supervise(&world, specs, &mut stop).await?;
    Ok(0)
}

/// Phases 0 and 1. An error here is the entry point's `exit 1`.
async fn prepare(world: &Arc<World>) -> Result<Vec<spec::Spec>> {
    let (volume, behaviour) = (&world.volume, &world.behaviour);
    let pace = behaviour.pace;
    tree::make_temporary(&world.container)?;
    tree::make_settings(volume, behaviour.version)?;
    let settings = Settings::load(volume, behaviour.version, &world.container)?;
    *lock(&world.settings) = settings.clone();
    if !world.info.is_empty() {
        say::out(&one_line(&world.info));
    }
    if (pace.factor() - 1.0).abs() > f64::EPSILON {
        say::out(&format!("stand-in: every delay is scaled by {}", pace.factor()));
    }
    for way in &behaviour.broken {
        say::out(&format!("stand-in: broken on purpose: {way}"));
    }
    tokio::time::sleep(pace.secs(PHASE_0_SECS)).await;
    world.loading_page.store(true, Ordering::SeqCst);
    *lock(&world.front) = Some(web::open(world).await?);
    if behaviour.is(&Broken::Exit) {
        tokio::time::sleep(pace.secs(WARM_SECS)).await;
        return Err(Failure::new("stand-in: the entry point gives up, as it was told to"));
    }
    if let Some(seconds) =
        behaviour.seconds(|way| if let Broken::SlowStart(seconds) = way { Some(*seconds) } else { None })
    {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    guard::may_start(volume, behaviour)?;
    if tree::has_database(volume) {
        tokio::time::sleep(pace.secs(WARM_SECS)).await;
    } else {
        say::out("Initializing MongoDB");
        tokio::time::sleep(pace.secs(FIRST_INIT_SECS)).await;
        tree::make_database(volume, behaviour.format, &mut crate::data::ids::Numbers::random())?;
        accounts::make(volume, &settings)?;
        tokio::time::sleep(pace.secs(FIRST_INIT_SECS)).await;
    }
    let postgres = settings.wants_postgres();
    if postgres && !tree::runs_as_root() {
        return Err(Failure::new("Embedded Postgres cannot run as a non-root user; set APPSMITH_ENABLE_EMBEDDED_DB=0"));
    }
    if postgres {
        tree::make_postgres(volume)?;
    }
    tree::fill_up_settings(volume, behaviour.version)?;
    tree::make_directories(volume)?;
    Ok(spec::programs(behaviour.version, behaviour.open, &settings, postgres))
}

/// Phases 2 to 4, and the stop.
async fn supervise(world: &Arc<World>, specs: Vec<spec::Spec>, stop: &mut Stop) -> Result<()> {
    open_external(world, &specs)?;
    let listener = socket::listen()?;
    supervisor::log("INFO", "supervisord started with pid 1");
    let supervisor = Arc::new(Supervisor::start(world, specs));
    tokio::spawn(socket::serve(listener, Arc::clone(&supervisor)));
    tokio::spawn(watch::loading_page(Arc::clone(world), Arc::clone(&supervisor)));
    tokio::spawn(watch::heal(Arc::clone(world), Arc::clone(&supervisor)));
    stop.asked().await;
    supervisor::log("WARN", "received SIGTERM indicating exit request");
    let slow = |way: &Broken| if let Broken::SlowStop(seconds) = way { Some(*seconds) } else { None };
    if let Some(seconds) = world.behaviour.seconds(slow) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    supervisor.stop_all().await;
    let _ = std::fs::remove_file(paths::SOCKET);
    Ok(())
}

/// A database or Redis outside of the container is imitated in the container's own layer: nothing lands in the volume.
fn open_external(world: &World, specs: &[spec::Spec]) -> Result<()> {
    let outside = Path::new(paths::TMP).join("external");
    let missing = |kind| specs.iter().all(|spec| spec.kind != kind);
    if missing(spec::Kind::Mongodb) {
        *world.mongo() = Some(Database::open(&outside.join("mongodb"))?);
    }
    if missing(spec::Kind::Redis) {
        *world.redis() = Some(Redis::open(&outside.join("dump.rdb"))?);
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.to_string(),
        Err(_) => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The signals that ask a container to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Failure::of("cannot listen for signals"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
