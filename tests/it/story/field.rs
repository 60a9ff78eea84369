//! What went wrong in other tools and fits nowhere else: somebody else is at the container at the wrong moment.

use super::crash::engine::EngineProxy;
use super::observer::Observer;
use super::pair::{BAD, GOOD, Make, Pair};
use super::proxy::Trap;
use super::side::{Side, side};
use super::wait_for;
use crate::docker::docker_ok;

/// Dokploy#2616: after a backup the container was started by its id, which was another one by then.
/// Coolify#5099: the container that was created in its place had a new, empty volume.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_created_anew_in_mid_snapshot_is_found_by_its_name() {
    let pair = Pair::start("anew", Make { tags: &[], ..Make::default() }).await;
    let site = &pair.staging;
    let (before, id) = (site.content().await, site.id().await);
    for verb in ["run", "create"] {
        let observer = Observer::start(site).await;
        pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 64 << 10 });
        let running = pair.begin(&["snapshot", "staging"]);
        pair.proxy.caught().await;
        docker_ok(&["rm", &site.container]).await;
        pair.create_container(site, verb).await;
        let new = site.id().await;
        pair.proxy.release();
        let ended = running.end().await.expect(5);
        let said = pair.without_names(&ended.stderr);
        assert!(
            said.contains("somebody started, replaced or removed `appsmith-staging` while it was at rest"),
            "{said}"
        );
        assert_eq!(site.id().await, new);
        assert_ne!(site.id().await, id);
        assert_eq!(side(&pair, site, &before).await, Side::Old, "after docker {verb}");
        pair.nothing_is_left(site).await;
        observer.nothing_ran_twice().await;
    }
    let listed = pair.run(&["snapshots", "--json"]).await.expect(0);
    assert_eq!(listed.json().as_array().map(Vec::len), Some(0), "what was read may be torn");
    pair.snapshot(site).await;
}

/// Coolify#5099, Coolify#865: an empty volume in the place of the data is neither backed up nor upgraded, and the
/// data comes back by a restore.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_volume_is_no_instance() {
    let pair = Pair::start("empty", Make::default()).await;
    let site = &pair.staging;
    let before = site.content().await;
    let snapshot = pair.snapshot(site).await;
    docker_ok(&["rm", "-f", &site.container]).await;
    docker_ok(&["volume", "rm", &site.container]).await;
    docker_ok(&["volume", "create", "--label", &pair.label(), &site.container]).await;
    pair.create_container(site, "create").await;
    for words in [&["snapshot", "staging"][..], &["upgrade", GOOD, "--only", "staging"]] {
        let ended = pair.run(words).await.expect(1);
        assert!(
            ended.stderr.contains("there is nothing of Appsmith at /appsmith-stacks"),
            "{words:?}: {}",
            ended.stderr
        );
    }
    pair.run(&["restore", "staging", &snapshot]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    pair.nothing_is_left(site).await;
}

/// Dockge-Enhanced#296: the replacement had gone when the roll back inspected it for the way back, and nothing ran.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_disappears_is_rolled_back_all_the_same() {
    let pair = Pair::start("vanish", Make { tags: &[BAD], ..Make::default() }).await;
    let site = &pair.staging;
    let (before, definition) = (site.content().await, site.definition().await);
    let observer = Observer::start(site).await;
    // The first read proves the snapshot; the second is the roll back.
    pair.proxy.set(Trap { method: "GET", path: "database".into(), pass: 1, after_bytes: 0 });
    let running = pair.begin(&["upgrade", BAD, "--only", "staging"]);
    pair.proxy.caught().await;
    // Whatever has its name now.
    wait_for("nothing to have its name", async || {
        let _ = crate::docker::docker(&["rm", "-f", &site.container]).await;
        site.inspect().await.is_none().then_some(())
    })
    .await;
    pair.proxy.release();
    running.end().await.expect(5);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    assert_eq!(site.definition().await, definition);
    pair.nothing_is_left(site).await;
    observer.nothing_ran_twice().await;
}

/// drydock changelog: joining a second network failed after the create, and left a container that nobody removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_cannot_be_joined_leaves_no_half_container() {
    let pair = Pair::start("join", Make::default()).await;
    let (site, engine) = (&pair.staging, EngineProxy::start().await);
    let network = format!("{}-net", site.container);
    docker_ok(&["network", "create", "--label", &pair.label(), &network]).await;
    docker_ok(&["network", "connect", "--alias", "web", &network, &site.container]).await;
    let (before, definition) = (site.content().await, site.definition().await);
    let observer = Observer::start(site).await;
    // The first time is the trial, when nothing was touched yet.
    for (pass, code) in [(0, 1), (1, 5)] {
        engine.reset(None);
        engine.refuse("/connect", pass);
        let mut command = pair.command(&["upgrade", GOOD, "--only", "staging"]);
        command.env("DOCKER_HOST", engine.host());
        let ended = pair.finish(command).await.expect(code);
        assert!(ended.stderr.contains(&format!("to the network `{network}`")), "{}", ended.stderr);
        assert_eq!(side(&pair, site, &before).await, Side::Old);
        assert_eq!(site.definition().await, definition);
        let endpoint = &site.inspect().await.unwrap()["NetworkSettings"]["Networks"][&network];
        assert!(endpoint["Aliases"].as_array().unwrap().contains(&"web".into()), "{endpoint}");
        pair.nothing_is_left(site).await;
    }
    observer.nothing_ran_twice().await;
    docker_ok(&["rm", "-f", &site.container]).await;
    docker_ok(&["network", "rm", &network]).await;
}
