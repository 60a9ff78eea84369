//! Any app in a container: what is data, how it rests and what is well are said by the configuration.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::engine::{ContainerEngine, ContainerState, ContainerView, Listing};
use crate::instance::gate::{ContainerWatch, Patience, ReadyOptions, Stability, with_excerpt};
use crate::instance::mounts::{refuse_uncovered, same_place};
use crate::instance::{Cleanliness, InstanceAdapter, InstanceError, NoWay, Survey};
use crate::model::ids::InstanceName;
use crate::model::observation::{Observation, Seen, SeenResult};
use crate::model::part::{Cover, PartPlan, cover_of, mounts_of};
use crate::model::verdict::READY_CHECK;
use crate::model::version::Version;
use crate::smoke::album::Album;
use crate::smoke::browser::look_through;
use crate::smoke::http::direct_client;
use crate::smoke::{Checks, Ground};
use crate::stream::BoxError;

/// What the configuration says about an app.
#[derive(Clone, Debug)]
pub struct GenericOptions {
    /// As the configuration calls it.
    pub name: InstanceName,
    /// The container's name.
    pub container: String,
    /// Where people reach it; what paths of checks are relative to.
    pub url: Option<String>,
    /// How long a stop may take before the engine kills it.
    pub stop_grace: Duration,
    /// What a snapshot holds.
    pub parts: Vec<PartPlan>,
    /// Writable mounts that no snapshot needs to hold, by their place in the container.
    pub acknowledge_mounts: Vec<String>,
    /// Run inside the container, one after the other, before it is stopped. Must be such that they may run again.
    pub rest: Vec<Vec<String>>,
    /// Undoes `rest` in a container that still runs.
    pub wake: Vec<Vec<String>>,
    /// How long each command of `rest` and `wake` may take; it is ended then.
    pub command_limit: Duration,
    /// How patiently to wait for it.
    pub ready: ReadyOptions,
    /// What must answer for it to be well.
    pub checks: Checks,
}

/// Any app in a container.
#[derive(Debug)]
pub struct Generic {
    options: GenericOptions,
    base: Option<reqwest::Url>,
    http: reqwest::Client,
}

impl Generic {
    /// Checks the address; sends nothing.
    pub fn new(options: GenericOptions) -> Result<Self, InstanceError> {
        let failed = |source: BoxError| InstanceError::Request {
            instance: options.name.clone(),
            action: "prepare the checks".into(),
            source,
        };
        let base = options.url.as_deref().map(reqwest::Url::parse).transpose().map_err(|error| failed(error.into()))?;
        let http = direct_client().map_err(failed)?;
        Ok(Self { options, base, http })
    }

    async fn run_all(
        &self,
        engine: &dyn ContainerEngine,
        commands: &[Vec<String>],
        failed: impl Fn(String) -> InstanceError,
    ) -> Result<(), InstanceError> {
        let view = engine.find(self.container()).await?;
        if view.is_none_or(|view| view.state != ContainerState::Running) {
            return Ok(());
        }
        for command in commands {
            let result = engine.exec(self.container(), command, self.options.command_limit).await?;
            if result.exit_code != 0 {
                let said = if result.stderr.trim().is_empty() { result.stdout } else { result.stderr };
                let said: String = said.trim().chars().take(400).collect();
                // Only the program: arguments may be secret.
                let program = command.first().map(String::as_str).unwrap_or_default();
                return Err(failed(format!("`{program}` ended with {}: {said}", result.exit_code)));
            }
        }
        Ok(())
    }

    fn ground<'a>(&'a self, engine: &'a dyn ContainerEngine) -> Ground<'a> {
        Ground { engine, container: &self.options.container, http: &self.http, base: self.base.as_ref() }
    }

    /// What is wrong with it at this moment, without its container, which the caller has seen.
    async fn unwell(&self, engine: &dyn ContainerEngine, view: &ContainerView) -> Option<String> {
        // An app without a health check of Docker's has none to pass.
        if let Some(health) = view.health.as_deref().filter(|health| !matches!(*health, "healthy" | "none" | "")) {
            return Some(format!("Docker's health check says `{health}`"));
        }
        for check in &self.options.checks.quick {
            let seen = check.run(self.ground(engine)).await;
            if let SeenResult::Fail { reason } | SeenResult::Error { reason } = seen.result {
                return Some(format!("{}: {reason}", seen.title));
            }
        }
        None
    }
}

const LOG_LINES: u32 = 40;

#[async_trait]
impl InstanceAdapter for Generic {
    fn name(&self) -> &InstanceName {
        &self.options.name
    }

    fn container(&self) -> &str {
        &self.options.container
    }

    fn url(&self) -> Option<&str> {
        self.options.url.as_deref()
    }

    fn stop_grace(&self) -> Duration {
        self.options.stop_grace
    }

    fn survey(&self, _view: &ContainerView) -> Vec<Survey> {
        let of_mount = |mount: String| Survey { cover: cover_of(&self.options.parts, &mount), mount, stat: Vec::new() };
        mounts_of(&self.options.parts).into_iter().map(of_mount).collect()
    }

