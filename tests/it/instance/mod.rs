//! Appsmith's adapter against a stand-in in a real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests, which may fail loudly")]

mod inventory;
mod many;
mod proof;
pub(crate) mod world;

use std::sync::Mutex;
use std::time::Duration;

use tidegate::engine::{ContainerEngine, Listing};
use tidegate::instance::appsmith::{Appsmith, AppsmithOptions, Login};
use tidegate::instance::gate::ReadyOptions;
use tidegate::instance::generic::{Generic, GenericOptions, whole_mount};
use tidegate::instance::{Cleanliness, InstanceAdapter, InstanceError};
use tidegate::model::ids::{InstanceName, PartName};
use tidegate::model::observation::SeenResult;
use tidegate::model::verdict::{READY_CHECK, compare};
use tidegate::model::version::Version;
use tidegate::smoke::album::NoAlbum;
use tidegate_porter::protocol::Stat;

use self::world::{Make, World, http_check, patient, quick};
use crate::docker::{docker, engine};

fn v(text: &str) -> Version {
    Version::parse(text).unwrap()
}

async fn ready(app: &Appsmith, expected: &str) -> Result<Vec<String>, InstanceError> {
    let told = Mutex::new(Vec::new());
    app.ready(&engine(), Some(&v(expected)), &|phase| told.lock().unwrap().push(phase)).await?;
    Ok(told.into_inner().unwrap())
}

