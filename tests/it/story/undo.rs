//! P5: a restore can be undone, and so can its undo.

use super::observer::Observer;
use super::pair::{GOOD, Make, Pair};
use super::side::{Side, side};

/// An upgrade is put back in haste, that is undone, and the undo is undone: image, definition and data go together each
/// time, also when it is killed in the middle of the swap. The store is not needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_undone_and_the_undo_is_undone() {
    let pair = Pair::start("undo", Make::default()).await;
    let old = pair.staging.content().await;
    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    pair.staging.change("newer").await;
    let (newer, image) = (pair.staging.content().await, pair.staging.image().await);
    let definition = pair.staging.definition().await;
    pair.run(&["restore", "staging", "before-upgrade"]).await.expect(0);
    assert_eq!(side(&pair, &pair.staging, &old).await, Side::Old);

    // Neither the undo nor its resumption asks the store.
    pair.configure_with("not the secret", "");
    let site = &pair.staging;
    let observer = Observer::start(site).await;
    let dry = pair.run(&["undo", "staging", "--dry-run", "--json"]).await.expect(0).json();
    let unnamed = pair.run(&["undo"]).await.expect(2);
    assert!(unnamed.stderr.contains("must be named, such as `tidegate undo restore-"), "{}", unnamed.stderr);
    pair.kill_at(&["undo", "staging"], "started", "bring back staging").await;
    pair.run(&["resume"]).await.expect(0);
    site.is_well().await;
    assert_eq!((site.image().await, site.definition().await), (image.clone(), definition.clone()));
    let content = site.content().await;
    assert!(content.is(&newer), "changed: {:?}", content.changed(&newer));
    let run = pair.run(&["logs", "undo-", "--json"]).await.expect(0).json();
    assert_eq!(run["header"]["parameters"], dry, "the plan of the dry run is the plan that was carried out");

    // The restore is undone, so there is nothing left of it; the undo is what can be undone.
    let again = pair.run(&["undo", dry["undoes"].as_str().unwrap()]).await.expect(1);
    assert!(again.stderr.contains("cannot be undone any more"), "{}", again.stderr);
    pair.run(&["undo", "staging"]).await.expect(0);
    assert_eq!(side(&pair, site, &old).await, Side::Old);
    pair.nothing_is_left(site).await;
    observer.nothing_ran_twice().await;
}
