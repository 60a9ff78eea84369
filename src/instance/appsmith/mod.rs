//! Appsmith in its one container.
//!
//! ```text
//! parts, settings     which files are data, and whether all of it is there      pure
//! checkpoints (model) which versions to stop at                                 pure
//! supervisor, rest    the programs inside, to rest and awake                    by exec
//! answer ◄ client ◄ session ◄ api                                               by HTTP
//! refused             what other processes must know of a refused login         a file
//! listing             what the server's lists say                               pure
//! ready ◄ watch       whether it is up; the decision is pure, the loop looks
//! observe, structure  what is there and what works, for the verdict
//! logs                what the container's log tells although all answers        pure
//! in_browser          which deployed pages are opened in a browser                pure
//! query, execution    the queries that the configuration names                  by HTTP, and pure
//! hot                 a backup by its own tool while it runs, read to its end   by exec
//! git                 what it can be asked about its apps' repositories         by HTTP
//! sources             whether data sources connect, where that is wanted        by HTTP
//! adapt, keys         the data of one in the place of another, and whether its keys came along
//! ```

mod adapt;
mod answer;
mod api;
mod client;
mod execution;
mod git;
mod hot;
mod in_browser;
mod keys;
mod listing;
mod logs;
mod observe;
mod parts;
mod query;
mod ready;
mod refused;
mod rest;
mod session;
mod settings;
mod sources;
mod structure;
mod supervisor;
#[cfg(test)]
mod testing;
mod watch;

use std::time::Duration;

use async_trait::async_trait;

use self::answer::ApiError;
use self::api::Api;
use self::client::Client;
pub use self::in_browser::{PagesInBrowser, Which};
use self::observe::Found;
use self::rest::RestError;
pub use self::session::Login;
use self::settings::Settings;
use crate::engine::{ContainerEngine, ContainerView, Listing};
use crate::instance::adapt::{Adapted, KeyProof, Taken};
use crate::instance::files::read_file;
use crate::instance::gate::ReadyOptions;
use crate::instance::git::GitApps;
use crate::instance::hot::Hot;
use crate::instance::{Cleanliness, InstanceAdapter, InstanceError, NoWay, Survey};
use crate::model::chain::chain;
use crate::model::checkpoints;
use crate::model::ids::InstanceName;
use crate::model::observation::{Observation, Seen, SeenResult};
use crate::model::part::PartPlan;
use crate::model::verdict::READY_CHECK;
use crate::model::version::Version;
use crate::smoke::album::Album;
use crate::smoke::browser::{BrowserCheck, Cookie, look_through};
use crate::smoke::{Checks, Ground};

/// What the configuration says about an Appsmith.
#[derive(Clone, Debug)]
pub struct AppsmithOptions {
    /// As the configuration calls it.
    pub name: InstanceName,
    /// The container's name.
    pub container: String,
    /// Where people reach it, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// Without one, only what anybody sees is checked.
    pub login: Option<Login>,
    /// How long a stop may take before the engine kills it; Appsmith needs a minute and more.
    pub stop_grace: Duration,
    /// Writable mounts that no snapshot needs to hold, by their place in the container.
    pub acknowledge_mounts: Vec<String>,
    /// How patiently to wait for it.
    pub ready: ReadyOptions,
    /// More to check than what is checked by itself.
    pub checks: Checks,
    /// Whether the server is to connect to every data source.
    pub test_datasources: bool,
    /// Which deployed pages are opened in a browser although no check names them.
    pub pages_in_browser: PagesInBrowser,
    /// Before a rest, tell mongod to quit as soon as it is asked. Where that fails, nothing is lost but time.
    pub quick_mongod_stop: bool,
}

/// Appsmith in its one container.
#[derive(Debug)]
pub struct Appsmith {
    options: AppsmithOptions,
    api: Api,
    paths: git::Paths,
}

const FORMAT_MARKER: &str = "/appsmith-stacks/data/mongodb/.appsmith-mongo-fcv-min";
const FORMAT_MARKER_LIMIT_BYTES: usize = 4096;
/// Reads `docker.env` as data, where older versions let a shell read it (appsmith#42225).
const STRICT_SINCE: [u64; 3] = [2, 5, 1];
const DOCKER_ENV: &str = "/appsmith-stacks/configuration/docker.env";
const DOCKER_ENV_LIMIT_BYTES: usize = 1024 * 1024;

