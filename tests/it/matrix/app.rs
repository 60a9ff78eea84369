//! The app of the matrix: images whose new version migrates the data for good, and how Tidegate treats them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use tidegate::engine::fake::{ExecOutcome, FakeContainer, FakeImage, StartOutcome};
use tidegate::engine::{ContainerEngine, ContainerState, ContainerView, EngineError, Listing};
use tidegate::instance::hot::Hot;
use tidegate::instance::{Cleanliness, InstanceAdapter, InstanceError, NoWay, Survey};
use tidegate::model::ids::{InstanceName, PartName};
use tidegate::model::observation::{Observation, Seen, SeenResult};
use tidegate::model::part::{Cover, PartPlan};
use tidegate::model::verdict::READY_CHECK;
use tidegate::model::version::Version;
use tidegate::smoke::album::Album;

use super::data;

/// How the new image behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It migrates and works.
    Good,
    /// It migrates, runs, and fails the checks.
    FailsChecks,
    /// It migrates, and ends.
    Ends,
    /// It migrates one of the two volumes, and ends.
    EndsHalfWay,
}

/// What the images tell of.
#[derive(Clone, Debug, Default)]
pub struct Tell {
    /// What must never happen and did.
    pub wrongs: Arc<Mutex<Vec<String>>>,
    /// Images whose checks fail.
    pub unwell: Arc<Mutex<BTreeSet<String>>>,
}

/// The image of that release.
pub fn image(release: &'static str, manner: Manner, tell: &Tell) -> FakeImage {
    let (starts, asked) = (tell.clone(), tell.clone());
    FakeImage::new(&format!("{release} {manner:?}"))
        .unwrap()
        .label("org.opencontainers.image.version", release)
        .on_start(move |container| begin(release, manner, &starts, container))
        .on_stop(|container| {
            let _ = fs::remove_file(container.path("/data/db/lock").unwrap());
            0
        })
        .on_exec(move |container, command| {
            let quiet = container.path("/data/logs/quiet").unwrap();
            match command.first().map(String::as_str) {
                Some("quiet") => fs::write(quiet, "").unwrap(),
                Some("wake") => drop(fs::remove_file(quiet)),
                Some("health") => {
                    let unwell = asked.unwell.lock().unwrap().contains(&container.image_ref);
                    let code = i64::from(unwell || manner == Manner::FailsChecks);
                    return ExecOutcome::ends(code, "", "not well");
                }
                Some("archive") => {
                    let (name, rows) = (super::hot::new_name(), container.path("/data/db/rows").unwrap());
                    let folder = container.path(super::hot::FOLDER).unwrap();
                    fs::create_dir_all(&folder).unwrap();
                    fs::write(folder.join(&name), fs::read_to_string(rows).unwrap()).unwrap();
                    return ExecOutcome::ends(0, &name, "");
                }
                _ => return ExecOutcome::ends(127, "", ""),
            }
            ExecOutcome::ends(0, "", "")
        })
}

fn begin(release: &str, manner: Manner, tell: &Tell, container: &FakeContainer) -> StartOutcome {
    let (data, more) = (container.path("/data").unwrap(), container.path("/more").unwrap());
    let ends = |log: &str| StartOutcome::Ends { exit_code: 1, log: log.into() };
    let wrong = |what: String| {
        tell.wrongs.lock().unwrap().push(format!("`{}` on {release} {what}", container.name));
        ends("refuses to run")
    };
    let Some(formats) = data::formats(&data, &more) else {
        return wrong("was started on data that is not whole".into());
    };
    match (release, (formats.0.as_str(), formats.1.as_str())) {
        ("v1.0", ("1", "1")) | ("v2.0", ("2", "2")) => {}
        ("v2.0", ("1", "1")) => {
            data::migrate_data(&data);
            if manner == Manner::EndsHalfWay {
                return ends("no space left on device");
            }
            data::migrate_more(&more);
        }
        ("v2.0", ("2", "1")) if manner == Manner::EndsHalfWay => return ends("still no space"),
        (_, formats) => return wrong(format!("was started on data of format {formats:?}")),
    }
    if manner == Manner::Ends {
        return ends("Exception in thread main");
    }
    fs::write(data.join("db/lock"), "").unwrap();
    let _ = fs::remove_file(data.join("logs/quiet"));
    StartOutcome::Runs { health: None }
}

/// How Tidegate treats the app.
#[derive(Debug)]
pub struct App {
    name: InstanceName,
    container: String,
}

impl App {
    /// The adapter of an instance.
    pub fn new(instance: &str) -> Self {
        Self { name: InstanceName::new(instance).unwrap(), container: format!("app-{instance}") }
    }

    async fn ask(&self, engine: &dyn ContainerEngine, word: &str) -> Result<i64, EngineError> {
        Ok(engine.exec(&self.container, &[word.to_owned()], Duration::from_secs(1)).await?.exit_code)
    }

