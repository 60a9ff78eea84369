//! The daemon as a process, with the socket that systemd would listen on.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::story::pair::Pair;
use crate::story::running::{Ended, Running};
use crate::story::wait_for;

/// The messages that have not been asked for yet.
type Heard = Arc<Mutex<Vec<String>>>;

/// A daemon that runs. Killed when dropped.
pub struct Service {
    running: Running,
    heard: Heard,
    _folder: tempfile::TempDir,
}

impl Service {
    /// Starts it and waits until it is ready.
    pub async fn start(command: Command, state: PathBuf) -> Self {
        let mut service = Self::begin(command, state);
        service.says("READY=1").await;
        service
    }

    /// Of a pair.
    pub async fn of(pair: &Pair) -> Self {
        Self::start(pair.command(&["daemon"]), pair.state()).await
    }

    fn begin(mut command: Command, state: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let heard: Heard = Arc::default();
        // Read at once, as systemd does: a message for which there is no room is lost.
        let sink = Arc::downgrade(&heard);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(sink) = sink.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    sink.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                }
            }
        });
        // Three times as long as the loop takes for a turn.
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
        Self { running: Running::start(command, state), heard, _folder: folder }
    }

    /// Waits for a message that holds `what`, and gives it. What came before it is forgotten.
    pub async fn says(&mut self, what: &str) -> String {
        wait_for(&format!("the daemon to say {what}"), async || {
            let mut heard = self.heard.lock().unwrap();
            let Some(at) = heard.iter().position(|message| message.contains(what)) else {
                if self.running.has_ended() {
                    panic!("it ended before it said {what}: {heard:?}\n{}", self.running.said("stderr"));
                }
                return None;
            };
            heard.drain(..=at).next_back()
        })
        .await
    }

    /// Two whole turns of its loop: whatever it was going to do at once, it has begun.
    pub async fn turns_twice(&mut self) {
        self.heard.lock().unwrap().clear();
        for _ in 0..3 {
            self.says("WATCHDOG=1").await;
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.running.pid()).unwrap()), signal).unwrap();
    }

    /// Waits until it has ended.
    pub async fn end(self) -> Ended {
        self.running.end().await
    }

    /// SIGTERM, and then [`Service::end`].
    pub async fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.end().await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.running.said("stderr")
    }
}
