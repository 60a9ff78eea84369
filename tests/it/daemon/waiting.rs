//! An upgrade that waits for a person.

use super::service::Service;
use crate::story::pair::{GOOD, Make, Pair};
use crate::story::wait_for;

/// It is left alone as long as it can be approved, and then ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_approves_in_time_is_ended() {
    let pair = Pair::start("expired", Make { both: true, ..Make::default() }).await;
    let line = "[pipeline]\n";
    pair.reconfigure(line, &format!("[upgrade]\nevidence_max_age = \"15s\"\n{line}approval = [\"production\"]\n"));
    let id = pair.production.id().await;
    let mut daemon = Service::of(&pair).await;
    let ended = pair.run(&["upgrade", GOOD, "--json"]).await.expect(4);
    let last: serde_json::Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    let run = last["run"].as_str().unwrap();
    daemon.turns_twice().await;
    let until: jiff::Timestamp = last["waiting"]["until"].as_str().unwrap().parse().unwrap();
    let outcome = wait_for("the run to be ended", async || pair.journal(run).outcome).await;
    assert_eq!((outcome.as_str(), jiff::Timestamp::now() > until), ("rolled_back", true));
    let told = pair.run(&["logs", run]).await.expect(0);
    assert!(told.stdout.contains("nobody approved it in time"), "{}", told.stdout);
    assert_eq!(pair.production.id().await, id);
    daemon.stop().await.expect(0);
    for site in [&pair.staging, &pair.production] {
        site.is_well().await;
        pair.nothing_is_left(site).await;
    }
}
