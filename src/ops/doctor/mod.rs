//! Looks at everything that a run rests on before one is needed: engine, store, instances, rivals, browser, clock, disk.
//!
//! Each look is on its own: one that fails is a finding, not an end. The store gets a probe object and loses it again;
//! nothing else is changed.

mod browser;
mod instance;
mod rivals;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::ContainerEngine;
use crate::model::layout::ObjectKey;
use crate::ops::state::Free;
use crate::store::ObjectStore;
use crate::workflow::{StepError, chain};

/// Below this much room journals may soon not be written.
const ROOM_PROBLEM_BYTES: u64 = 64 << 20;
/// Below this much room somebody should look.
const ROOM_WARNING_BYTES: u64 = 1 << 30;
/// Below this many inodes somebody should look.
const ROOM_WARNING_INODES: u64 = 10_000;
/// A clock that is off by more makes schedules and evidence wrong.
const CLOCK_WARNING: SignedDuration = SignedDuration::from_secs(60);
/// S3 refuses requests that are off by 15 minutes.
const CLOCK_PROBLEM: SignedDuration = SignedDuration::from_mins(10);

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Runs go well, and somebody should look.
    Warning,
    /// Runs will fail, or will not protect what they should.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, such as `docker`, `store` or an instance.
    pub area: String,
    /// How bad it is.
    pub level: Level,
    /// What was seen.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Collects findings.
#[derive(Debug)]
pub struct Doctor {
    /// Everything so far, in order.
    pub findings: Vec<Finding>,
    hint: fn(&(dyn Error + 'static)) -> Option<String>,
}

impl Doctor {
    /// `hint` says what a person can do about an error.
    pub fn new(hint: fn(&(dyn Error + 'static)) -> Option<String>) -> Self {
        Self { findings: Vec::new(), hint }
    }

    /// It is as it should be.
    pub fn ok(&mut self, area: &str, text: impl Into<String>) {
        self.note(area, Level::Ok, text, None);
    }

    /// Somebody should look.
    pub fn warning(&mut self, area: &str, text: impl Into<String>, remedy: &str) {
        self.note(area, Level::Warning, text, Some(remedy.to_owned()));
    }

    /// Runs will fail.
    pub fn problem(&mut self, area: &str, text: impl Into<String>, remedy: &str) {
        self.note(area, Level::Problem, text, Some(remedy.to_owned()));
    }

    /// It could not be looked at, or is broken.
    pub fn failed(&mut self, area: &str, error: &(dyn Error + 'static)) {
        self.note(area, Level::Problem, chain(error), (self.hint)(error));
    }

    fn note(&mut self, area: &str, level: Level, text: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding { area: area.to_owned(), level, text: text.into(), remedy });
    }

    /// Whether the engine answers, and which one it is.
    pub async fn engine(&mut self, engine: &dyn ContainerEngine) -> bool {
        match engine.probe().await {
            Ok(info) => {
                let text = format!("Docker {} answers (API {}, {})", info.version, info.api_version, info.architecture);
                if is_older(&info.version, [20, 10]) {
                    self.warning("docker", text, "Tidegate is tested with Docker 20.10 and newer");
                } else {
                    self.ok("docker", text);
                }
                true
            }
            Err(error) => {
                self.failed("docker", &error);
                false
            }
        }
    }

    /// Whether the store takes, gives, lists and deletes an object, and whether its clock and ours agree.
    pub async fn store(&mut self, store: &dyn ObjectStore, its_clock: Option<Timestamp>, now: Timestamp) {
        let key = ObjectKey(format!("doctor/{:016x}", rand::random::<u64>()));
        let began = Instant::now();
        match probe(store, &key).await {
            Ok(()) => {
                let text = format!(
                    "{} takes, gives, lists and deletes an object ({} ms)",
                    store.describe(),
                    began.elapsed().as_millis()
                );
                self.ok("store", text);
            }
            Err(error) => {
                self.failed("store", &*error);
                // Whatever was written before it failed.
                if let Err(error) = store.delete(&key).await {
                    tracing::debug!(%key, error = %chain(&error), "the probe object may be left");
                }
            }
        }
        if let Some(theirs) = its_clock {
            self.clock(now.duration_since(theirs));
        }
    }

    fn clock(&mut self, ahead: SignedDuration) {
        let off = ahead.abs();
        let way = if ahead.is_negative() { "behind" } else { "ahead of" };
        let text = format!("this host's clock is {} s {way} the store's", off.as_secs());
        let remedy = "let the hosts' clocks be set by NTP (`timedatectl`)";
        match off {
            _ if off > CLOCK_PROBLEM => self.problem("clock", text + ", and S3 refuses what is too far off", remedy),
            _ if off > CLOCK_WARNING => self.warning("clock", text, remedy),
            _ => self.ok("clock", text),
        }
    }

    /// Room for journals.
    pub fn room(&mut self, state_dir: &Path, free: Free) {
        let inodes = free.inodes.map(|inodes| format!(" and {inodes} inodes")).unwrap_or_default();
        let text = format!("`{}` has {} MiB{inodes} free", state_dir.display(), free.bytes >> 20);
        let remedy = "make room there: a run that cannot write its journal stops where it is";
        let inodes = free.inodes.unwrap_or(u64::MAX);
        if free.bytes < ROOM_PROBLEM_BYTES || inodes == 0 {
            self.problem("state", text, remedy);
        } else if free.bytes < ROOM_WARNING_BYTES || inodes < ROOM_WARNING_INODES {
            self.warning("state", text, remedy);
        } else {
            self.ok("state", text);
        }
    }
}

fn is_older(version: &str, than: [u64; 2]) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|word| word.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), minor) => [major, minor.unwrap_or_default()] < than,
        _ => false,
    }
}

