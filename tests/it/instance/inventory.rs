//! What a look finds of a stand-in, and what its checks run there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tidegate::instance::InstanceAdapter;
use tidegate::instance::appsmith::{Appsmith, AppsmithOptions, Login};
use tidegate::model::observation::{Observation, SeenResult};
use tidegate::model::verdict::compare;
use tidegate::smoke::Checks;
use tidegate::smoke::album::NoAlbum;
use tidegate::smoke::query::{Expect, Params, QueryCheck};

use super::ready;
use super::world::{Make, World};
use crate::docker::{docker, engine};

fn count(seen: &Observation, kind: &str) -> usize {
    seen.inventory.things.get(kind).map_or(0, BTreeMap::len)
}

/// Those that did not pass, as `title: reason`.
fn not_well(seen: &Observation) -> Vec<String> {
    let reason = |result: &SeenResult| match result {
        SeenResult::Pass => None,
        SeenResult::Fail { reason } => Some(format!("fail: {reason}")),
        SeenResult::Error { reason } => Some(format!("error: {reason}")),
    };
    seen.checks.values().filter_map(|seen| Some(format!("{}: {}", seen.title, reason(&seen.result)?))).collect()
}

/// The queries that really ran, by the stand-in's log.
async fn ran(world: &World) -> Vec<String> {
    let logs = docker(&["logs", &world.name]).await;
    let text = [logs.stdout, logs.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let name = |line: &str| Some(line.split_once("real query: ")?.1.split_once(" action=")?.0.to_owned());
    text.lines().filter_map(name).collect()
}

/// appsmith#41504: after an update only the editor was broken.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_people_made_is_in_the_inventory_and_nothing_runs_for_it() {
    let world = World::start("inventory", Make { broken: "edit:Returns", ..Make::default() }).await;
    let app = world.appsmith();
    ready(&app, "v1.99").await.unwrap();
    let seen = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    let inventory = &seen.inventory;
    let pages = count(&seen, "page");
    assert_eq!((count(&seen, "workspace"), count(&seen, "application"), pages), (2, 4, 11));
    assert_eq!((count(&seen, "js-object"), count(&seen, "query")), (pages, 2 * pages + 4));
    assert!(count(&seen, "plugin") >= 5 && count(&seen, "datasource") == 6, "{:?}", inventory.things);
    assert!(inventory.things["plugin"].contains_key("postgres-plugin"));
    assert!(inventory.things["page-on-load"].values().any(|what| what == "getHome"), "{:?}", inventory.things);
    let query = inventory.things["query"].keys().next().unwrap();
    let title = inventory.title("query", query);
    assert!(title.contains(" of page `") && title.contains(" of app `"), "{title}");
    for roles in inventory.members.values() {
        let who = |role: &str| roles[role].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(who("Administrator"), ["admin@standin.test"]);
        assert_eq!(who("App Viewer"), ["viewer@standin.test"]);
    }
    assert_eq!((inventory.members.len(), inventory.git.len()), (2, 3));
    let git = inventory.git.values().next().unwrap().to_string();
    assert!(git.starts_with("branch `production` of git@git.example:standin/"), "{git}");
    assert_eq!(seen.took_ms.len(), pages + 4, "each page, and each application in the editor");
    // appsmith#41504: only the editor is broken.
    let wrong = not_well(&seen);
    assert!(
        matches!(wrong.as_slice(), [one] if one.starts_with("app `Returns` in the editor: fail: its part ")),
        "{wrong:?}"
    );
    assert!(ran(&world).await.is_empty(), "a look runs no query");

    // A user who may see less fails nothing: what he has no right to is not there.
    let viewer = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(viewer.path(), "viewer-password").unwrap();
    let login =
        Some(Login { user: "viewer@standin.test".into(), password_file: viewer.path().to_owned(), refused_file: None });
    let seen = Appsmith::new(AppsmithOptions { login, ..world.options() })
        .unwrap()
        .observe(&engine(), Some(&NoAlbum))
        .await
        .unwrap();
    assert_eq!(not_well(&seen), [""; 0]);
    assert_eq!((count(&seen, "application"), count(&seen, "page")), (4, 11));
    world.remove().await;
}

/// appsmith#29353: after an update an app was missing, and nobody had looked.
/// appsmith#25535: data sources were missing and nothing said so.
/// appsmith#26403: the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_migration_loses_is_named_and_a_plugin_only_warns() {
    let world = World::start("loses", Make::default()).await;
    let app = world.appsmith();
    ready(&app, "v1.99").await.unwrap();
    let baseline = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    let broken = "lose-page:Orders/Details,lose-query:Inventory/getHome,lose-js:Customers/HomeHelpers,\
                  lose-datasource:Billing,lose-plugin:mysql-plugin,lose-user:viewer@standin.test";
    let world = world.upgrade(Make { version: "v2.2", broken, ..Make::default() }).await;
    ready(&app, "v2.2").await.unwrap();
    let verdict = compare(&baseline, &app.observe(&engine(), Some(&NoAlbum)).await.unwrap());
    let blocking: Vec<String> = verdict.blocking().map(ToString::to_string).collect();
    for wanted in [
        "fail: page `Details` of app `Orders`: it is gone",
        "fail: query `getHome` of page `Home` of app `Inventory`: it is gone",
        "fail: js-object `HomeHelpers` of page `Home` of app `Customers`: it is gone",
        "fail: datasource `Billing` of workspace `Operations`: it is gone",
        "fail: the members of workspace `Operations`: gone: viewer@standin.test",
    ] {
        assert!(blocking.iter().any(|line| line == wanted), "{wanted}\n{verdict}");
    }
    assert!(!verdict.to_string().contains("Returns"), "{verdict}");
    let warned = verdict.warnings().any(|item| item.to_string() == "changed: plugin `MySQL`: it is gone");
    assert!(warned, "{verdict}");
    world.remove().await;
}