impl Appsmith {
    /// Checks the address; sends nothing.
    pub fn new(options: AppsmithOptions) -> Result<Self, InstanceError> {
        let client = Client::new(&options.url).map_err(|source| InstanceError::Request {
            instance: options.name.clone(),
            action: format!("use the address `{}`", crate::instance::secret::mask_addresses(&options.url)),
            source,
        })?;
        let api = Api::new(client, options.login.clone());
        Ok(Self { options, api, paths: git::Paths::default() })
    }

    fn instance(&self) -> InstanceName {
        self.options.name.clone()
    }

    fn failed(&self, action: &str, error: ApiError) -> InstanceError {
        match error {
            ApiError::LoginRefused { user, earlier } => {
                InstanceError::LoginRefused { instance: self.instance(), user, earlier }
            }
            ApiError::NoPassword { path, source } => {
                InstanceError::NoPassword { instance: self.instance(), path, source }
            }
            error => {
                InstanceError::Request { instance: self.instance(), action: action.to_owned(), source: error.into() }
            }
        }
    }

    /// The session, for pages in a browser. Without one they show what everybody sees, and the check of such a page says
    /// so by what it finds.
    async fn lent_cookies(&self, pages: &[BrowserCheck]) -> Vec<Cookie> {
        if pages.iter().all(|page| !page.logged_in) {
            return Vec::new();
        }
        match self.api.lend_session().await {
            Ok(cookie) => cookie.into_iter().collect(),
            Err(error) => {
                tracing::info!(instance = %self.options.name, error = %chain(&error), "no session for the browser");
                Vec::new()
            }
        }
    }

    /// What the app itself shows, then what it does: nothing is run on an app that shows nothing.
    async fn look(&self, seen: &mut Observation) -> Result<Found, ApiError> {
        let found = observe::look_at_everything(&self.api, seen).await?;
        query::run_all(&self.api, &found, &self.options.checks.queries, seen).await?;
        if self.options.test_datasources {
            sources::test_all(&self.api, &found, seen).await?;
        }
        Ok(found)
    }

    fn not_rested(&self, error: RestError) -> InstanceError {
        match error {
            RestError::Refused(reason) => InstanceError::CannotRest { instance: self.instance(), reason },
            RestError::Engine(error) => error.into(),
        }
    }

    fn not_woken(&self, error: RestError) -> InstanceError {
        match error {
            RestError::Refused(reason) => InstanceError::NotReady { instance: self.instance(), reason },
            RestError::Engine(error) => error.into(),
        }
    }
}

#[async_trait]
impl InstanceAdapter for Appsmith {
    fn name(&self) -> &InstanceName {
        &self.options.name
    }

    fn container(&self) -> &str {
        &self.options.container
    }

    fn url(&self) -> Option<&str> {
        Some(&self.options.url)
    }

    fn stop_grace(&self) -> Duration {
        self.options.stop_grace
    }

    fn survey(&self, view: &ContainerView) -> Vec<Survey> {
        parts::survey(view)
    }

