//! What every engine must do; each test runs on the real one and on the one in memory.

use std::time::Duration;

use tidegate::engine::{Answer, ContainerState, EngineError, HelperMount, LockAnswer, PorterRequest};
use tidegate::model::definition::{MountSource, RestartPolicy};
use tidegate::model::ids::ImageId;
use tidegate::model::layout::ROLE_PLACEHOLDER;
use tidegate::model::part::Cover;
use tidegate::stream::StreamError;

use super::bench::{BOXES, Bench, HANG, TALK, body, chain, collect, members, owner, run, sh, tar_of};

const GRACE: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(60);

/// A member of an archive, borrowed: name, kind, mode, link target, content.
type Brief<'a> = (&'a [u8], char, u32, &'a [u8], &'a [u8]);

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod fake {
            $(#[tokio::test] async fn $test() { super::$test(&super::Bench::fake(stringify!($test))).await })*
        }
        mod docker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() { super::$test(&super::Bench::docker(stringify!($test)).await).await }
            )*
        }
    };
}

contract![
    what_is_not_there,
    a_container_from_creation_to_removal,
    a_half_made_container_is_replaced,
    the_restart_policy_is_no_until_it_is_set,
    a_definition_carries_anonymous_volumes,
    a_trial_says_what_this_host_cannot_give,
    who_writes_to_a_volume,
    a_name_is_held_by_what_cannot_be_started,
    a_holder_never_runs,
    names_of_images,
    a_command,
    archives_go_in_and_out,
    a_broken_archive_is_an_error,
    helpers_are_reused_or_replaced,
    the_porter_moves_files_aside_and_back,
    a_lock_has_one_holder,
];

async fn what_is_not_there(bench: &Bench) {
    let engine = &bench.engine;
    let nobody = bench.name("nobody");
    assert!(engine.find(&nobody).await.unwrap().is_none());
    assert!(engine.find("../version").await.unwrap().is_none());
    engine.stop(&nobody, GRACE).await.unwrap();
    engine.remove(&nobody).await.unwrap();
    let missing = |error: EngineError| assert!(matches!(error, EngineError::NoSuchContainer { .. }), "{error:?}");
    missing(engine.start(&nobody).await.unwrap_err());
    missing(engine.definition(&nobody).await.unwrap_err());
    missing(engine.set_restart_policy(&nobody, &RestartPolicy::no()).await.unwrap_err());
    missing(engine.exec(&nobody, &sh("true"), LIMIT).await.unwrap_err());
    missing(engine.logs(&nobody, 5).await.unwrap_err());
    missing(engine.archive_out(&nobody, "/").await.err().expect("no archive"));
    missing(engine.archive_in(&nobody, body(Vec::new())).await.unwrap_err());
    assert!(engine.image("tg-engine/never:1").await.unwrap().is_none());
    let never = ImageId::new(format!("sha256:{}", "0".repeat(64))).unwrap();
    let mut definition = bench.definition("app").await;
    definition.image_id = never.clone();
    let error = engine.create(&definition).await.unwrap_err();
    assert!(matches!(error, EngineError::NoSuchImage { .. }), "{error:?}");
    let error = engine.hold(&bench.name("holder"), &never, &bench.labels("holder")).await.unwrap_err();
    assert!(matches!(error, EngineError::NoSuchImage { .. }), "{error:?}");
    let error = engine.tag(&never, "tg-engine/never:1").await.unwrap_err();
    assert!(matches!(error, EngineError::NoSuchImage { .. }), "{error:?}");
}

