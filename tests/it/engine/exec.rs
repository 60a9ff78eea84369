//! Commands in a real container, and an engine that is not there.

use std::time::Duration;

use tidegate::engine::docker::{DockerEngine, DockerOptions};
use tidegate::engine::{ContainerEngine, EngineError, Job};
use tokio_util::sync::CancellationToken;

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

fn job(script: &str, terminal: bool) -> Job {
    Job { command: sh(script), environment: vec![("GIVEN".into(), "own".into())], terminal }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_heard_as_it_speaks_and_answered_on_its_terminal() {
    let bench = Bench::docker("job").await;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    bench.engine.create(&definition).await.unwrap();
    bench.engine.start(app).await.unwrap();
    let never = CancellationToken::new();
    let asks = "printf 'your name? ' > /dev/tty; read name < /dev/tty; echo \"$name of $GIVEN\"; exit 3";
    let mut heard = String::new();
    let mut answer = |text: &str| {
        heard.push_str(text);
        heard.ends_with("name? ").then(|| "Anna\n".to_owned())
    };
    let result = bench.engine.perform(app, &job(asks, true), &mut answer, &never).await.unwrap();
    assert_eq!(result.exit_code, 3);
    assert!(result.stdout.contains("Anna of own"), "{result:?}");
    // Without a terminal there is nobody to ask, and both streams are kept apart.
    let mut silent = |_: &str| Some("never typed\n".to_owned());
    let result = bench.engine.perform(app, &job("echo out; echo err >&2", false), &mut silent, &never).await.unwrap();
    assert_eq!((result.exit_code, result.stdout.as_str(), result.stderr.as_str()), (0, "out\n", "err\n"));
    let result = bench.engine.perform(app, &job(asks, false), &mut silent, &never).await.unwrap();
    assert!(result.stderr.contains("/dev/tty"), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_really_ended_by_its_caller_and_by_who_comes_after() {
    let bench = Bench::docker("jobend").await;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    bench.engine.create(&definition).await.unwrap();
    bench.engine.start(app).await.unwrap();
    let runs = || async { docker(&["top", app]).matches("sleep 4711").count() >= 2 };
    let stop = CancellationToken::new();
    let begin = || {
        let (engine, name, stop) = (bench.engine.clone(), app.to_owned(), stop.clone());
        tokio::spawn(async move { engine.perform(&name, &job(HANG, false), &mut |_| None, &stop).await })
    };
    let running = begin();
    until("the command runs", runs).await;
    stop.cancel();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, EngineError::Stopped { .. }), "{}", chain(&error));
    assert!(!docker(&["top", app]).contains("4711"), "it is gone when that is said");

    // Its caller is gone from one moment to the next, as where it dies: it runs on, and is found by its words.
    let (never, hang, mut silent) = (CancellationToken::new(), job(HANG, false), |_: &str| None);
    tokio::select! {
        ended = bench.engine.perform(app, &hang, &mut silent, &never) => panic!("it ended: {ended:?}"),
        () = until("the command runs", runs) => {}
    }
    assert_eq!(bench.engine.end_commands(app, &sh("something else")).await.unwrap(), 0);
    assert!(docker(&["top", app]).contains("4711"));
    assert_eq!(bench.engine.end_commands(app, &sh(HANG)).await.unwrap(), 1);
    assert!(!docker(&["top", app]).contains("4711"));
    assert_eq!(bench.engine.end_commands(app, &sh(HANG)).await.unwrap(), 0);
    assert_eq!(bench.engine.end_commands("no-such-container", &sh(HANG)).await.unwrap(), 0);
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
