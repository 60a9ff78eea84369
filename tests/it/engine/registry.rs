//! Pulling from a real registry on loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tidegate::engine::EngineError;

use super::bench::{BOXES, Bench, chain, docker};

/// A registry of our own, ended when dropped.
struct Registry {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("/usr/bin/docker-registry")
            .arg("serve")
            .arg(&config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the package docker-registry");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry ended");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',', ' ']).next().unwrap().trim().to_owned();
            }
        };
        // Somebody has to read on, or the registry blocks one day.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

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
    registry.process.kill().unwrap();
    registry.process.wait().unwrap();
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

/// What keeps an image from `docker image prune -a` is a container; from `docker image prune`, a name.
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
