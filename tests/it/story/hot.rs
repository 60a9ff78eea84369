//! A snapshot while the instance runs: nobody notices, nothing stays behind, and nothing half is ever listed.

use std::collections::BTreeMap;
use std::io::Read;

use tidegate::model::layout::LABEL_CONTAINER;

use super::kill::sample;
use super::observer::Observer;
use super::pair::{
    CUT_BACKUP, FAILS_TO_LOAD, FOLDER_BACKUP, LOADS_NOTHING, Make, Pair, SLOW_BACKUP, STOPPING_BACKUP, STRICT, Site,
};
use super::wait_for;
use crate::docker::{docker, docker_ok};

const HOT: &[&str] = &["snapshot", "staging", "--mode", "hot"];

/// What lies in `data/backup`, by name, with its size.
async fn archives(site: &Site) -> BTreeMap<String, u64> {
    let from = format!("{}:/appsmith-stacks/data/backup", site.container);
    let output = docker(&["cp", &from, "-"]).await;
    let mut tar = tar::Archive::new(&output.stdout[..]);
    let files = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.path().unwrap().file_name().unwrap().to_str().unwrap().to_owned(), entry.size())
    });
    files.filter(|(name, _)| name != "backup").collect()
}

/// Archives of the operator's own: more than the tool keeps by itself.
async fn with_archives_of_its_operator(site: &Site) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=5 {
        let name = format!("appsmith-backup-2026-01-0{day}T00-00-00.000Z.tar.gz");
        std::fs::write(folder.path().join(&name), "precious").unwrap();
        let to = format!("{}:/appsmith-stacks/data/backup/{name}", site.container);
        docker_ok(&["cp", folder.path().join(&name).to_str().unwrap(), &to]).await;
    }
    archives(site).await
}

/// One life of the container, and its processes: a backend that was restarted is another.
async fn life(site: &Site) -> String {
    let seen = site.inspect().await.unwrap();
    let programs = docker_ok(&["exec", &site.container, "supervisorctl", "status", "backend", "rts", "mongodb"]).await;
    let pids: Vec<&str> = programs.lines().filter_map(|line| line.split("pid ").nth(1)?.split(',').next()).collect();
    format!("{} {} {pids:?}", seen["Id"], seen["State"]["StartedAt"])
}

async fn listed(pair: &Pair) -> usize {
    pair.run(&["snapshots", "--json"]).await.expect(0).json().as_array().unwrap().len()
}

/// Dokploy#4000: the app was down until all was stored. Here it was up all the time, what it holds is what it should, and it is never taken for a cold one.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_snapshot_stops_nothing_and_leaves_nothing_behind() {
    let pair = Pair::start("hot", Make::default()).await;
    let site = &pair.staging;
    let theirs = with_archives_of_its_operator(site).await;
    assert_eq!(theirs.len(), 5);
    let (before, life_before, observer) = (site.content().await, life(site).await, Observer::start(site).await);

    let plan = pair.run(&[HOT, &["--dry-run"]].concat()).await.expect(0);
    insta::assert_snapshot!("plan", pair.without_names(&plan.stdout));
    let taken = pair.run(&[HOT, &["--json"]].concat()).await.expect(0);
    let id = taken.json()["snapshot"]["id"].as_str().unwrap().to_owned();
    assert_eq!(life(site).await, life_before, "nothing was stopped");
    assert!(site.content().await.is(&before));
    assert_eq!(archives(site).await, theirs, "its own archive is gone, and no other");
    observer.nothing_ran_twice().await;
    pair.nothing_is_left(site).await;

    let shown = pair.run(&["show", &id, "--json"]).await.expect(0).json();
    let manifest = &shown["snapshot"];
    assert_eq!((&manifest["mode"], &manifest["clean"]), (&"hot".into(), &false.into()));
    let parts: Vec<&str> =
        manifest["parts"].as_array().unwrap().iter().map(|it| it["plan"]["name"].as_str().unwrap()).collect();
    assert_eq!(parts, ["ca-certs", "caddy", "configuration", "ssl", "backup"]);
    let archive = manifest["parts"][4]["plan"]["cover"]["include"][0].as_str().unwrap().to_owned();
    assert!(archive.starts_with("data/backup/appsmith-backup-2"), "{archive}");
    assert!(manifest["taken_at"].as_str().unwrap().starts_with(&archive["data/backup/appsmith-backup-".len()..][..10]));
    pair.run(&["verify", &id]).await.expect(0);
    let listed = pair.run(&["snapshots"]).await.expect(0);
    assert!(listed.stdout.contains("hot, verified"), "{}", listed.stdout);

    // What is in the store is what the tool made: readable without Tidegate.
    let stored = std::fs::read(pair.objects().join(format!("parts/{id}/backup.tar.gz"))).unwrap();
    let mut members = Vec::new();
    let mut outer = tar::Archive::new(flate2_of(&stored));
    let mut inner = Vec::new();
    outer.entries().unwrap().next().unwrap().unwrap().read_to_end(&mut inner).unwrap();
    for entry in tar::Archive::new(flate2_of(&inner)).entries().unwrap() {
        members.push(entry.unwrap().path().unwrap().display().to_string());
    }
    assert!(members.iter().any(|name| name.ends_with("mongodb-data.gz")), "{members:?}");
    assert!(members.iter().any(|name| name.contains("git-storage/")), "{members:?}");

    // Never by itself where there is a cold one, and with a word where there is none.
    let plan = pair.run(&["restore", "staging", &id, "--dry-run"]).await.expect(0);
    assert!(plan.stdout.contains("not of one moment"), "{}", plan.stdout);
    let cold = pair.snapshot(site).await;
    pair.run(HOT).await.expect(0);
    let plan = pair.run(&["restore", "staging", "latest", "--dry-run", "--json"]).await.expect(0).json();
    assert_eq!(plan["snapshot"], cold.as_str());
    assert!(plan["warnings"][0].as_str().unwrap().contains("not of one moment"), "{plan}");
}

