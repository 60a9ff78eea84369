//! Pulling from a real registry on loopback.

use std::process::Command;

use tidegate::engine::EngineError;

use super::bench::{BOXES, Bench, chain, docker};
use crate::registry::Registry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_pulled_by_tag_and_by_digest() {
    let bench = Bench::docker("pull").await;
    let engine = &bench.engine;
    let mut registry = Registry::start();
    let name = format!("{}/tg-engine/pulled", registry.address);
    let [stable, digest_file] = ["stable", "second"].map(|tag| format!("{name}:{tag}"));
    let ids = [bench.image(0).await, bench.image(1).await];
    docker(&["tag", BOXES[0], &stable]);
    docker(&["push", "-q", &stable]);
    docker(&["rmi", &stable]);

    let view = engine.pull(&stable).await.unwrap();
    assert_eq!((&view.id, view.architecture.as_str()), (&ids[0], "amd64"));
    let first = view.digests.iter().find(|digest| digest.starts_with(&name)).expect("a digest").clone();
    assert_eq!(engine.pull(&stable).await.unwrap().id, ids[0], "a second time");

    // The tag moves at the registry; the digest still means the first image.
    docker(&["tag", BOXES[1], &stable]);
    docker(&["push", "-q", &stable]);
    docker(&["rmi", &stable, &first]);
    assert!(engine.image(&first).await.unwrap().is_none());
    let by_digest = engine.pull(&first).await.unwrap();
    assert_eq!(by_digest.id, ids[0]);
    assert!(by_digest.digests.contains(&first));
    let moved = engine.pull(&stable).await.unwrap();
    assert_eq!(moved.id, ids[1]);

    for missing in [digest_file, format!("{name}@sha256:{}", "0".repeat(64)), format!("{name}-other:1")] {
        let error = engine.pull(&missing).await.unwrap_err();
        assert!(matches!(error, EngineError::NoSuchImage { .. }), "{missing}: {}", chain(&error));
    }
    registry.kill();
    let error = engine.pull(&stable).await.unwrap_err();
    assert!(
        matches!(error, EngineError::Request { .. }),
        "not the same as an image that is missing: {}",
        chain(&error)
    );
    let second = moved.digests.iter().find(|digest| digest.starts_with(&name)).unwrap().clone();
    for left in [&first, &second, &stable] {
        // Untagging the last name by digest takes the tag along, so some are gone already.
        super::bench::run(Command::new("docker").args(["rmi", left.as_str()]));
    }
}

/// docker-updater#13: the engine answers a pull with 200 and tells of its failure in the stream; the container was
/// created anew all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_fails_in_mid_stream_is_an_error() {
    let bench = Bench::docker("torn").await;
    let registry = Registry::start();
    let name = format!("{}/tg-engine/torn:1", registry.address);
    // An image of its own, whose layer is not on this host any more when it is pulled.
    let container = bench.name("torn");
    docker(&["create", "--name", &container, BOXES[0]]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rand::random::<[u8; 32]>()).unwrap();
    docker(&["cp", file.path().to_str().unwrap(), &format!("{container}:/own")]);
    docker(&["commit", &container, &name]);
    docker(&["push", "-q", &name]);
    docker(&["rm", &container]);
    docker(&["rmi", &name]);
    assert!(registry.lose_layers() > 0);
    let error = bench.engine.pull(&name).await.unwrap_err();
    assert_eq!(chain(&error), format!("cannot pull `{name}`: Docker stream error: unknown blob"));
    assert!(bench.engine.image(&name).await.unwrap().is_none());
}

/// What keeps an image from `docker image prune -a` is a container; from `docker image prune`, a name.
/// drydock#81: the image that the roll back needed was pruned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_image_has_a_container_and_a_name() {
    let bench = Bench::docker("held").await;
    let engine = &bench.engine;
    let (tag, holder) = (format!("tg-engine/{}:1", bench.name("pin")), bench.name("holder"));
    let id = bench.image(0).await;
    engine.tag(&id, &tag).await.unwrap();
    engine.hold(&holder, &id, &bench.labels("holder")).await.unwrap();
    let seen = docker(&[
        "inspect",
        "--format",
        "{{.Image}} {{.State.Status}} {{.HostConfig.NetworkMode}} {{len .Mounts}}",
        &holder,
    ]);
    assert_eq!(seen, format!("{} created none 0", id.as_str()));
    assert_eq!(docker(&["inspect", "--format", "{{.HostConfig.Tmpfs}}", &holder]), "map[/declared:]");
    assert!(docker(&["image", "inspect", "--format", "{{.RepoTags}}", id.as_str()]).contains(&tag));
    engine.untag(&tag).await.unwrap();
    engine.remove(&holder).await.unwrap();
}
