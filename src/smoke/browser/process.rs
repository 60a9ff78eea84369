//! The browser's processes. One task owns them from the start to the end of the last one: it ends them when the
//! browser is closed or dropped, when the first of them dies, and when together they take too much memory.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::devtools::Devtools;
use super::error::BrowserError;
use super::profile::Profile;

/// How to run a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserOptions {
    /// The program, as [`super::find`] finds it.
    pub program: PathBuf,
    /// Where its profile lies while it runs, in a folder of its own that is removed afterwards.
    pub folder: PathBuf,
    /// How long it may take to answer for the first time.
    pub start_limit: Duration,
    /// How much memory, not counting what they share, its processes may take together. It is ended when they take
    /// more.
    pub memory_limit_bytes: u64,
    /// How many pages are looked at at once. Others wait.
    pub pages_at_once: usize,
    /// The size of a page, and so of its picture, in pixels.
    pub window: (u32, u32),
    /// Whether scripts may be compiled while they run. Without that they are several times slower, and there is no
    /// WebAssembly, but it works where memory must not be writable and executable at once (`MemoryDenyWriteExecute` of
    /// systemd); there a browser with it hangs.
    pub jit: bool,
}

impl BrowserOptions {
    /// The usual limits, for a small server.
    pub fn new(program: PathBuf, folder: PathBuf) -> Self {
        let memory_limit_bytes = 2 * 1024 * 1024 * 1024;
        let start_limit = Duration::from_secs(60);
        Self { program, folder, start_limit, memory_limit_bytes, pages_at_once: 2, window: (1280, 800), jit: true }
    }
}

/// A browser that runs, without a window. Dropped, it ends with all its processes; [`Browser::close`] also waits for
/// that.
pub struct Browser {
    pub(super) devtools: Devtools,
    pub(super) pages: Semaphore,
    pub(super) window: (u32, u32),
    version: String,
    leader: Pid,
    end: DropGuard,
    fate: watch::Receiver<Option<String>>,
    keeper: JoinHandle<()>,
}

/// What keeps it from doing anything but show pages: no window, no proxy, no talk of its own with the net, no
/// keyring, no updates, no crash reports.
const FLAGS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-features=AutofillServerCommunication,CertificateTransparencyComponentUpdater,InterestFeedContentSuggestions,\
     MediaRouter,OptimizationHints,Translate",
    "--disable-sync",
    "--dns-prefetch-disable",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--no-proxy-server",
    "--no-service-autorun",
    "--password-store=basic",
];

/// How often the memory is looked at.
const MEMORY_POLL: Duration = Duration::from_secs(1);

/// How long killed processes may take to vanish.
const VANISH_LIMIT: Duration = Duration::from_secs(10);

/// How long the keeper may take to say what became of the browser.
const FATE_LIMIT: Duration = Duration::from_secs(5);

/// How much of what the browser writes to its standard error is kept.
const SAID_BYTES: usize = 2048;