async fn a_container_from_creation_to_removal(bench: &Bench) {
    let engine = &bench.engine;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    engine.create(&definition).await.unwrap();
    let view = engine.find(app).await.unwrap().unwrap();
    assert_eq!((view.state, view.started_at, view.exit_code), (ContainerState::Created, None, None));
    assert_eq!((view.image_ref.as_str(), &view.image_id), (BOXES[0], &definition.image_id));
    assert_eq!(view.labels["tg.given"], "yes");

    engine.start(app).await.unwrap();
    engine.start(app).await.unwrap();
    let view = engine.find(app).await.unwrap().unwrap();
    assert!(view.is_up() && view.started_at.is_some() && view.exit_code.is_none());
    engine.create(&definition).await.unwrap();
    assert_eq!(engine.find(app).await.unwrap().unwrap().id, view.id, "one that runs on that image is left alone");
    let other = definition.on_image(BOXES[1], &bench.image(1).await);
    let error = engine.create(&other).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error:?}");
    assert!(engine.remove(app).await.is_err(), "a running container is not removed");

    engine.stop(app, GRACE).await.unwrap();
    engine.stop(app, GRACE).await.unwrap();
    let view = engine.find(app).await.unwrap().unwrap();
    assert_eq!(view.state, ContainerState::Exited);
    assert!(view.exit_code.is_some());
    engine.remove(app).await.unwrap();
    assert!(engine.find(app).await.unwrap().is_none());
    engine.create(&other).await.unwrap();
    assert_eq!(engine.find(app).await.unwrap().unwrap().image_ref, BOXES[1]);
}

async fn a_half_made_container_is_replaced(bench: &Bench) {
    let engine = &bench.engine;
    let definition = bench.definition("app").await;
    engine.create(&definition).await.unwrap();
    let first = engine.find(&definition.container).await.unwrap().unwrap();
    engine.create(&definition.on_image(BOXES[1], &bench.image(1).await)).await.unwrap();
    let second = engine.find(&definition.container).await.unwrap().unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(second.image_ref, BOXES[1]);
}

async fn the_restart_policy_is_no_until_it_is_set(bench: &Bench) {
    let engine = &bench.engine;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    engine.create(&definition).await.unwrap();
    assert_eq!(engine.find(app).await.unwrap().unwrap().restart, RestartPolicy::no());
    engine.start(app).await.unwrap();
    for policy in [definition.restart.clone(), RestartPolicy { name: "on-failure".into(), max_retries: 3 }] {
        engine.set_restart_policy(app, &policy).await.unwrap();
        assert_eq!(engine.find(app).await.unwrap().unwrap().restart, policy);
        assert_eq!(engine.definition(app).await.unwrap().restart, policy);
    }
}

async fn a_trial_says_what_this_host_cannot_give(bench: &Bench) {
    let engine = &bench.engine;
    let mut definition = bench.definition("app").await;
    let (trial, labels) = (bench.name("trial"), bench.labels("trial"));
    let tried = engine.try_out(&trial, &definition, &labels).await.unwrap();
    assert_eq!(tried, [""; 0], "all of it can be had");
    assert!(
        engine.find(&trial).await.unwrap().is_none() && engine.find(&definition.container).await.unwrap().is_none()
    );
    // Beside the real one, and twice.
    engine.create(&definition).await.unwrap();
    engine.start(&definition.container).await.unwrap();
    engine.try_out(&trial, &definition, &labels).await.unwrap();
    assert!(engine.find(&definition.container).await.unwrap().unwrap().is_up());

    definition.networks.insert(bench.name("nowhere"), serde_json::json!({}));
    let error = engine.try_out(&trial, &definition, &labels).await.unwrap_err();
    let EngineError::NoSuchNetwork { container, network } = error else { panic!("{error:?}") };
    assert_eq!((container, network), (definition.container.clone(), bench.name("nowhere")));
    definition.networks.clear();
    definition.lost.push("MacAddress".into());
    assert_eq!(engine.try_out(&trial, &definition, &labels).await.unwrap(), ["MacAddress"]);
    definition.image_id = ImageId::new(format!("sha256:{}", "0".repeat(64))).unwrap();
    let error = engine.try_out(&trial, &definition, &labels).await.unwrap_err();
    assert!(matches!(error, EngineError::NoSuchImage { .. }), "{error:?}");
    assert!(engine.find(&trial).await.unwrap().is_none());
}

