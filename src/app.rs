//! The composition root: the only place that names concrete adapters.

mod checks;
mod identity;
pub mod schedules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use crate::config::{self, Config, Kind, StoreUrl};
use crate::engine::docker::{DockerEngine, DockerOptions, PorterSource};
use crate::engine::{ContainerEngine, EngineError};
use crate::instance::appsmith::{Appsmith, AppsmithOptions, Login};
use crate::instance::gate::ReadyOptions;
use crate::instance::generic::{Generic, GenericOptions};
use crate::instance::{InstanceAdapter, InstanceError};
use crate::model::definition::MountSource;
use crate::model::ids::{InstanceName, RunId};
use crate::ops::promote::{Place, Promotion};
use crate::ops::state::{StateDir, StateError};
use crate::ops::{Acknowledged, Settings, Tools, run};
use crate::promote::{Access, Git};
use crate::repository::{Repository, RepositoryError};
use crate::smoke::browser::Browsing;
use crate::store::absent::AbsentStore;
use crate::store::dir::DirStore;
use crate::store::s3::{Checksums, S3Credentials, S3Options, S3Store};
use crate::store::{ObjectStore, StoreError};
use crate::workflow::{Retry, chain};

/// What a command needs of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repositories {
    /// It is not asked whether it is there, and need not even answer.
    Unasked,
    /// It must be there.
    Open,
    /// It is used if it is there.
    OpenIfThere,
    /// It is made if it is not there.
    OpenOrInit,
}

/// Everything, put together.
#[derive(Debug)]
pub struct App {
    /// What workflows work with.
    pub tools: Arc<Tools>,
    has_repository: bool,
    store_text: String,
}

/// It cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state directory.
    #[error("{0}")]
    State(#[from] StateError),
    /// The engine.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The repository.
    #[error("{0}")]
    Repository(#[from] RepositoryError),
    /// A file with a secret.
    #[error("{0}")]
    Secret(#[from] config::SecretError),
    /// An adapter refused its options.
    #[error("cannot use the settings of `{instance}`")]
    Instance {
        /// Which.
        instance: InstanceName,
        /// Why.
        #[source]
        source: crate::stream::BoxError,
    },
    /// The state directory lies in an instance's data, which a restore would set aside.
    #[error("the state directory `{state_dir}` lies in `{mount}`, which belongs to `{instance}`")]
    StateInData {
        /// The directory.
        state_dir: PathBuf,
        /// The bind that holds it.
        mount: String,
        /// Whose it is.
        instance: InstanceName,
    },
}

impl AppError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::State(_) => {
                Some("may this user write there? run as the owner of `state_dir`, or change `state_dir`".into())
            }
            Self::StateInData { .. } => Some("move `state_dir` somewhere else; nothing was touched".into()),
            _ => None,
        }
    }
}

/// Who runs this process, for journals. Ask before an [`App`] is opened, which may change it.
pub fn caller() -> String {
    identity::caller()
}

impl App {
    /// Opens the state directory only: works without engine and store.
    ///
    /// Run as root, the process first takes the identity of the directory's owner, so that a command at night leaves
    /// no journal that the service cannot read.
    pub fn state(config: &Config) -> Result<StateDir, StateError> {
        identity::take_that_of_the_owner(&config.state_dir)?;
        StateDir::open(&config.state_dir)
    }

    /// Prepares to speak to the engine; whether it answers is not asked.
    pub fn engine(config: &Config) -> Result<Arc<dyn ContainerEngine>, AppError> {
        let porter = config.docker.porter.clone().map_or_else(PorterSource::default, PorterSource::File);
        let options = DockerOptions { host: config.docker.host.clone(), porter, ..DockerOptions::default() };
        Ok(Arc::new(DockerEngine::connect(options)?))
    }

    /// The store, without asking whether there is a repository.
    pub async fn store(config: &Config) -> Result<Arc<dyn ObjectStore>, AppError> {
        store(config).await
    }

    /// The repository, which must be there. Works while the engine is away.
    pub async fn repository(config: &Config) -> Result<Repository, AppError> {
        Ok(Repository::open(store(config).await?).await?)
    }

    /// The instances.
    pub fn instances(config: &Config) -> Result<BTreeMap<InstanceName, Arc<dyn InstanceAdapter>>, AppError> {
        instances(config)
    }

    /// The browser, where the configuration has pages to open.
    pub fn browsing(config: &Config) -> Option<Browsing> {
        config.instances.values().find_map(|instance| checks::of(config, instance).browsing)
    }

