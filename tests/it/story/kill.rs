//! P1 and P4: whatever moment Tidegate is killed at, `resume` ends it well.

use super::observer::Observer;
use super::pair::{Make, Pair};
use super::proxy::Trap;

/// P1. The process dies while bytes flow to the store; the instance is down and only `resume` may start it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_stopped() {
    let pair = Pair::start("stopped", Make { megabytes: 16, ..Make::default() }).await;
    let site = &pair.staging;
    let (before, id) = (site.content().await, site.id().await);
    let observer = Observer::start(site).await;
    pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 1 << 20 });
    let running = pair.begin(&["snapshot", "staging"]);
    pair.proxy.caught().await;
    let at_rest = site.inspect().await.unwrap();
    assert_eq!(at_rest["State"]["Running"], false);
    assert_eq!(site.restart_policy().await, "no", "an engine that starts again would start it");
    let journal = running.kill().await.expect("a journal");
    assert!(journal.has("started", "read staging") && !journal.has("done", "read staging"), "{journal:?}");
    pair.proxy.release();

    let resumed = pair.run(&["resume"]).await.expect(0);
    assert!(resumed.stderr.contains("it was cut off"), "{}", resumed.stderr);
    assert_eq!(site.inspect().await.unwrap()["State"]["Running"], true);
    assert_eq!(site.restart_policy().await, "unless-stopped");
    site.is_well().await;
    pair.nothing_is_left(site).await;
    observer.nothing_ran_twice().await;
    assert!(site.content().await.is(&before), "{:?}", site.content().await.changed(&before));
    assert_eq!(site.id().await, id);
    assert_eq!(pair.journal(&journal.run).outcome.as_deref(), Some("rolled_back"));
    let listed = pair.run(&["snapshots", "--json"]).await.expect(0);
    assert_eq!(listed.json().as_array().map(Vec::len), Some(0), "what was cut off is no snapshot");
    // And the next one is taken as if nothing had been.
    pair.snapshot(site).await;
}
