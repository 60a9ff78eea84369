//! One run of git: without a shell, without prompts, without anybody's configuration or hooks.

use super::keys::KeyFile;
use super::{Result, Trouble};
use crate::paths;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The longest that one run may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Before everything else. `safe.directory`: a restored volume may have other owners.
const SETTINGS: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "core.symlinks=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.directory=*",
    "protocol.allow=never",
    "protocol.ssh.allow=always",
    "user.name=Appsmith",
    "user.email=appsmith@standin.test",
];

/// What a run came to.
#[derive(Debug)]
pub struct Done {
    /// Did it exit with 0?
    pub ok: bool,
    /// What it printed.
    pub out: String,
    /// What it complained about.
    pub err: String,
}

/// Runs git in a directory, with a deploy key where the remote is asked.
pub async fn git(directory: &Path, key: Option<&KeyFile>, words: &[&str]) -> Result<Done> {
    let mut command = Command::new(paths::GIT);
    command.current_dir(directory).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let environment = [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", paths::TMP),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_SSH", paths::GIT_SSH),
        ("GIT_SSH_VARIANT", "ssh"),
    ];
    command.envs(environment);
    if let Some(key) = key {
        command.env(paths::SSH_KEY_VARIABLE, key.path());
    }
    SETTINGS.iter().for_each(|setting| {
        command.args(["-c", setting]);
    });
    if cfg!(test) {
        command.args(["-c", "protocol.file.allow=always"]);
    }
    let verb = words.first().copied().unwrap_or_default();
    let run = tokio::time::timeout(LIMIT, command.args(words).output()).await;
    match run.map_err(|_| Trouble::TimedOut(verb.to_owned()))? {
        Ok(output) => Ok(Done {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !Path::new(paths::GIT).exists() => {
            Err(Trouble::NoGit)
        }
        Err(error) => Err(Trouble::Failed(format!("git {verb}: {error}"))),
    }
}

impl Done {
    /// What it printed, if it worked; else why not.
    pub fn text(self) -> Result<String> {
        if self.ok { Ok(self.out) } else { Err(why(self.err)) }
    }
}

/// Sorts git's complaint: does the host refuse the key?
pub fn why(said: String) -> Trouble {
    let refused = ["Permission denied", "Could not read from remote repository", "Host key verification failed"];
    if refused.iter().any(|words| said.contains(words)) { Trouble::Access(said) } else { Trouble::Failed(said) }
}
