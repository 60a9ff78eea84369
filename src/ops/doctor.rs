//! Looks at everything that a run rests on before one is needed: engine, store, instances, rivals, clock, disk.
//!
//! Each look is on its own: one that fails is a finding, not an end. The store gets a probe object and loses it again;
//! nothing else is changed.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::{Answer, ContainerEngine, ContainerView, HelperMount, Labels, Listing, PorterRequest};
use crate::instance::InstanceAdapter;
use crate::model::definition::MountSource;
use crate::model::ids::RunId;
use crate::model::layout::{LABEL_CONTAINER, LABEL_ROLE, LABEL_RUN, ObjectKey, helper_target, porter_container};
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
    pub fn room(&mut self, state_dir: &Path, free_bytes: u64, free_inodes: u64) {
        let text = format!("`{}` has {} MiB and {free_inodes} inodes free", state_dir.display(), free_bytes >> 20);
        let remedy = "make room there: a run that cannot write its journal stops where it is";
        if free_bytes < ROOM_PROBLEM_BYTES || free_inodes == 0 {
            self.problem("state", text, remedy);
        } else if free_bytes < ROOM_WARNING_BYTES || free_inodes < ROOM_WARNING_INODES {
            self.warning("state", text, remedy);
        } else {
            self.ok("state", text);
        }
    }

    /// Its container, what it mounts, and whether the app answers and takes the login.
    pub async fn instance(
        &mut self,
        engine: &dyn ContainerEngine,
        adapter: &Arc<dyn InstanceAdapter>,
        state_dir: &Path,
        asks_app: bool,
    ) {
        let (area, container) = (adapter.name().to_string(), adapter.container().to_owned());
        let view = match engine.find(&container).await {
            Ok(Some(view)) => view,
            Ok(None) => {
                let remedy = format!("`docker ps -a` lists the containers; correct `instances.{area}.container`");
                return self.problem(&area, format!("there is no container `{container}`"), &remedy);
            }
            Err(error) => return self.failed(&area, &error),
        };
        self.container(&area, &view, state_dir);
        self.data(engine, adapter, &view).await;
        if !view.is_up() {
            let remedy = format!("`docker start {container}`, or `tidegate restore {area}`");
            return self.problem(&area, format!("`{container}` does not run"), &remedy);
        }
        if !asks_app {
            return;
        }
        match adapter.observe(engine).await {
            Ok(seen) => match seen.first_failure() {
                None => self.ok(&area, format!("the app answers: {} checks passed", seen.passed_count())),
                Some(failure) => {
                    self.warning(&area, failure, "an upgrade compares with this: what fails now may fail then")
                }
            },
            Err(error) => self.failed(&area, &error),
        }
    }

    fn container(&mut self, area: &str, view: &ContainerView, state_dir: &Path) {
        let name = &view.name;
        if view.auto_remove {
            self.problem(
                area,
                format!("`{name}` was started with --rm: a stop would remove it"),
                "start it without --rm",
            );
        }
        if view.restart.name == "no" || view.restart.name.is_empty() {
            self.warning(
                area,
                format!("`{name}` has the restart policy `no`: a reboot leaves it down"),
                &format!("`docker update --restart unless-stopped {name}`"),
            );
        } else {
            self.ok(area, format!("`{name}` on {}, restart policy `{}`", view.image_ref, view.restart.name));
        }
        for mount in &view.mounts {
            match &mount.source {
                MountSource::Volume(volume) if is_anonymous(volume) => self.warning(
                    area,
                    format!("{} is the anonymous volume {}", mount.destination, &volume[..12]),
                    "give it a name: `docker rm -v` and `docker-compose down -v` delete an anonymous volume",
                ),
                MountSource::Bind(path) if mount.writable && state_dir.starts_with(path) => self.problem(
                    area,
                    format!("`state_dir` lies in {path}, which belongs to it and would be set aside by a restore"),
                    "move `state_dir` somewhere else",
                ),
                _ => {}
            }
        }
    }

    /// Lists its data through the porter, and asks whether parts cover all of it.
    async fn data(&mut self, engine: &dyn ContainerEngine, adapter: &Arc<dyn InstanceAdapter>, view: &ContainerView) {
        let area = adapter.name().to_string();
        let mut listings = Vec::new();
        for wanted in adapter.survey(view) {
            let Some(mount) = view.mounts.iter().find(|mount| mount.destination == wanted.mount) else { continue };
            if !matches!(mount.source, MountSource::Volume(_) | MountSource::Bind(_)) {
                continue;
            }
            let request = PorterRequest::List { root: helper_target(0), cover: wanted.cover, stat: wanted.stat };
            match list(engine, adapter, &mount.source, &request).await {
                Ok(listing) => {
                    if let Some(run) = &listing.filling {
                        let remedy = format!("`tidegate resume {run}`, on the host that began it");
                        self.problem(&area, format!("{} is half filled by {run}", mount.source), &remedy);
                    }
                    listings.push((wanted.mount, listing));
                }
                Err(error) => return self.failed(&area, &*error),
            }
        }
        match adapter.parts(view, &listings) {
            Ok(parts) => {
                let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
                self.ok(&area, format!("its data is covered by {}", names.join(", ")));
            }
            Err(error) => self.failed(&area, &error),
        }
    }

    /// Programs that change containers behind Tidegate's back.
    pub async fn rivals(&mut self, engine: &dyn ContainerEngine, ours: &[String]) {
        let all = match engine.labelled(&Labels::new()).await {
            Ok(all) => all,
            Err(error) => return self.failed("rivals", &error),
        };
        let managed: Vec<&ContainerView> = all.iter().filter(|view| ours.contains(&view.name)).collect();
        let mut found = false;
        for (rival, kind) in
            all.iter().filter(|view| view.is_up()).filter_map(|view| Some((view, kind_of(&view.image_ref)?)))
        {
            found = true;
            let spared = |view: &&&ContainerView| view.labels.get(WATCHTOWER).is_some_and(|value| value == "false");
            if kind == Kind::Updates && !managed.is_empty() && managed.iter().all(|view| spared(&view)) {
                self.ok(
                    "rivals",
                    format!("`{}` ({}) is told by label to leave the instances alone", rival.name, rival.image_ref),
                );
                continue;
            }
            let (what, remedy) = match kind {
                Kind::Updates => (
                    "changes images by itself, past snapshot and gate, and may delete the image that a way back needs",
                    format!("stop it, or give the instances the label {WATCHTOWER}=false"),
                ),
                Kind::Heals => {
                    ("starts containers that are at rest", "stop it, or leave the instances out of it".to_owned())
                }
            };
            self.problem("rivals", format!("`{}` ({}) {what}", rival.name, rival.image_ref), &remedy);
        }
        for view in managed.iter().filter(|view| view.labels.get(WATCHTOWER).is_some_and(|value| value == "true")) {
            found = true;
            let remedy = format!("create it without that label, or with {WATCHTOWER}=false");
            self.warning("rivals", format!("`{}` asks to be updated by watchtower, by its label", view.name), &remedy);
        }
        if !found {
            self.ok("rivals", "no rival updater runs on this engine");
        }
    }
}

