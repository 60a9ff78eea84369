//! The daemon without an instance and without an engine.

use nix::sys::signal::Signal;
use std::path::Path;
use tokio::process::Command;

use super::service::Service;
use crate::story::running::Running;

const INSTANCE: &str = "[instances.wiki]\nkind = \"generic\"\ncontainer = \"tg-no-such\"\n\
    [[instances.wiki.parts]]\nname = \"all\"\nmount = \"/data\"\n";
const NIGHTLY: &str = "[[schedule]]\nname = \"nightly\"\ncron = \"30 3 * * *\"\nzone = \"Europe/Berlin\"\n";

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn configure(&self, more: &str) {
        let text = format!("state_dir = \"state\"\n[store]\nurl = \"file://{}/store\"\n", self.path().display());
        std::fs::write(self.path().join("tidegate.toml"), format!("{text}{INSTANCE}{more}")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.env_clear().env("TIDEGATE_CONFIG", self.path().join("tidegate.toml"));
        command.env("DOCKER_HOST", format!("unix://{}/no-engine", self.path().display())).args(words);
        command
    }

    async fn daemon(&self) -> Service {
        Service::start(self.command(&["daemon"]), self.path().join("state")).await
    }

    fn kept(&self) -> String {
        std::fs::read_to_string(self.path().join("state/schedules.json")).unwrap_or_default()
    }
}

#[tokio::test]
async fn systemd_hears_ready_watchdog_and_stopping() {
    let site = Site::new();
    site.configure("");
    let mut daemon = site.daemon().await;
    // Without an engine, too: nothing in its loop waits for one.
    daemon.turns_twice().await;
    daemon.signal(Signal::SIGTERM);
    daemon.says("STOPPING=1").await;
    daemon.end().await.expect(0);
}

#[tokio::test]
async fn a_second_daemon_on_the_same_state_is_refused() {
    let site = Site::new();
    site.configure("");
    let daemon = site.daemon().await;
    let second = Running::start(site.command(&["daemon"]), site.path().join("state")).end().await.expect(8);
    assert!(second.stderr.contains("a daemon works on") && second.stderr.contains("(pid "), "{}", second.stderr);
    daemon.stop().await.expect(0);
    // And the next one is not.
    site.daemon().await.stop().await.expect(0);
}

#[tokio::test]
async fn a_bad_configuration_is_not_taken_and_a_good_one_is() {
    let site = Site::new();
    site.configure("");
    let mut daemon = site.daemon().await;
    assert_eq!(site.kept(), "");

    site.configure(&format!("{NIGHTLY}jitterr = \"5m\"\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.says("RELOADING=1").await;
    let status = daemon.says("READY=1").await;
    assert!(status.contains("the new configuration is not taken"), "{status}");
    assert!(status.contains("`schedule[0].jitterr` is not a setting; did you mean `jitter`?"), "{status}");
    assert!(daemon.log().contains("the old one stays"), "{}", daemon.log());
    assert_eq!(site.kept(), "", "the schedule of a configuration that is not valid is not known");

    site.configure(NIGHTLY);
    daemon.signal(Signal::SIGHUP);
    daemon.says("RELOADING=1").await;
    let status = daemon.says("READY=1").await;
    assert!(status.contains("STATUS=1 schedule") && !status.contains("not taken"), "{status}");
    assert!(site.kept().contains("nightly/wiki"), "{}", site.kept());

    // What would need another lock and other journals.
    let text = std::fs::read_to_string(site.path().join("tidegate.toml")).unwrap();
    std::fs::write(site.path().join("tidegate.toml"), text.replace("\"state\"", "\"other\"")).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.says("RELOADING=1").await;
    let status = daemon.says("READY=1").await;
    assert!(status.contains("that takes a restart"), "{status}");
    assert!(!site.path().join("other").exists());
    daemon.stop().await.expect(0);
}

#[tokio::test]
async fn recover_has_nothing_to_do_and_needs_no_engine_for_that() {
    let site = Site::new();
    site.configure("");
    let ended = Running::start(site.command(&["recover"]), site.path().join("state")).end().await.expect(0);
    assert!(ended.stderr.contains("no run was cut off"), "{}", ended.stderr);
}

/// P9. Nobody reads what systemd would be told: the loop turns all the same.
#[tokio::test]
async fn a_service_manager_that_does_not_read_stops_nothing() {
    let site = Site::new();
    site.configure("");
    let path = site.path().join("notify");
    let deaf = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut command = site.command(&["daemon"]);
    // Many messages a second fill the queue soon.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000");
    let daemon = Running::start(command, site.path().join("state"));
    let ready = async || daemon.said("stderr").contains("ready").then_some(());
    crate::story::wait_for("the daemon to be ready", ready).await;
    let full = std::os::unix::net::UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    crate::story::wait_for("the queue to be full", async || full.send_to(b"", &path).is_err().then_some(())).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(daemon.pid()).unwrap()), Signal::SIGTERM).unwrap();
    daemon.end().await.expect(0);
    drop(deaf);
}
