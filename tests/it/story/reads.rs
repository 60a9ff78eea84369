//! What the reading commands say of a real instance and a real bucket: they change nothing.

use super::pair::{GOOD, Make, Pair};
use crate::docker::docker_ok;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_a_run_and_what_blocks_an_upgrade_are_told() {
    let pair = Pair::start("reads", Make { both: true, ..Make::default() }).await;
    let id = pair.snapshot(&pair.staging).await;

    let before = pair.staging.id().await;
    let well = pair.run(&["doctor"]).await.expect(0);
    assert!(
        well.stdout.contains("takes, gives, lists and deletes") && well.stdout.contains("clock"),
        "{}",
        well.stdout
    );
    let probes = std::fs::read_dir(pair.objects().join("doctor")).map_or(0, Iterator::count);
    assert_eq!(probes, 0, "the probe object is still there");
    docker_ok(&["update", "--restart", "no", &pair.production.container]).await;
    let warned = pair.run(&["doctor", "--no-login"]).await.expect(3);
    assert!(warned.stdout.contains("a reboot leaves it down"), "{}", warned.stdout);
    docker_ok(&["update", "--restart", "unless-stopped", &pair.production.container]).await;
    pair.configure_with("not the secret", "");
    let broken = pair.run(&["doctor", "--json"]).await.expect(1);
    let findings = broken.json();
    let store = findings.as_array().unwrap().iter().find(|finding| finding["area"] == "store").unwrap();
    assert_eq!(store["level"], "problem");
    assert!(store["remedy"].as_str().unwrap().contains("store's keys"), "{store}");
    pair.configure("");
    assert_eq!(pair.staging.id().await, before);

    // One snapshot, by the beginning of its id.
    let shown = pair.run(&["show", &id[..6]]).await.expect(0);
    for part in
        [id.as_str(), "every byte was read back", "all of its objects are there", "configuration", "definition.json"]
    {
        assert!(shown.stdout.contains(part), "`{part}` is not in {}", shown.stdout);
    }
    let data = pair.run(&["show", &id, "--json"]).await.expect(0).json();
    assert_eq!(data["snapshot"]["id"], id.as_str());
    let near = pair.run(&["show", "ffffffff"]).await.expect(12);
    assert!(near.stderr.contains(&format!("the nearest are {id}")), "{}", near.stderr);

    // A part goes missing in the bucket: both say so, and only of what is gone.
    pair.run(&["verify"]).await.expect(0);
    let part = pair.objects().join("parts").join(&id).join("configuration.tar.gz");
    let kept = std::fs::read(&part).unwrap();
    std::fs::remove_file(&part).unwrap();
    let verified = pair.run(&["verify", &id]).await.expect(1);
    assert!(verified.stdout.contains(&format!("`parts/{id}/configuration.tar.gz` is missing")), "{}", verified.stdout);
    assert_eq!(verified.stdout.matches(" is missing").count(), 1);
    let shown = pair.run(&["show", &id]).await.expect(0);
    assert!(shown.stdout.contains("NOT WHOLE"), "{}", shown.stdout);
    std::fs::write(&part, kept).unwrap();
    pair.run(&["verify", "staging", "--read-data-subset", "50%"]).await.expect(0);

    // Nothing has passed on staging, so production is blocked, and it says what to type.
    let plan = pair.run(&["plan", GOOD]).await.expect(0);
    let dry = pair.run(&["upgrade", GOOD, "--dry-run"]).await.expect(0);
    assert!(plan.stdout.starts_with(&dry.stdout), "the plan of an upgrade\n{}", plan.stdout);
    assert!(plan.stdout.contains("weighed by this very run"), "{}", plan.stdout);
    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    let open = pair.run(&["explain", "production"]).await.expect(0);
    assert!(open.stdout.contains(&format!("type: tidegate upgrade {GOOD}")), "{}", open.stdout);
    assert!(open.stdout.contains("is open"), "{}", open.stdout);
    std::fs::remove_dir_all(pair.state().join("evidence")).unwrap();
    let shut = pair.run(&["explain", "production", "--json"]).await.expect(0).json();
    assert_eq!(shut[0]["blocks"], "upgrades");

    let logs = pair.run(&["logs"]).await.expect(0);
    for line in ["start staging", "users are in from here", "checks passed on `staging`", "completed"] {
        assert!(logs.stdout.contains(line), "`{line}` is not in {}", logs.stdout);
    }
    pair.run(&["logs", "--json"]).await.expect(0);
}