async fn who_writes_to_a_volume(bench: &Bench) {
    let engine = &bench.engine;
    let volume = MountSource::Volume(bench.name("data"));
    assert_eq!(engine.writers_of(&volume).await.unwrap(), [""; 0]);
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    engine.create(&definition).await.unwrap();
    assert_eq!(engine.writers_of(&volume).await.unwrap(), [""; 0], "one that does not run writes nothing");
    engine.start(app).await.unwrap();
    let helper = bench.name("helper");
    engine.open_helper(&helper, &[bench.volume("data", true)], &bench.labels("helper")).await.unwrap();
    assert_eq!(engine.writers_of(&volume).await.unwrap(), [app]);
    assert_eq!(engine.writers_of(&MountSource::Volume(bench.name("other"))).await.unwrap(), [""; 0]);
}

async fn a_name_is_held_by_what_cannot_be_started(bench: &Bench) {
    let engine = &bench.engine;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    let labels = bench.labels(ROLE_PLACEHOLDER);
    engine.create(&definition).await.unwrap();
    engine.start(app).await.unwrap();
    assert!(engine.vacate(app, &labels).await.is_err(), "a running container is not removed");
    engine.stop(app, GRACE).await.unwrap();
    engine.vacate(app, &labels).await.unwrap();
    engine.vacate(app, &labels).await.unwrap();
    assert!(engine.find(app).await.unwrap().is_none());
    let error = engine.start(app).await.unwrap_err();
    assert!(matches!(error, EngineError::NoSuchContainer { .. }), "{error:?}");
    engine.stop(app, GRACE).await.unwrap();
    if bench.is_real {
        let started = run(std::process::Command::new("docker").args(["start", app]));
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(!started.status.success() && said.contains("tidegate-is-at-work-on-this-container"), "{said}");
    }
    // Also after somebody tried.
    assert!(engine.find(app).await.unwrap().is_none());
    engine.create(&definition).await.unwrap();
    engine.start(app).await.unwrap();
    assert_eq!(engine.find(app).await.unwrap().unwrap().image_id, definition.image_id);

    let nobody = bench.name("nobody");
    engine.vacate(&nobody, &labels).await.unwrap();
    engine.remove(&nobody).await.unwrap();
    engine.vacate(&nobody, &labels).await.unwrap();
    engine.remove(&nobody).await.unwrap();
    assert!(engine.find(&nobody).await.unwrap().is_none());
}

/// Coolify#5099: after a restart the container had a new, empty volume.
async fn a_definition_carries_anonymous_volumes(bench: &Bench) {
    let engine = &bench.engine;
    let mut given = bench.definition("app").await;
    given.host_config["Binds"].as_array_mut().unwrap().pop();
    let app = given.container.as_str();
    engine.create(&given).await.unwrap();
    let note = || bench.is_real.then(|| bench.anonymous.lock().unwrap().note(app));
    note();
    let first = engine.definition(app).await.unwrap();
    assert_eq!((&first.config["Env"], &first.config["Labels"]), (&given.config["Env"], &given.config["Labels"]));
    let anonymous = first.mounts.iter().find(|mount| mount.destination == "/declared").unwrap();
    let MountSource::Volume(name) = &anonymous.source else { panic!("{anonymous:?}") };
    let bind = format!("{name}:/declared");
    assert!(first.host_config["Binds"].as_array().unwrap().contains(&bind.into()), "{}", first.host_config);
    assert!(!format!("{first:?}").contains("secret"));

    // The successor on another image has the same volume, and the definition is the same again.
    engine.remove(app).await.unwrap();
    engine.create(&first.on_image(BOXES[1], &bench.image(1).await)).await.unwrap();
    note();
    let second = engine.definition(app).await.unwrap();
    assert_eq!(second.mounts, first.mounts);
    assert_eq!(second, first.on_image(BOXES[1], &bench.image(1).await));
}