    fn parts(&self, view: &ContainerView, _listings: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError> {
        let covered = mounts_of(&self.options.parts);
        refuse_uncovered(&self.options.name, view, &covered, &self.options.acknowledge_mounts)?;
        match covered.iter().find(|mount| !view.mounts.iter().any(|it| same_place(&it.destination, mount))) {
            None => Ok(self.options.parts.clone()),
            Some(mount) => Err(InstanceError::OutOfReach {
                instance: self.options.name.clone(),
                reason: format!("a part lies in {mount}, where nothing is mounted"),
            }),
        }
    }

    async fn rest(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError> {
        let failed = |reason| InstanceError::CannotRest { instance: self.options.name.clone(), reason };
        self.run_all(engine, &self.options.rest, failed).await
    }

    async fn wake(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError> {
        let failed = |reason| InstanceError::NotReady { instance: self.options.name.clone(), reason };
        self.run_all(engine, &self.options.wake, failed).await
    }

    fn is_clean(&self, view: &ContainerView, _listings: &[(String, Listing)]) -> Cleanliness {
        let unclean = |reason: &str| Cleanliness::Unclean { reason: reason.into() };
        match (view.oom_killed, view.exit_code) {
            (true, _) => unclean("the container was ended for want of memory"),
            (_, Some(137)) => unclean("the container was killed before it had stopped (exit code 137)"),
            _ => Cleanliness::Clean,
        }
    }

    async fn data_format(
        &self,
        _engine: &dyn ContainerEngine,
        _helper: &str,
        _mounts: &[String],
    ) -> Result<Option<String>, InstanceError> {
        Ok(None)
    }

    async fn version(&self, engine: &dyn ContainerEngine) -> Result<Option<Version>, InstanceError> {
        let Some(view) = engine.find(self.container()).await? else {
            return Ok(None);
        };
        let tag = view.image_ref.rsplit('/').next().and_then(|name| name.split('@').next()?.split_once(':'));
        Ok(tag.and_then(|(_, tag)| Version::parse(tag).ok()))
    }

    async fn ready(
        &self,
        engine: &dyn ContainerEngine,
        _expected: Option<&Version>,
        tell: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), InstanceError> {
        let options = &self.options.ready;
        let begin = Instant::now();
        let (mut container, mut patience) = (ContainerWatch::default(), Patience::default());
        let mut stability = Stability::default();
        let mut told = String::new();
        loop {
            let view = engine.find(self.container()).await?;
            let judged = container.check(view.as_ref());
            let log = match &view {
                Some(_) => engine.logs(self.container(), LOG_LINES).await?,
                None => String::new(),
            };
            let not_ready = |reason: &str| InstanceError::NotReady {
                instance: self.options.name.clone(),
                reason: with_excerpt(reason, &log),
            };
            judged.map_err(|reason| not_ready(&reason))?;
            let wrong = match &view {
                Some(view) => self.unwell(engine, view).await,
                None => None,
            };
            let now = begin.elapsed();
            match &wrong {
                None if stability.good(now, options.stable_for) => return Ok(()),
                None => {}
                Some(_) => stability.bad(),
            }
            let state = wrong.unwrap_or_else(|| "all checks pass; waiting whether it stays so".into());
            patience.note(now, (&state, &log));
            if let Some(why) = patience.spent(now, options) {
                return Err(not_ready(&format!("{why}: {state}")));
            }
            if told != state {
                told.clone_from(&state);
                tell(state);
            }
            sleep(options.poll).await;
        }
    }

    async fn observe(
        &self,
        engine: &dyn ContainerEngine,
        album: Option<&dyn Album>,
    ) -> Result<Observation, InstanceError> {
        let mut seen = Observation::default();
        let result = match engine.find(self.container()).await? {
            Some(view) if view.state == ContainerState::Running => SeenResult::Pass,
            Some(_) => SeenResult::Fail { reason: "its container does not run".into() },
            None => SeenResult::Fail { reason: "its container is gone".into() },
        };
        seen.checks.insert(READY_CHECK.into(), Seen { title: format!("`{}` runs", self.options.name), result });
        let checks = &self.options.checks;
        seen.checks.extend(checks.run_quick(self.ground(engine)).await);
        if let (Some(browsing), Some(album)) = (&checks.browsing, album) {
            seen.checks.extend(look_through(browsing, &checks.pages, self.base.as_ref(), &[], album).await);
        }
        Ok(seen)
    }

    fn hops(&self, _from: &Version, to: &Version) -> Result<Vec<Version>, NoWay> {
        Ok(vec![to.clone()])
    }
}

/// A part that holds a whole mount.
pub fn whole_mount(name: crate::model::ids::PartName, mount: &str) -> PartPlan {
    let cover = Cover { include: vec![String::new()], exclude: Vec::new() };
    PartPlan { name, mount: mount.to_owned(), cover }
}
