//! The container engine, as Tidegate needs it.
//!
//! Every call may be made again: asking for what is already so is `Ok`. Containers are named, never
//! addressed by id, so that one that was created anew is still found. Nothing here ever removes a
//! volume that it did not make.

pub mod docker;
pub mod fake;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
pub use tidegate_porter::protocol::{Answer, Listing, Request as PorterRequest};
use tokio_util::sync::CancellationToken;

use crate::model::definition::{Definition, Mount, MountSource, RestartPolicy};
use crate::model::ids::ImageId;
use crate::stream::{BoxError, ByteStream};

/// The container engine.
#[async_trait]
pub trait ContainerEngine: Send + Sync + fmt::Debug {
    /// Says which engine answers; the first call of every command, so that an engine that is not
    /// reachable is found before anything else.
    async fn probe(&self) -> Result<EngineInfo, EngineError>;

    /// What the container is and does now, or `None`.
    async fn find(&self, container: &str) -> Result<Option<ContainerView>, EngineError>;

    /// What the container was given, to create it again.
    async fn definition(&self, container: &str) -> Result<Definition, EngineError>;

    /// The image of that id, tag or digest, if it is on this host.
    async fn image(&self, reference: &str) -> Result<Option<ImageView>, EngineError>;

    /// Fetches by tag or digest, and says what came. An error inside the stream of progress is an error.
    async fn pull(&self, reference: &str) -> Result<ImageView, EngineError>;

    /// Gives an image a local name.
    async fn tag(&self, image: &ImageId, tag: &str) -> Result<(), EngineError>;

    /// Takes a local name away; the image stays while a container uses it or it has another name.
    async fn untag(&self, tag: &str) -> Result<(), EngineError>;

    /// Creates a container that is never started and holds `image` against `docker image prune -a`:
    /// only our labels, no network, no mounts, a tmpfs over every VOLUME.
    async fn hold(&self, container: &str, image: &ImageId, labels: &Labels) -> Result<(), EngineError>;

    /// Creates the container with the restart policy `no`, on `definition.image_id`, connected to all its networks.
    /// One of that name that was created but never started is replaced; one on that image is `Ok`; any other
    /// is [`EngineError::NameTaken`].
    async fn create(&self, definition: &Definition) -> Result<(), EngineError>;

    /// Creates a container like that one under the name `trial` and removes it again. It is never started and has only
    /// `labels`. So what this host cannot give, a network or a folder, is found before anything is touched. Says
    /// which given fields would get lost, such as `HostConfig.Runtime`.
    async fn try_out(&self, trial: &str, definition: &Definition, labels: &Labels) -> Result<Vec<String>, EngineError>;

    /// The names of all running containers that mount this writable, the instance's own among them. Containers of
    /// Tidegate's own are left out.
    async fn writers_of(&self, source: &MountSource) -> Result<Vec<String>, EngineError>;

    /// Starts it.
    async fn start(&self, container: &str) -> Result<(), EngineError>;

    /// Sends the stop signal, and SIGKILL after `grace`. Of a container that is not there: `Ok`.
    async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError>;

    /// Removes a container that does not run; its volumes stay, anonymous ones too. A running one is refused.
    async fn remove(&self, container: &str) -> Result<(), EngineError>;

    /// Removes a container that does not run, as [`ContainerEngine::remove`] does, and holds its name with one that has
    /// these labels and that nobody can start. Compose, and a person, take it for the container of before, so that
    /// neither makes another while its data is not whole. For everything here but `create` and `remove`, which replace
    /// and remove it, no container is there. A running one is refused.
    async fn vacate(&self, container: &str, labels: &Labels) -> Result<(), EngineError>;

    /// Changes the restart policy of a container that is there.
    async fn set_restart_policy(&self, container: &str, policy: &RestartPolicy) -> Result<(), EngineError>;

    /// Runs a command in a running container, keeps at most 256 KiB of each of its two streams (the
    /// end), and really ends the command at the limit.
    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<ExecResult, EngineError>;

    /// Runs a command that may take hours and may ask, until it ends or `stop` fires; then it is really ended, and that
    /// is [`EngineError::Stopped`]. `talk` hears everything that it says, as it comes, and may answer where the job has a
    /// terminal. Keeps as much of its output as [`ContainerEngine::exec`].
    async fn perform(
        &self,
        container: &str,
        job: &Job,
        talk: Talk<'_>,
        stop: &CancellationToken,
    ) -> Result<ExecResult, EngineError>;

