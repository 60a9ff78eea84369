//! What others leave behind while the daemon runs.

use super::service::Service;
use crate::story::pair::{Make, Pair};
use crate::story::proxy::Trap;
use crate::story::wait_for;

/// P1. A command dies while its instance rests: the daemon puts service back, and nobody has to type anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_killed_is_taken_up_by_the_running_daemon() {
    let pair = Pair::start("taken-up", Make { megabytes: 16, ..Make::default() }).await;
    let (site, before) = (&pair.staging, pair.staging.content().await);
    let mut daemon = Service::of(&pair).await;
    pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 1 << 20 });
    let running = pair.begin(&["snapshot", "staging"]);
    pair.proxy.caught().await;
    // As long as it lives it is left alone.
    daemon.turns_twice().await;
    let run = running.journal().expect("a journal").run;
    assert!(!pair.journal(&run).records.iter().any(|(kind, _)| kind == "roll_back"), "{:?}", pair.journal(&run));
    running.kill().await;
    pair.proxy.release();
    wait_for("the run to be ended", async || {
        (pair.journal(&run).outcome.as_deref() == Some("rolled_back")).then_some(())
    })
    .await;
    site.is_well().await;
    assert!(site.content().await.is(&before));
    assert_eq!(site.restart_policy().await, "unless-stopped");
    daemon.stop().await.expect(0);
    pair.nothing_is_left(site).await;
    let recover = pair.run(&["recover"]).await.expect(0);
    assert!(recover.stderr.contains("no run was cut off"), "{}", recover.stderr);
}
