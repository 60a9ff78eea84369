//! Images that act: what a container of them does when it starts, stops or is asked to run a command.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::engine::{ExecResult, ImageView, Labels};
use crate::model::ids::{BadName, ImageId};

type OnStart = Arc<dyn Fn(&FakeContainer) -> StartOutcome + Send + Sync>;
type OnStop = Arc<dyn Fn(&FakeContainer) -> i64 + Send + Sync>;
type OnExec = Arc<dyn Fn(&FakeContainer, &[String]) -> ExecOutcome + Send + Sync>;

/// A container, as an image's closures see it.
#[derive(Clone, Debug)]
pub struct FakeContainer {
    /// Its name.
    pub name: String,
    /// What it was created from.
    pub image_ref: String,
    /// Its environment, as it was given.
    pub env: Vec<String>,
    /// The folder behind each mount, by where it lies in the container.
    pub folders: BTreeMap<String, PathBuf>,
}

impl FakeContainer {
    /// The real path of a path in the container; `None` where nothing is mounted.
    pub fn path(&self, inside: &str) -> Option<PathBuf> {
        let at = |mount: &str| inside.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let (mount, rest) =
            self.folders.keys().filter_map(|mount| Some((mount, at(mount)?))).max_by_key(|(mount, _)| mount.len())?;
        Some(self.folders[mount].join(rest.trim_start_matches('/')))
    }
}

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// It runs.
    Runs {
        /// Its health check, if it has one.
        health: Option<String>,
    },
    /// It ends again at once.
    Ends {
        /// With this.
        exit_code: i64,
        /// Its last words in the log.
        log: String,
    },
    /// The engine cannot start it, as when a port is taken.
    Refused(String),
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutcome {
    /// It ended.
    Ends(ExecResult),
    /// It never ends; the caller's limit ends it, at once.
    Hangs,
}

impl ExecOutcome {
    /// It ended with that code and output.
    pub fn ends(exit_code: i64, stdout: &str, stderr: &str) -> Self {
        Self::Ends(ExecResult { exit_code, stdout: stdout.into(), stderr: stderr.into() })
    }
}

/// An image of the fake engine. Without closures its containers run, stop with 0 and know no command (exit code 127).
#[derive(Clone)]
pub struct FakeImage {
    pub(super) view: ImageView,
    pub(super) on_start: OnStart,
    pub(super) on_stop: OnStop,
    pub(super) on_exec: OnExec,
}

impl FakeImage {
    /// An image whose id follows from `seed`.
    pub fn new(seed: &str) -> Result<Self, BadName> {
        let hex: String = Sha256::digest(seed.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let view = ImageView {
            id: ImageId::new(format!("sha256:{hex}"))?,
            digests: Vec::new(),
            labels: Labels::new(),
            volumes: Vec::new(),
            architecture: "amd64".into(),
            size_bytes: 1 << 20,
        };
        let on_stop: OnStop = Arc::new(|_| 0);
        Ok(Self {
            view,
            on_start: Arc::new(|_| StartOutcome::Runs { health: None }),
            on_stop,
            on_exec: Arc::new(|_, command| {
                ExecOutcome::ends(127, &format!("exec: {:?}: not found", command.first()), "")
            }),
        })
    }

    /// Its id.
    pub fn id(&self) -> &ImageId {
        &self.view.id
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.view.labels.insert(key.into(), value.into());
        self
    }

    /// With a VOLUME: a container that mounts nothing there gets an anonymous volume.
    #[must_use]
    pub fn volume(mut self, path: &str) -> Self {
        self.view.volumes.push(path.into());
        self
    }

    /// Is asked at each start, with the container's folders to act on.
    #[must_use]
    pub fn on_start(mut self, act: impl Fn(&FakeContainer) -> StartOutcome + Send + Sync + 'static) -> Self {
        self.on_start = Arc::new(act);
        self
    }

    /// Is asked at each stop; gives the exit code.
    #[must_use]
    pub fn on_stop(mut self, act: impl Fn(&FakeContainer) -> i64 + Send + Sync + 'static) -> Self {
        self.on_stop = Arc::new(act);
        self
    }

    /// Is asked for each command.
    #[must_use]
    pub fn on_exec(mut self, act: impl Fn(&FakeContainer, &[String]) -> ExecOutcome + Send + Sync + 'static) -> Self {
        self.on_exec = Arc::new(act);
        self
    }
}

impl fmt::Debug for FakeImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeImage").field("view", &self.view).finish_non_exhaustive()
    }
}
