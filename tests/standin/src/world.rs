//! What the programs of one container share.

use crate::behaviour::Behaviour;
use crate::broken::Broken;
use crate::data::database::Database;
use crate::data::redis::Redis;
use crate::envfile::Settings;
use crate::feature::Feature;
use crate::paths::Volume;
use crate::say;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long mongod takes to stop on SIGTERM, in milliseconds at scale 1.
const MONGOD_STOP_MILLIS: u64 = 8_000;
/// The same for `slow-mongod`: the real step-down default, longer than supervisord's 10 seconds.
const SLOW_MONGOD_STOP_MILLIS: u64 = 15_000;

/// One container. A program that runs puts its part in here and takes it away when it ends.
#[derive(Debug)]
pub struct World {
    /// The volume.
    pub volume: Volume,
    /// The image and how it behaves.
    pub behaviour: Behaviour,
    /// `info.json`, as it lies in the image.
    pub info: String,
    /// The container's own variables.
    pub container: BTreeMap<String, String>,
    /// The settings that the backend started with.
    pub settings: Mutex<Settings>,
    /// The database, while mongod runs.
    pub mongo: Mutex<Option<Database>>,
    /// Sessions, while Redis runs.
    pub redis: Mutex<Option<Redis>>,
    /// The web server, between the entry point that starts it and the program that takes it over.
    pub front: Mutex<Option<crate::web::Front>>,
    /// RTS answers.
    pub rts_up: AtomicBool,
    /// The backend answers.
    pub api_open: AtomicBool,
    /// The loading page lies in the web root.
    pub loading_page: AtomicBool,
    /// How long mongod takes to stop, in milliseconds at scale 1.
    pub mongod_stop_millis: AtomicU64,
    /// Accounts that signed up since the start.
    pub sign_ups: AtomicU64,
    /// Failed connections by host of a data source.
    pub connections: crate::throttle::Throttle,
    /// How often the backend ended since the start: what it had begun ends with it.
    pub backend_ends: AtomicU64,
    /// Faults of Git that have happened, of those that happen once.
    pub git_faults: Mutex<BTreeSet<String>>,
    /// Commits that the backend makes by itself: base application to branch and percentage.
    pub auto_commits: Mutex<BTreeMap<String, (String, u8)>>,
    host: String,
}

impl World {
    /// A container in which nothing runs yet.
    pub fn new(volume: Volume, behaviour: Behaviour, info: String, container: BTreeMap<String, String>) -> Self {
        let slow = behaviour.is(&Broken::SlowMongod);
        Self {
            volume,
            behaviour,
            info,
            container,
            settings: Mutex::default(),
            mongo: Mutex::default(),
            redis: Mutex::default(),
            front: Mutex::default(),
            rts_up: AtomicBool::default(),
            api_open: AtomicBool::default(),
            loading_page: AtomicBool::default(),
            mongod_stop_millis: AtomicU64::new(if slow { SLOW_MONGOD_STOP_MILLIS } else { MONGOD_STOP_MILLIS }),
            sign_ups: AtomicU64::default(),
            connections: crate::throttle::Throttle::default(),
            backend_ends: AtomicU64::default(),
            git_faults: Mutex::default(),
            auto_commits: Mutex::default(),
            host: std::env::var("HOSTNAME").unwrap_or_else(|_| "standin".to_owned()),
        }
    }

    /// The database, if mongod runs. Held only between awaits.
    pub fn mongo(&self) -> MutexGuard<'_, Option<Database>> {
        lock(&self.mongo)
    }

    /// The sessions, if Redis runs.
    pub fn redis(&self) -> MutexGuard<'_, Option<Redis>> {
        lock(&self.redis)
    }

    /// The settings that the backend started with.
    pub fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// Does the backend answer?
    pub fn api_is_open(&self) -> bool {
        self.api_open.load(Ordering::SeqCst)
    }

    /// One line of a program: to the container's log with the program's name, and to the program's own file.
    pub fn log(&self, program: &str, line: &str) {
        say::out(&format!("{program} stdout | {line}"));
        let by_host = self.behaviour.version.has(Feature::Logs);
        let name = if by_host { format!("{}-stdout.log", self.host) } else { format!("{program}-{}.log", self.host) };
        let path = self.volume.logs(program).join(name);
        append(&path, line);
    }

    /// One line of mongod's own log, while it starts.
    pub fn mongod_starts(&self, severity: &str, component: &str, id: u32, text: &str, attr: &serde_json::Value) {
        self.mongod_log("initandlisten", severity, component, id, text, attr);
    }

    /// One line of mongod's own log, while it stops.
    pub fn mongod_stops(&self, component: &str, id: u32, text: &str, attr: &serde_json::Value) {
        self.mongod_log("SignalHandler", "I", component, id, text, attr);
    }

    /// The form of mongod's log: JSON with padded fields.
    fn mongod_log(&self, thread: &str, severity: &str, component: &str, id: u32, text: &str, attr: &serde_json::Value) {
        let now = crate::time::Moment::now().mongod();
        let attr = if attr.is_null() { String::new() } else { format!(r#","attr":{attr}"#) };
        let (component, id) = (format!(r#""{component}","#), format!("{id},"));
        let line = format!(
            r#"{{"t":{{"$date":"{now}"}},"s":"{severity}",  "c":{component:<11} "id":{id:<8} "ctx":"{thread}","msg":"{text}"{attr}}}"#
        );
        append(&self.volume.logs("mongodb").join("db.log"), &line);
    }
}

/// A log that cannot be written must not stop the program that writes it.
fn append(path: &std::path::Path, line: &str) {
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = writeln!(file, "{line}");
    }
}

/// Takes a lock. A thread that panicked while it held one left whole values behind: each is replaced in one step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
