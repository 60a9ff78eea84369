//! A restore goes before a snapshot, and before nothing else.

use crate::story::pair::{Make, Pair};
use crate::story::proxy::Trap;
use crate::story::wait_for;

/// The snapshot undoes what it has done and gives its lock back; the restore goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_snapshot_gives_way_to_a_restore() {
    let pair = Pair::start("gives-way", Make { megabytes: 16, ..Make::default() }).await;
    let (site, before) = (&pair.staging, pair.staging.content().await);
    let id = pair.snapshot(site).await;
    site.change("later").await;
    pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 1 << 20 });
    let snapshot = pair.begin(&["snapshot", "staging"]);
    pair.proxy.caught().await;
    let run = snapshot.journal().expect("a journal").run;

    let restore = pair.begin(&["restore", "staging", &id, "--yes"]);
    let answer = pair.state().join("locks").join(format!("{}.ask", site.container));
    wait_for("the answer", async || (std::fs::read_to_string(&answer).ok()? == run).then_some(())).await;
    pair.proxy.release();
    let ended = snapshot.end().await.expect(75);
    assert!(ended.stderr.contains("it gave way to a restore"), "{}", ended.stderr);
    assert_eq!(pair.journal(&run).outcome.as_deref(), Some("rolled_back"));
    let restored = restore.end().await.expect(0);
    assert!(restored.stderr.contains("is asked to give way"), "{}", restored.stderr);
    assert!(site.content().await.is(&before));
    pair.nothing_is_left(site).await;
    // Nobody asks any more.
    pair.snapshot(site).await;
}

/// A restore is not asked to give way; the second one names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_does_not_give_way_and_is_named() {
    let pair = Pair::start("named", Make::default()).await;
    let id = pair.snapshot(&pair.staging).await;
    pair.proxy.set(Trap { method: "GET", path: "database".into(), pass: 1, after_bytes: 64 << 10 });
    let first = pair.begin(&["restore", "staging", &id, "--yes"]);
    pair.proxy.caught().await;
    let run = first.journal().expect("a journal").run;
    let second = pair.run(&["restore", "staging", &id, "--yes"]).await.expect(8);
    assert!(second.stderr.contains(&format!("is locked by run {run}")), "{}", second.stderr);
    pair.proxy.release();
    first.end().await.expect(0);
    pair.nothing_is_left(&pair.staging).await;
}
