//! A person stops a run.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pair::{Make, Pair};
use super::proxy::Trap;

/// P1. Ctrl-C in the middle of a read: what was done is undone. It comes twice, as from a `sudo` in front that passes
/// it on, and still is one.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_brings_the_instance_back_before_the_command_ends() {
    let pair = Pair::start("ctrl-c", Make { megabytes: 16, ..Make::default() }).await;
    let (site, before) = (&pair.staging, pair.staging.content().await);
    pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 1 << 20 });
    let running = pair.begin(&["snapshot", "staging"]);
    pair.proxy.caught().await;
    let run = running.journal().expect("a journal").run;
    let pid = Pid::from_raw(running.pid().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    // Two of one kind could be heard as one.
    kill(pid, Signal::SIGTERM).unwrap();
    pair.proxy.release();
    let ended = running.end().await.expect(130);
    assert!(ended.stderr.contains("stopping: what was done is being undone"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`staging` runs as before"), "{}", ended.stderr);
    site.is_well().await;
    assert!(site.content().await.is(&before));
    assert_eq!(pair.journal(&run).outcome.as_deref(), Some("rolled_back"));
    pair.nothing_is_left(site).await;
    // And nothing is left to be taken up.
    let resumed = pair.run(&["resume"]).await.expect(0);
    assert!(resumed.stderr.contains("no run was cut off"), "{}", resumed.stderr);
    let unknown = pair.run(&["resume", "snapshot-1"]).await.expect(2);
    assert!(unknown.stderr.contains("there is no run `snapshot-1`; `tidegate runs` lists them"), "{}", unknown.stderr);
}