    /// Puts everything together and finds out at once whether engine and store answer.
    pub async fn open(config: &Config, repositories: Repositories) -> Result<Self, AppError> {
        let state = Self::state(config)?;
        let engine = Self::engine(config)?;
        engine.probe().await?;
        let instances = instances(config)?;
        state_is_outside(config, &*engine, &instances).await?;
        let (store, repositories): (Arc<dyn ObjectStore>, _) = match (store(config).await, repositories) {
            (Ok(store), _) => (store, repositories),
            (Err(error), Repositories::Unasked | Repositories::OpenIfThere) => {
                tracing::warn!(error = %chain(&error), "store cannot be used");
                // It has said why once; there is nothing to open.
                (Arc::new(AbsentStore::new(chain(&error))), Repositories::Unasked)
            }
            (Err(error), _) => return Err(error),
        };
        let store_text = store.describe();
        let (repository, has_repository) = match repositories {
            Repositories::Unasked => (Repository::unopened(store), false),
            Repositories::Open => (Repository::open(store).await?, true),
            Repositories::OpenOrInit => (Repository::open_or_init(store).await?, true),
            Repositories::OpenIfThere => match Repository::open(store.clone()).await {
                Ok(repository) => (repository, true),
                Err(RepositoryError::NotThere { .. }) => (Repository::unopened(store), false),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "repository cannot be used");
                    (Repository::unopened(store), false)
                }
            },
        };
        let tools = Tools {
            engine,
            repository: Arc::new(repository),
            instances,
            promotion: promotion(config, &state),
            state,
            now: jiff::Timestamp::now,
            settings: settings(config),
        };
        Ok(Self { tools: Arc::new(tools), has_repository, store_text })
    }

    /// Lets runs of this process take the locks of that run, because a person says that it is dead.
    pub fn take_over(&mut self, run: Option<&RunId>) {
        // Nobody else has the tools yet.
        if let (Some(run), Some(tools)) = (run, Arc::get_mut(&mut self.tools)) {
            tools.settings.take_over = Some(run.to_string());
        }
    }

    /// Whether there is a repository.
    pub fn has_repository(&self) -> bool {
        self.has_repository
    }

    /// Where snapshots go, for people.
    pub fn store_text(&self) -> &str {
        &self.store_text
    }
}

fn settings(config: &Config) -> Settings {
    let pipeline = config.pipeline.as_ref();
    Settings {
        stages: pipeline.map(|pipeline| pipeline.stages.clone()).unwrap_or_default(),
        image: pipeline.map(|pipeline| pipeline.image.clone()),
        stable_for: signed(config.ready.stable_for),
        evidence_max_age: signed(config.upgrade.evidence_max_age),
        approval: pipeline.map(|pipeline| pipeline.approval.clone()).unwrap_or_default(),
        approval_max_age: signed(config.upgrade.approval_max_age),
        keep_aside: signed(config.restore.keep_aside),
        empty_cache: config.restore.redis == config::RedisPolicy::Empty,
        snapshot_mode: config.snapshot.mode,
        compression_level: config.snapshot.compression_level.into(),
        stall_timeout: config.store.stall_timeout,
        retry: Retry { outage: run::outage, hiccup: run::hiccup, ..Retry::default() },
        take_over: None,
        acknowledged: config.instances.iter().map(acknowledged).collect(),
        allow_change: checks::allowed(config),
        keep_pictures: signed(config.smoke.browser.keep_pictures),
        host: host(),
    }
}

/// Where and how apps are promoted.
fn promotion(config: &Config, state: &StateDir) -> Option<Promotion> {
    let ours = config.environments.as_ref()?;
    let git = &config.git;
    let access = Access {
        key_file: git.key_file.clone(),
        passphrase_file: git.passphrase_file.clone(),
        known_hosts: if git.known_hosts.is_empty() { host_keys() } else { git.known_hosts.clone() },
        user: git.user.clone(),
        token_file: git.token_file.clone(),
        instead_of: git.instead_of.clone(),
    };
    let place = |place: &config::GitEnvironment| Place {
        instance: place.instance.clone(),
        workspace: place.workspace.clone(),
        branch: place.branch.clone(),
    };
    Some(Promotion {
        git: Git::new(state.repositories(), access, git.timeout, git.fetch_limit.0),
        staging: place(&ours.staging),
        production: place(&ours.production),
        merge: ours.merge,
        author: (git.author_name.clone(), git.author_email.clone()),
    })
}

/// OpenSSH's own two files.
fn host_keys() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".ssh/known_hosts"));
    own.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
}