impl Browser {
    /// Starts a browser and waits until it answers.
    ///
    /// # Errors
    /// Where it does not start or come up in time. Nothing of it is left then.
    pub async fn launch(options: &BrowserOptions) -> Result<Self, BrowserError> {
        let folder = options.folder.clone();
        let made = tokio::task::spawn_blocking(move || Profile::make_in(&folder)).await;
        let profile = made
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| BrowserError::Profile { folder: options.folder.clone(), source })?;
        let (mut child, devtools) = match spawn(options, profile.path()) {
            Ok(started) => started,
            Err(source) => {
                profile.remove().await;
                return Err(BrowserError::Start { program: options.program.clone(), source });
            }
        };
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).map_or(Pid::from_raw(0), Pid::from_raw);
        let said = child.stderr.take().map(|stderr| tokio::spawn(last_words(stderr)));
        let end = CancellationToken::new();
        let (tell, fate) = watch::channel(None);
        let keeper = Keeper { child, leader, profile, memory_limit_bytes: options.memory_limit_bytes };
        let keeper = tokio::spawn(keeper.keep(end.clone(), tell));
        let mut browser = Self {
            devtools,
            pages: Semaphore::new(options.pages_at_once),
            window: options.window,
            version: String::new(),
            leader,
            end: end.drop_guard(),
            fate,
            keeper,
        };
        let first = browser.devtools.call(None, "Browser.getVersion", json!({}));
        let why = match tokio::time::timeout(options.start_limit, first).await {
            Ok(Ok(answer)) => {
                browser.version = answer["product"].as_str().unwrap_or("unknown").to_owned();
                tracing::debug!(version = %browser.version, "browser is up");
                return Ok(browser);
            }
            Ok(Err(error)) => match browser.explain(error).await {
                BrowserError::Gone { why } => why,
                error => error.to_string(),
            },
            Err(_) => format!("no answer within {} s", options.start_limit.as_secs()),
        };
        browser.close().await;
        let said = match said {
            Some(said) => said.await.unwrap_or_default(),
            None => String::new(),
        };
        Err(BrowserError::NotUp { program: options.program.clone(), why, said })
    }

    /// What it calls itself, such as `Chrome/156.0.8078.79`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The first of its processes, which leads their group.
    pub fn process_id(&self) -> i32 {
        self.leader.as_raw()
    }

    /// Ends it, and waits until its processes and its profile are gone.
    pub async fn close(self) {
        drop(self.end);
        if let Err(error) = self.keeper.await {
            tracing::warn!(%error, "browser's keeper failed");
        }
    }

    /// Where the browser is gone, says what became of it.
    pub(super) async fn explain(&self, error: BrowserError) -> BrowserError {
        if !matches!(error, BrowserError::Gone { .. }) {
            return error;
        }
        let mut fate = self.fate.clone();
        match tokio::time::timeout(FATE_LIMIT, fate.wait_for(Option::is_some)).await {
            Ok(Ok(why)) => BrowserError::Gone { why: why.clone().unwrap_or_default() },
            _ => error,
        }
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("version", &self.version).field("leader", &self.leader).finish_non_exhaustive()
    }
}

fn spawn(options: &BrowserOptions, profile: &Path) -> std::io::Result<(Child, Devtools)> {
    let (to, from_us) = pipe::pipe()?;
    let (to_us, from) = pipe::pipe()?;
    let (width, height) = options.window;
    let mut command = Command::new(&options.program);
    command
        .args(FLAGS)
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--user-data-dir={}", profile.display()))
        // Nothing of our environment is the browser's business; secrets may lie in it.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LANG", "C.UTF-8")
        .env("HOME", profile)
        .env("TMPDIR", profile)
        .current_dir(profile)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A group of its own, so that all of it can be ended, and Ctrl-C does not reach it.
        .process_group(0)
        .kill_on_drop(true);
    if !options.jit {
        command.arg("--js-flags=--jitless");
    }
    // Its sandbox refuses to be set up by root.
    if nix::unistd::geteuid().is_root() {
        command.arg("--no-sandbox");
    }
    let theirs = |parent_fd: OwnedFd, child_fd| FdMapping { parent_fd, child_fd };
    let mappings = vec![theirs(from_us.into_blocking_fd()?, 3), theirs(to_us.into_blocking_fd()?, 4)];
    command.fd_mappings(mappings).map_err(std::io::Error::other)?;
    let child = command.spawn()?;
    Ok((child, Devtools::over(from, to)))
}

