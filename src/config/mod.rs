//! The configuration: what the file and the variables may say, and the proof that it makes sense.
//!
//! A file is read in one pass that never stops at the first problem: every section takes its keys from a
//! `section::Section`, which notes what is wrong, where, and what to write instead. Whatever no section asked
//! for is an unknown key. Cross checks come last, and only a configuration without a problem leaves this module.
//!
//! `config/tidegate.toml` is the template ([`TEMPLATE`]): it shows every key with its default, and a test holds it
//! to that.

mod checks;
mod environment;
mod environments;
mod instances;
mod problem;
mod query;
mod reader;
mod schedules;
mod secret;
mod section;
mod sections;
mod smoke;
mod store;
mod units;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use environment::Environment;
pub use environments::{Environment as GitEnvironment, Environments, Git};
pub use instances::{Command, Instance, Kind, Login};
pub use problem::{ConfigError, Place, Problem};
pub use query::{Params, Query, Scalar};
pub use reader::{Origin, Setting};
pub use schedules::{Action, Schedule};
pub use secret::{Secret, SecretError, read_secret};
pub use sections::{Docker, Pipeline, Ready, RedisPolicy, Restore, Snapshot, Upgrade};
pub use smoke::{AllowChange, AppsmithPages, Browser, Check, CheckKind, Smoke};
pub use store::{Checksums, Credentials, Store, StoreUrl};
pub use units::{ByteSize, format_duration, parse_duration};

use crate::model::ids::InstanceName;
use reader::Reader;

/// The commented file that shows every key with its default.
pub const TEMPLATE: &str = include_str!("../../config/tidegate.toml");

/// Where `state_dir` lies when nothing is said.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/tidegate";

/// Everything that the file and the variables say, checked. Holds no secret, only the paths of files with secrets.
#[derive(Clone, Debug)]
pub struct Config {
    /// Journals and locks. Must not lie on a mount of an instance. Absolute.
    pub state_dir: PathBuf,
    /// Where snapshots go.
    pub store: Store,
    /// The engine that runs the instances.
    pub docker: Docker,
    /// How snapshots are taken.
    pub snapshot: Snapshot,
    /// When an app counts as ready.
    pub ready: Ready,
    /// What an upgrade asks for.
    pub upgrade: Upgrade,
    /// How an instance is put back.
    pub restore: Restore,
    /// How checks are made, and what may differ.
    pub smoke: Smoke,
    /// The order of upgrades; without it there are snapshots and restores, but no upgrades.
    pub pipeline: Option<Pipeline>,
    /// At least one.
    pub instances: BTreeMap<InstanceName, Instance>,
    /// How Git servers are spoken to.
    pub git: Git,
    /// Between which places apps are promoted; without it nothing is.
    pub environments: Option<Environments>,
    /// What the daemon does by itself.
    pub schedules: Vec<Schedule>,
    settings: Vec<Setting>,
}

impl Config {
    /// Reads the file at `path`, then what the variables of `environment` override.
    ///
    /// Relative paths in either are taken relative to the folder of the file. Blocks; meant for the start.
    ///
    /// # Errors
    /// The file cannot be read, or anything in it is wrong; then every problem is named at once.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let file = std::path::absolute(path).map_err(unreadable)?;
        Self::parse(&text, file.parent().unwrap_or(Path::new("/")), environment)
            .map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
    }

    /// As [`Self::load`], from a text. `folder` is what relative paths are relative to; it must be absolute.
    ///
    /// # Errors
    /// Every problem, in the order of the file; those of variables come last.
    pub fn parse(text: &str, folder: &Path, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let table = reader::parse(text)?;
        let mut reader = Reader::new(text, folder, environment);
        let config = reader.read(&table, |top| {
            let state_dir = top.path("state_dir", DEFAULT_STATE_DIR);
            let store = top.section("store", Store::read);
            let docker = top.section("docker", Docker::read);
            let snapshot = top.section("snapshot", Snapshot::read);
            let ready = top.section("ready", Ready::read);
            let upgrade = top.section("upgrade", Upgrade::read);
            let restore = top.section("restore", Restore::read);
            let smoke = top.section("smoke", Smoke::read);
            let pipeline = top.optional_section("pipeline", Pipeline::read);
            let last_stage = pipeline.as_ref().and_then(|pipeline| pipeline.stages.last().cloned());
            let instances = top.named_sections("instances", |name, section| {
                Instance::read(section, Instance::is_production(name, last_stage.as_ref()))
            });
            let git = top.section("git", Git::read);
            let environments = top.optional_section("environments", Environments::read);
            let mut index = 0..;
            let schedules = top.list("schedule", |section| Schedule::read(section, index.next().unwrap_or_default()));
            let settings = Vec::new();
            Self {
                state_dir,
                store,
                docker,
                snapshot,
                ready,
                upgrade,
                restore,
                smoke,
                pipeline,
                instances,
                git,
                environments,
                schedules,
                settings,
            }
        });
        checks::cross_check(&config, &mut reader);
        let settings = reader.finish()?;
        Ok(Self { settings, ..config })
    }

    /// Every key that was looked for, in the order of the sections, with its value and where that came from.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}
