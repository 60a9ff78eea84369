//! The app in a container: what of its files is data, how it comes to rest, how to see that it is well.

pub mod adapt;
pub mod appsmith;
pub mod files;
pub mod gate;
pub mod generic;
pub mod git;
pub mod hot;
pub mod mounts;
pub mod secret;
#[cfg(test)]
mod testing;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::adapt::{Adapted, KeyProof, Taken};
use crate::engine::{ContainerEngine, ContainerView, EngineError, Listing};
use crate::model::ids::InstanceName;
use crate::model::observation::Observation;
use crate::model::part::{Cover, PartPlan};
use crate::model::version::Version;
use crate::smoke::album::Album;
use crate::stream::BoxError;

/// An instance as its app wants it treated. Holds no state of a run.
#[async_trait]
pub trait InstanceAdapter: Send + Sync + fmt::Debug {
    /// As the configuration calls it.
    fn name(&self) -> &InstanceName;

    /// The name of its container.
    fn container(&self) -> &str;

    /// Where people reach it, for messages.
    fn url(&self) -> Option<&str>;

    /// How long a stop may take before the engine kills it.
    fn stop_grace(&self) -> Duration;

    /// What the porter should list at each mount, to decide the parts: `(mount, cover, single files)`.
    fn survey(&self, view: &ContainerView) -> Vec<Survey>;

    /// What a snapshot of it holds, decided from what lies there. Fails closed: a writable mount that no
    /// part covers must be acknowledged in the configuration.
    fn parts(&self, view: &ContainerView, listings: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError>;

    /// What its own tools have left lying at its mounts, which nothing needs: full path and bytes. Snapshots do without.
    fn leftovers(&self, listings: &[(String, Listing)]) -> Vec<(String, u64)> {
        let _ = listings;
        Vec::new()
    }

    /// Refuses, before anything is stopped, where the app's own settings say that its mounts do not hold all of
    /// its data, that it would not stay at rest, or that `target`, the version that is to come, would not start with them. Read through a helper that has `mounts` at `/v0`, `/v1` and so on.
    async fn preflight(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        mounts: &[String],
        target: Option<&Version>,
    ) -> Result<(), InstanceError> {
        let _ = (engine, helper, mounts, target);
        Ok(())
    }

    /// Inside the running container: makes its programs stop in good order, before the container is
    /// stopped. May be called again, and for a container that is not running does nothing.
    async fn rest(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError>;

    /// Undoes `rest` in a container that still runs, also where it got only half way.
    async fn wake(&self, engine: &dyn ContainerEngine) -> Result<(), InstanceError>;

    /// Whether the app shut down cleanly, judged from the stopped container and its files.
    fn is_clean(&self, view: &ContainerView, listings: &[(String, Listing)]) -> Cleanliness;

    /// The data format marker that lies there (a one-way number of the app's), if it has one. Read through a helper.
    async fn data_format(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        mounts: &[String],
    ) -> Result<Option<String>, InstanceError>;

    /// The version that answers, by the app's own word.
    async fn version(&self, engine: &dyn ContainerEngine) -> Result<Option<Version>, InstanceError>;

    /// Waits until the app is ready to be used and has stayed so for `ready.stable_for`. Progress goes to `tell`.
    /// Gives up when the container ends or restarts, a program of it fails for good, nothing moves any
    /// more, or the ceiling is reached.
    async fn ready(
        &self,
        engine: &dyn ContainerEngine,
        expected: Option<&Version>,
        tell: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), InstanceError>;

    /// Looks at everything the checks look at: one quick probe of readiness (no waiting for it to settle),
    /// inventory, and each check once. Pictures and the like go to `album`; without one no page is opened in a browser.
    async fn observe(
        &self,
        engine: &dyn ContainerEngine,
        album: Option<&dyn Album>,
    ) -> Result<Observation, InstanceError>;

    /// The file of settings that says what the instance is, as its container sees it; `None` where the app has none.
    fn settings_file(&self) -> Option<&'static str> {
        None
    }

    /// How a snapshot is put in place otherwise than it was taken. Pure. An error where the data of the one cannot be
    /// read in the place of the other.
    fn adapt(&self, taken: Taken<'_>) -> Result<Adapted, InstanceError> {
        let _ = taken;
        Ok(Adapted::default())
    }

    /// Lets the running app open one secret that it keeps encrypted, where it has one and can be asked.
    async fn prove_keys(&self) -> Result<KeyProof, InstanceError> {
        Ok(KeyProof::Unknown { reason: "it is no app that is known to keep encrypted secrets".into() })
    }

    /// How its apps' repositories are driven; `None` where it has none, or nothing to log in with.
    fn git(&self) -> Option<&dyn git::GitApps> {
        None
    }

    /// How it can be snapshotted while it runs on; `None` where its app has no tool for that.
    fn hot(&self) -> Option<&dyn hot::Hot> {
        None
    }

    /// Versions to stop at on the way from one to the other, the target last, or why there is no way. Pure.
    fn hops(&self, from: &Version, to: &Version) -> Result<Vec<Version>, NoWay>;
}

/// What the porter should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Where the mount lies in the instance's container.
    pub mount: String,
    /// What to count there.
    pub cover: Cover,
    /// Single files of which the size is wanted.
    pub stat: Vec<String>,
}