    async fn runs(&self, engine: &dyn ContainerEngine) -> Result<bool, EngineError> {
        Ok(engine.find(&self.container).await?.is_some_and(|view| view.state == ContainerState::Running))
    }

    fn not_ready(&self, reason: &str) -> InstanceError {
        InstanceError::NotReady { instance: self.name.clone(), reason: reason.into() }
    }
}

pub(super) fn part(name: &str, mount: &str, include: &str) -> PartPlan {
    let cover = Cover { include: vec![include.into()], exclude: Vec::new() };
    PartPlan { name: PartName::new(name).unwrap(), mount: mount.into(), cover }
}

#[async_trait]
impl InstanceAdapter for App {
    fn name(&self) -> &InstanceName {
        &self.name
    }
    fn container(&self) -> &str {
        &self.container
    }
    fn url(&self) -> Option<&str> {
        None
    }
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn survey(&self, _view: &ContainerView) -> Vec<Survey> {
        let survey = |mount: &str, include: &[&str]| Survey {
            mount: mount.into(),
            cover: Cover { include: include.iter().map(|path| (*path).to_owned()).collect(), exclude: Vec::new() },
            stat: Vec::new(),
        };
        vec![survey("/data", &["db", "conf", "new"]), survey("/more", &["files"])]
    }

    /// As with the real app, what is there decides: a newer version keeps things that an older one knows nothing of.
    fn parts(&self, _view: &ContainerView, listings: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError> {
        let has = |mount: &str, path: &str| {
            let listing = listings.iter().find(|(at, _)| at == mount);
            listing.is_some_and(|(_, listing)| listing.entries.iter().any(|entry| entry.path == path))
        };
        if !has("/data", "conf") {
            return Err(InstanceError::OutOfReach { instance: self.name.clone(), reason: "there is no key".into() });
        }
        let mut parts = vec![part("database", "/data", "db"), part("configuration", "/data", "conf")];
        if has("/data", "new") {
            parts.push(part("new", "/data", "new"));
        }
        parts.push(part("files", "/more", "files"));
        Ok(parts)
    }

    async fn rest(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError> {
        if self.runs(engine).await? {
            self.ask(engine, "quiet").await?;
        }
        Ok(())
    }

    async fn wake(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError> {
        if self.runs(engine).await? {
            self.ask(engine, "wake").await?;
        }
        Ok(())
    }

    fn is_clean(&self, view: &ContainerView, _listings: &[(String, Listing)]) -> Cleanliness {
        match view.exit_code {
            Some(0) => Cleanliness::Clean,
            code => Cleanliness::Unclean { reason: format!("exit code {code:?}") },
        }
    }

    async fn data_format(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        _mounts: &[String],
    ) -> Result<Option<String>, InstanceError> {
        let tar = engine.archive_out(helper, "/v0/db/format").await?;
        let blocks: Vec<bytes::Bytes> = tar.try_collect().await.map_err(|error| self.not_ready(&error.to_string()))?;
        let mut text = String::new();
        let bytes = blocks.concat();
        let mut archive = tar::Archive::new(&bytes[..]);
        archive.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut text).unwrap();
        Ok(Some(text))
    }

    async fn version(&self, engine: &dyn ContainerEngine) -> Result<Option<Version>, InstanceError> {
        let view = engine.find(&self.container).await?;
        let tag = view.as_ref().and_then(|view| view.image_ref.split_once(':'));
        Ok(tag.and_then(|(_, tag)| Version::parse(tag).ok()))
    }

    async fn ready(
        &self,
        engine: &dyn ContainerEngine,
        expected: Option<&Version>,
        _tell: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), InstanceError> {
        if !self.runs(engine).await? {
            return Err(self.not_ready("its container does not run"));
        }
        let found = self.version(engine).await?;
        if expected.is_some() && found.as_ref() != expected {
            return Err(self.not_ready(&format!("{found:?} answers, not {expected:?}")));
        }
        Ok(())
    }

    async fn observe(
        &self,
        engine: &dyn ContainerEngine,
        _album: Option<&dyn Album>,
    ) -> Result<Observation, InstanceError> {
        let mut seen = Observation::default();
        let mut note = |id: &str, holds: bool| {
            let result = if holds { SeenResult::Pass } else { SeenResult::Fail { reason: "no".into() } };
            seen.checks.insert(id.into(), Seen { title: id.into(), result });
        };
        let runs = self.runs(engine).await?;
        note(READY_CHECK, runs);
        note("health", runs && self.ask(engine, "health").await? == 0);
        Ok(seen)
    }

    fn hot(&self) -> Option<&dyn Hot> {
        Some(self)
    }

    fn hops(&self, _from: &Version, to: &Version) -> Result<Vec<Version>, NoWay> {
        Ok(vec![to.clone()])
    }
}
