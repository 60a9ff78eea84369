//! An upgrade that waits for a person.

use nix::sys::signal::Signal;

use super::service::Service;
use crate::story::journal::{Journal, journals};
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

/// A scheduled upgrade that waits has served its moment: no daemon begins it again or takes it up, also not the next one
/// after a SIGKILL, and a person approves it beside the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_upgrade_waits_and_is_begun_once() {
    let pair = Pair::start("scheduled", Make { both: true, ..Make::default() }).await;
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let cron = at.strftime("%-S %-M %-H %-d %-m *");
    pair.configure(&format!(
        "[[schedule]]\nname = \"once\"\naction = \"upgrade\"\nversion = \"{GOOD}\"\ncron = \"{cron}\"\n"
    ));
    pair.reconfigure("[pipeline]\n", "[pipeline]\napproval = [\"production\"]\n");
    let id = pair.production.id().await;
    let begun = || journals(&pair.state()).iter().filter_map(|path| Journal::read(path)).collect::<Vec<_>>();
    let daemon = Service::of(&pair).await;
    let run = wait_for("the upgrade to wait", async || {
        let [only] = begun().try_into().ok()?;
        let only: Journal = only;
        only.has("waiting", "gate before production").then_some(only.run)
    })
    .await;
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.end().await.code, None);
    let mut daemon = Service::of(&pair).await;
    daemon.turns_twice().await;
    assert_eq!((begun().len(), pair.production.id().await), (1, id));
    assert_eq!(pair.journal(&run).outcome, None);
    pair.run(&["approve", &run, "--reason", "looked at it"]).await.expect(0);
    daemon.turns_twice().await;
    daemon.stop().await.expect(0);
    assert_eq!(begun().len(), 1);
    assert_eq!(pair.journal(&run).outcome.as_deref(), Some("completed"));
    for site in [&pair.staging, &pair.production] {
        site.is_well().await;
        assert_eq!(site.image().await, pair.image_id(GOOD).await);
        pair.nothing_is_left(site).await;
    }
}