/// Whether an app shut down in good order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Cleanliness {
    /// Yes.
    Clean,
    /// No: its files may be torn. Such a snapshot never leads to the start of a new image.
    Unclean {
        /// How that shows.
        reason: String,
    },
}

/// There is no upgrade from here to there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no upgrade from {from} to {to}: {reason}")]
pub struct NoWay {
    /// From where.
    pub from: Version,
    /// To where.
    pub to: Version,
    /// Why not, with the version to take first if there is one.
    pub reason: String,
}

/// A refusal that is remembered on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRefusal {
    /// When.
    pub at: Timestamp,
    /// Where it is remembered; without the file it is forgotten.
    pub file: PathBuf,
}

fn not_sent_again(earlier: &Option<EarlierRefusal>) -> String {
    let at = |earlier: &EarlierRefusal| earlier.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    earlier
        .as_ref()
        .map_or_else(String::new, |earlier| format!(" at {}, and the same password was not sent again", at(earlier)))
}

/// What went wrong with an app.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// It is not well, by its own evidence.
    #[error("`{instance}` is not ready: {reason}")]
    NotReady {
        /// Which.
        instance: InstanceName,
        /// What is wrong, and the excerpt of its log that shows it.
        reason: String,
    },
    /// It refused the login. Never tried twice.
    #[error("`{instance}` refused the login of `{user}`{}", not_sent_again(earlier))]
    LoginRefused {
        /// Which.
        instance: InstanceName,
        /// Who.
        user: String,
        /// Where it was refused before, and the same password was not sent again.
        earlier: Option<EarlierRefusal>,
    },
    /// The password to log in with cannot be had.
    #[error("cannot log in to `{instance}`: cannot read the password from `{}`", path.display())]
    NoPassword {
        /// Which.
        instance: InstanceName,
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It answered something unexpected, or did not answer.
    #[error("cannot {action} at `{instance}`")]
    Request {
        /// Which.
        instance: InstanceName,
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A writable mount that nobody said what to do with.
    #[error("`{instance}` writes to {mount} ({source_text}), which no part of a snapshot covers")]
    UncoveredMount {
        /// Which.
        instance: InstanceName,
        /// Where in the container.
        mount: String,
        /// What is mounted there.
        source_text: String,
    },
    /// It keeps data where no part of a snapshot reaches.
    #[error("`{instance}` keeps data out of a snapshot's reach: {reason}")]
    OutOfReach {
        /// Which.
        instance: InstanceName,
        /// Which data, and where.
        reason: String,
    },
    /// It cannot be brought to rest now.
    #[error("`{instance}` cannot be brought to rest: {reason}")]
    CannotRest {
        /// Which.
        instance: InstanceName,
        /// Why.
        reason: String,
    },
    /// Its settings are such that a version does not start with them.
    #[error("`{instance}` would not start on {version}: {reason}")]
    WouldNotStart {
        /// Which.
        instance: InstanceName,
        /// Which version.
        version: Version,
        /// What is wrong, and where; without values.
        reason: String,
    },
    /// The data of another instance cannot be read in its place.
    #[error("`{instance}` cannot take the data of another instance: {reason}")]
    CannotTake {
        /// Which.
        instance: InstanceName,
        /// Why, and what would help.
        reason: String,
    },
    /// It cannot be snapshotted while it runs, or that went wrong. Nothing was stopped.
    #[error("`{instance}` cannot be snapshotted while it runs: {reason}")]
    NotHot {
        /// Which.
        instance: InstanceName,
        /// Why.
        reason: String,
    },
    /// The archive of a snapshot that was taken while it ran cannot be loaded.
    #[error("the archive of `{instance}` cannot be loaded: {reason}")]
    NotLoaded {
        /// Which.
        instance: InstanceName,
        /// Why.
        reason: String,
    },
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}