const WATCHTOWER: &str = "com.centurylinklabs.watchtower.enable";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Pulls images and creates containers anew.
    Updates,
    /// Restarts what is unhealthy or stopped.
    Heals,
}

/// What an image is known to do; the ones that only tell of new versions do no harm.
fn kind_of(image: &str) -> Option<Kind> {
    let name = image.split('@').next()?.rsplit('/').next()?.split(':').next()?.to_ascii_lowercase();
    let any = |names: &[&str]| names.iter().any(|known| name.contains(known));
    if any(&["watchtower", "ouroboros", "tugtainer", "drydock", "dockcheck", "shepherd"]) {
        Some(Kind::Updates)
    } else if any(&["autoheal", "auto-heal"]) {
        Some(Kind::Heals)
    } else {
        None
    }
}

fn is_older(version: &str, than: [u64; 2]) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|word| word.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), minor) => [major, minor.unwrap_or_default()] < than,
        _ => false,
    }
}

/// Docker names them by 64 hex digits.
fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
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

async fn list(
    engine: &dyn ContainerEngine,
    adapter: &Arc<dyn InstanceAdapter>,
    source: &MountSource,
    request: &PorterRequest,
) -> Result<Listing, StepError> {
    let run = RunId::new(format!("doctor-{:08x}", rand::random::<u32>()))?;
    let labels: Labels = [(LABEL_ROLE, "porter"), (LABEL_RUN, run.as_str()), (LABEL_CONTAINER, adapter.container())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mounts = [HelperMount { source: source.clone(), writable: false }];
    match engine.porter(&porter_container(&run, adapter.name()), &mounts, &labels, request).await? {
        Answer::Listing(listing) => Ok(listing),
        Answer::Failed { error, .. } => Err(format!("at {source}: {error}").into()),
        other => Err(format!("the porter answered {other:?} to a question for a listing").into()),
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
    fn rivals_are_known_by_their_image_and_those_that_only_tell_are_none() {
        for image in
            ["containrrr/watchtower", "ghcr.io/nicholas-fedor/watchtower:1.7", "pyouroboros/ouroboros@sha256:00"]
        {
            assert_eq!(kind_of(image), Some(Kind::Updates), "{image}");
        }
        assert_eq!(kind_of("willfarrell/autoheal:1.2"), Some(Kind::Heals));
        for image in ["crazymax/diun:4", "appsmith/appsmith-ce:v2.1", "watchtower.example/app:1"] {
            assert_eq!(kind_of(image), None, "{image}");
        }
    }

    #[test]
    fn engines_clocks_and_disks_are_judged() {
        assert!(
            is_older("19.03.15", [20, 10]) && !is_older("20.10.24+dfsg1", [20, 10]) && !is_older("29.1.0", [20, 10])
        );
        assert!(is_anonymous(&"a1".repeat(32)) && !is_anonymous("appsmith"));
        let mut doctor = doctor();
        for seconds in [-5, 61, -601] {
            doctor.clock(SignedDuration::from_secs(seconds));
        }
        for (bytes, inodes) in [(8 << 30, 1 << 20), (1 << 29, 1 << 20), (8 << 30, 5), (1 << 20, 1 << 20), (8 << 30, 0)]
        {
            doctor.room(Path::new("/var/lib/tidegate"), bytes, inodes);
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
