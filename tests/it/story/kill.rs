//! P1 and P4: whatever moment Tidegate is killed at, `resume` ends it well.

use super::observer::Observer;
use super::pair::{BAD, GOOD, Make, OLD, Pair};
use super::proxy::Trap;
use super::side::{Side, side};

/// P1. The process dies while bytes flow to the store; the instance is down and only `resume` may start it.
/// Dokploy#4263, volumerize#43, offen#337: the backup failed, and the app was left stopped.
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

    pair.run(&["resume"]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    pair.nothing_is_left(site).await;
    observer.nothing_ran_twice().await;
    assert_eq!(site.id().await, id);
    assert_eq!(pair.journal(&journal.run).outcome.as_deref(), Some("rolled_back"));
    let listed = pair.run(&["snapshots", "--json"]).await.expect(0);
    assert_eq!(listed.json().as_array().map(Vec::len), Some(0), "what was cut off is no snapshot");
    // And the next one is taken as if nothing had been.
    pair.snapshot(site).await;
}

/// Where an upgrade of staging is killed, and which end it must come to; either where that depends on the moment.
const POINTS: &[(&str, &str, Option<Side>)] = &[
    ("done", "look at staging", Some(Side::Old)),
    ("started", "rest staging", Some(Side::Old)),
    ("started", "read staging", Some(Side::Old)),
    ("done", "publish staging", Some(Side::Old)),
    ("started", "park staging", Some(Side::Old)),
    ("done", "park staging", Some(Side::Old)),
    ("started", "create staging", None),
    ("done", "create staging", None),
    ("started", "start staging", None),
    ("done", "start staging", Some(Side::New)),
    ("started", "wait for staging", Some(Side::New)),
    ("started", "check staging", Some(Side::New)),
    ("reopened", "reopen staging", Some(Side::New)),
    ("done", "open staging", Some(Side::New)),
];

/// Some of `points`, or all of them under TIDEGATE_TEST_FULL=1. The seed is printed; TIDEGATE_TEST_SEED takes it.
pub(super) fn sample<T: Clone>(points: &[T], count: usize) -> Vec<T> {
    use rand::SeedableRng;
    use rand::seq::IndexedRandom;
    if std::env::var("TIDEGATE_TEST_FULL").is_ok_and(|full| full == "1") {
        return points.to_vec();
    }
    let given = std::env::var("TIDEGATE_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(rand::random);
    println!("kill points chosen with TIDEGATE_TEST_SEED={seed}");
    points.choose_multiple(&mut rand::rngs::StdRng::seed_from_u64(seed), count).cloned().collect()
}

/// P1, P4. Each kill ends in the old image on the old data or the new one on the new, never in a mixture, and never do
/// two containers run on the data.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_an_upgrade_ends_old_or_new() {
    let pair = Pair::start("swap", Make::default()).await;
    let site = &pair.staging;
    for (record, step, expected) in sample(POINTS, 3) {
        println!("killed at {record} `{step}`");
        pair.create(site, 2).await;
        site.is_well().await;
        let (before, observer) = (site.content().await, Observer::start(site).await);
        let journal = pair.kill_at(&["upgrade", GOOD, "--only", "staging"], record, step).await;
        pair.run(&["resume"]).await.expect(0);
        let ended = side(&pair, site, &before).await;
        assert!(expected.is_none_or(|expected| expected == ended), "{record} `{step}` ended {ended:?}");
        let outcome = if ended == Side::Old { "rolled_back" } else { "completed" };
        assert_eq!(pair.journal(&journal.run).outcome.as_deref(), Some(outcome));
        pair.nothing_is_left(site).await;
        observer.nothing_ran_twice().await;
        // A second one finds nothing to do.
        let again = pair.run(&["resume"]).await.expect(0);
        assert!(again.stderr.contains("no run was cut off"), "{}", again.stderr);
    }
}

/// P4. Staging was reopened to its users: a crash while production rests takes production back and leaves staging new.
/// xagent#1627: rolled back after writers were let in.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_never_rolls_back_what_was_reopened() {
    let pair = Pair::start("reopened", Make { both: true, ..Make::default() }).await;
    let (staging, production) = (&pair.staging, &pair.production);
    let before = [staging.content().await, production.content().await];
    let observers = [Observer::start(staging).await, Observer::start(production).await];
    pair.kill_at(&["upgrade", GOOD], "done", "rest production").await;
    let upgraded = staging.id().await;
    pair.run(&["resume"]).await.expect(0);
    assert_eq!(side(&pair, staging, &before[0]).await, Side::New);
    assert_eq!(staging.id().await, upgraded);
    assert_eq!(side(&pair, production, &before[1]).await, Side::Old);
    for (site, observer) in [staging, production].into_iter().zip(observers) {
        pair.nothing_is_left(site).await;
        observer.nothing_ran_twice().await;
    }
}

/// P1, P5. Killed while a restore fills the volume, and while a roll back does.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_data_is_filled_ends_whole() {
    let pair = Pair::start("fill", Make { tags: &[GOOD, BAD], ..Make::default() }).await;
    let site = &pair.staging;
    let before = site.content().await;
    // Every byte is read once to verify it; the second time it fills the volume.
    let in_fill = || Trap { method: "GET", path: "database".into(), pass: 1, after_bytes: 64 << 10 };

    let observer = Observer::start(site).await;
    pair.proxy.set(in_fill());
    let running = pair.begin(&["upgrade", BAD, "--only", "staging"]);
    pair.proxy.caught().await;
    let journal = running.kill().await.expect("a journal");
    assert!(journal.has("undo_started", "start staging") && !journal.has("undo_done", "start staging"), "{journal:?}");
    pair.proxy.release();
    pair.run(&["resume"]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    assert_eq!(site.content().await.ours.len(), 0, "nothing is left of a roll back");
    pair.nothing_is_left(site).await;

    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    pair.proxy.set(in_fill());
    let running = pair.begin(&["restore", "staging", "before-upgrade"]);
    pair.proxy.caught().await;
    let filling = site.content().await;
    assert!(filling.ours.contains(".tidegate-filling") && !filling.is(&before));
    let journal = running.kill().await.expect("a journal");
    assert!(journal.has("started", "fill staging") && !journal.has("done", "fill staging"), "{journal:?}");
    pair.proxy.release();
    pair.run(&["resume"]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    assert_eq!(site.image().await, pair.image_id(OLD).await);
    let set_aside = format!(".tidegate/{}/aside/data/mongodb", journal.run);
    assert!(site.content().await.ours.contains(&set_aside), "the data of before is kept");
    pair.nothing_is_left(site).await;
    observer.nothing_ran_twice().await;
}