    /// Ends the commands of exactly these words that still run in a container, whoever began them; says how many there
    /// were. For what a process of ours that died has left running.
    async fn end_commands(&self, container: &str, command: &[String]) -> Result<u64, EngineError>;

    /// The last lines that the container wrote.
    async fn logs(&self, container: &str, lines: u32) -> Result<String, EngineError>;

    /// Files that were changed in the container's writable layer; they are lost when it is created anew.
    async fn layer_changes(&self, container: &str) -> Result<Vec<String>, EngineError>;

    /// Creates a container that is never started, with these mounts at `/v0`, `/v1` and so on.
    async fn open_helper(&self, helper: &str, mounts: &[HelperMount], labels: &Labels) -> Result<(), EngineError>;

    /// The file or folder at `path` in a helper as a tar, in which names start with the last name of
    /// `path`. A path that is not there is [`EngineError::NoSuchPath`].
    async fn archive_out(&self, helper: &str, path: &str) -> Result<ByteStream, EngineError>;

    /// Unpacks a tar at `/` of a helper: names start with `v0/` and so on. On an error some of it may lie there.
    async fn archive_in(&self, helper: &str, tar: ByteStream) -> Result<(), EngineError>;

    /// Runs one porter job in a container of that name, with these mounts.
    async fn porter(
        &self,
        container: &str,
        mounts: &[HelperMount],
        labels: &Labels,
        request: &PorterRequest,
    ) -> Result<Answer, EngineError>;

    /// Takes the lock, by creating a container of that name; creating a name is atomic. `Held` says who
    /// has it. Taking a lock that `owner` has already is `Taken`.
    async fn lock(&self, lock: &str, owner: &LockOwner) -> Result<LockAnswer, EngineError>;

    /// Who holds the lock.
    async fn lock_owner(&self, lock: &str) -> Result<Option<LockOwner>, EngineError>;

    /// Gives the lock back, if it is `owner`'s.
    async fn unlock(&self, lock: &str, owner: &LockOwner) -> Result<(), EngineError>;

    /// All containers that carry these labels, running or not.
    async fn labelled(&self, labels: &Labels) -> Result<Vec<ContainerView>, EngineError>;
}

/// Labels and their values.
pub type Labels = BTreeMap<String, String>;

/// Which engine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EngineInfo {
    /// Such as `20.10.24`.
    pub version: String,
    /// Such as `1.41`.
    pub api_version: String,
    /// The engine's own id.
    pub id: String,
    /// The host's architecture, such as `x86_64`.
    pub architecture: String,
}

/// What a container is and does now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerView {
    /// The engine's id; changes when it is created anew.
    pub id: String,
    /// Without a leading `/`.
    pub name: String,
    /// What it does.
    pub state: ContainerState,
    /// Of the last stop.
    pub exit_code: Option<i64>,
    /// The kernel ended it for want of memory.
    pub oom_killed: bool,
    /// How often the engine started it again by itself.
    pub restart_count: u64,
    /// RFC 3339; `None` where it was never started.
    pub started_at: Option<String>,
    /// Docker's health check; `None` where it has none.
    pub health: Option<String>,
    /// The image's id.
    pub image_id: ImageId,
    /// The image as the operator wrote it.
    pub image_ref: String,
    /// Its labels.
    pub labels: Labels,
    /// Its restart policy now.
    pub restart: RestartPolicy,
    /// Removed by the engine as soon as it stops (`--rm`).
    pub auto_remove: bool,
    /// Its mounts.
    pub mounts: Vec<Mount>,
}

impl ContainerView {
    /// Running, also while paused or about to be started again by the engine.
    pub fn is_up(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting)
    }
}

/// Docker's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Never started.
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Ended, and the engine will start it again.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed or stopped.
    Dead,
}

/// An image on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageView {
    /// The engine's id of it.
    pub id: ImageId,
    /// `name@sha256:…`, as registries know it.
    pub digests: Vec<String>,
    /// Its labels.
    pub labels: Labels,
    /// The paths that it declares as VOLUME.
    pub volumes: Vec<String>,
    /// Its architecture in Docker's words, such as `amd64`.
    pub architecture: String,
    /// Its size on this host.
    pub size_bytes: u64,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecResult {
    /// Its exit code.
    pub exit_code: i64,
    /// The end of its standard output.
    pub stdout: String,
    /// The end of its standard error.
    pub stderr: String,
}