async fn a_holder_never_runs(bench: &Bench) {
    let engine = &bench.engine;
    let (holder, labels) = (bench.name("holder"), bench.labels("holder"));
    engine.hold(&holder, &bench.image(0).await, &labels).await.unwrap();
    engine.hold(&holder, &bench.image(0).await, &labels).await.unwrap();
    let view = engine.find(&holder).await.unwrap().unwrap();
    assert_eq!((view.state, &view.image_id), (ContainerState::Created, &bench.image(0).await));
    assert!(view.mounts.iter().all(|mount| mount.source == MountSource::Tmpfs), "{:?}", view.mounts);
    assert_eq!(engine.labelled(&labels).await.unwrap(), [view]);
    let error = engine.hold(&holder, &bench.image(1).await, &labels).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error:?}");
}

async fn names_of_images(bench: &Bench) {
    let engine = &bench.engine;
    let id = bench.image(0).await;
    let tag = format!("tg-engine/{}:1", bench.name("tag"));
    engine.tag(&id, &tag).await.unwrap();
    engine.tag(&id, &tag).await.unwrap();
    let view = engine.image(&tag).await.unwrap().unwrap();
    assert_eq!(
        (&view.id, &view.labels["tg.box"], &view.volumes),
        (&id, &"1".to_owned(), &vec!["/declared".to_owned()])
    );
    assert_eq!(engine.image(id.as_str()).await.unwrap().unwrap(), view);
    engine.untag(&tag).await.unwrap();
    engine.untag(&tag).await.unwrap();
    assert!(engine.image(&tag).await.unwrap().is_none());
    assert!(engine.image(BOXES[0]).await.unwrap().is_some());
}

async fn a_command(bench: &Bench) {
    let engine = &bench.engine;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    engine.create(&definition).await.unwrap();
    let error = engine.exec(app, &sh("true"), LIMIT).await.unwrap_err();
    assert!(matches!(error, EngineError::Request { .. }), "{error:?}");
    engine.start(app).await.unwrap();
    let result = engine.exec(app, &sh(TALK), LIMIT).await.unwrap();
    assert_eq!((result.exit_code, result.stdout.as_str(), result.stderr.as_str()), (3, "out\n", "err\n"));
    let error = engine.exec(app, &sh(HANG), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, EngineError::ExecTimedOut { seconds: 1, .. }), "{}", chain(&error));
}

async fn archives_go_in_and_out(bench: &Bench) {
    let engine = &bench.engine;
    let helper = bench.name("helper");
    engine.open_helper(&helper, &[bench.volume("data", true)], &bench.labels("helper")).await.unwrap();
    let tar = tar_of(&[
        (b"v0/", 'd', 0o755, b""),
        (b"v0/data/", 'd', 0o2750, b""),
        (b"v0/data/file", 'f', 0o4711, b"content"),
        (b"v0/data/hard", 'h', 0o4711, b"v0/data/file"),
        (b"v0/data/\xff\xfe", 'f', 0o600, b"not UTF-8"),
        (b"v0/data/way-out", 'l', 0o777, b"../../../../../../etc/passwd"),
        (b"v0/empty/", 'd', 0o700, b""),
    ]);
    engine.archive_in(&helper, body(tar)).await.unwrap();
    let whole = members(&collect(engine.archive_out(&helper, "/v0").await.unwrap()).await.unwrap());
    let names: Vec<String> = whole.iter().map(|member| String::from_utf8_lossy(&member.0).into_owned()).collect();
    let bad_name = "v0/data/\u{fffd}\u{fffd}";
    assert_eq!(
        names,
        ["v0", "v0/data", "v0/data/file", "v0/data/hard", "v0/data/way-out", bad_name, "v0/empty"],
        "{names:?}"
    );
    let part = members(&collect(engine.archive_out(&helper, "/v0/data").await.unwrap()).await.unwrap());
    let expected: [Brief<'_>; 5] = [
        (b"data", 'd', 0o2750, b"", b""),
        (b"data/file", 'f', 0o4711, b"", b"content"),
        (b"data/hard", 'h', 0o4711, b"data/file", b""),
        (b"data/way-out", 'l', 0o777, b"../../../../../../etc/passwd", b""),
        (b"data/\xff\xfe", 'f', 0o600, b"", b"not UTF-8"),
    ];
    let part: Vec<Brief<'_>> = part.iter().map(|(n, k, m, t, c)| (&n[..], *k, *m, &t[..], &c[..])).collect();
    assert_eq!(part, expected);
    for path in ["/v0/nothing", "/v1", "/v0/data/file/below"] {
        let error = engine.archive_out(&helper, path).await.err().expect(path);
        assert!(matches!(error, EngineError::NoSuchPath { .. }), "{path}: {error:?}");
    }
}

