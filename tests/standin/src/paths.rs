//! Every path of the image and of the volume, in one place.

use std::path::{Path, PathBuf};

/// The binary itself; everything else that can be called is a link to it.
pub const BINARY: &str = "/opt/standin/standin";
/// What this image is.
pub const INFO: &str = "/opt/appsmith/info.json";
/// What an image is that is older than the file above.
pub const OLD_VERSION: &str = "/opt/appsmith/rts/version.js";
/// How this image behaves.
pub const BEHAVIOUR: &str = "/opt/appsmith/standin.json";
/// The container's `$TMP`.
pub const TMP: &str = "/tmp/appsmith";
/// Where supervisord listens.
pub const SOCKET: &str = "/tmp/appsmith/supervisor.sock";
/// The container's environment, saved by the entry point for the programs.
pub const PRE_DEFINE: &str = "/tmp/appsmith/pre-define.env";
/// Where the volume is mounted.
pub const STACKS: &str = "/appsmith-stacks";

/// The real Git, in images that were made with it.
pub const GIT: &str = "/usr/bin/git";
/// What makes deploy keys.
pub const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";
/// What speaks to the hosts of repositories.
pub const SSH: &str = "/usr/bin/ssh";
/// What git calls in its place: this program, which adds the key and the rest.
pub const GIT_SSH: &str = "/opt/standin/git-ssh";
/// Tells that program which key.
pub const SSH_KEY_VARIABLE: &str = "STANDIN_SSH_KEY";
/// Names of programs, as a path in the image.
pub const LINKS: &[&str] = &[
    "/opt/appsmith/entrypoint.sh",
    "/opt/appsmith/healthcheck.sh",
    "/usr/bin/supervisord",
    "/usr/bin/supervisorctl",
    "/opt/bin/appsmithctl",
    "/opt/bin/ctl",
    "/usr/bin/curl",
    "/usr/bin/df",
    "/usr/bin/mkdir",
    "/usr/bin/rm",
    "/usr/bin/standin",
    GIT_SSH,
];

/// The volume. Its root differs in tests.
#[derive(Clone, Debug)]
pub struct Volume {
    root: PathBuf,
}

impl Volume {
    /// A volume whose root is `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All settings and secrets.
    pub fn docker_env(&self) -> PathBuf {
        self.root.join("configuration/docker.env")
    }

    /// The database's files.
    pub fn mongodb(&self) -> PathBuf {
        self.root.join("data/mongodb")
    }

    /// Non-empty while mongod runs.
    pub fn mongod_lock(&self) -> PathBuf {
        self.root.join("data/mongodb/mongod.lock")
    }

    /// The data format, as a number.
    pub fn format_marker(&self) -> PathBuf {
        self.root.join("data/mongodb/.appsmith-mongo-fcv-min")
    }

    /// How often mongod had to recover from an unclean stop. Absent when never.
    pub fn unclean_marker(&self) -> PathBuf {
        self.root.join("data/mongodb/UNCLEAN")
    }

    /// Sessions and caches.
    pub fn redis_dump(&self) -> PathBuf {
        self.root.join("data/redis/dump.rdb")
    }

    /// The embedded PostgreSQL cluster.
    pub fn postgres(&self) -> PathBuf {
        self.root.join("data/postgres/main")
    }

    /// Clones of connected repositories.
    pub fn git_storage(&self) -> PathBuf {
        self.root.join("git-storage")
    }

    /// The clone of an application, for all of its branches.
    pub fn clone_of(&self, workspace: &str, application: &str, repository: &str) -> PathBuf {
        self.git_storage().join(workspace).join(application).join(repository)
    }

    /// Where `appsmithctl backup` puts its archives.
    pub fn backup(&self) -> PathBuf {
        self.root.join("data/backup")
    }

    /// The log directory of a program.
    pub fn logs(&self, program: &str) -> PathBuf {
        self.root.join("logs").join(program)
    }
}