/// A command that may take hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The program and its arguments, which everybody on the host can read.
    pub command: Vec<String>,
    /// Set in its environment, over that of the container.
    pub environment: Vec<(String, String)>,
    /// It has a terminal: its two streams are one, and it can be answered.
    pub terminal: bool,
}

/// Hears what a job says, piece by piece, and may give an answer that is typed.
pub type Talk<'a> = &'a mut (dyn FnMut(&str) -> Option<String> + Send);

/// A mount of a helper or porter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperMount {
    /// A volume or a bind.
    pub source: MountSource,
    /// Read-only for reading a snapshot, writable for a restore.
    pub writable: bool,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// The run that it was taken for.
    pub run: String,
    /// The host's name.
    pub host: String,
    /// The host's machine id (`machine-id(5)`), which two hosts of one name do not share; empty where it has none.
    #[serde(default)]
    pub machine: String,
    /// The namespace that `pid` counts in: a container's own pids say nothing outside of it.
    #[serde(default)]
    pub pid_namespace: String,
    /// Changes with every boot of the host.
    pub boot_id: String,
    /// The process.
    pub pid: u32,
    /// When the process began, in clock ticks since boot: a pid alone may be another's by now.
    pub pid_started: u64,
    /// RFC 3339.
    pub taken_at: String,
}

impl LockOwner {
    /// The same process for the same run. The boot names the host.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.run, &self.boot_id, self.pid, self.pid_started)
            == (&other.run, &other.boot_id, other.pid, other.pid_started)
    }
}

/// The answer to asking for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockAnswer {
    /// It is ours.
    Taken,
    /// It is another's.
    Held(LockOwner),
}

/// What went wrong at the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers, or the socket may not be opened.
    #[error("cannot reach the Docker engine at `{address}`")]
    Unreachable {
        /// The socket or address.
        address: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The connection broke before the engine answered: it may or may not have done it. It may be asked again.
    #[error("the connection to the Docker engine broke: cannot {action}")]
    LostAnswer {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is no container of that name.
    #[error("there is no container `{container}`")]
    NoSuchContainer {
        /// Its name.
        container: String,
    },
    /// There is no such image on this host or in its registry.
    #[error("there is no image `{reference}`")]
    NoSuchImage {
        /// As it was asked for.
        reference: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is no such file or folder.
    #[error("there is no `{path}` in `{container}`")]
    NoSuchPath {
        /// The helper.
        container: String,
        /// What was asked for.
        path: String,
    },
    /// A container of that name is there and is not what was wanted.
    #[error("the name `{container}` is taken by a container on image {image}")]
    NameTaken {
        /// Its name.
        container: String,
        /// What it runs on.
        image: String,
    },
    /// The command did not end in time and was killed.
    #[error("`{command}` in `{container}` did not end within {seconds} s and was killed")]
    ExecTimedOut {
        /// Where.
        container: String,
        /// What.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// The command was ended because its caller asked for that.
    #[error("`{command}` in `{container}` was stopped")]
    Stopped {
        /// Where.
        container: String,
        /// What.
        command: String,
    },
    /// The porter's program is not there, or is for another machine.
    #[error("the porter cannot be used: {reason}")]
    NoPorter {
        /// Why not.
        reason: String,
    },
    /// A field of a container that Tidegate cannot carry to its successor.
    #[error("the container `{container}` cannot be created again: {reason}")]
    CannotCarry {
        /// Its name.
        container: String,
        /// Which field, and why.
        reason: String,
    },
    /// A network that a container is connected to is not there.
    #[error("`{container}` is connected to the network `{network}`, which this host does not have")]
    NoSuchNetwork {
        /// The container's name.
        container: String,
        /// The network's.
        network: String,
    },
    /// The disk of the engine or of a volume is full.
    #[error("no space left: cannot {action}")]
    DiskFull {
        /// What was tried, such as ``fill `tidegate.helper.x` ``.
        action: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Anything else.
    #[error("cannot {action}")]
    Request {
        /// What was tried, such as ``stop `appsmith` ``.
        action: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}