fn flate2_of(bytes: &[u8]) -> impl Read + '_ {
    flate2::read::MultiGzDecoder::new(bytes)
}

/// P1, P2. Whenever it is killed: the instance runs on, its volume is as it was, and no snapshot is listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_a_hot_snapshot_leaves_nothing_behind() {
    let pair = Pair::start("hotkill", Make { old: SLOW_BACKUP, ..Make::default() }).await;
    let site = &pair.staging;
    let theirs = with_archives_of_its_operator(site).await;
    let (before, life_before) = (site.content().await, life(site).await);
    // While the tool itself is at work, in the middle of its archive.
    let running = pair.begin(HOT);
    wait_for("half an archive", async || (archives(site).await.len() > theirs.len()).then_some(())).await;
    let mut journal = running.kill().await.expect("a journal");
    assert!(journal.has("started", "archive staging") && !journal.has("done", "archive staging"));
    let points = [
        ("started", "archive staging"),
        ("done", "archive staging"),
        ("started", "clear the archive of staging"),
        ("started", "verify staging"),
    ];
    let mut points = sample(&points, 2).into_iter();
    loop {
        pair.run(&["resume"]).await.expect(0);
        assert_eq!(archives(site).await, theirs);
        assert_eq!(life(site).await, life_before);
        assert!(site.content().await.is(&before));
        assert_eq!(listed(&pair).await, 0);
        pair.nothing_is_left(site).await;
        assert_eq!(pair.journal(&journal.run).outcome.as_deref(), Some("rolled_back"));
        let Some((record, step)) = points.next() else { break };
        println!("killed at {record} `{step}`");
        journal = pair.kill_at(HOT, record, step).await;
    }
    pair.run(HOT).await.expect(0);
    assert_eq!((listed(&pair).await, archives(site).await), (1, theirs));
}

/// P2. The tool ends with 0, names its archive, and half of the dump is not in it.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_cut_off_becomes_no_snapshot() {
    let pair = Pair::start("hotcut", Make { old: CUT_BACKUP, ..Make::default() }).await;
    let failed = pair.run(HOT).await.expect(1);
    let said = failed.stderr.split_once("error: ").expect("an error").1;
    insta::assert_snapshot!("cut", pair.without_names(said));
    assert_eq!((listed(&pair).await, archives(&pair.staging).await.len()), (0, 0));
    // One whose tool stops the backend is not hot.
    let old = Pair::start("hotold", Make { old: STOPPING_BACKUP, ..Make::default() }).await;
    let refused = old.run(HOT).await.expect(1);
    assert!(refused.stderr.contains("the appsmithctl of v1.9.20 stops its backend"), "{}", refused.stderr);
    // One that does not run has nobody to make an archive.
    docker_ok(&["stop", "-t", "60", &pair.staging.container]).await;
    let refused = pair.run(HOT).await.expect(1);
    assert!(refused.stderr.contains("does not run"), "{}", refused.stderr);
}

/// What a hot snapshot brings back: the documents, the clones, the settings and certificates; by file, with mode, owner and
/// hash. A link in a clone has become what it pointed at.
async fn brought_back(site: &Site) -> Vec<String> {
    let hashed = docker_ok(&["exec", &site.container, "standin", "hash"]).await;
    let kept = |line: &&str| {
        let path = line.rsplit("  ").next().unwrap_or_default();
        // Bulk data is only there to be copied, and an empty collection is none in a dump.
        let bulk = path.contains("--") || line.starts_with("e3b0c442");
        let document = path.starts_with("data/mongodb/collection-") && !bulk;
        let file = path.starts_with("git-storage/") && !line.contains("directory") && !path.ends_with("/link");
        document || file || path.starts_with("configuration/") || path.starts_with("ca-certs/")
    };
    // Restored files are root's, and what they may do is what tar kept of it.
    let line = |line: &str| {
        let words: Vec<&str> = line.split("  ").collect();
        format!("{} {}", words[0], words[words.len() - 1])
    };
    hashed.lines().filter(kept).map(line).collect()
}