fn query(name: &str, app: &str, page: Option<&str>, query: &str) -> QueryCheck {
    QueryCheck {
        name: name.into(),
        app: app.into(),
        page: page.map(str::to_owned),
        query: query.into(),
        params: Params::default(),
        min_rows: None,
        max_rows: None,
        expect: None,
        max_latency: None,
        limit: Duration::from_secs(30),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_that_are_named_run_and_no_others() {
    let broken = "query:Returns/getHome,slow-query:Customers/getHome:1";
    let world = World::start("queries", Make { broken, ..Make::default() }).await;
    let params = || {
        let values = [("Input1.text", json!("x")), ("Table1.selectedRow.id", json!(7))];
        Params(values.into_iter().map(|(binding, value)| (binding.to_owned(), value)).collect())
    };
    let rows = |min_rows| QueryCheck { min_rows: Some(min_rows), ..query("rows", "Orders", None, "getHome") };
    let pointer = Expect { pointer: "/0".into(), equals: None };
    let queries = vec![
        QueryCheck { max_rows: Some(3), expect: Some(pointer), ..rows(3) },
        QueryCheck { name: "more rows".into(), ..rows(4) },
        query("broken", "Returns", Some("Home"), "getHome"),
        QueryCheck {
            max_latency: Some(Duration::from_millis(500)),
            ..query("slow", "Customers", Some("Home"), "getHome")
        },
        QueryCheck { params: params(), ..query("with values", "Inventory", Some("Home"), "updateHome") },
        query("without values", "Inventory", Some("Home"), "updateHome"),
        query("no such", "Orders", None, "getHom"),
    ];
    let app =
        Appsmith::new(AppsmithOptions { checks: Checks { queries, ..Checks::default() }, ..world.options() }).unwrap();
    ready(&app, "v1.99").await.unwrap();
    let seen = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    let result = |name: &str| match &seen.checks[&format!("query:{name}")].result {
        SeenResult::Pass => "pass".to_owned(),
        SeenResult::Fail { reason } => format!("fail: {reason}"),
        SeenResult::Error { reason } => format!("error: {reason}"),
    };
    assert_eq!(result("rows"), "pass");
    assert_eq!(result("more rows"), "fail: it has 3 rows, fewer than 4");
    assert!(result("broken").starts_with("fail: "), "{}", result("broken"));
    let slow = result("slow");
    assert!(slow.starts_with("fail: it took ") && slow.ends_with(" ms, more than 500 ms"), "{slow}");
    assert_eq!(result("with values"), "pass");
    assert_eq!(
        result("without values"),
        "error: it needs a value in `params` for `Input1.text`, `Table1.selectedRow.id`"
    );
    assert!(result("no such").starts_with("error: no query is called `getHom`; there is "), "{}", result("no such"));
    let mut ran = ran(&world).await;
    ran.sort();
    let expected = [
        ("Customers", "getHome"),
        ("Inventory", "updateHome"),
        ("Orders", "getHome"),
        ("Orders", "getHome"),
        ("Returns", "getHome"),
    ];
    assert_eq!(ran, expected.map(|(app, query)| format!("application={app:?} name={query:?}")));
    world.remove().await;
}

/// appsmith#16249: with the wrong key no data source could be decrypted.
#[tokio::test(flavor = "multi_thread")]
async fn data_sources_are_tested_only_where_that_is_wanted() {
    let world = World::start("sources", Make { broken: "datasource:Events", ..Make::default() }).await;
    let quiet = world.appsmith();
    ready(&quiet, "v1.99").await.unwrap();
    assert_eq!(not_well(&quiet.observe(&engine(), Some(&NoAlbum)).await.unwrap()), [""; 0]);
    let app = Appsmith::new(AppsmithOptions { test_datasources: true, ..world.options() }).unwrap();
    let seen = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    let tests = seen.checks.keys().filter(|id| id.starts_with("datasource:")).count();
    assert_eq!(tests, 6);
    let wrong = not_well(&seen);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    for workspace in ["Operations", "Customer Care"] {
        let title = format!("datasource `Events` of workspace `{workspace}` connects: fail: Given final block");
        assert!(wrong.iter().any(|line| line.starts_with(&title)), "{wrong:?}");
    }
    world.remove().await;
}

/// Before v1.50 the branches of an application have one id, and a header says which is meant; v1.9.x has no
/// consolidated view and no list of workspaces.
#[tokio::test(flavor = "multi_thread")]
async fn older_versions_are_looked_at_in_their_own_way() {
    for version in ["v1.40", "v1.9.52"] {
        let world =
            World::start(&format!("older-{}", version.replace('.', "-")), Make { version, ..Make::default() }).await;
        let app = world.appsmith();
        ready(&app, version).await.unwrap();
        let seen = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
        assert_eq!(not_well(&seen), [""; 0], "{version}");
        let counts = ["workspace", "application", "page", "js-object", "query"].map(|kind| count(&seen, kind));
        assert_eq!(counts, [2, 4, 11, 11, 26], "{version}");
        world.remove().await;
    }
}
