//! Two instances on an engine in memory, a store, a state directory, and the lives of the processes that work on them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tidegate::engine::ContainerEngine;
use tidegate::engine::fake::FakeEngine;
use tidegate::instance::InstanceAdapter;
use tidegate::model::definition::{Mount, MountSource};
use tidegate::model::ids::{InstanceName, RunId};
use tidegate::model::layout::lock_container;
use tidegate::model::manifest::Mode;
use tidegate::model::plan::choose::Selector;
use tidegate::ops::notes::Notes;
use tidegate::ops::run::{self, Plan, RunError, RunReport};
use tidegate::ops::state::StateDir;
use tidegate::ops::{Settings, Tools, restore, snapshot, undo, upgrade};
use tidegate::repository::Repository;
use tidegate::store::memory::MemoryStore;
use tidegate::workflow::{FileJournal, Record, Retry};
use tokio::runtime::Runtime;

use super::app::{App, Manner, Tell, image};
use super::data::{self, Content};
use super::life::Life;
use super::mortal::{Durable, MortalEngine, MortalJournal, MortalStore};

/// The instances, in the pipeline's order.
pub const INSTANCES: [&str; 2] = ["staging", "production"];
/// How every container is started by its operator.
pub const POLICY: &str = "always";

thread_local! {
    static SECONDS: Cell<i64> = const { Cell::new(1_790_000_000) };
}

/// A clock of this thread's own, which goes on by a second whenever it is looked at.
pub fn now() -> Timestamp {
    let seconds = SECONDS.get() + 1;
    SECONDS.set(seconds);
    Timestamp::from_second(seconds).unwrap()
}

/// What is run, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workflow {
    /// A snapshot of staging.
    Snapshot,
    /// A snapshot of staging while it runs.
    HotSnapshot,
    /// An upgrade of both, to an image of that manner.
    Upgrade(Manner),
    /// Production, which was upgraded and is in use, back to before its upgrade; and whether that passes its checks.
    Restore {
        /// Whether what comes back is well.
        well: bool,
    },
    /// As `Restore`, but the container is gone.
    RestoreGone,
    /// What production was before its upgrade in the place of staging, which was upgraded, too.
    Clone,
    /// Production, which was upgraded, put back and used since, back to before it was put back; and whether that passes
    /// its checks.
    Undo {
        /// Whether what comes back is well.
        well: bool,
    },
}

/// How an instance is, or should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The image; `None` where there is no container.
    pub image: Option<String>,
    /// Its data.
    pub content: Content,
}

/// All that outlives a process.
pub struct World {
    _root: TempDir,
    runtime: Runtime,
    /// The engine.
    pub engine: FakeEngine,
    /// The store.
    pub store: MemoryStore,
    /// The state directory.
    pub state: StateDir,
    /// What the images told of.
    pub tell: Tell,
    /// Porters that were left behind.
    pub porters: Arc<Mutex<BTreeSet<String>>>,
    /// How many runs were begun; names what users write.
    pub runs: usize,
    /// Which instances users wrote to since they were let in by the last run.
    pub written: Arc<Mutex<BTreeSet<String>>>,
    /// How each instance was before the last run.
    pub before: BTreeMap<String, Pair>,
    /// How each instance is to be after it, if it is reopened.
    pub after: BTreeMap<String, Pair>,
    /// What each instance held when its snapshots were taken.
    pub snapshotted: BTreeMap<String, Content>,
    /// Whether what was published was damaged since.
    pub damaged: bool,
    /// What is run.
    pub workflow: Workflow,
    /// The plan of the last run.
    pub plan: Plan,
}

/// How a process ended.
#[derive(Debug)]
#[allow(dead_code, reason = "shown where a case fails")]
pub enum End {
    /// It was killed.
    Died,
    /// Its run ended.
    Over(Box<RunReport>),
    /// It gave up; the run is open or never began.
    GaveUp(RunError),
}

