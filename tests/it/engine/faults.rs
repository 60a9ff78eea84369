//! What the engine in memory adds for tests of everything above it: faults, accidents, and things that must never be.

use std::time::Duration;

use tidegate::engine::fake::{FakeEngine, FakeImage, StartOutcome, When};
use tidegate::engine::{ContainerEngine, ContainerState, EngineError};
use tidegate::model::definition::{Mount, MountSource, RestartPolicy};

const GRACE: Duration = Duration::from_secs(1);

/// An engine with version 2, which migrates the data one way, and version 1, which crashes on migrated data.
fn engine(folder: &tempfile::TempDir) -> FakeEngine {
    let engine = FakeEngine::new(folder.path());
    let version = |number: &'static str| {
        FakeImage::new(number).unwrap().on_start(move |container| {
            let marker = container.path("/data/format").unwrap();
            if number == "1" && std::fs::read_to_string(&marker).is_ok_and(|format| format == "2") {
                return StartOutcome::Ends { exit_code: 1, log: "the data is of a later version".into() };
            }
            std::fs::write(marker, number).unwrap();
            StartOutcome::Runs { health: None }
        })
    };
    engine.add_image("app:1", version("1"));
    engine.add_image("app:2", version("2"));
    engine
}

fn data() -> [Mount; 1] {
    [Mount { source: MountSource::Volume("data".into()), destination: "/data".into(), writable: true }]
}

#[tokio::test]
async fn a_migration_goes_one_way() {
    let folder = tempfile::TempDir::new().unwrap();
    let engine = engine(&folder);
    engine.run(engine.define("app", "app:1", &data(), "always").unwrap()).unwrap();
    let two = engine.define("app", "app:2", &data(), "always").unwrap();
    for definition in [two, engine.define("app", "app:1", &data(), "always").unwrap()] {
        engine.stop("app", GRACE).await.unwrap();
        engine.remove("app").await.unwrap();
        engine.create(&definition).await.unwrap();
        engine.start("app").await.unwrap();
    }
    let view = engine.find("app").await.unwrap().unwrap();
    assert_eq!((view.state, view.exit_code), (ContainerState::Exited, Some(1)));
    assert!(engine.logs("app", 1).await.unwrap().contains("later version"));
    assert_eq!(engine.violations(), [""; 0]);
}

#[tokio::test]
async fn a_call_fails_before_or_after_its_effect_and_a_dead_process_does_nothing_more() {
    let folder = tempfile::TempDir::new().unwrap();
    let engine = engine(&folder);
    engine.run(engine.define("app", "app:1", &data(), "always").unwrap()).unwrap();
    let runs = || engine.peek("app").unwrap().0 == ContainerState::Running;
    engine.fail(2, When::Before);
    engine.set_restart_policy("app", &RestartPolicy::no()).await.unwrap();
    assert!(engine.stop("app", GRACE).await.is_err() && runs());
    engine.fail(1, When::After);
    assert!(engine.stop("app", GRACE).await.is_err() && !runs());
    engine.stop("app", GRACE).await.unwrap();

    engine.die(1, When::After);
    assert!(engine.start("app").await.is_err() && runs() && engine.is_dead());
    assert!(engine.find("app").await.is_err() && engine.stop("app", GRACE).await.is_err() && runs());
    let next = engine.attach();
    next.stop("app", GRACE).await.unwrap();
    assert!(!runs());
    next.set_down(true);
    assert!(matches!(next.find("app").await, Err(EngineError::Unreachable { .. })));
}

#[tokio::test]
async fn two_on_one_volume_and_a_start_while_it_is_filled_are_noted() {
    let folder = tempfile::TempDir::new().unwrap();
    let engine = engine(&folder);
    engine.run(engine.define("app", "app:1", &data(), "no").unwrap()).unwrap();
    engine.run(engine.define("other", "app:1", &data(), "no").unwrap()).unwrap();
    assert!(engine.violations()[0].contains("`other` and `app` use volume data at once"));
    engine.stop("app", GRACE).await.unwrap();
    engine.stop("other", GRACE).await.unwrap();
    std::fs::write(engine.volume("data").unwrap().join(".tidegate-filling"), "run").unwrap();
    engine.start("app").await.unwrap();
    assert!(engine.violations()[1].contains("was started while volume data is being filled"));
}

#[tokio::test]
async fn a_reboot_starts_what_docker_would_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let engine = engine(&folder);
    let policies = ["always", "on-failure", "unless-stopped", "no"];
    for policy in policies {
        let mounts = [Mount { source: MountSource::Volume(policy.into()), ..data()[0].clone() }];
        engine.run(engine.define(policy, "app:1", &mounts, policy).unwrap()).unwrap();
        engine.stop(policy, GRACE).await.unwrap();
    }
    engine.reboot();
    let up = policies.map(|name| engine.peek(name).unwrap().0 == ContainerState::Running);
    assert_eq!(up, [true, true, false, false]);
    engine.prune_images();
    assert!(engine.image("app:1").await.unwrap().is_some() && engine.image("app:2").await.unwrap().is_none());
}
