//! P4: an upgrade that fails ends where it began.

use super::observer::Observer;
use super::pair::{BAD, EXITS, Make, NEVER_READY, Pair};
use super::side::{Side, side};

/// P4. Image, definition and data of staging are those of before, and production was never touched.
async fn ends_where_it_began(test: &str, tags: &'static [&'static str]) {
    let pair = Pair::start(test, Make { both: true, tags, ..Make::default() }).await;
    let (staging, production) = (&pair.staging, &pair.production);
    let (before, definition) = (staging.content().await, staging.definition().await);
    let (content, id) = (production.content().await, production.id().await);
    for tag in tags {
        let observer = Observer::start(staging).await;
        let mut command = pair.command(&["upgrade", tag]);
        // What never gets ready is given up then; a start on a loaded machine takes a third of it.
        command.env("TIDEGATE_READY__CEILING", "10s");
        let ended = pair.finish(command).await.expect(5);
        assert!(ended.stderr.contains("`staging` runs as before, on the old image and data"), "{}", ended.stderr);
        assert_eq!(side(&pair, staging, &before).await, Side::Old, "{tag}");
        assert_eq!(staging.definition().await, definition, "{tag}");
        assert_eq!(staging.content().await.ours.len(), 0, "nothing is left of a roll back");
        assert_eq!(production.id().await, id);
        for site in [staging, production] {
            pair.nothing_is_left(site).await;
        }
        observer.nothing_ran_twice().await;
    }
    assert_eq!(side(&pair, production, &content).await, Side::Old);
}

/// Its migration is done, it runs, it says that it is well, and one application is broken.
/// behalfbot#76: a check that could never fail.
/// appsmith#41534: the format of the data goes one way only.
/// appsmith#41743: the same, MongoDB 6 to 7.
/// appsmith#42153: the same, MongoDB 7 to 8.
#[tokio::test(flavor = "multi_thread")]
async fn checks_that_fail_bring_image_and_data_back() {
    ends_where_it_began("checks", &[BAD]).await;
}

/// It never comes up.
/// appsmith#27362: after an update mongod was FATAL, and the container up.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_up_is_taken_back() {
    ends_where_it_began("ready", &[EXITS, NEVER_READY]).await;
}
