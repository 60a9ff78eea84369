//! A container that has everything is created again, and what it was given is the same as before.

use serde_json::Value;
use tidegate::engine::EngineError;

use super::bench::{Anonymous, BOXES, Bench, docker};

fn inspect(container: &str) -> Value {
    let text = docker(&["inspect", container]);
    serde_json::from_str::<Value>(&text).unwrap()[0].clone()
}

/// What the engine itself says of the container, without what must differ: ids, times, and the anonymous volumes
/// that are bound by name afterwards.
fn lasting(container: &str) -> Value {
    let seen = inspect(container);
    let id = seen["Id"].as_str().unwrap();
    let mut host = seen["HostConfig"].clone();
    host.as_object_mut().unwrap().remove("Binds");
    for mount in host["Mounts"].as_array_mut().into_iter().flatten() {
        mount.as_object_mut().unwrap().remove("Source");
    }
    let mut config = seen["Config"].clone();
    config.as_object_mut().unwrap().remove("Volumes");
    config["Env"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    let mut networks = seen["NetworkSettings"]["Networks"].clone();
    for endpoint in networks.as_object_mut().unwrap().values_mut() {
        let aliases = endpoint["Aliases"].as_array().cloned().unwrap_or_default();
        let mut given: Vec<Value> =
            aliases.into_iter().filter(|alias| !id.starts_with(alias.as_str().unwrap())).collect();
        given.sort_by_key(ToString::to_string);
        *endpoint = serde_json::json!({ "aliases": given, "address": endpoint["IPAMConfig"]["IPv4Address"] });
    }
    let mut mounts = seen["Mounts"].as_array().unwrap().clone();
    mounts.iter_mut().for_each(|mount| {
        // `z` and the like are written down only where they were given.
        mount.as_object_mut().unwrap().remove("Mode");
    });
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    // What was not given is null, an empty list or an empty text, as it happens.
    for part in [&mut host, &mut config] {
        let empty = [serde_json::json!(null), serde_json::json!([]), serde_json::json!({}), serde_json::json!("")];
        part.as_object_mut().unwrap().retain(|_, value| !empty.contains(value));
    }
    serde_json::json!({ "host": host, "config": config, "networks": networks, "mounts": mounts })
}

/// appsmith#22726: after a restore the licence was gone; it is in the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_with_everything_is_the_same_when_it_is_created_again() {
    let mut anonymous = Anonymous::default();
    let bench = Bench::docker("recreate").await;
    let engine = &bench.engine;
    let (app, data, one, two) = (bench.name("app"), bench.name("data"), bench.name("one"), bench.name("two"));
    docker(&["network", "create", "--subnet", "10.213.7.0/24", &one]);
    docker(&["network", "create", "--subnet", "10.213.8.0/24", &two]);
    let bound = tempfile::TempDir::new().unwrap();
    let bind = format!("{}:/bound:ro", bound.path().display());
    let volume = format!("{data}:/data");
    #[rustfmt::skip]
    let given = [
        "create", "--name", &app, "--hostname", "box", "--label", "com.example=yes", "--env", "TOKEN=secret", "--env", "BOX=9",
        "--restart", "on-failure:3", "-p", "127.0.0.1::8080", "-p", "127.0.0.1::9090/udp",
        "-v", &volume, "-v", &bind, "-v", "/anonymous", "--mount", "type=volume,dst=/mounted,volume-nocopy",
        "--mount", "type=tmpfs,dst=/memory", "--tmpfs", "/scratch:size=1m",
        "--network", &one, "--network-alias", "web", "--ip", "10.213.7.50",
        "--memory", "64m", "--memory-swap", "128m", "--cpus", "0.5", "--pids-limit", "100", "--shm-size", "8m",
        "--ulimit", "nofile=1000:2000", "--cap-drop", "NET_RAW", "--cap-add", "SYS_TIME", "--add-host", "other:10.0.0.9",
        "--log-driver", "json-file", "--log-opt", "max-size=1m", "--init", "--stop-timeout", "7", "--stop-signal", "SIGUSR1",
        "--health-cmd", "true", "--health-interval", "7s", "--user", "0:0", "--workdir", "/data", "--read-only",
        "--sysctl", "net.core.somaxconn=512", "--security-opt", "no-new-privileges", "--dns", "10.0.0.8", "--group-add", "10",
        "--oom-score-adj", "5", BOXES[0], "sleep", "1234",
    ];
    docker(&given);
    anonymous.note(&app);
    docker(&["network", "connect", "--alias", "second", &two, &app]);
    docker(&["start", &app]);
    docker(&["exec", &app, "/bin/busybox", "sh", "-c", "echo kept > /anonymous/file; echo kept > /mounted/file"]);

    let before = (lasting(&app), engine.definition(&app).await.unwrap());
    let config = &before.1.config;
    let mut env: Vec<&str> = config["Env"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect();
    env.sort_unstable(); // the command line puts them in any order
    assert_eq!(env, ["BOX=9", "TOKEN=secret"], "what the image gives is left out");
    assert_eq!(config["Labels"], serde_json::json!({ "com.example": "yes" }));
    assert_eq!((config.get("Entrypoint"), &config["Hostname"]), (None, &"box".into()));
    assert!(config.get("ExposedPorts").is_some_and(|ports| ports.get("8080/tcp").is_none()), "{config}");
    let policy = before.1.restart.clone();
    assert_eq!((policy.name.as_str(), policy.max_retries), ("on-failure", 3));

    let lost = engine.try_out(&bench.name("trial"), &before.1, &bench.labels("trial")).await.unwrap();
    assert_eq!(lost, [""; 0], "all of it can be carried");

    engine.stop(&app, std::time::Duration::from_secs(1)).await.unwrap();
    engine.remove(&app).await.unwrap();
    engine.create(&before.1).await.unwrap();
    assert_eq!(engine.find(&app).await.unwrap().unwrap().restart.name, "no");
    engine.set_restart_policy(&app, &policy).await.unwrap();
    engine.start(&app).await.unwrap();
    let after = (lasting(&app), engine.definition(&app).await.unwrap());
    pretty_eq(&after.0, &before.0);
    assert_eq!(after.1.host_config, before.1.host_config);
    assert_eq!(after.1, before.1);
    let kept = docker(&["exec", &app, "/bin/busybox", "cat", "/anonymous/file", "/mounted/file"]);
    assert_eq!(kept, "kept\nkept", "anonymous volumes came along");
    assert_eq!(inspect(&app)["NetworkSettings"]["Networks"][&one]["IPAddress"], "10.213.7.50");

    // On another image only what that image gives changes.
    engine.stop(&app, std::time::Duration::from_secs(1)).await.unwrap();
    engine.remove(&app).await.unwrap();
    let other = before.1.on_image(BOXES[1], &bench.image(1).await);
    engine.create(&other).await.unwrap();
    assert_eq!(inspect(&app)["Config"]["Labels"]["tg.box"], "2");
    let mut again = engine.definition(&app).await.unwrap();
    again.restart = policy;
    assert_eq!(again, other);
    assert_eq!(anonymous.0.len(), 3);
}

fn pretty_eq(after: &Value, before: &Value) {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (after, before) = (text(after), text(before));
    let lines = after.lines().zip(before.lines()).find(|(a, b)| a != b);
    assert!(after == before, "first difference (after, before): {lines:?}\n{after}\n{before}");
}

/// Without its entry point a container must not get that of the next image.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_point_that_was_taken_away_stays_away() {
    let mut anonymous = Anonymous::default();
    let bench = Bench::docker("entry").await;
    let app = bench.name("app");
    docker(&[
        "create",
        "--name",
        &app,
        "--entrypoint",
        "",
        "--network",
        "none",
        BOXES[0],
        "/bin/busybox",
        "sleep",
        "99",
    ]);
    anonymous.note(&app);
    let definition = bench.engine.definition(&app).await.unwrap();
    let (config, before) = (definition.config.clone(), inspect(&app)["Path"].clone());
    bench.engine.remove(&app).await.unwrap();
    bench.engine.create(&definition).await.unwrap();
    assert_eq!(
        (&inspect(&app)["Path"], &inspect(&app)["Args"]),
        (&before, &serde_json::json!(["sleep", "99"])),
        "{config}"
    );
    let again = bench.engine.definition(&app).await.unwrap();
    assert_eq!(again.config, config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_is_named() {
    let bench = Bench::docker("carry").await;
    let host = bench.name("host");
    docker(&["run", "-d", "--name", &host, "--network", "none", BOXES[0]]);
    let shared = format!("container:{host}");
    for (what, options, word) in [
        ("rm", &["--rm"][..], "--rm"),
        ("net", &["--network", &shared], "container:"),
        ("from", &["--volumes-from", &host], "--volumes-from"),
    ] {
        let app = bench.name(what);
        docker(&[&["create", "--name", &app][..], options, &[BOXES[0]]].concat());
        match bench.engine.definition(&app).await {
            Err(EngineError::CannotCarry { reason, .. }) => assert!(reason.contains(word), "{reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// What the operator chose is told from what the engine made up, also while it does not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_mac_address_is_named_as_lost() {
    let mut anonymous = Anonymous::default();
    let bench = Bench::docker("mac").await;
    for (what, mac, lost) in [("given", "02:42:ac:11:00:99", &["MacAddress"][..]), ("made-up", "", &[])] {
        let app = bench.name(what);
        let body = serde_json::json!({ "Image": BOXES[0], "MacAddress": mac });
        crate::docker::post(&format!("/v1.41/containers/create?name={app}"), body).await;
        anonymous.note(&app);
        assert_eq!(bench.engine.definition(&app).await.unwrap().lost, lost, "{what}");
        docker(&["start", &app]);
        assert_eq!(bench.engine.definition(&app).await.unwrap().lost, lost, "{what}");
    }
}
