//! The supervisor: which programs there are, what state each is in, and how they start and stop.
//!
//! ```text
//! supervisorctl --socket--> Supervisor --orders--> one manager a program --quit--> the program's own future
//!                                                    STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL
//! ```
//!
//! States, exit codes and texts are those of supervisor 4.2.5.

pub mod ctl;
mod manage;
pub mod quit;
pub mod socket;
pub mod spec;
mod state;

pub use state::State;

use crate::say;
use crate::time::Moment;
use crate::world::World;
use manage::{Call, Manager};
use serde::{Deserialize, Serialize};
use socket::{Order, Reply};
use spec::Spec;
use state::View;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};

/// How starting or stopping one program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// As asked.
    Success,
    /// No program has that name.
    BadName,
    /// It runs already.
    AlreadyStarted,
    /// It does not run.
    NotRunning,
    /// It ended before its `startsecs` had passed.
    AbnormalTermination,
}

/// All programs of one container.
#[derive(Debug)]
pub struct Supervisor {
    world: Arc<World>,
    programs: Vec<Program>,
}

#[derive(Debug)]
struct Program {
    spec: Spec,
    view: View,
    calls: mpsc::Sender<Call>,
}

impl Supervisor {
    /// Starts every program, in the order of their priorities.
    pub fn start(world: &Arc<World>, mut specs: Vec<Spec>) -> Self {
        specs.sort_by_key(|spec| spec.priority);
        let first_pid = 40;
        let launch = |(index, spec): (usize, Spec)| {
            let (calls, orders) = mpsc::channel(8);
            let view = View::default();
            let pid = first_pid + 7 * u32::try_from(index).unwrap_or(0);
            let manager = Manager { spec, world: Arc::clone(world), view: view.clone(), orders, pid };
            tokio::spawn(manager.run());
            Program { spec, view, calls }
        };
        let programs = specs.into_iter().enumerate().map(launch).collect();
        Self { world: Arc::clone(world), programs }
    }

    /// Stops one program after the other, from the highest priority number down.
    pub async fn stop_all(&self) {
        for program in self.programs.iter().rev() {
            call(program, Call::Stop).await;
        }
    }

    /// The state of one program.
    pub fn state_of(&self, name: &str) -> Option<State> {
        self.programs.iter().find(|program| program.spec.name == name).map(|program| program.view.state())
    }

    /// Does what a client asks.
    pub async fn obey(&self, order: Order) -> Reply {
        match order {
            Order::Status => {
                let mut programs: Vec<_> =
                    self.programs.iter().map(|program| program.view.info(program.spec.name)).collect();
                programs.sort_by(|one, other| one.name.cmp(&other.name));
                Reply { programs, ..Reply::done() }
            }
            Order::Start { name } => Reply { fault: Some(self.ask(&name, Call::Start).await), ..Reply::done() },
            Order::Stop { name } => Reply { fault: Some(self.ask(&name, Call::Stop).await), ..Reply::done() },
            Order::ShutdownTimeout { millis } => self.set_shutdown_timeout(millis),
            Order::Dump => match self.world.mongo().as_ref() {
                Some(database) => Reply { documents: database.dump(), ..Reply::done() },
                None => refused(),
            },
            Order::Load { documents } => match self.world.mongo().as_mut() {
                Some(database) => match database.load(documents) {
                    Ok(()) => Reply::done(),
                    Err(failure) => Reply { text: failure.to_string(), ..Reply::default() },
                },
                None => refused(),
            },
        }
    }

    async fn ask(&self, name: &str, make: fn(oneshot::Sender<Fault>) -> Call) -> Fault {
        match self.programs.iter().find(|program| program.spec.name == name) {
            Some(program) => call(program, make).await,
            None => Fault::BadName,
        }
    }

    fn set_shutdown_timeout(&self, millis: u64) -> Reply {
        if self.world.mongo().is_none() {
            return refused();
        }
        let was = self.world.mongod_stop_millis.swap(millis, Ordering::SeqCst);
        Reply { text: format!("{{ was: {was}, ok: 1 }}"), ..Reply::done() }
    }
}

/// The answer of a database that is not there.
fn refused() -> Reply {
    Reply { text: "MongoNetworkError: connect ECONNREFUSED 127.0.0.1:27017".into(), ..Reply::default() }
}

async fn call(program: &Program, make: fn(oneshot::Sender<Fault>) -> Call) -> Fault {
    let (answer, answered) = oneshot::channel();
    if program.calls.send(make(answer)).await.is_err() {
        return Fault::NotRunning;
    }
    answered.await.unwrap_or(Fault::NotRunning)
}

