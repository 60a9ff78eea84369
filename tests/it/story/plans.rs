//! P7: a dry run prints the very plan that a run carries out, and changes nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pair::{GOOD, Make, Pair};
use super::side::{Side, side};
use crate::docker::docker_ok;

/// Everything of this test on the engine, and everything in the store and the state directory.
async fn world(pair: &Pair) -> BTreeSet<String> {
    let mut world = BTreeSet::new();
    for site in [&pair.staging, &pair.production] {
        for filter in [format!("volume={}", site.container), format!("name={}", site.container)] {
            let containers =
                ["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}", "--filter", &filter];
            world.extend(docker_ok(&containers).await.lines().map(str::to_owned));
        }
        let seen = site.inspect().await.unwrap();
        world.insert(format!("{} {} {}", site.name, seen["State"]["StartedAt"], seen["HostConfig"]["RestartPolicy"]));
    }
    for listing in [
        vec!["images", "-a", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}", "--filter"],
        vec!["volume", "ls", "--format", "{{.Name}}", "--filter"],
    ] {
        let label = format!("label={}", pair.label());
        world.extend(docker_ok(&[&listing[..], &[&label]].concat()).await.lines().map(str::to_owned));
    }
    for root in [pair.objects(), pair.state().join("runs")] {
        world.extend(files(&root));
    }
    world
}

fn files(root: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path.display().to_string()] }).collect()
}

/// The plan in a journal's first line.
fn journaled(pair: &Pair, run: &Value) -> Value {
    pair.journal(run.as_str().expect("a run")).header["parameters"].clone()
}

fn last_json(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON on the last line")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let pair = Pair::start("plan", Make { both: true, ..Make::default() }).await;
    let sites = [&pair.staging, &pair.production];
    let before = [sites[0].content().await, sites[1].content().await];
    // So that there is a repository to look at.
    pair.snapshot(sites[0]).await;
    let commands: [&[&str]; 2] = [&["upgrade", GOOD], &["restore", "staging", "before-upgrade"]];
    for words in commands {
        let earlier = world(&pair).await;
        let dry = pair.run(&[words, &["--json", "--dry-run"]].concat()).await.expect(0).json();
        let later = world(&pair).await;
        assert_eq!(later, earlier, "{words:?}");
        let done = pair.run(&[words, &["--json"]].concat()).await.expect(0);
        assert_eq!(done.json(), dry, "the plan that a run shows");
        assert_eq!(journaled(&pair, &last_json(&done.stdout)["run"]), dry, "the plan that it carries out");
        assert_ne!(world(&pair).await, earlier, "the run itself can be seen");
    }
    assert_eq!(side(&pair, sites[0], &before[0]).await, Side::Old);
    assert_eq!(side(&pair, sites[1], &before[1]).await, Side::New);
}
