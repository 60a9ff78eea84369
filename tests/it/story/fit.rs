//! What this host, or another container on it, would spoil is found before anything is touched.

use super::observer::Observer;
use super::pair::{GOOD, Make, Pair};
use super::side::{Side, side};
use crate::docker::{docker, docker_ok, post};

/// Dokploy#3995: a volume "in use" by a stopped container blocked its restore.
/// offen#608: files change during the read although the app is stopped, because a second container writes to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_on_the_volume_is_named() {
    let pair = Pair::start("writer", Make::default()).await;
    let site = &pair.staging;
    let (before, id) = (site.content().await, site.id().await);
    let (sidecar, mount) = (format!("{}-sidecar", site.container), format!("{}:/other", site.container));
    // It does not write; that it may is enough.
    let with_mount = ["--name", &sidecar, "--tmpfs", "/appsmith-stacks", "-v", &mount, &site.seed_image];
    docker_ok(&[&["run", "-d"][..], &with_mount].concat()).await;
    for words in [&["snapshot", "staging"][..], &["upgrade", GOOD, "--only", "staging"]] {
        let ended = pair.run(words).await.expect(1);
        let said = pair.without_names(&ended.stderr);
        assert!(said.contains("`appsmith-staging-sidecar` runs and may write to"), "{said}");
        assert!(said.contains("acknowledge_writers"), "{said}");
    }
    assert_eq!(site.id().await, id);
    assert!(site.content().await.is(&before));

    pair.configure("");
    let mut command = pair.command(&["snapshot", "staging"]);
    command.env("TIDEGATE_INSTANCES__STAGING__ACKNOWLEDGE_WRITERS", format!("[\"{sidecar}\"]"));
    pair.finish(command).await.expect(0);
    docker_ok(&["rm", "-f", &sidecar]).await;
    // A stopped one does no harm.
    docker_ok(&[&["create"][..], &with_mount].concat()).await;
    pair.run(&["restore", "staging", "latest"]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    docker_ok(&["rm", "-f", &sidecar]).await;
    pair.nothing_is_left(site).await;
}

/// A MAC address cannot be carried: it is named before anything is stopped, and must be acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_must_be_acknowledged() {
    let pair = Pair::start("mac", Make::default()).await;
    let site = &pair.staging;
    docker_ok(&["rm", "-f", &site.container]).await;
    let body = serde_json::json!({
        "Image": site.seed_image,
        "MacAddress": "02:42:ac:11:00:98",
        "HostConfig": {
            "Binds": [format!("{}:/appsmith-stacks", site.container)],
            "RestartPolicy": { "Name": "unless-stopped" },
            "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": site.port.to_string() }] },
        },
    });
    post(&format!("/v1.41/containers/create?name={}", site.container), body).await;
    docker_ok(&["start", &site.container]).await;
    site.is_well().await;
    let (before, id) = (site.content().await, site.id().await);
    let ended = pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(1);
    assert!(ended.stderr.contains("would lose MacAddress when it is created anew"), "{}", ended.stderr);
    assert!(ended.stderr.contains("instances.staging.acknowledge_fields"), "{}", ended.stderr);
    assert_eq!(site.id().await, id);
    assert!(site.content().await.is(&before));

    let mut command = pair.command(&["upgrade", GOOD, "--only", "staging"]);
    command.env("TIDEGATE_INSTANCES__STAGING__ACKNOWLEDGE_FIELDS", "[\"MacAddress\"]");
    let ended = pair.finish(command).await.expect(0);
    assert!(ended.stderr.contains("loses MacAddress when it is created anew, as acknowledged"), "{}", ended.stderr);
    assert_eq!(side(&pair, site, &before).await, Side::New);
}

/// A new host without the network that the container was on: said before anything is filled, and then all is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_the_network_is_found_before_the_data_moves() {
    let pair = Pair::start("network", Make::default()).await;
    let site = &pair.staging;
    let network = format!("{}-net", site.container);
    docker_ok(&["network", "create", "--label", &pair.label(), &network]).await;
    docker_ok(&["network", "connect", "--alias", "web", &network, &site.container]).await;
    let before = site.content().await;
    let snapshot = pair.snapshot(site).await;
    site.change("newer").await;
    let newer = site.content().await;
    docker_ok(&["rm", "-f", &site.container]).await;
    docker_ok(&["network", "rm", &network]).await;

    let ended = pair.run(&["restore", "staging", &snapshot]).await;
    let said = pair.without_names(&ended.stderr);
    ended.expect(1);
    assert!(said.contains("`appsmith-staging` is connected to the network `appsmith-staging-net`"), "{said}");
    assert!(said.contains("docker network create appsmith-staging-net"), "{said}");
    assert!(site.inspect().await.is_none(), "nothing was created");
    let content = site.content().await;
    assert!(content.is(&newer), "changed: {:?}", content.changed(&newer));

    docker_ok(&["network", "create", "--label", &pair.label(), &network]).await;
    let observer = Observer::start(site).await;
    pair.run(&["restore", "staging", &snapshot]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    let endpoint = &site.inspect().await.unwrap()["NetworkSettings"]["Networks"][&network];
    assert!(endpoint["Aliases"].as_array().unwrap().contains(&"web".into()), "{endpoint}");
    observer.nothing_ran_twice().await;
    docker_ok(&["rm", "-f", &site.container]).await;
    let _ = docker(&["network", "rm", &network]).await;
}