/// The end of what it says, once it has ended; read to the end so that it never waits to be heard.
async fn last_words(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let mut block = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut block).await {
        said.extend_from_slice(&block[..count]);
        let surplus = said.len().saturating_sub(SAID_BYTES);
        said.drain(..surplus);
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Owns the processes and the profile.
struct Keeper {
    child: Child,
    leader: Pid,
    profile: Profile,
    memory_limit_bytes: u64,
}

impl Keeper {
    async fn keep(mut self, end: CancellationToken, fate: watch::Sender<Option<String>>) {
        let mut poll = tokio::time::interval(MEMORY_POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let why = loop {
            tokio::select! {
                () = end.cancelled() => break "it was closed".to_owned(),
                ended = self.child.wait() => {
                    break ended.map_or_else(|error| error.to_string(), |status| format!("it ended by itself, {status}"));
                }
                _ = poll.tick() => {
                    let bytes = group(self.leader).await.memory_bytes;
                    if bytes > self.memory_limit_bytes {
                        let mib = |bytes: u64| bytes / (1024 * 1024);
                        break format!("it took {} MiB of memory, {} are allowed", mib(bytes), mib(self.memory_limit_bytes));
                    }
                }
            }
        };
        // Told before the kill, so that whoever sees the pipe end finds the reason.
        tracing::debug!(%why, "browser ends");
        fate.send_replace(Some(why));
        self.end().await;
    }

    /// Kills what is left of the group, sees it vanish, and removes the profile.
    async fn end(mut self) {
        let deadline = tokio::time::Instant::now() + VANISH_LIMIT;
        loop {
            let left = group(self.leader).await.alive;
            if left == 0 {
                break;
            }
            // A group of number 0 would be our own.
            if self.leader.as_raw() > 0 {
                let _ = killpg(self.leader, Signal::SIGKILL);
            }
            if tokio::time::Instant::now() >= deadline {
                tracing::warn!(left, group = self.leader.as_raw(), "browser's processes do not vanish");
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = tokio::time::timeout(VANISH_LIMIT, self.child.wait()).await;
        self.profile.remove().await;
    }
}

/// What a group of processes is at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Group {
    /// Those that have not ended yet.
    alive: usize,
    memory_bytes: u64,
}

/// Looks through all processes, as there is no other way to see a group.
async fn group(leader: Pid) -> Group {
    let look = move || {
        let mut group = Group::default();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            // One that ends while it is looked at cannot be read, and is not there any more.
            let member =
                std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| is_alive_in(&stat, leader));
            if member {
                group.alive += 1;
                let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
                group.memory_bytes += own_memory_bytes(&status);
            }
        }
        group
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// Whether that line of `/proc/<pid>/stat` is of a process of the group that has not ended.
fn is_alive_in(stat: &str, leader: Pid) -> bool {
    // The second field is the name in brackets, which may hold anything.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split(' ');
    let (state, group) = (fields.next(), fields.nth(1));
    group.and_then(|group| group.parse().ok()) == Some(leader.as_raw()) && !matches!(state, Some("Z" | "X"))
}

/// The memory that is no file's, by `/proc/<pid>/status`.
fn own_memory_bytes(status: &str) -> u64 {
    let kib = |line: &str| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    status.lines().find_map(kib).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_group_are_told_from_others_and_from_the_dead() {
        let leader = Pid::from_raw(77);
        assert!(is_alive_in("78 (a) b) R 1 77 77 0 -1", leader));
        assert!(!is_alive_in("78 (chromium) Z 1 77 77 0 -1", leader));
        assert!(!is_alive_in("77 (chromium) S 77 78 77 0 -1", leader));
        assert!(!is_alive_in("", leader));
        assert_eq!(own_memory_bytes("VmRSS:\t  900 kB\nRssAnon:\t     12 kB\n"), 12 * 1024);
        assert_eq!(own_memory_bytes(""), 0);
    }

    async fn not_up(script: &str) -> String {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("chromium");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let profiles = folder.path().join("profiles");
        std::fs::create_dir(&profiles).unwrap();
        let options = BrowserOptions::new(program, profiles.clone());
        let options = BrowserOptions { start_limit: Duration::from_secs(1), ..options };
        let error = Browser::launch(&options).await.unwrap_err();
        assert_eq!(std::fs::read_dir(&profiles).unwrap().count(), 0, "the profile is left");
        error.to_string().replace(&*folder.path().to_string_lossy(), "")
    }

    #[tokio::test]
    async fn a_program_that_ends_or_says_nothing_is_an_error_with_its_last_words() {
        let ended = not_up("echo no usable sandbox >&2; exit 3").await;
        assert!(ended.contains("it ended by itself, exit status: 3; it said: no usable sandbox"), "{ended}");
        let silent = not_up("exec sleep 600").await;
        assert_eq!(silent, "the browser `/chromium` did not come up: no answer within 1 s");
    }

    #[tokio::test]
    async fn a_folder_or_program_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let launch = |program: &str, at: &str| {
            let options = BrowserOptions::new(program.into(), folder.path().join(at));
            async move { Browser::launch(&options).await.unwrap_err() }
        };
        assert!(matches!(launch("/bin/true", "nowhere").await, BrowserError::Profile { .. }));
        assert!(matches!(launch("/nowhere/chromium", "").await, BrowserError::Start { .. }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the profile is left");
    }
}
