//! The table of programs: names, priorities and times of the real supervisor configuration.

use crate::envfile::Settings;
use crate::feature::Feature;
use crate::open::Open;
use crate::version::Version;

/// Attempts after the first one, before a program is given up.
pub const START_RETRIES: u32 = 3;
/// Seconds a program has to end before it is killed.
pub const STOP_WAIT_SECS: f64 = 10.0;

/// What a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sessions and caches.
    Redis,
    /// The database.
    Mongodb,
    /// The Node service that the backend waits for.
    Rts,
    /// The MCP server of 2.x.
    Mcp,
    /// The Java server.
    Backend,
    /// The web server in front.
    Editor,
    /// The mock database.
    Postgres,
    /// The event listener that forwards output.
    Stdout,
    /// Runs, and is never asked anything.
    Idle,
}

/// One program.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What it does.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// Low starts first and stops last.
    pub priority: u32,
    /// Seconds it must live to count as RUNNING.
    pub start_secs: f64,
    /// The signal it is stopped with, for the log.
    pub stop_signal: &'static str,
}

const fn spec(kind: Kind, name: &'static str, priority: u32, start_secs: f64) -> Spec {
    Spec { kind, name, priority, start_secs, stop_signal: "SIGTERM" }
}

/// The programs of a container of that version with those settings. `postgres` tells whether its data could be made.
pub fn programs(version: Version, open: Open, settings: &Settings, postgres: bool) -> Vec<Spec> {
    let mut all = vec![
        spec(Kind::Stdout, "stdout", 0, 1.0),
        spec(Kind::Rts, "rts", 15, 0.0),
        spec(Kind::Backend, "backend", 20, 20.0),
        Spec { stop_signal: "SIGQUIT", ..spec(Kind::Editor, "editor", 25, 0.0) },
    ];
    if settings.redis_is_local() {
        all.push(spec(Kind::Redis, "redis", 5, 0.0));
    }
    if settings.mongodb_is_local() {
        all.push(spec(Kind::Mongodb, "mongodb", 10, 10.0));
    }
    if version.has(Feature::Mcp) {
        all.push(spec(Kind::Mcp, "mcp", 16, 5.0));
    }
    if !version.has(Feature::Logs) {
        all.push(spec(Kind::Idle, "cron", 35, 0.0));
    }
    if open.ee_programs {
        all.extend([spec(Kind::Idle, "keycloak", 22, 1.0), spec(Kind::Idle, "temporal", 23, 1.0)]);
    }
    if postgres {
        all.push(spec(Kind::Postgres, "postgres", 999, 1.0));
    }
    all
}
