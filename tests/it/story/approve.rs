//! An upgrade that waits for a person between staging and production.

use serde_json::Value;

use super::observer::Observer;
use super::pair::{BAD, GOOD, Make, OLD, Pair};
use super::side::{Side, side};
use super::wait_for;

/// A pair whose production needs a person.
async fn pair(test: &str) -> Pair {
    let pair = Pair::start(test, Make { both: true, ..Make::default() }).await;
    pair.reconfigure("[pipeline]\n", "[pipeline]\napproval = [\"production\"]\n");
    pair
}

/// Upgrades staging and leaves the run waiting.
async fn waiting(pair: &Pair) -> String {
    let ended = pair.run(&["upgrade", GOOD, "--json"]).await.expect(4);
    let last: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["waiting"]["reason"], "`production` needs the approval of a person", "{last}");
    last["run"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn production_is_touched_only_once_a_person_has_approved_what_they_saw() {
    let pair = pair("approve").await;
    let (staging, production) = (&pair.staging, &pair.production);
    let before = [staging.content().await, production.content().await];
    let id = production.id().await;
    let run = waiting(&pair).await;
    assert_eq!(side(&pair, staging, &before[0]).await, Side::New);
    assert_eq!((production.id().await, side(&pair, production, &before[1]).await), (id.clone(), Side::Old));
    pair.nothing_is_left(production).await;

    // It is at rest: nobody takes it up by himself, and it stands in nobody's way but that of another upgrade.
    for words in [&["resume"][..], &["recover"]] {
        let left = pair.run(words).await.expect(0);
        assert!(left.stderr.contains("no run was cut off"), "{}", left.stderr);
    }
    assert_eq!(pair.journal(&run).outcome, None);
    pair.snapshot(production).await;
    let other = pair.run(&["upgrade", BAD]).await.expect(8);
    assert!(other.stderr.contains(&format!("tidegate approve {run} --reason WHY")), "{}", other.stderr);
    let status = pair.run(&["status"]).await.expect(0);
    assert!(status.stderr.contains(&format!("{run} waits")), "{}", status.stderr);
    assert_eq!(pair.run(&["status", "--json"]).await.expect(0).json()["waiting_runs"][0]["run"], run.as_str());
    let explained = pair.run(&["explain", "production"]).await.expect(0);
    assert!(explained.stdout.contains(&format!("type: tidegate approve {run}")), "{}", explained.stdout);

    // What is approved is what was seen.
    let asked = pair.run(&["approve", &run, "--dry-run", "--json"]).await.expect(0).json();
    let other = pair.run(&["approve", &run, "--reason", "x", "--evidence", "0123456789abcdef"]).await.expect(9);
    assert!(other.stderr.contains("nothing was touched"), "{}", other.stderr);
    assert_eq!(production.id().await, id);
    let observer = Observer::start(production).await;
    let evidence = asked["evidence"].as_str().unwrap();
    let words = ["approve", &run, "--reason", "looked at the orders page", "--evidence", evidence];
    let approved = pair.run(&words).await.expect(0);
    assert!(approved.stdout.contains("holds: `staging` still runs on it"), "{}", approved.stdout);
    assert_eq!(side(&pair, production, &before[1]).await, Side::New);
    observer.nothing_ran_twice().await;
    assert_eq!(pair.journal(&run).outcome.as_deref(), Some("completed"));
    let told = pair.run(&["logs", &run]).await.expect(0);
    assert!(told.stdout.contains(": looked at the orders page"), "{}", told.stdout);
    let again = pair.run(&words).await.expect(2);
    assert!(again.stderr.contains("it ended, completed"), "{}", again.stderr);
    pair.nothing_is_left(production).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_or_does_not_hold_any_more_leaves_production_alone() {
    let pair = pair("reject").await;
    let (staging, production) = (&pair.staging, &pair.production);
    let before = [staging.content().await, production.content().await];
    let id = production.id().await;
    let run = waiting(&pair).await;

    // Staging is put back while the upgrade waits: what was to be approved is gone.
    pair.run(&["restore", "staging", "before-upgrade"]).await.expect(0);
    assert_eq!(side(&pair, staging, &before[0]).await, Side::Old);
    let refused = pair.run(&["approve", &run, "--reason", "all is well"]).await.expect(9);
    let hint = format!("`tidegate reject {run} --reason WHY` ends it");
    assert!(refused.stderr.contains(&hint), "{}", refused.stderr);
    // It is looked at again before it goes on, whoever takes it up, and then it ends.
    assert_eq!(pair.journal(&run).outcome, None);
    let rejected = pair.run(&["reject", &run, "--reason", "staging was put back"]).await.expect(0);
    let told = pair.without_names(&rejected.stderr).replace(&run, "RUN");
    insta::with_settings!({ filters => vec![(r"\d+\.\d s", "N s"), (r"restore-[0-9a-f-]+", "RESTORE")] }, { insta::assert_snapshot!("rejected", told) });
    assert_eq!(pair.journal(&run).outcome.as_deref(), Some("rolled_back"));
    assert_eq!((production.id().await, side(&pair, production, &before[1]).await), (id, Side::Old));
    for site in [staging, production] {
        pair.nothing_is_left(site).await;
        assert_eq!(site.image().await, pair.image_id(OLD).await);
    }
    // And the way is free for another one.
    waiting(&pair).await;
}

/// The approval is in the journal, and the process dies before it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_cut_off_still_counts() {
    let pair = pair("approved").await;
    let production = &pair.production;
    let before = production.content().await;
    let run = waiting(&pair).await;
    let running = pair.begin(&["approve", &run, "--reason", "looked at it"]);
    wait_for("the look at production", async || pair.journal(&run).has("started", "look at production").then_some(()))
        .await;
    running.kill().await;
    assert!(pair.journal(&run).has("approved", "gate before production"));
    pair.run(&["resume"]).await.expect(0);
    assert_eq!(side(&pair, production, &before).await, Side::New);
    assert_eq!(pair.journal(&run).outcome.as_deref(), Some("completed"));
}
