//! For what an app can have wrong while it answers: the check that finds it. And an app that is merely different, on
//! which none of them fails. What inventory.rs and the stories have shown is not shown again.

use std::time::Duration;

use tidegate::instance::InstanceAdapter;
use tidegate::instance::appsmith::{Appsmith, AppsmithOptions, PagesInBrowser, Which};
use tidegate::model::observation::Observation;
use tidegate::model::verdict::compare;
use tidegate::smoke::Checks;
use tidegate::smoke::album::NoAlbum;
use tidegate::smoke::browser::Browsing;

use super::world::{Make, World};
use super::{ready, wait_for};
use crate::docker::engine;

/// With the first page of each app in a browser.
fn seeing(world: &World, folder: &tempfile::TempDir) -> Appsmith {
    let browsing = Browsing {
        program: None,
        folder: folder.path().to_owned(),
        jit: true,
        memory_limit_bytes: 2 << 30,
        pages_at_once: 2,
    };
    let pages_in_browser = PagesInBrowser { which: Which::First, limit: Duration::from_secs(20) };
    let checks = Checks { browsing: Some(browsing), ..Checks::default() };
    Appsmith::new(AppsmithOptions { checks, pages_in_browser, ..world.options() }).unwrap()
}

async fn look(app: &Appsmith) -> Observation {
    app.observe(&engine(), Some(&NoAlbum)).await.unwrap()
}

/// The ids of what keeps the verdict from being a pass, and the verdict itself.
fn blocking(baseline: &Observation, now: &Observation) -> (Vec<String>, String) {
    let verdict = compare(baseline, now);
    let mut kinds: Vec<String> = verdict.blocking().map(|item| item.id.clone()).collect();
    kinds.sort();
    (kinds, verdict.to_string())
}

/// appsmith#18116, #27362: a migration failed, or a program inside was in a loop, and the container was up.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_log_tells_is_found() {
    let world = World::start("log", Make::default()).await;
    let app = world.appsmith();
    ready(&app, "v1.99").await.unwrap();
    let baseline = look(&app).await;
    let broken = "migration-log:ABORTED,empty-page:Orders/Home";
    let world = world.upgrade(Make { version: "v2.2", broken, ..Make::default() }).await;
    ready(&app, "v2.2").await.unwrap();
    let (found, verdict) = blocking(&baseline, &look(&app).await);
    let [log, page] = found.as_slice() else { panic!("{verdict}") };
    assert!(log == "log:migrations" && page.starts_with("page-structure:"), "{verdict}");
    assert!(verdict.contains("by its log, a migration failed"), "{verdict}");

    let world = world.upgrade(Make { version: "v2.2", broken: "restart-loop:rts", ..Make::default() }).await;
    wait_for("the loop to be seen", async || {
        let (found, _) = blocking(&baseline, &look(&app).await);
        found.iter().any(|id| id == "log:programs")
    })
    .await;
    world.remove().await;
}

/// All that the API says is well.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_browser_sees_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start("seen", Make::default()).await;
    let app = seeing(&world, &folder);
    ready(&app, "v1.99").await.unwrap();
    let baseline = look(&app).await;
    for (broken, reason) in [
        ("blank-page", "'t--widget-']` was not there"),
        ("console-error", "console: "),
        ("missing-asset", "answered 404"),
    ] {
        world = world.upgrade(Make { broken, ..Make::default() }).await;
        ready(&app, "v1.99").await.unwrap();
        let (found, verdict) = blocking(&baseline, &look(&app).await);
        assert!(found.len() == 4 && found.iter().all(|id| id.starts_with("browser:app:")), "{broken}\n{verdict}");
        assert!(verdict.contains(reason), "{broken}\n{verdict}");
    }
    world.remove().await;
}

/// A newer version that is slow, lists all in another order, and has an app, pages, queries, fields and plugins that the
/// one before had not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_merely_different_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start("noisy", Make::default()).await;
    let app = seeing(&world, &folder);
    ready(&app, "v1.99").await.unwrap();
    let baseline = look(&app).await;
    let broken = "noisy-slow,noisy-extra,noisy-order,noisy-plugin";
    let world = world.upgrade(Make { version: "v2.2", broken, ..Make::default() }).await;
    ready(&app, "v2.2").await.unwrap();
    let now = look(&app).await;
    let (found, verdict) = blocking(&baseline, &now);
    assert!(found.is_empty(), "{verdict}");
    let apps = |seen: &Observation| seen.inventory.things["application"].len();
    assert!(apps(&now) > apps(&baseline), "it was not noisy");
    world.remove().await;
}
