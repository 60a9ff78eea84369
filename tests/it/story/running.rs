//! The real program as a process of its own.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::journal::{Journal, journals};
use super::wait_for;

/// What it said and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` where it was killed.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Ended {
    /// Fails unless it ended with that code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.stdout.lines().next().unwrap_or_default()).expect("JSON on stdout")
    }
}

/// What no output, log and journal may hold: the store's key, the password of the checks, and a value of a container's
/// environment.
const SECRETS: [&str; 3] = ["story-secret-of-the-store", "standin-password", "own-value-that-is-secret"];

/// Whatever a test is about, nothing that it made Tidegate say or write down shows a secret. What lies beside a journal,
/// readable by its owner alone, may hold a container's definition.
fn shows_no_secret(said: &str, what: &str) {
    let shown = SECRETS.iter().find(|secret| said.contains(**secret));
    assert!(shown.is_none(), "{what} shows the secret {shown:?}:\n{said}");
}

/// Killed when dropped.
pub struct Running {
    child: Child,
    state: PathBuf,
    known: Vec<PathBuf>,
    output: tempfile::TempDir,
}

impl Running {
    /// Starts it. `state` is its state directory.
    pub fn start(mut command: Command, state: PathBuf) -> Self {
        let output = tempfile::tempdir().unwrap();
        let file = |name: &str| std::fs::File::create(output.path().join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).kill_on_drop(true);
        let known = journals(&state);
        Self { child: command.spawn().unwrap(), state, known, output }
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Whether it is over.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The journal of the run that it has begun.
    pub fn journal(&self) -> Option<Journal> {
        journals(&self.state).iter().rfind(|path| !self.known.contains(path)).and_then(|path| Journal::read(path))
    }

    /// Waits until its journal has such a record.
    pub async fn reaches(&mut self, record: &str, step: &str) {
        wait_for(&format!("{record} `{step}`"), async || {
            let found = self.journal().is_some_and(|journal| journal.has(record, step));
            if !found && self.has_ended() {
                panic!("it ended before {record} `{step}`: {:?}\n{}", self.journal(), self.said("stderr"));
            }
            found.then_some(())
        })
        .await;
    }

    /// SIGKILL. Fails if it ended by itself before.
    pub async fn kill(mut self) -> Option<Journal> {
        self.child.start_kill().unwrap();
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(9), "it ended before the kill: {}", self.said("stderr"));
        self.journal()
    }

    /// Waits until it has ended by itself.
    pub async fn end(mut self) -> Ended {
        let limit = super::LIMIT;
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it has not ended: {}", self.said("stderr"))).unwrap();
        self.kept_its_secrets();
        Ended { code: status.code(), stdout: self.said("stdout"), stderr: self.said("stderr") }
    }

    fn kept_its_secrets(&self) {
        for name in ["stdout", "stderr"] {
            shows_no_secret(&self.said(name), name);
        }
        for journal in journals(&self.state).iter().filter(|path| !self.known.contains(path)) {
            // One that was killed in its first line may be gone again.
            shows_no_secret(&std::fs::read_to_string(journal).unwrap_or_default(), "a journal");
        }
    }

    /// What it has written to `stdout` or `stderr` so far.
    pub fn said(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.output.path().join(name)).unwrap()).into_owned()
    }
}
