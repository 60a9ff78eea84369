//! Commands in a real container, and an engine that is not there.

use std::time::Duration;

use tidegate::engine::docker::{DockerEngine, DockerOptions};
use tidegate::engine::{ContainerEngine, EngineError};

use super::bench::{Bench, HANG, chain, docker, sh, until};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_past_its_limit_is_gone_with_all_that_it_started() {
    let bench = Bench::docker("limit").await;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    bench.engine.create(&definition).await.unwrap();
    bench.engine.start(app).await.unwrap();
    let before = docker(&["top", app]);
    let (engine, name) = (bench.engine.clone(), app.to_owned());
    let running = tokio::spawn(async move { engine.exec(&name, &sh(HANG), Duration::from_secs(3)).await });
    until("the command runs", || async { docker(&["top", app]).matches("sleep 4711").count() >= 2 }).await;
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, EngineError::ExecTimedOut { seconds: 3, .. }), "{}", chain(&error));
    until("all of it is gone", || async { !docker(&["top", app]).contains("4711") }).await;
    assert_eq!(docker(&["top", app]).lines().count(), before.lines().count(), "nothing else was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_long_output_is_kept() {
    let bench = Bench::docker("output").await;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    bench.engine.create(&definition).await.unwrap();
    bench.engine.start(app).await.unwrap();
    let script = "seq 1 400000; seq 1 5 >&2; exit 7";
    let result = bench.engine.exec(app, &sh(script), LIMIT).await.unwrap();
    assert_eq!((result.exit_code, result.stdout.len()), (7, 256 * 1024));
    assert!(result.stdout.ends_with("\n399999\n400000\n"));
    assert_eq!(result.stderr, "1\n2\n3\n4\n5\n");

    let result = bench.engine.exec(app, &["/nothing".to_owned()], LIMIT).await.unwrap();
    assert!(result.exit_code == 126 || result.exit_code == 127, "{result:?}");

    docker(&["exec", "-d", app, "/bin/busybox", "sh", "-c", "echo one > /proc/1/fd/1; echo two > /proc/1/fd/2"]);
    until("the log has both", || async {
        bench.engine.logs(app, 10).await.unwrap().lines().collect::<std::collections::BTreeSet<_>>().len() == 2
    })
    .await;
    assert_eq!(bench.engine.logs(app, 1).await.unwrap().lines().count(), 1);
    docker(&["exec", app, "/bin/busybox", "touch", "/left"]);
    assert!(bench.engine.layer_changes(app).await.unwrap().contains(&"/left".to_owned()));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("docker.sock");
    let connect = |host: String| DockerEngine::connect(DockerOptions { host: Some(host), ..Default::default() });
    let error = connect(format!("unix://{}", socket.display())).unwrap_err();
    assert!(matches!(error, EngineError::Unreachable { .. }), "{}", chain(&error));

    // A socket that nobody listens at, and a port that is closed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for host in [format!("unix://{}", socket.display()), format!("tcp://{closed}")] {
        let error = connect(host.clone()).unwrap().probe().await.unwrap_err();
        let EngineError::Unreachable { address, .. } = &error else { panic!("{}", chain(&error)) };
        assert_eq!(*address, host);
        assert!(chain(&error).contains("onnection refused"), "{}", chain(&error));
    }
}
