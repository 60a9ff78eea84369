//! P1, P4, P8: a disk that is really full, below the state directory, below the data, below the store. Whatever is
//! known before is told before anything is stopped; what happens later is undone, on the disk that is still full.

use super::observer::Observer;
use super::pair::{GOOD, Make, Pair, Site};
use super::proxy::Trap;
use super::running::Ended;
use super::side::{Side, side};
use crate::store::dir::SmallDisk;
use crate::store::proxy::{Plan, Proxy};

const FILLER: &str = "filler";
/// Where the app writes what no snapshot holds.
const LOG_FILLER: &str = "logs/filler";

/// The command has ended by itself, and nothing is left to do.
async fn all_is_said_and_done(pair: &Pair, ended: &Ended) {
    let said = pair.without_names(&ended.stderr);
    assert!(said.contains("\nhint: ") && said.contains("make room"), "{said}");
    let resumed = pair.run(&["resume"]).await.expect(0);
    assert!(resumed.stderr.contains("no run was cut off"), "{}", resumed.stderr);
}

fn started_at(seen: Option<serde_json::Value>) -> String {
    seen.expect("a container")["State"]["StartedAt"].to_string()
}

/// The journal has its room from the beginning, so that a run can be undone when there is none any more. And where
/// there is none at the beginning, no run begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_state_directory_leaves_nobody_stopped() {
    let pair = Pair::start("full-state", Make::default()).await;
    let site = &pair.staging;
    let before = site.content().await;
    std::fs::create_dir(pair.state()).unwrap();
    let disk = SmallDisk::mount_at(&pair.state(), "24m");
    let observer = Observer::start(site).await;

    // In the middle of the snapshot before an upgrade, when the instance is down.
    pair.proxy.set(Trap { method: "PUT", path: "database".into(), pass: 0, after_bytes: 64 << 10 });
    let running = pair.begin(&["upgrade", GOOD, "--only", "staging"]);
    pair.proxy.caught().await;
    disk.fill(FILLER);
    pair.proxy.release();
    let ended = running.end().await.expect(5);
    assert!(ended.stderr.contains("No space left on device"), "{}", ended.stderr);
    all_is_said_and_done(&pair, &ended).await;
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    pair.nothing_is_left(site).await;

    // There is room for a journal by now, and for little more.
    disk.free(FILLER);
    disk.fill_but(FILLER, 2 << 20);
    let (id, started, runs) = (site.id().await, started_at(site.inspect().await), pair.run_count());
    for words in
        [&["snapshot", "staging"][..], &["upgrade", GOOD, "--only", "staging"], &["restore", "staging", "latest"]]
    {
        let ended = pair.run(words).await;
        if words[0] != "restore" {
            all_is_said_and_done(&pair, &ended).await;
        }
        assert!(matches!(ended.code, Some(1 | 12)), "{words:?}: {:?} {}", ended.code, ended.stderr);
    }
    assert_eq!((site.id().await, started_at(site.inspect().await)), (id, started));
    assert_eq!(pair.run_count(), runs, "a run was begun");
    pair.run(&["runs"]).await.expect(0);

    disk.free(FILLER);
    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::New);
    observer.nothing_ran_twice().await;
    drop(disk);
}