async fn probe(store: &dyn ObjectStore, key: &ObjectKey) -> Result<(), StepError> {
    let body = Bytes::from_static(b"tidegate doctor was here, and meant to delete this\n");
    store.put(key, body.clone()).await?;
    if store.get(key, 1024).await? != body {
        return Err(format!("the store gave `{key}` back changed").into());
    }
    if !store.list("doctor/").await?.iter().any(|object| object.key == *key) {
        return Err(format!("the store does not list `{key}`, which it has").into());
    }
    store.delete(key).await?;
    match store.head(key).await? {
        None => Ok(()),
        Some(_) => Err(format!("the store still has `{key}` after it was deleted").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;
    use crate::store::memory::MemoryStore;

    fn doctor() -> Doctor {
        Doctor::new(|_| Some("a hint".into()))
    }

    fn levels(doctor: &Doctor) -> Vec<Level> {
        doctor.findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn engines_clocks_and_disks_are_judged() {
        assert!(
            is_older("19.03.15", [20, 10]) && !is_older("20.10.24+dfsg1", [20, 10]) && !is_older("29.1.0", [20, 10])
        );
        let mut doctor = doctor();
        for seconds in [-5, 61, -601] {
            doctor.clock(SignedDuration::from_secs(seconds));
        }
        for (bytes, inodes) in [(8 << 30, 1 << 20), (1 << 29, 1 << 20), (8 << 30, 5), (1 << 20, 1 << 20), (8 << 30, 0)]
        {
            doctor.room(Path::new("/var/lib/tidegate"), Free { bytes, inodes: Some(inodes) });
        }
        use Level::{Ok, Problem, Warning};
        assert_eq!(levels(&doctor), [Ok, Warning, Problem, Ok, Warning, Warning, Problem, Problem]);
    }

    #[tokio::test]
    async fn the_probe_object_is_gone_afterwards() {
        let store = MemoryStore::default();
        let mut doctor = doctor();
        doctor.store(&store, None, Timestamp::UNIX_EPOCH).await;
        assert_eq!(levels(&doctor), [Level::Ok], "{:?}", doctor.findings);
        assert!(store.objects().is_empty());
    }

    #[tokio::test]
    async fn a_store_that_refuses_is_a_problem_with_a_remedy() {
        let store = crate::store::absent::AbsentStore::new("wrong keys".to_owned());
        assert!(matches!(store.list("").await, Err(StoreError::Unreachable { .. })));
        let mut doctor = doctor();
        doctor.store(&store, None, Timestamp::UNIX_EPOCH).await;
        assert_eq!(levels(&doctor), [Level::Problem]);
        assert_eq!(doctor.findings[0].remedy.as_deref(), Some("a hint"));
    }
}