async fn a_broken_archive_is_an_error(bench: &Bench) {
    use futures::StreamExt;
    let engine = &bench.engine;
    let helper = bench.name("helper");
    engine.open_helper(&helper, &[bench.volume("data", true)], &bench.labels("helper")).await.unwrap();
    let tar = tar_of(&[(b"v0/a", 'f', 0o644, &[7; 5000]), (b"v0/b", 'f', 0o644, &[8; 5000])]);
    let broken = body(tar[..7000].to_vec()).chain(body(Vec::new()));
    let broken = broken.chain(futures::stream::iter([Err(StreamError::Cancelled)])).boxed();
    let error = engine.archive_in(&helper, broken).await.unwrap_err();
    assert!(chain(&error).ends_with("stopped on request"), "{}", chain(&error));
    let error = engine.archive_in(&helper, body(b"this is no archive".repeat(100))).await.unwrap_err();
    assert!(matches!(error, EngineError::Request { .. }), "{error:?}");

    engine.open_helper(&bench.name("reader"), &[bench.volume("data", false)], &bench.labels("helper")).await.unwrap();
    let error = engine.archive_in(&bench.name("reader"), body(tar)).await.unwrap_err();
    assert!(chain(&error).contains("read-only"), "{}", chain(&error));
}

async fn helpers_are_reused_or_replaced(bench: &Bench) {
    let engine = &bench.engine;
    let (helper, labels) = (bench.name("helper"), bench.labels("helper"));
    engine.open_helper(&helper, &[bench.volume("a", false)], &labels).await.unwrap();
    let first = engine.find(&helper).await.unwrap().unwrap();
    assert_eq!(first.state, ContainerState::Created);
    engine.open_helper(&helper, &[bench.volume("a", false)], &labels).await.unwrap();
    assert_eq!(engine.find(&helper).await.unwrap().unwrap().id, first.id);
    let both = [bench.volume("a", true), bench.volume("b", true)];
    engine.open_helper(&helper, &both, &labels).await.unwrap();
    let second = engine.find(&helper).await.unwrap().unwrap();
    assert_ne!(second.id, first.id);
    let mounts: Vec<_> = second.mounts.iter().map(|mount| (mount.destination.as_str(), mount.writable)).collect();
    assert_eq!(mounts, [("/v0", true), ("/v1", true)]);
    let odd = HelperMount { source: MountSource::Tmpfs, writable: true };
    assert!(engine.open_helper(&bench.name("odd"), &[odd], &labels).await.is_err());
    engine.remove(&helper).await.unwrap();
    assert!(engine.labelled(&labels).await.unwrap().is_empty());
}