/// The room for a restore is looked at before anything is stopped. Somebody else takes it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_gets_full_in_a_restore_is_put_back() {
    let pair = Pair::start("full-volume", Make { tags: &[], ..Make::default() }).await;
    let site = &pair.staging;
    let disk = SmallDisk::mount("48m,nr_inodes=4000");
    let device = format!("device={}", disk.path().display());
    let bind = ["--opt", "type=none", "--opt", "o=bind", "--opt", &device];
    pair.create_on(site, 2, &bind).await;
    site.is_well().await;
    let snapshot = pair.snapshot(site).await;
    site.change("newer").await;
    let newer = site.content().await;
    let observer = Observer::start(site).await;
    let restore = ["restore", "staging", &snapshot];

    // The first read verifies, the second fills. So this is before its files are set aside, when there are too few
    // inodes for what that needs; and while they are filled in, which takes the last room, so that the way back has to
    // live from what was kept for it, and the old container from what the half of the filling gives back.
    for (pass, known_then) in
        [(0, "more files, and putting its data back needs"), (1, "bytes free, and putting its data back needs")]
    {
        pair.proxy.set(Trap { method: "GET", path: "database".into(), pass, after_bytes: 64 << 10 });
        let running = pair.begin(&restore);
        pair.proxy.caught().await;
        disk.fill_inodes_but(LOG_FILLER, if pass == 0 { 8 } else { 60 });
        if pass == 1 {
            disk.fill_but(&format!("{LOG_FILLER}/bytes"), 400 << 10);
        }
        pair.proxy.release();
        let ended = running.end().await.expect(5);
        let step = if pass == 0 { "set aside staging: " } else { "fill staging: " };
        assert!(ended.stderr.contains(&format!("error: restore was not done: {step}")), "{}", ended.stderr);
        all_is_said_and_done(&pair, &ended).await;
        site.is_well().await;
        let content = site.content().await;
        assert!(content.is(&newer), "changed {:?}", content.changed(&newer));
        assert_eq!(content.ours.len(), 0, "{:?}", content.ours);
        pair.nothing_is_left(site).await;

        // It is still full, and that is known before anything is stopped.
        let started = started_at(site.inspect().await);
        let ended = pair.run(&restore).await.expect(1);
        assert!(ended.stderr.contains(known_then), "{}", ended.stderr);
        all_is_said_and_done(&pair, &ended).await;
        assert_eq!(started_at(site.inspect().await), started, "it was stopped for nothing");
        disk.free(LOG_FILLER);
    }
    observer.nothing_ran_twice().await;
}

async fn answering(pair: &Pair, what: &'static str, status: u16) -> String {
    Proxy::start(pair.server(), &[], Some(Plan::Refuse { what, status, code: "InsufficientStorage" })).await.endpoint()
}

async fn runs_as_before(pair: &Pair, site: &Site, before: &super::content::Content, ended: &Ended) {
    all_is_said_and_done(pair, ended).await;
    assert_eq!(side(pair, site, before).await, Side::Old);
    pair.nothing_is_left(site).await;
}

/// mastodon_ynh#363: the room for a safety backup was found missing after a long wait. A snapshot of the same instance
/// says what the next one needs.
/// bcgov#149: a full disk went unnoticed, and a damaged archive was a success.
/// appsmith#14573: there was no room for the backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_told_before_if_it_can_be_known_and_else_undone() {
    let pair = Pair::start("full-store", Make::default()).await;
    let site = &pair.staging;
    let (before, id) = (site.content().await, site.id().await);
    let observer = Observer::start(site).await;
    let works = [&["snapshot", "staging"][..], &["upgrade", GOOD, "--only", "staging"]];
    let with = async |words: &[&str], variable: &str, value: &str| {
        let mut command = pair.command(words);
        command.env(variable, value);
        pair.finish(command).await
    };

    // An S3 server that has no room for a part, or for the manifest.
    for what in ["/parts/", "/snapshots/staging/"] {
        for words in works {
            let endpoint = answering(&pair, what, 507).await;
            let ended = with(words, "TIDEGATE_STORE__ENDPOINT", &endpoint).await.expect(5);
            assert!(ended.stderr.contains("is full: cannot write"), "{what} {words:?}: {}", ended.stderr);
            runs_as_before(&pair, site, &before, &ended).await;
        }
    }

    // A folder: at first nobody knows how much it takes.
    let disk = SmallDisk::mount("24m");
    let url = format!("file://{}", disk.path().display());
    with(works[0], "TIDEGATE_STORE__URL", &url).await.expect(0);
    disk.fill_but(FILLER, 200 << 10);
    let started = started_at(site.inspect().await);
    for words in works {
        let ended = with(words, "TIDEGATE_STORE__URL", &url).await.expect(1);
        assert!(ended.stderr.contains("bytes free, and the last snapshot of `staging` took"), "{}", ended.stderr);
        all_is_said_and_done(&pair, &ended).await;
    }
    assert_eq!((started_at(site.inspect().await), site.id().await), (started, id), "it was stopped for nothing");
    disk.free(FILLER);
    let ended = with(works[1], "TIDEGATE_STORE__URL", &url).await.expect(0);
    assert!(!ended.stderr.contains("room"), "{}", ended.stderr);
    assert_eq!(side(&pair, site, &before).await, Side::New);
    observer.nothing_ran_twice().await;
}
