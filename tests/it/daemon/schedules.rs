//! Schedules beside everything else that happens.

use serde_json::Value;

use super::service::Service;
use crate::story::journal::{Journal, journals};
use crate::story::pair::{Make, Pair};
use crate::story::proxy::Trap;
use crate::story::wait_for;

/// A schedule for one moment, a few seconds from now; the next one is a year away.
fn soon(seconds: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let cron = at.strftime("%-S %-M %-H %-d %-m *");
    format!("[[schedule]]\nname = \"once\"\ninstances = [\"staging\"]\ncron = \"{cron}\"\n")
}

/// The runs that the schedule has begun.
fn scheduled(pair: &Pair) -> Vec<Journal> {
    let all = journals(&pair.state()).into_iter().filter_map(|path| Journal::read(&path));
    all.filter(|journal| journal.header["occasion"]["schedule"] == "once/staging").collect()
}

async fn note(pair: &Pair) -> Value {
    let status = pair.run(&["status", "--json"]).await.expect(0);
    status.json()["schedules"][0]["note"].clone()
}

/// In the middle of the scheduled snapshot the daemon is stopped: the instance runs again, and the exit code is 0. The
/// next daemon takes the snapshot, and the one after it has nothing to do.
/// appsmith#20381: wanted: backups by a schedule.
#[tokio::test(flavor = "multi_thread")]
async fn a_moment_is_served_exactly_once_over_restarts() {
    let pair = Pair::start("exactly-once", Make { megabytes: 16, ..Make::default() }).await;
    let (site, before) = (&pair.staging, pair.staging.content().await);
    pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 1 << 20 });
    pair.configure(&soon(3));
    let daemon = Service::of(&pair).await;
    pair.proxy.caught().await;
    assert_eq!(site.inspect().await.unwrap()["State"]["Running"], false, "it rests");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    pair.proxy.release();
    daemon.end().await.expect(0);
    site.is_well().await;
    assert!(site.content().await.is(&before));
    pair.nothing_is_left(site).await;
    let runs = scheduled(&pair);
    assert_eq!(runs.iter().map(|run| run.outcome.as_deref()).collect::<Vec<_>>(), [Some("rolled_back")]);

    let daemon = Service::of(&pair).await;
    wait_for("the snapshot", async || {
        scheduled(&pair).iter().any(|run| run.outcome.as_deref() == Some("completed")).then_some(())
    })
    .await;
    daemon.stop().await.expect(0);
    let mut daemon = Service::of(&pair).await;
    daemon.turns_twice().await;
    daemon.stop().await.expect(0);
    assert_eq!(scheduled(&pair).len(), 2, "one that was stopped, one that was completed");
    let listed = pair.run(&["snapshots", "--json"]).await.expect(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["reason"]["kind"], "schedule", "{listed}");
    pair.nothing_is_left(site).await;
}

/// NC-AIO#8414: a scheduled backup killed a running restore.
#[tokio::test(flavor = "multi_thread")]
async fn nc_aio_8414_a_schedule_that_fires_during_a_restore_waits() {
    let pair = Pair::start("aio-8414", Make::default()).await;
    let (site, before) = (&pair.staging, pair.staging.content().await);
    let id = pair.snapshot(site).await;
    site.change("later").await;
    // Every byte is read once to verify it; the second time it fills the volume.
    pair.proxy.set(Trap { method: "GET", path: "database".into(), pass: 1, after_bytes: 64 << 10 });
    let restore = pair.begin(&["restore", "staging", &id, "--yes"]);
    pair.proxy.caught().await;
    let run = restore.journal().expect("a journal").run;

    pair.configure(&soon(2));
    let mut daemon = Service::of(&pair).await;
    let waits = wait_for("the schedule to wait", async || {
        let kept = std::fs::read_to_string(pair.state().join("schedules.json")).ok()?;
        kept.contains("\"waits\": true").then_some(kept)
    })
    .await;
    assert!(waits.contains(&format!("`staging` is locked by run {run}")), "{waits}");
    daemon.turns_twice().await;
    assert!(scheduled(&pair).is_empty(), "nothing was begun beside the restore");
    let shown = note(&pair).await;
    assert_eq!(shown["waits"], true, "{shown}");

    pair.proxy.release();
    restore.end().await.expect(0);
    assert!(site.content().await.is(&before), "the restore was not disturbed");
    wait_for("the snapshot", async || {
        scheduled(&pair).iter().any(|run| run.outcome.as_deref() == Some("completed")).then_some(())
    })
    .await;
    wait_for("the note to go", async || note(&pair).await.is_null().then_some(())).await;
    assert_eq!(scheduled(&pair).len(), 1);
    let status = pair.run(&["status"]).await.expect(0);
    assert!(!status.stderr.contains("no daemon"), "{}", status.stderr);
    daemon.stop().await.expect(0);
    pair.nothing_is_left(site).await;
    // Schedules are nothing without it, so whoever looks is told.
    let status = pair.run(&["status"]).await.expect(0);
    assert!(status.stderr.contains("no daemon runs here"), "{}", status.stderr);
    let doctor = pair.run(&["doctor", "--no-login"]).await.expect(1);
    assert!(doctor.stdout.contains("no daemon runs here"), "{}", doctor.stdout);
}