async fn the_porter_moves_files_aside_and_back(bench: &Bench) {
    let engine = &bench.engine;
    let (porter, helper) = (bench.name("porter"), bench.name("helper"));
    let mounts = [bench.volume("data", true)];
    engine.open_helper(&helper, &mounts, &bench.labels("helper")).await.unwrap();
    let old =
        tar_of(&[(b"v0/data/", 'd', 0o750, b""), (b"v0/data/one", 'f', 0o640, b"old"), (b"v0/log", 'f', 0o644, b"x")]);
    engine.archive_in(&helper, body(old)).await.unwrap();
    let before = members(&collect(engine.archive_out(&helper, "/v0").await.unwrap()).await.unwrap());

    let (root, run) = ("/v0".to_owned(), "restore-1".to_owned());
    let ask = |request: PorterRequest| {
        let (porter, labels) = (porter.clone(), bench.labels("porter"));
        async move { engine.porter(&porter, &mounts_of(bench), &labels, &request).await.unwrap() }
    };
    let cover = Cover { include: vec![String::new()], exclude: vec!["log".into()] };
    let aside = PorterRequest::Aside { root: root.clone(), run: run.clone(), cover: cover.clone() };
    assert_eq!(ask(aside.clone()).await, Answer::Done { entries: 1 });
    assert_eq!(ask(aside).await, Answer::Done { entries: 0 });
    let new = tar_of(&[(b"v0/data/one", 'f', 0o640, b"new"), (b"v0/two", 'f', 0o640, b"new")]);
    engine.archive_in(&helper, body(new)).await.unwrap();
    let listing = ask(PorterRequest::List { root: root.clone(), cover, stat: vec!["two".into()] }).await;
    let Answer::Listing(listing) = listing else { panic!("{listing:?}") };
    assert_eq!((listing.filling.as_deref(), &listing.asides[..]), (Some("restore-1"), &["restore-1".to_owned()][..]));
    assert_eq!((listing.stats[0].bytes, listing.entries.len()), (3, 3));
    assert!(listing.free_bytes > 0 && listing.free_inodes > 0);
    assert_eq!(ask(PorterRequest::Settle { root: root.clone(), run: run.clone() }).await, Answer::Done { entries: 0 });
    assert_eq!(ask(PorterRequest::Back { root: root.clone(), run: run.clone() }).await, Answer::Done { entries: 3 });
    assert_eq!(ask(PorterRequest::Drop { root, run }).await, Answer::Done { entries: 6 });
    let after = members(&collect(engine.archive_out(&helper, "/v0").await.unwrap()).await.unwrap());
    assert_eq!(after, before);
    let failed = ask(PorterRequest::Drop { root: "/v0".into(), run: "../x".into() }).await;
    assert!(matches!(failed, Answer::Failed { disk_full: false, .. }), "{failed:?}");
    assert!(engine.find(&porter).await.unwrap().is_none(), "a porter leaves no container");
}

fn mounts_of(bench: &Bench) -> [HelperMount; 1] {
    [bench.volume("data", true)]
}

async fn a_lock_has_one_holder(bench: &Bench) {
    let lock = bench.name("lock");
    assert_eq!(bench.engine.lock_owner(&lock).await.unwrap(), None);
    let tries = (0..16).map(|pid| {
        let (engine, lock) = (bench.engine.clone(), lock.clone());
        tokio::spawn(async move { (pid, engine.lock(&lock, &owner("run", pid)).await.unwrap()) })
    });
    let answers: Vec<_> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<u32> = answers.iter().filter(|(_, is)| *is == LockAnswer::Taken).map(|(pid, _)| *pid).collect();
    let [winner] = winners[..] else { panic!("{winners:?}") };
    for (pid, answer) in &answers {
        assert!(*pid == winner || *answer == LockAnswer::Held(owner("run", winner)), "{answer:?}");
    }
    let engine = &bench.engine;
    assert_eq!(engine.lock(&lock, &owner("run", winner)).await.unwrap(), LockAnswer::Taken);
    assert_eq!(engine.lock_owner(&lock).await.unwrap(), Some(owner("run", winner)));
    engine.unlock(&lock, &owner("run", winner + 1)).await.unwrap();
    engine.unlock(&lock, &owner("other", winner)).await.unwrap();
    assert!(engine.lock_owner(&lock).await.unwrap().is_some(), "only its owner gives it back");
    engine.unlock(&lock, &owner("run", winner)).await.unwrap();
    engine.unlock(&lock, &owner("run", winner)).await.unwrap();
    assert_eq!(engine.lock_owner(&lock).await.unwrap(), None);
}