    fn parts(&self, view: &ContainerView, listings: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError> {
        parts::plan(&self.options.name, view, listings, &self.options.acknowledge_mounts)
    }

    fn leftovers(&self, listings: &[(String, Listing)]) -> Vec<(String, u64)> {
        parts::leftovers(listings)
    }

    async fn preflight(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        mounts: &[String],
        target: Option<&Version>,
    ) -> Result<(), InstanceError> {
        let given = engine.definition(self.container()).await?.config;
        let file = read_file(engine, helper, mounts, DOCKER_ENV, DOCKER_ENV_LIMIT_BYTES).await?;
        let file = file.map(|file| file.content).unwrap_or_default();
        let file = String::from_utf8_lossy(&file);
        let settings = Settings::effective(&given, &file);
        if let Some(reason) = settings.out_of_reach() {
            return Err(InstanceError::OutOfReach { instance: self.instance(), reason });
        }
        if settings.heals_itself() {
            return Err(self.not_rested(RestError::heals_itself()));
        }
        if let Some(version) = target.filter(|version| version.numbers() >= STRICT_SINCE)
            && let Some(reason) = settings::shell_in(&file)
        {
            return Err(InstanceError::WouldNotStart { instance: self.instance(), version: version.clone(), reason });
        }
        Ok(())
    }

    async fn rest(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError> {
        let quick = self.options.quick_mongod_stop;
        rest::rest(engine, self.container(), quick).await.map_err(|error| self.not_rested(error))
    }

    async fn wake(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError> {
        rest::wake(engine, self.container()).await.map_err(|error| self.not_woken(error))
    }

    fn is_clean(&self, view: &ContainerView, listings: &[(String, Listing)]) -> Cleanliness {
        parts::cleanliness(view, listings)
    }

    async fn data_format(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        mounts: &[String],
    ) -> Result<Option<String>, InstanceError> {
        let marker = read_file(engine, helper, mounts, FORMAT_MARKER, FORMAT_MARKER_LIMIT_BYTES).await?;
        let text = marker.map(|file| String::from_utf8_lossy(&file.content).trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    async fn version(&self, _engine: &dyn ContainerEngine) -> Result<Option<Version>, InstanceError> {
        match self.api.info().await {
            Ok(version) => Ok(version),
            Err(error) => match error.as_silence() {
                Some(why) => {
                    tracing::debug!(instance = %self.options.name, why, "version not known while it does not answer");
                    Ok(None)
                }
                None => Err(self.failed("ask for the version", error)),
            },
        }
    }

    async fn ready(
        &self,
        engine: &dyn ContainerEngine,
        expected: Option<&Version>,
        tell: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), InstanceError> {
        watch::until_ready(self, engine, expected, tell).await
    }

    async fn observe(
        &self,
        engine: &dyn ContainerEngine,
        album: Option<&dyn Album>,
    ) -> Result<Observation, InstanceError> {
        let (mut seen, mut pages) = (Observation::default(), Vec::new());
        let title = format!("`{}` answers", self.options.name);
        let result = match watch::quick_probe(self, engine).await? {
            None => SeenResult::Pass,
            Some(reason) => SeenResult::Fail { reason },
        };
        let answers = result == SeenResult::Pass;
        seen.checks.insert(READY_CHECK.into(), Seen { title: title.clone(), result });
        if answers {
            match self.look(&mut seen).await {
                Ok(found) => pages.extend(self.options.pages_in_browser.of(&found, &seen.inventory)),
                Err(ApiError::NotUp { why }) => {
                    let result =
                        SeenResult::Fail { reason: format!("it stopped to answer while it was checked: {why}") };
                    seen.checks.insert(READY_CHECK.into(), Seen { title, result });
                }
                Err(error) => return Err(self.failed("look at the applications", error)),
            }
        }
        if answers {
            let log = engine.logs(self.container(), logs::LINES).await?;
            seen.checks.extend(logs::checks(&log));
        }
        let client = self.api.client();
        let ground = Ground { engine, container: self.container(), http: client.http(), base: Some(client.base()) };
        seen.checks.extend(self.options.checks.run_quick(ground).await);
        pages.extend(self.options.checks.pages.iter().cloned());
        if let (Some(browsing), Some(album), false) = (&self.options.checks.browsing, album, pages.is_empty()) {
            let cookies = self.lent_cookies(&pages).await;
            seen.checks.extend(look_through(browsing, &pages, ground.base, &cookies, album).await);
        }
        Ok(seen)
    }

    fn settings_file(&self) -> Option<&'static str> {
        Some(DOCKER_ENV)
    }

    fn adapt(&self, taken: Taken<'_>) -> Result<Adapted, InstanceError> {
        adapt::adapt(taken).map_err(|reason| InstanceError::CannotTake { instance: self.instance(), reason })
    }

    async fn prove_keys(&self) -> Result<KeyProof, InstanceError> {
        keys::prove(&self.api).await.map_err(|error| self.failed("test a data source", error))
    }

    fn git(&self) -> Option<&dyn GitApps> {
        self.api.has_login().then_some(self)
    }

    fn hot(&self) -> Option<&dyn Hot> {
        Some(self)
    }

    fn hops(&self, from: &Version, to: &Version) -> Result<Vec<Version>, NoWay> {
        checkpoints::hops(from, to).map_err(|reason| NoWay { from: from.clone(), to: to.clone(), reason })
    }
}