fn folder() -> TempDir {
    // Memory where there is some: the matrix flushes a hundred thousand files.
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

impl World {
    /// Instances that run, and everything ready for the workflow.
    pub fn new(workflow: Workflow) -> Self {
        let root = folder();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let engine = FakeEngine::new(&root.path().join("engine"));
        let tell = Tell::default();
        engine.add_image("app:v1.0", image("v1.0", Manner::Good, &tell));
        let manner = if let Workflow::Upgrade(manner) = workflow { manner } else { Manner::Good };
        engine.publish("app:v2.0", image("v2.0", manner, &tell));
        for instance in INSTANCES {
            let volume = |which: &str| format!("{instance}-{which}");
            data::seed(instance, &engine.volume(&volume("data")).unwrap(), &engine.volume(&volume("more")).unwrap());
            let mount = |which: &str| Mount {
                source: MountSource::Volume(volume(which)),
                destination: format!("/{which}"),
                writable: true,
            };
            let mounts = [mount("data"), mount("more")];
            let definition = engine.define(&format!("app-{instance}"), "app:v1.0", &mounts, POLICY).unwrap();
            engine.run(definition).unwrap();
        }
        let store = MemoryStore::default();
        runtime.block_on(Repository::open_or_init(Arc::new(store.clone()))).unwrap();
        let state = StateDir::open(&root.path().join("state")).unwrap();
        let plan = snapshot_plan("staging", Mode::Cold);
        let mut world = Self {
            _root: root,
            runtime,
            engine,
            store,
            state,
            tell,
            porters: Arc::default(),
            runs: 0,
            written: Arc::default(),
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            snapshotted: BTreeMap::new(),
            damaged: false,
            workflow,
            plan,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        let tools = self.tools(&Life::quiet());
        self.snapshotted = INSTANCES.iter().map(|it| ((*it).to_owned(), self.pair(it).content)).collect();
        if let Workflow::Undo { well } = self.workflow {
            self.upgrade_and_restore(&tools);
            if !well {
                self.tell.unwell.lock().unwrap().insert("app:v2.0".into());
            }
        }
        if let Workflow::Restore { .. } | Workflow::RestoreGone | Workflow::Clone = self.workflow {
            let mut old = self.pair("production");
            let upgrade = self.runtime.block_on(upgrade::plan(&tools, "v2.0", None, false, None)).unwrap();
            self.plan = Plan::Upgrade(upgrade);
            let End::Over(report) = self.begin(&Life::quiet()) else { unreachable!() };
            assert!(report.failure.is_none());
            if self.workflow == Workflow::RestoreGone {
                self.runtime.block_on(async {
                    self.engine.stop("app-production", Duration::ZERO).await.unwrap();
                    self.engine.remove("app-production").await.unwrap();
                });
                // Without a container nobody can say what else the app kept: what no part covers stays.
                let stays = self.pair("production").content.remove_entry("data/new/thing");
                old.content.extend(stays);
            }
            if self.workflow == (Workflow::Restore { well: false }) {
                self.tell.unwell.lock().unwrap().insert("app:v1.0".into());
            }
            let target = if self.workflow == Workflow::Clone { "staging" } else { "production" };
            self.after.insert(target.into(), old);
        }
        self.plan = match self.workflow {
            Workflow::Snapshot => snapshot_plan("staging", Mode::Cold),
            Workflow::HotSnapshot => {
                let theirs = self.folders("staging").0.join(super::hot::THEIRS);
                std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
                std::fs::write(theirs, "precious").unwrap();
                snapshot_plan("staging", Mode::Hot)
            }
            Workflow::Upgrade(_) => {
                Plan::Upgrade(self.runtime.block_on(upgrade::plan(&tools, "v2.0", None, false, None)).unwrap())
            }
            Workflow::Undo { .. } => {
                let production = undo::Wanted::Of(InstanceName::new("production").unwrap());
                Plan::Undo(self.runtime.block_on(undo::plan(&tools, &production, false)).unwrap())
            }
            Workflow::Restore { .. } | Workflow::RestoreGone | Workflow::Clone => {
                Plan::Restore(self.runtime.block_on(restore::plan(&tools, &back("production", None))).unwrap())
            }
        };
        if self.workflow == Workflow::Clone {
            let wanted = back("staging", Some("production"));
            self.plan = Plan::Restore(self.runtime.block_on(restore::plan(&tools, &wanted)).unwrap());
        }
        self.before = INSTANCES.iter().map(|instance| ((*instance).to_owned(), self.pair(instance))).collect();
        if let Workflow::Upgrade(_) = self.workflow {
            let upgraded =
                |pair: &Pair| Pair { image: Some("app:v2.0".into()), content: data::migrated(&pair.content) };
            self.after = self.before.iter().map(|(name, pair)| (name.clone(), upgraded(pair))).collect();
        }
    }

    /// Production as an undo finds it: upgraded, in use, put back, and in use again.
    fn upgrade_and_restore(&mut self, tools: &Arc<Tools>) {
        let upgrade = self.runtime.block_on(upgrade::plan(tools, "v2.0", None, false, None)).unwrap();
        self.plan = Plan::Upgrade(upgrade);
        assert!(matches!(self.begin(&Life::quiet()), End::Over(_)));
        self.after.insert("production".into(), self.pair("production"));
        let restore = self.runtime.block_on(restore::plan(tools, &back("production", None)));
        self.plan = Plan::Restore(restore.unwrap());
        let End::Over(report) = self.begin(&Life::quiet()) else { unreachable!() };
        assert!(report.failure.is_none());
    }

    /// The two folders of an instance.
    pub fn folders(&self, instance: &str) -> (PathBuf, PathBuf) {
        let volume = |which: &str| self.engine.volume(&format!("{instance}-{which}")).unwrap();
        (volume("data"), volume("more"))
    }

    /// How an instance is.
    pub fn pair(&self, instance: &str) -> Pair {
        let (data, more) = self.folders(instance);
        let image = self.engine.peek(&format!("app-{instance}")).map(|(_, definition)| definition.image_ref);
        Pair { image, content: data::content(&data, &more) }
    }

    /// What a process works with.
    pub fn tools(&self, life: &Life) -> Arc<Tools> {
        let engine = MortalEngine { inner: self.engine.clone(), life: life.clone(), porters: self.porters.clone() };
        let store = MortalStore { inner: self.store.clone(), life: life.clone() };
        let app = |name: &&str| {
            let app: Arc<dyn InstanceAdapter> = Arc::new(App::new(name));
            (app.name().clone(), app)
        };
        Arc::new(Tools {
            engine: Arc::new(engine),
            repository: Arc::new(Repository::unopened(Arc::new(store))),
            instances: INSTANCES.iter().map(app).collect(),
            state: self.state.clone(),
            promotion: None,
            now,
            settings: Settings {
                stages: INSTANCES.iter().map(|name| InstanceName::new(*name).unwrap()).collect(),
                image: Some("app".into()),
                evidence_max_age: SignedDuration::from_hours(24),
                approval: Vec::new(),
                approval_max_age: SignedDuration::from_hours(1),
                snapshot_mode: Default::default(),
                compression_level: 1,
                keep_aside: SignedDuration::from_hours(24 * 14),
                empty_cache: false,
                stall_timeout: Duration::from_secs(60),
                retry: Retry { pauses: vec![Duration::ZERO; 2], ..Retry::default() },
                stable_for: SignedDuration::ZERO,
                host: "matrix".into(),
                take_over: None,
                acknowledged: Default::default(),
                allow_change: Vec::new(),
                keep_pictures: SignedDuration::from_hours(24 * 30),
            },
        })
    }

    /// What happens in the world as soon as a record is durable.
    pub fn durable(&self) -> Durable {
        let folders: BTreeMap<String, PathBuf> =
            INSTANCES.iter().map(|name| ((*name).to_owned(), self.folders(name).1)).collect();
        let (written, file) = (self.written.clone(), data::after_file(self.runs));
        Box::new(move |record, step| {
            let let_in = match record {
                Record::Reopened { .. } => true,
                Record::Done { .. } => step.starts_with("wake "),
                _ => false,
            };
            if let (true, Some((_, instance))) = (let_in, step.rsplit_once(' ')) {
                std::fs::write(folders[instance].join(&file), "written by users").unwrap();
                written.lock().unwrap().insert(instance.to_owned());
            }
        })
    }

    /// From now on users write for the next run.
    pub fn next_run(&mut self) {
        self.runs += 1;
        self.written.lock().unwrap().clear();
    }

    /// A process that begins the run.
    pub fn begin(&mut self, life: &Life) -> End {
        self.next_run();
        let (tools, plan) = (self.tools(life), self.plan.clone());
        let (durable, of) = (self.durable(), life.clone());
        let through = move |inner: FileJournal<Notes>| MortalJournal { inner, life: of, durable };
        let begun = async {
            tokio::select! {
                biased;
                ended = run::begin_through(&tools, &plan, Arc::new(life.clone()), life.cancel(), through) => ended.map_or_else(End::GaveUp, |report| End::Over(Box::new(report))),
                () = life.death() => End::Died,
            }
        };
        let end = self.runtime.block_on(begun);
        self.bury();
        end
    }

    /// A process that takes the run up.
    pub fn resume(&self, run: &RunId, life: &Life) -> End {
        let tools = self.tools(life);
        let (durable, of) = (self.durable(), life.clone());
        let through = move |inner: FileJournal<Notes>| MortalJournal { inner, life: of, durable };
        let resumed = async {
            tokio::select! {
                biased;
                ended = run::resume_through(&tools, run, run::Resume::TakeUp, Arc::new(life.clone()), life.cancel(), through) => ended.map_or_else(End::GaveUp, |report| End::Over(Box::new(report))),
                () = life.death() => End::Died,
            }
        };
        let end = self.runtime.block_on(resumed);
        self.bury();
        end
    }

    /// The locks of a process that is gone name a process that is gone.
    fn bury(&self) {
        for instance in INSTANCES {
            let lock = lock_container(&format!("app-{instance}"));
            self.runtime.block_on(async {
                if let Some(mut owner) = self.engine.lock_owner(&lock).await.unwrap() {
                    self.engine.unlock(&lock, &owner).await.unwrap();
                    owner.pid_started = 0;
                    self.engine.lock(&lock, &owner).await.unwrap();
                }
            });
        }
    }

    /// The run that is open, if there is one.
    pub fn open_run(&self) -> Option<RunId> {
        let open = run::open_runs(&self.tools(&Life::quiet())).unwrap();
        assert!(open.len() < 2, "{open:?}");
        open.into_iter().next().map(|summary| summary.run)
    }

    /// The newest run that has a journal.
    pub fn last_run(&self) -> Option<RunId> {
        let runs = tidegate::ops::history::runs(&self.state).unwrap();
        runs.into_iter().flatten().last().map(|summary| summary.run)
    }

    /// Runs something on the world's own runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// To before the upgrade of it, or of that other one.
pub fn back(instance: &str, of: Option<&str>) -> restore::Wanted {
    let name = |name: &str| InstanceName::new(name).unwrap();
    let selector = Selector::BeforeUpgrade;
    restore::Wanted { instance: name(instance), of: of.map(name), selector, no_checks: false }
}

fn snapshot_plan(instance: &str, mode: Mode) -> Plan {
    Plan::Snapshot(snapshot::SnapshotPlan {
        instance: InstanceName::new(instance).unwrap(),
        container: format!("app-{instance}"),
        reason: tidegate::model::manifest::Reason::Manual,
        mode,
        tags: Vec::new(),
    })
}