/// Nothing of loading an archive is left in the volume or on the engine.
async fn nothing_of_loading_is_left(pair: &Pair, site: &Site) {
    let from = format!("{}:/appsmith-stacks", site.container);
    let output = docker(&["cp", &from, "-"]).await;
    let mut tar = tar::Archive::new(&output.stdout[..]);
    let names = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let ours = |name: &String| name.contains("appsmith-backup-2") && !name.contains(".tidegate/");
    let left: Vec<String> = names.filter(ours).collect();
    assert!(left.is_empty(), "{left:?}");
    pair.nothing_is_left(site).await;
    assert_eq!(docker_ok(&["ps", "-a", "--format", "{{.Names}}", "--filter", &of(site), "--filter", LOADER]).await, "");
}

/// The containers that archives are loaded in; those of other tests, too.
const LOADER: &str = "name=tidegate.loader";

/// What Tidegate made for this instance.
fn of(site: &Site) -> String {
    format!("label={LABEL_CONTAINER}={}", site.container)
}

/// P5. From an instance in use back to the hot snapshot: in both styles of the tool, and with archives of both shapes.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_snapshot_is_put_back_whole() {
    for (name, old) in [("hotback50", FOLDER_BACKUP), ("hotback25", STRICT)] {
        println!("{old}");
        let pair = Pair::start(name, Make { old, ..Make::default() }).await;
        let site = &pair.staging;
        let before = brought_back(site).await;
        assert!(before.len() > 200, "{}", before.len());
        pair.run(HOT).await.expect(0);
        site.change("later").await;
        let changed = site.content().await;
        let restored = pair.run(&["restore", "staging", "latest"]).await.expect(0);
        assert!(restored.stderr.contains("load staging"), "{}", restored.stderr);
        site.is_well().await;
        assert_eq!(brought_back(site).await, before);
        assert_eq!(site.restart_policy().await, site.restart);
        nothing_of_loading_is_left(&pair, site).await;
        // What was there is kept, and comes back as a whole.
        pair.run(&["undo", "staging"]).await.expect(0);
        site.is_well().await;
        assert!(site.content().await.is(&changed));
    }
}

/// P1, P5. Killed anywhere it goes on, and ends with the snapshot's data and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_a_hot_snapshot_is_put_back_goes_on() {
    let pair = Pair::start("hotload", Make::default()).await;
    let site = &pair.staging;
    let before = brought_back(site).await;
    pair.run(HOT).await.expect(0);
    let words = ["restore", "staging", "latest"];
    let points = [
        ("started", "load staging"),
        ("done", "load staging"),
        ("started", "tidy what was loaded for staging"),
        ("done", "settle staging"),
        ("started", "start staging"),
    ];
    for (record, step) in sample(&points, 1) {
        println!("killed at {record} `{step}`");
        site.change("later").await;
        let observer = Observer::start(site).await;
        let journal = pair.kill_at(&words, record, step).await;
        pair.run(&["resume"]).await.expect(0);
        assert_eq!(pair.journal(&journal.run).outcome.as_deref(), Some("completed"), "{record} `{step}`");
        site.is_well().await;
        assert_eq!(brought_back(site).await, before, "{record} `{step}`");
        nothing_of_loading_is_left(&pair, site).await;
        observer.nothing_ran_twice().await;
    }
    // In the middle of the tool's work, too.
    let running = pair.begin(&words);
    wait_for("a closed container", async || {
        let names =
            docker_ok(&["ps", "--format", "{{.Names}} {{.Ports}}", "--filter", &of(site), "--filter", LOADER]).await;
        (!names.is_empty()).then_some(()).inspect(|()| assert!(!names.contains("->"), "no port is published: {names}"))
    })
    .await;
    running.kill().await;
    pair.run(&["resume"]).await.expect(0);
    site.is_well().await;
    assert_eq!(brought_back(site).await, before);
    nothing_of_loading_is_left(&pair, site).await;
}

/// P5. An archive that cannot be loaded: the instance is as it was before, byte for byte, and runs.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_loaded_leaves_the_instance_as_it_was() {
    for (name, old, why) in [
        ("hotfails", FAILS_TO_LOAD, "appsmithctl restore ended with 1"),
        ("hotlies", LOADS_NOTHING, "appsmithctl restore ended with 0 and is not done"),
    ] {
        let pair = Pair::start(name, Make { old, ..Make::default() }).await;
        let site = &pair.staging;
        pair.run(HOT).await.expect(0);
        site.change("later").await;
        let before = site.content().await;
        let failed = pair.run(&["restore", "staging", "latest"]).await.expect(5);
        assert!(failed.stderr.contains(why), "{}", failed.stderr);
        site.is_well().await;
        assert!(site.content().await.is(&before), "{:?}", site.content().await.changed(&before));
        nothing_of_loading_is_left(&pair, site).await;
    }
}
