//! The porter in its container, on real mounts.

use std::time::Duration;

use tidegate::engine::docker::{DockerEngine, DockerOptions, PorterSource};
use tidegate::engine::{Answer, ContainerEngine, EngineError, PorterRequest};
use tidegate::model::part::Cover;

use crate::engine::bench::{BOXES, Bench, body, chain, collect, docker, members, tar_of, until};
use crate::engine::files::{SmallDisk, mount};

fn aside(cover: Cover) -> PorterRequest {
    PorterRequest::Aside { root: "/v0".into(), run: "restore-1".into(), cover }
}

fn everything() -> Cover {
    Cover { include: vec![String::new()], exclude: Vec::new() }
}

fn list() -> PorterRequest {
    PorterRequest::List { root: "/v0".into(), cover: everything(), stat: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_modes_and_links_survive_aside_and_back_on_a_volume() {
    let bench = Bench::docker("porter-volume").await;
    let engine = &bench.engine;
    let (helper, porter, mounts) = (bench.name("helper"), bench.name("porter"), [bench.volume("data", true)]);
    let make = "mkdir -p /data/a/b && echo x > /data/a/f && chown 1234:4321 /data/a/f && chmod 4750 /data/a/f \
        && ln /data/a/f /data/hard && ln -s ../../../etc /data/out && chmod 0 /data/a/b && chown 7:7 /data/a \
        && chmod 2711 /data && mkfifo /data/fifo";
    let volume = format!("{}:/data", bench.name("data"));
    docker(&["run", "--name", &bench.name("make"), "--network", "none", "-v", &volume, BOXES[0], "sh", "-c", make]);
    engine.open_helper(&helper, &mounts, &bench.labels("helper")).await.unwrap();
    let read = || async { collect(engine.archive_out(&helper, "/v0").await.unwrap()).await.unwrap() };
    let before = read().await;
    assert_eq!(members(&before).len(), 7);
    let ask = |request: PorterRequest| {
        let (porter, labels) = (porter.clone(), bench.labels("porter"));
        let mounts = mounts.clone();
        async move { engine.porter(&porter, &mounts, &labels, &request).await.unwrap() }
    };
    let cover = Cover { include: vec![String::new()], exclude: vec!["a/b".into()] };
    assert_eq!(ask(aside(cover)).await, Answer::Done { entries: 4 });
    let left: Vec<Vec<u8>> = members(&read().await).into_iter().map(|member| member.0).collect();
    assert!(!left.contains(&b"v0/hard".to_vec()) && left.contains(&b"v0/a/b".to_vec()), "{left:?}");
    engine.archive_in(&helper, body(tar_of(&[(b"v0/a/f", 'f', 0o644, b"new")]))).await.unwrap();
    let (root, run) = ("/v0".to_owned(), "restore-1".to_owned());
    assert_eq!(ask(PorterRequest::Back { root: root.clone(), run: run.clone() }).await, Answer::Done { entries: 5 });
    assert!(matches!(ask(PorterRequest::Drop { root, run }).await, Answer::Done { .. }));
    assert!(read().await == before, "the archives are the same byte for byte, owners and times too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_inside_is_named_before_anything_moves() {
    let disk = SmallDisk::new("4m");
    std::fs::create_dir_all(disk.path().join("data/nested")).unwrap();
    std::fs::write(disk.path().join("data/file"), "x").unwrap();
    mount(&disk.path().join("data/nested"), "1m");
    std::fs::write(disk.path().join("data/nested/theirs"), "y").unwrap();
    let bench = Bench::docker("porter-nested").await;
    let (porter, labels, mounts) = (bench.name("porter"), bench.labels("porter"), [disk.as_mount()]);
    let answer = bench.engine.porter(&porter, &mounts, &labels, &aside(everything())).await.unwrap();
    let Answer::Failed { error, disk_full: false } = answer else { panic!("{answer:?}") };
    assert!(error.contains("`data/nested` is a mount point"), "{error}");
    assert!(disk.path().join("data/file").exists() && !disk.path().join(".tidegate-filling").exists());
    let answer = bench.engine.porter(&porter, &mounts, &labels, &list()).await.unwrap();
    let Answer::Listing(listing) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (listing.entries[0].bytes, listing.entries[0].files),
        (1, 2),
        "what lies in a mount inside is not counted"
    );

    let cover = Cover { exclude: vec!["data/nested".into()], ..everything() };
    let answer = bench.engine.porter(&porter, &mounts, &labels, &aside(cover)).await.unwrap();
    assert_eq!(answer, Answer::Done { entries: 1 });
    assert!(disk.path().join("data/nested/theirs").exists() && !disk.path().join("data/file").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_nowhere_and_a_full_disk_is_told() {
    let (disk, elsewhere) = (SmallDisk::new("64k"), tempfile::TempDir::new().unwrap());
    std::fs::write(elsewhere.path().join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), disk.path().join("data")).unwrap();
    let bench = Bench::docker("porter-links").await;
    let (porter, labels, mounts) = (bench.name("porter"), bench.labels("porter"), [disk.as_mount()]);
    let ask = |request: PorterRequest| {
        let (engine, porter, labels, mounts) = (bench.engine.clone(), porter.clone(), labels.clone(), mounts.clone());
        async move { engine.porter(&porter, &mounts, &labels, &request).await.unwrap() }
    };
    let behind = Cover { include: vec!["data/precious".into()], exclude: Vec::new() };
    let answer = ask(aside(behind)).await;
    let Answer::Failed { error, .. } = &answer else { panic!("{answer:?}") };
    assert!(error.contains("`data` is a symbolic link"), "{error}");
    // Our own folder, replaced by a link that leads away.
    std::os::unix::fs::symlink(elsewhere.path(), disk.path().join(".tidegate")).unwrap();
    for request in [aside(everything()), PorterRequest::Drop { root: "/v0".into(), run: "precious".into() }] {
        assert!(matches!(ask(request.clone()).await, Answer::Failed { .. }), "{request:?}");
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    std::fs::remove_file(disk.path().join(".tidegate")).unwrap();

    while std::fs::write(disk.path().join(format!("fill-{}", rand::random::<u32>())), [7; 4096]).is_ok() {}
    let answer = ask(aside(everything())).await;
    assert!(matches!(answer, Answer::Failed { disk_full: true, .. }), "{answer:?}");
    assert!(matches!(
        ask(PorterRequest::Back { root: "/v0".into(), run: "restore-1".into() }).await,
        Answer::Done { .. }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_porter_that_was_left_running_is_waited_for_or_killed() {
    let bench = Bench::docker("porter-left").await;
    let (porter, labels, mounts) = (bench.name("porter"), bench.labels("porter"), [bench.volume("data", true)]);
    let leave = |seconds: &str| {
        let label = format!("{}=porter", tidegate::model::layout::LABEL_ROLE);
        docker(&[
            "run",
            "-d",
            "--name",
            &porter,
            "--label",
            &label,
            "--network",
            "none",
            "--tmpfs",
            "/declared",
            BOXES[0],
            "sleep",
            seconds,
        ])
    };
    let left = leave("3");
    let engine = bench.engine.clone();
    let (name, its, them) = (porter.clone(), labels.clone(), mounts.clone());
    let asked = tokio::spawn(async move { engine.porter(&name, &them, &its, &list()).await });
    // While the one that was left runs, no second one does.
    until("the one that was left ended", || async {
        let running = docker(&["ps", "-q", "--no-trunc", "--filter", &format!("name={porter}")]);
        assert!(
            running.is_empty() || running == left || !docker(&["ps", "-aq", "--no-trunc"]).contains(&left),
            "{running}"
        );
        running != left
    })
    .await;
    assert!(matches!(asked.await.unwrap().unwrap(), Answer::Listing(_)));

    leave("3600");
    let options = DockerOptions { porter_limit: Duration::from_secs(1), ..options() };
    let hasty = DockerEngine::connect(options).unwrap();
    let error = hasty.porter(&porter, &mounts, &labels, &list()).await.unwrap_err();
    assert!(chain(&error).contains("did not end within 1 s"), "{}", chain(&error));
    assert!(!bench.engine.find(&porter).await.unwrap().unwrap().is_up(), "it was killed");
    assert!(matches!(hasty.porter(&porter, &mounts, &labels, &list()).await.unwrap(), Answer::Listing(_)));

    docker(&["run", "-d", "--name", &porter, "--network", "none", "--tmpfs", "/declared", BOXES[0]]);
    let error = bench.engine.porter(&porter, &mounts, &labels, &list()).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "a stranger's container: {}", chain(&error));
    assert!(bench.engine.find(&porter).await.unwrap().unwrap().is_up());
}

fn options() -> DockerOptions {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    DockerOptions { porter: PorterSource::File(root.join("target/debug/tidegate-porter-static")), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_porter_that_cannot_run_there_is_refused() {
    let bench = Bench::docker("porter-none").await;
    let (porter, labels) = (bench.name("porter"), bench.labels("porter"));
    for (program, word) in [
        (std::path::PathBuf::from("/nothing"), "cannot read"),
        (std::env::current_exe().unwrap(), "not static"),
        (std::path::PathBuf::from("/etc/passwd"), "not an ELF program"),
    ] {
        let engine = DockerEngine::connect(DockerOptions { porter: PorterSource::File(program), ..Default::default() });
        let error = engine.unwrap().porter(&porter, &[bench.volume("data", true)], &labels, &list()).await.unwrap_err();
        let EngineError::NoPorter { reason } = &error else { panic!("{}", chain(&error)) };
        assert!(reason.contains(word), "{reason}");
    }
}
