//! Production's data on staging: it can be read there, and staging stays staging.

use std::collections::BTreeSet;

use super::observer::Observer;
use super::pair::{LOCKED, Make, Pair, Site};
use crate::docker::docker;

/// Where an Appsmith has its settings.
pub const SETTINGS: &str = "/appsmith-stacks/configuration/docker.env";

/// A file of the instance.
pub async fn file(site: &Site, path: &str) -> Option<String> {
    let copied = docker(&["cp", &format!("{}:{path}", site.container), "-"]).await;
    let mut archive = tar::Archive::new(copied.stdout.as_slice());
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text).ok()?;
    Some(text)
}

/// Writes a line to the end of its settings, as its administrator would.
pub async fn set(site: &Site, line: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.env");
    std::fs::write(&path, format!("{}{line}\n", file(site, SETTINGS).await.unwrap())).unwrap();
    let to = format!("{}:{SETTINGS}", site.container);
    crate::docker::docker_ok(&["cp", path.to_str().unwrap(), &to]).await;
}

/// Who is logged in.
async fn sessions(site: &Site) -> BTreeSet<String> {
    let dump = file(site, "/appsmith-stacks/data/redis/dump.rdb").await.unwrap_or_else(|| "{}".into());
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    dump["sessions"].as_object().into_iter().flatten().map(|(id, _)| id.clone()).collect()
}

fn value<'a>(settings: &'a str, name: &str) -> &'a str {
    let line = settings.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name} is missing"))
}

/// Killed in the middle and resumed, too; and undone.
/// appsmith#21603: a restore overwrote the database's address. appsmith#38895: sessions of before survived one.
#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_production_comes_to_staging_with_its_keys_and_nothing_else() {
    let pair = Pair::start("clone", Make { both: true, own_data: true, ..Make::default() }).await;
    let (staging, production) = (&pair.staging, &pair.production);
    set(staging, "APPSMITH_MAIL_HOST=mail.staging").await;
    set(production, "APPSMITH_MAIL_HOST=mail.production").await;
    production.change("of production").await;
    let (own, theirs) = (staging.content().await, production.content().await);
    let (before, of_production) = (file(staging, SETTINGS).await.unwrap(), file(production, SETTINGS).await.unwrap());
    let definition = staging.definition().await;
    let id = pair.snapshot(production).await;

    let plan = pair.run(&["restore", "production", &id, "--as", "staging", "--dry-run"]).await.expect(0);
    let plan = pair.without_names(&plan.stdout).replace(&id, "SNAPSHOT");
    let plan: Vec<&str> = plan.lines().filter(|line| !line.contains("fetches")).collect();
    insta::with_settings!({filters => vec![(r"\(\d{4}-.*?\)", "(TIME)"), (r"taken [^(]* \(", "taken AGO (")]}, {
        insta::assert_snapshot!(plan.join("\n"), @"
        restore staging to snapshot SNAPSHOT of production, taken AGO (TIME), version v1.98
          because: asked for
          warning: its data sources hold the credentials of `production`: every query that runs on `staging` from then on reads and writes the databases of `production`
          warning: its Git keys are those of `production`, too: a commit or a pull on `staging` pushes to the same repositories
          warning: people log in to `staging` with their accounts of `production`; who is logged in now is logged out
          everything that it has now goes out of service, and is kept beside it; its address and settings stay
          replaces in /appsmith-stacks: ca-certs, caddy, configuration, database, git-storage, postgres, redis, ssl; all else there stays
        ");
    });
    let unnamed = pair.run(&["restore", "production", "--as", "staging"]).await.expect(2);
    assert!(unnamed.stderr.contains(&format!("  {id}  ")), "{}", unnamed.stderr);

    let observer = Observer::start(staging).await;
    let words = ["restore", "production", id.as_str(), "--as", "staging", "--yes"];
    pair.kill_at(&words, "started", "fill staging").await;
    pair.run(&["resume"]).await.expect(0);
    staging.is_well().await;
    assert_eq!(staging.definition().await, definition);
    let after = file(staging, SETTINGS).await.unwrap();
    for (name, from) in [
        ("APPSMITH_ENCRYPTION_PASSWORD", &of_production),
        ("APPSMITH_ENCRYPTION_SALT", &of_production),
        ("APPSMITH_DB_URL", &of_production),
        ("APPSMITH_MAIL_HOST", &before),
    ] {
        assert_eq!(value(&after, name), value(from, name), "{name}");
    }
    let content = staging.content().await;
    assert_eq!(content.changed(&theirs), ["configuration/docker.env"]);
    assert_eq!(production.content().await, theirs, "production is not touched");
    let told = pair.run(&["logs", "restore-"]).await.expect(0).stdout;
    assert!(told.contains("its keys open its data: data source `"), "{told}");
    pair.nothing_is_left(staging).await;

    // Nobody is logged in to staging with a session of production.
    let (ours, theirs) = (sessions(staging).await, sessions(production).await);
    assert!(!theirs.is_empty() && ours.is_disjoint(&theirs), "{ours:?} {theirs:?}");

    pair.run(&["undo", "staging", "--yes"]).await.expect(0);
    staging.is_well().await;
    assert!(staging.content().await.is(&own.or_recovered()), "{:?}", staging.content().await.changed(&own));
    assert_eq!(file(staging, SETTINGS).await.unwrap(), before);
    observer.nothing_ran_twice().await;
}

/// appsmith#16249: with other keys than the data was written with everything is listed, and no data source works.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_keys_do_not_open_the_data_is_rolled_back() {
    let pair = Pair::start("keys", Make { old: LOCKED, tags: &[], ..Make::default() }).await;
    let site = &pair.staging;
    let id = pair.snapshot(site).await;
    site.change("since").await;
    let before = site.content().await;
    let ended = pair.run(&["restore", "staging", &id, "--yes"]).await.expect(5);
    assert!(ended.stderr.contains("the encryption keys of `staging` do not open its data"), "{}", ended.stderr);
    site.is_well().await;
    assert!(site.content().await.is(&before), "{:?}", site.content().await.changed(&before));
    pair.run(&["restore", "staging", &id, "--yes", "--no-checks"]).await.expect(0);
}

/// A snapshot that was taken while production ran: its archive is loaded with production's keys and staging's settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_snapshot_of_production_comes_to_staging_as_well() {
    let pair = Pair::start("hot-clone", Make { both: true, own_data: true, ..Make::default() }).await;
    let (staging, production) = (&pair.staging, &pair.production);
    set(staging, "APPSMITH_MAIL_HOST=mail.staging").await;
    let of_production = file(production, SETTINGS).await.unwrap();
    let taken = pair.run(&["snapshot", "production", "--mode", "hot", "--json"]).await.expect(0);
    let id = taken.json()["snapshot"]["id"].as_str().expect("an id").to_owned();
    pair.run(&["restore", "production", &id, "--as", "staging", "--yes"]).await.expect(0);
    staging.is_well().await;
    let after = file(staging, SETTINGS).await.unwrap();
    for name in ["APPSMITH_ENCRYPTION_PASSWORD", "APPSMITH_ENCRYPTION_SALT"] {
        assert_eq!(value(&after, name), value(&of_production, name), "{name}");
    }
    assert_eq!(value(&after, "APPSMITH_MAIL_HOST"), "mail.staging");
    let told = pair.run(&["logs", "restore-"]).await.expect(0).stdout;
    assert!(told.contains("its keys open its data: data source `"), "{told}");
    assert!(sessions(staging).await.is_disjoint(&sessions(production).await));
    pair.nothing_is_left(staging).await;
}