/// One line of supervisord's own log.
pub fn log(level: &str, line: &str) {
    say::out(&format!("{} {level} {line}", Moment::now().supervisord()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::envfile::Settings;
    use crate::options::Options;
    use crate::paths::Volume;
    use spec::Kind;
    use std::collections::BTreeMap;
    use std::time::Duration;

    /// A container at a hundredth of the real pace, with only those programs.
    fn container(broken: &str, kinds: &[Kind]) -> (tempfile::TempDir, Arc<World>, Supervisor) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&["--version".into(), "v2.0".into()]).unwrap()).unwrap();
        let behaviour = baked.in_environment(Some("0.01"), Some(broken)).unwrap();
        crate::entrypoint::tree::make_directories(&volume).unwrap();
        crate::entrypoint::tree::make_settings(&volume, behaviour.version).unwrap();
        let settings = Settings::load(&volume, behaviour.version, &BTreeMap::new()).unwrap();
        let mut specs = spec::programs(behaviour.version, behaviour.open, &settings, true);
        specs.retain(|spec| kinds.contains(&spec.kind));
        let world = Arc::new(World::new(volume, behaviour, String::new(), BTreeMap::new()));
        let supervisor = Supervisor::start(&world, specs);
        (dir, world, supervisor)
    }

    async fn wait_for(supervisor: &Supervisor, name: &str, wanted: State) {
        let reached = async {
            while supervisor.state_of(name) != Some(wanted) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    }

    async fn ask(supervisor: &Supervisor, order: Order) -> Option<Fault> {
        supervisor.obey(order).await.fault
    }

    #[tokio::test]
    async fn starting_takes_startsecs_and_stopping_is_told_apart() {
        let (_dir, _world, supervisor) = container("", &[Kind::Rts, Kind::Mcp]);
        let mcp = || "mcp".to_owned();
        assert_eq!(ask(&supervisor, Order::Start { name: mcp() }).await, Some(Fault::AlreadyStarted));
        wait_for(&supervisor, "mcp", State::Running).await;
        assert_eq!(ask(&supervisor, Order::Stop { name: mcp() }).await, Some(Fault::Success));
        assert_eq!(ask(&supervisor, Order::Stop { name: mcp() }).await, Some(Fault::NotRunning));
        let began = std::time::Instant::now();
        assert_eq!(ask(&supervisor, Order::Start { name: mcp() }).await, Some(Fault::Success));
        assert!(began.elapsed() >= Duration::from_millis(50), "startsecs is 5");
        assert_eq!(ask(&supervisor, Order::Start { name: "cron".into() }).await, Some(Fault::BadName));
    }

    #[tokio::test]
    async fn a_program_that_keeps_dying_is_given_up() {
        let (_dir, _world, supervisor) = container("backend-fatal", &[Kind::Rts, Kind::Backend]);
        wait_for(&supervisor, "backend", State::Backoff).await;
        wait_for(&supervisor, "backend", State::Fatal).await;
        let again = ask(&supervisor, Order::Start { name: "backend".into() }).await;
        assert_eq!(again, Some(Fault::AbnormalTermination));
    }

    #[tokio::test]
    async fn mongod_ends_cleanly_in_time_and_is_killed_when_it_is_slow() {
        for (broken, lock_is_empty) in [("", true), ("slow-mongod", false)] {
            let (_dir, world, supervisor) = container(broken, &[Kind::Mongodb]);
            wait_for(&supervisor, "mongodb", State::Running).await;
            assert!(world.mongo().is_some());
            supervisor.stop_all().await;
            let left = std::fs::read_to_string(world.volume.mongod_lock()).unwrap();
            assert_eq!(left.is_empty(), lock_is_empty, "{broken}");
            assert!(world.mongo().is_none(), "a killed program offers nothing either");
        }
    }

    #[tokio::test]
    async fn a_short_shutdown_timeout_saves_a_slow_mongod() {
        let (_dir, world, supervisor) = container("slow-mongod", &[Kind::Mongodb]);
        wait_for(&supervisor, "mongodb", State::Running).await;
        assert_eq!(supervisor.obey(Order::ShutdownTimeout { millis: 100 }).await.text, "{ was: 15000, ok: 1 }");
        supervisor.stop_all().await;
        assert_eq!(std::fs::read_to_string(world.volume.mongod_lock()).unwrap(), "");
    }
}
