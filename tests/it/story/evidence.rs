//! P3: no upgrade without a snapshot that is there and whole; no production without the same image on staging.

use std::path::{Path, PathBuf};

use super::observer::Observer;
use super::pair::{GOOD, Make, Pair};
use super::proxy::Trap;
use super::side::{Side, side};

fn database(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(database(&entry));
        } else if entry.file_name().is_some_and(|name| name == "database.tar.gz") {
            found.push(entry);
        }
    }
    found
}

fn flip_a_byte(object: &Path) {
    let mut bytes = std::fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(object, bytes).unwrap();
}

fn lose(object: &Path) {
    std::fs::remove_file(object).unwrap();
}

/// P3. Between the last byte written and the first byte read back, the store damages or loses what it was given.
/// ai-memory#633: the backup of before an upgrade was taken after it.
#[tokio::test(flavor = "multi_thread")]
async fn no_upgrade_on_a_store_that_does_not_keep() {
    let pair = Pair::start("keep", Make::default()).await;
    let site = &pair.staging;
    let (before, id) = (site.content().await, site.id().await);
    let observer = Observer::start(site).await;
    for (harm, named) in [(flip_a_byte as fn(&Path), "database"), (lose, "database")] {
        pair.proxy.set(Trap { method: "GET", path: "database".into(), pass: 0, after_bytes: 0 });
        let running = pair.begin(&["upgrade", GOOD, "--only", "staging"]);
        pair.proxy.caught().await;
        let mut objects = database(&pair.objects());
        objects.sort_by_key(|object| std::fs::metadata(object).unwrap().modified().unwrap());
        harm(objects.last().expect("a stored database"));
        let journal = running.journal().expect("a journal");
        pair.proxy.release();
        let ended = running.end().await.expect(5);
        assert!(ended.stderr.contains(named), "{}", ended.stderr);
        assert!(!pair.journal(&journal.run).has("started", "park staging"));
        assert_eq!(side(&pair, site, &before).await, Side::Old);
        assert_eq!(site.id().await, id, "its container was never touched");
        pair.nothing_is_left(site).await;
    }
    let listed = pair.run(&["snapshots", "--json"]).await.expect(0);
    assert_eq!(listed.json().as_array().map(Vec::len), Some(0), "neither became a snapshot");
    observer.nothing_ran_twice().await;
}

/// P3. Production waits for evidence, and evidence is for an image, not for a tag.
#[tokio::test(flavor = "multi_thread")]
async fn production_needs_the_same_image_on_staging() {
    let pair = Pair::start("gate", Make { both: true, ..Make::default() }).await;
    let (staging, production) = (&pair.staging, &pair.production);
    let before = [staging.content().await, production.content().await];
    let ids = [staging.id().await, production.id().await];
    let production_only = ["upgrade", GOOD, "--only", "production"];

    let refused = pair.run(&production_only).await.expect(9);
    assert!(refused.stderr.contains("gate before `production` is shut"), "{}", refused.stderr);
    assert_eq!([staging.id().await, production.id().await], ids);

    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    // The tag moves: another image, of the same version even.
    pair.push(GOOD, &["--format", "7", "--broken", "slow-stop:0"]).await;
    let refused = pair.run(&production_only).await.expect(9);
    assert!(refused.stderr.contains("gate before `production` is shut"), "{}", refused.stderr);
    assert_eq!(production.id().await, ids[1]);
    assert_eq!(side(&pair, production, &before[1]).await, Side::Old);
    assert_eq!(side(&pair, staging, &before[0]).await, Side::New);

    // With that image on staging, too, it opens.
    pair.run(&["upgrade", GOOD]).await.expect(0);
    assert_eq!(side(&pair, production, &before[1]).await, Side::New);
    assert_eq!(staging.image().await, production.image().await);
}