async fn not_ready(app: &Appsmith, expected: &str) -> String {
    match ready(app, expected).await {
        Err(InstanceError::NotReady { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// The only waiting of these tests: for a condition, with a deadline.
async fn wait_for(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_passes_all_phases_before_the_gate_opens() {
    // Slow enough for each phase to be seen.
    let world = World::start("phases", Make { seed: false, scale: "0.15", ..Make::default() }).await;
    // A fresh instance has no user yet.
    let app = Appsmith::new(AppsmithOptions { login: None, ..world.options() }).unwrap();
    let told = ready(&app, "v1.99").await.unwrap();
    let at = |words: &str| {
        told.iter().position(|phase| phase.contains(words)).unwrap_or_else(|| panic!("{words}: {told:?}"))
    };
    let phases =
        [at("prepares itself"), at("programs start"), at("502 Bad Gateway"), at("waiting whether it stays so")];
    assert!(phases.is_sorted(), "{told:?}");
    assert_eq!(app.version(&engine()).await.unwrap(), Some(v("v1.99")));
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_migrates_for_ever_never_opens_the_gate_though_docker_says_healthy() {
    let world = World::start("never", Make { broken: "never-ready", ..Make::default() }).await;
    let ready = ReadyOptions { ceiling: Duration::from_secs(12), ..patient() };
    let app = Appsmith::new(AppsmithOptions { ready, ..world.options() }).unwrap();
    let reason = not_ready(&app, "v1.99").await;
    assert!(reason.starts_with("it is not ready after 12 s: all programs run"), "{reason}");
    assert!(reason.contains("502 Bad Gateway") && reason.contains("its last lines:\n"), "{reason}");
    let healthy = async || engine().find(&world.name).await.unwrap().unwrap().health.as_deref() == Some("healthy");
    wait_for("Docker's health check to be content", healthy).await;
    let page = reqwest::get(&world.url).await.unwrap();
    assert_eq!(page.status(), 200, "the page that proves nothing");
    world.remove().await;
}

/// appsmith#27362: after an update mongod was FATAL, and the container up.
/// appsmith#27890: the same, seen by others.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_succeed_is_given_up_at_once_with_its_reason() {
    let table = [
        ("exit", "its container ended with exit code 1", "the entry point gives up"),
        ("backend-fatal", "its program `backend` is FATAL", "backend"),
        ("health-flap", "its backend ended 3 times", "backend"),
    ];
    for (broken, reason, log) in table {
        let world = World::start(&format!("broken-{broken}"), Make { broken, ..Make::default() }).await;
        let said = not_ready(&world.appsmith(), "v1.99").await;
        assert!(said.starts_with(reason) && said.contains(log), "{broken}: {said}");
        world.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_than_expected_is_not_ready() {
    let world = World::start("version", Make::default()).await;
    let said = not_ready(&world.appsmith(), "v2.2").await;
    assert!(said.starts_with("it is v1.99 and should be v2.2"), "{said}");
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_sent_once() {
    let world = World::start("login", Make::default()).await;
    world.set_password("wrong-password");
    let app = world.appsmith();
    for _ in 0..8 {
        let error = ready(&app, "v1.99").await.unwrap_err();
        assert!(matches!(error, InstanceError::LoginRefused { .. }), "{error}");
        assert_eq!(error.to_string(), "`staging` refused the login of `admin@standin.test`");
        assert!(matches!(app.observe(&engine(), Some(&NoAlbum)).await, Err(InstanceError::LoginRefused { .. })));
    }
    // Five refusals lock the user out for a day, so more than one of those would show here.
    world.set_password("standin-password\n");
    ready(&app, "v1.99").await.unwrap();
    world.remove().await;
}

/// Each adapter is as a process of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_sent_once_by_all_processes_together() {
    let world = World::start("login-all", Make::default()).await;
    world.set_password("wrong-password");
    let state = tempfile::tempdir().unwrap();
    let refused_file = state.path().join("logins").join("staging.json");
    let process = || {
        let options = world.options();
        let login = options.login.map(|login| Login { refused_file: Some(refused_file.clone()), ..login });
        Appsmith::new(AppsmithOptions { login, ..world.options() }).unwrap()
    };
    for nth in 1..=6 {
        let error = ready(&process(), "v1.99").await.unwrap_err();
        let InstanceError::LoginRefused { earlier, .. } = error else { panic!("{error}") };
        assert_eq!(earlier.is_some(), nth > 1, "process {nth}");
    }
    // Five refusals lock the user out for a day.
    world.set_password("standin-password\n");
    ready(&process(), "v1.99").await.unwrap();
    assert!(!refused_file.exists());
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_page_is_found_only_by_its_inner_envelope_and_the_verdict_names_it() {
    let world = World::start("page", Make::default()).await;
    let checks =
        quick([http_check("home", "/", None), http_check("health", "/api/v1/health", Some("All systems are up"))]);
    let app = |world: &World| Appsmith::new(AppsmithOptions { checks: checks.clone(), ..world.options() }).unwrap();
    let before = app(&world);
    ready(&before, "v1.99").await.unwrap();
    let baseline = before.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    let kinds = |kind: &str| baseline.inventory.things.get(kind).map_or(0, |things| things.len());
    assert_eq!((kinds("workspace"), kinds("application")), (2, 4));
    assert!(kinds("page") >= 4 && kinds("datasource") >= 1 && kinds("query") >= 1, "{baseline:?}");
    assert_eq!(kinds("page-structure"), kinds("page"));
    assert!(baseline.inventory.instance_id.is_some());
    let passed = baseline.checks.values().all(|seen| seen.result == SeenResult::Pass);
    assert!(passed && baseline.checks.len() > 10, "{:?}", baseline.checks);

    let world = world.upgrade(Make { broken: "app:Orders", ..Make::default() }).await;
    let after = app(&world);
    ready(&after, "v1.99").await.unwrap();
    let verdict = compare(&baseline, &after.observe(&engine(), Some(&NoAlbum)).await.unwrap());
    let blocking: Vec<String> = verdict.blocking().map(ToString::to_string).collect();
    assert!(
        !blocking.is_empty()
            && blocking.iter().all(|line| line.contains("of app `Orders`: its part `pageWithMigratedDsl` failed")),
        "{verdict}"
    );
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_lost_in_a_migration_is_found_by_the_inventory() {
    let world = World::start("lose", Make::default()).await;
    let before = world.appsmith();
    ready(&before, "v1.99").await.unwrap();
    let baseline = before.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    assert!(compare(&baseline, &before.observe(&engine(), Some(&NoAlbum)).await.unwrap()).is_pass());

    let world = world.upgrade(Make { version: "v2.2", broken: "lose-app:Returns", ..Make::default() }).await;
    // The same adapter goes on, as it does in an upgrade: same session, other container.
    ready(&before, "v2.2").await.unwrap();
    let verdict = compare(&baseline, &before.observe(&engine(), Some(&NoAlbum)).await.unwrap());
    let lost =
        verdict.blocking().map(ToString::to_string).any(|line| line == "fail: application `Returns`: it is gone");
    assert!(lost, "{verdict}");
    assert!(!verdict.to_string().contains("Orders"), "{verdict}");
    world.remove().await;
}

async fn statuses(world: &World) -> String {
    let result = engine().exec(&world.name, &["supervisorctl".into(), "status".into()], Duration::from_secs(20)).await;
    result.unwrap().stdout
}

async fn lock_bytes(world: &World) -> usize {
    let path = format!("{}:/appsmith-stacks/data/mongodb/mongod.lock", world.name);
    let output = docker(&["cp", &path, "-"]).await;
    let mut archive = tar::Archive::new(&output.stdout[..]);
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    entry.size() as usize
}

fn judged(world_view: &tidegate::engine::ContainerView, app: &Appsmith, bytes: usize) -> Cleanliness {
    let stats = vec![Stat { path: "data/mongodb/mongod.lock".into(), bytes: bytes as u64 }];
    app.is_clean(world_view, &[("/appsmith-stacks".into(), Listing { stats, ..Listing::default() })])
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_the_database_has_closed_its_files_and_wakes_again() {
    let world = World::start("rest", Make::default()).await;
    let app = world.appsmith();
    ready(&app, "v1.99").await.unwrap();
    assert_ne!(lock_bytes(&world).await, 0);

    app.rest(&engine()).await.unwrap();
    app.rest(&engine()).await.unwrap();
    let at_rest = statuses(&world).await;
    assert!(
        at_rest.lines().filter(|line| !line.starts_with("stdout ")).all(|line| line.contains("STOPPED")),
        "{at_rest}"
    );
    assert_eq!(lock_bytes(&world).await, 0);
    let seen = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    assert!(matches!(seen.checks[READY_CHECK].result, SeenResult::Fail { .. }));

    app.wake(&engine()).await.unwrap();
    app.wake(&engine()).await.unwrap();
    ready(&app, "v1.99").await.unwrap();

    app.rest(&engine()).await.unwrap();
    engine().stop(&world.name, app.stop_grace()).await.unwrap();
    app.rest(&engine()).await.unwrap();
    app.wake(&engine()).await.unwrap();
    let view = engine().find(&world.name).await.unwrap().unwrap();
    assert_eq!(judged(&view, &app, lock_bytes(&world).await), Cleanliness::Clean);
    world.remove().await;
}

/// mongo images: killed after 10 s, where a clean stop takes 40.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_supervisor_would_kill_is_told_to_quit_soon() {
    for (quick, expected_clean) in [(true, true), (false, false)] {
        let world =
            World::start(&format!("slow-mongod-{quick}"), Make { broken: "slow-mongod", ..Make::default() }).await;
        let app = Appsmith::new(AppsmithOptions { quick_mongod_stop: quick, ..world.options() }).unwrap();
        ready(&app, "v1.99").await.unwrap();
        app.rest(&engine()).await.unwrap();
        let view = engine().find(&world.name).await.unwrap().unwrap();
        let clean = judged(&view, &app, lock_bytes(&world).await) == Cleanliness::Clean;
        assert_eq!(clean, expected_clean, "quick_mongod_stop = {quick}");
        world.remove().await;
    }
}

/// appsmith#29116: wanted: to heal by itself, which would start programs at rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_would_not_last_or_not_hold_the_data_is_refused() {
    let table = [
        ("heal", "APPSMITH_AUTO_HEAL=1", "restarts by itself"),
        ("external", "APPSMITH_DB_URL=mongodb://u:hunter2@db.example/appsmith", "has no MongoDB of its own"),
    ];
    for (test, setting, why) in table {
        let world = World::start(&format!("refuse-{test}"), Make { create: &["-e", setting], ..Make::default() }).await;
        let app = Appsmith::new(AppsmithOptions { login: None, ..world.options() }).unwrap();
        ready(&app, "v1.99").await.unwrap();
        let before = statuses(&world).await;
        let error = app.rest(&engine()).await.unwrap_err();
        assert!(matches!(error, InstanceError::CannotRest { .. }) && error.to_string().contains(why), "{error}");
        assert!(before.contains("RUNNING") && !statuses(&world).await.contains("STOPPED"));
        let helper = world.helper().await;
        let mounts = ["/appsmith-stacks".to_owned()];
        let error = app.preflight(&engine(), &helper, &mounts, None).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        world.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_format_are_read_through_a_helper() {
    let world = World::start("helper", Make { version: "v2.2", ..Make::default() }).await;
    let app = world.appsmith();
    ready(&app, "v2.2").await.unwrap();
    let helper = world.helper().await;
    let mounts = ["/appsmith-stacks".to_owned()];
    app.preflight(&engine(), &helper, &mounts, None).await.unwrap();
    assert_eq!(app.data_format(&engine(), &helper, &mounts).await.unwrap().as_deref(), Some("7"));
    assert_eq!(app.data_format(&engine(), &helper, &["/elsewhere".into()]).await.unwrap(), None);
    world.remove().await;
}

fn generic(world: &World) -> GenericOptions {
    let words = |command: &str| command.split(' ').map(str::to_owned).collect::<Vec<String>>();
    GenericOptions {
        name: InstanceName::new("wiki").unwrap(),
        container: world.name.clone(),
        url: Some(world.url.clone()),
        stop_grace: Duration::from_secs(60),
        parts: vec![whole_mount(PartName::new("data").unwrap(), "/appsmith-stacks")],
        acknowledge_mounts: Vec::new(),
        rest: vec![words("supervisorctl stop editor backend rts"), words("supervisorctl stop mongodb redis")],
        wake: vec![words("supervisorctl start redis mongodb rts backend editor")],
        command_limit: Duration::from_secs(60),
        ready: patient(),
        checks: quick([http_check("health", "/api/v1/health", Some("All systems are up"))]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_app_is_ready_when_docker_and_its_checks_say_so() {
    let world = World::start("generic", Make::default()).await;
    let app = Generic::new(generic(&world)).unwrap();
    let told = Mutex::new(Vec::new());
    app.ready(&engine(), None, &|phase| told.lock().unwrap().push(phase)).await.unwrap();
    assert!(told.into_inner().unwrap().iter().any(|phase| phase.contains("Docker's health check says `starting`")));
    let baseline = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    app.rest(&engine()).await.unwrap();
    assert_eq!(lock_bytes(&world).await, 0);
    let at_rest = compare(&baseline, &app.observe(&engine(), Some(&NoAlbum)).await.unwrap());
    assert!(!at_rest.is_pass() && at_rest.to_string().contains("fail: http check `health`: "), "{at_rest}");
    app.wake(&engine()).await.unwrap();
    app.ready(&engine(), None, &|_| {}).await.unwrap();
    let view = engine().find(&world.name).await.unwrap().unwrap();
    assert_eq!(app.parts(&view, &[]).unwrap().len(), 1);
    let nothing = Generic::new(GenericOptions { parts: Vec::new(), ..generic(&world) }).unwrap();
    assert!(matches!(nothing.parts(&view, &[]), Err(InstanceError::UncoveredMount { .. })));
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_keeps_any_app_from_resting() {
    let world = World::start("generic-rest", Make::default()).await;
    let rest = vec![vec!["supervisorctl".to_owned(), "stop".to_owned()]];
    let app = Generic::new(GenericOptions { rest, ..generic(&world) }).unwrap();
    app.ready(&engine(), None, &|_| {}).await.unwrap();
    let error = app.rest(&engine()).await.unwrap_err();
    assert!(matches!(error, InstanceError::CannotRest { .. }), "{error}");
    assert!(error.to_string().contains("`supervisorctl` ended with 2: Error: stop requires a process name"), "{error}");
    world.remove().await;
}