fn host() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn acknowledged((name, ours): (&InstanceName, &config::Instance)) -> (InstanceName, Acknowledged) {
    let (fields, writers) = (ours.acknowledge_fields.clone(), ours.acknowledge_writers.clone());
    (name.clone(), Acknowledged { fields, writers })
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

async fn store(config: &Config) -> Result<Arc<dyn ObjectStore>, AppError> {
    let ours = &config.store;
    match &ours.url {
        StoreUrl::Folder(path) => {
            // Only the default place is made by itself: elsewhere a folder that is missing may be a disk that is
            // not mounted.
            let ours = path.starts_with(&config.state_dir);
            let store = if ours { DirStore::open_or_make(path).await? } else { DirStore::open(path).await? };
            Ok(Arc::new(store))
        }
        StoreUrl::S3 { bucket, prefix } => {
            let credentials = match &ours.credentials {
                None => S3Credentials::Chain,
                Some(credentials) => S3Credentials::Key {
                    id: credentials.access_key_id.clone(),
                    secret: config::read_secret(&credentials.secret_access_key_file)?.reveal().to_owned(),
                },
            };
            let options = S3Options {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                endpoint: ours.endpoint.clone(),
                region: ours.region.clone(),
                path_style: ours.path_style,
                ca_file: ours.ca_file.clone(),
                part_bytes: ours.part_size.0,
                parts_in_flight: ours.parts_in_flight.into(),
                stall_timeout: ours.stall_timeout,
                checksums: match ours.checksums {
                    config::Checksums::Always => Checksums::Always,
                    config::Checksums::WhenRequired => Checksums::WhenRequired,
                },
                credentials,
            };
            Ok(Arc::new(S3Store::connect(options).await?))
        }
    }
}

fn instances(config: &Config) -> Result<BTreeMap<InstanceName, Arc<dyn InstanceAdapter>>, AppError> {
    let ready = ReadyOptions {
        stable_for: config.ready.stable_for,
        poll: config.ready.poll,
        stall: config.ready.stall,
        ceiling: config.ready.ceiling,
    };
    let adapter = |(name, ours): (&InstanceName, &config::Instance)| {
        let failed = |source: InstanceError| AppError::Instance { instance: name.clone(), source: Box::new(source) };
        let checks = checks::of(config, ours);
        let adapter: Arc<dyn InstanceAdapter> = match ours.kind {
            Kind::Appsmith => Arc::new(
                Appsmith::new(AppsmithOptions {
                    name: name.clone(),
                    container: ours.container.clone(),
                    url: ours.url.clone().unwrap_or_default(),
                    login: ours.login.as_ref().map(|login| Login {
                        user: login.user.clone(),
                        password_file: login.password_file.clone(),
                        refused_file: Some(config.state_dir.join("logins").join(format!("{name}.json"))),
                    }),
                    stop_grace: ours.stop_grace,
                    acknowledge_mounts: ours.acknowledge_mounts.clone(),
                    ready: ready.clone(),
                    checks,
                    test_datasources: config.smoke.datasources,
                    pages_in_browser: checks::in_browser(config),
                    quick_mongod_stop: true,
                })
                .map_err(failed)?,
            ),
            Kind::Generic => Arc::new(
                Generic::new(GenericOptions {
                    name: name.clone(),
                    container: ours.container.clone(),
                    url: ours.url.clone(),
                    stop_grace: ours.stop_grace,
                    parts: ours.parts.clone(),
                    acknowledge_mounts: ours.acknowledge_mounts.clone(),
                    rest: ours.rest.iter().map(|command| command.0.clone()).collect(),
                    wake: ours.wake.iter().map(|command| command.0.clone()).collect(),
                    command_limit: ours.command_timeout,
                    ready: ready.clone(),
                    checks,
                })
                .map_err(failed)?,
            ),
        };
        Ok((name.clone(), adapter))
    };
    config.instances.iter().map(adapter).collect()
}

/// A restore would set the journal aside together with the data.
async fn state_is_outside(
    config: &Config,
    engine: &dyn ContainerEngine,
    instances: &BTreeMap<InstanceName, Arc<dyn InstanceAdapter>>,
) -> Result<(), AppError> {
    for (name, adapter) in instances {
        let Some(view) = engine.find(adapter.container()).await? else { continue };
        for mount in view.mounts {
            if let MountSource::Bind(path) = &mount.source
                && mount.writable
                && config.state_dir.starts_with(path)
            {
                let state_dir = config.state_dir.clone();
                return Err(AppError::StateInData { state_dir, mount: path.clone(), instance: name.clone() });
            }
        }
    }
    Ok(())
}
