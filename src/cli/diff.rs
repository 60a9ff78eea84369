//! `diff`: what differs between two snapshots, or between one and what is there now.

use serde::Serialize;

use super::render::{Render, moment};
use super::{exit, find};
use crate::app::App;
use crate::config::Config;
use crate::model::diff::{Change, Difference, Thing, between};
use crate::model::ids::{InstanceName, SnapshotId};
use crate::model::observation::Observation;
use crate::smoke::album::NoAlbum;
use crate::workflow::StepError;

/// Say what differs between two snapshots, or between one and an instance as it is now
///
/// Compares what the checks saw: workspaces, applications, pages, queries, JS objects, data sources, plugins, members,
/// Git, what each page shows, and the result of each check. Of a snapshot that is what was seen right before it was
/// taken; of an instance it is looked at now, with all of its checks. Changes nothing. To differ is no error.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate diff 3fa4c1d2 9b1c22aa\n  tidegate diff 3fa production   \
    (what changed since)\n  tidegate diff staging production --json")]
pub struct DiffArgs {
    /// The id of a snapshot, the beginning of one, or an instance
    #[arg(value_name = "A")]
    pub first: String,
    /// The same; what only this one has is new
    #[arg(value_name = "B")]
    pub second: String,
}

/// A snapshot of which nothing is known but its bytes.
#[derive(Debug, thiserror::Error)]
#[error("nothing is known of what snapshot `{id}` holds: `{instance}` was not looked at when it was taken")]
pub struct NotSeen {
    id: SnapshotId,
    instance: InstanceName,
}

/// One side.
#[derive(Serialize)]
struct Side {
    instance: InstanceName,
    /// `None`: as it is now.
    snapshot: Option<SnapshotId>,
    version: Option<String>,
    /// RFC 3339.
    seen_at: String,
    #[serde(skip)]
    observation: Observation,
}

/// Looks; touches nothing.
pub async fn run(args: &DiffArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let first = side(&args.first, config).await?;
    let second = side(&args.second, config).await?;
    let difference = between(&first.observation, &second.observation);
    if out.is_json() {
        out.data(&serde_json::json!({ "a": first, "b": second, "difference": difference }));
    } else {
        out.text(&text(&first, &second, &difference));
    }
    Ok(exit::DONE)
}

async fn side(wanted: &str, config: &Config) -> Result<Side, StepError> {
    if let Some(name) = config.instances.keys().find(|name| name.as_str() == wanted) {
        // What is left in the state directory belongs to its owner.
        App::state(config)?;
        let (engine, instances) = (App::engine(config)?, App::instances(config)?);
        let adapter = instances.get(name).ok_or("an instance without an adapter")?;
        let observation = adapter.observe(&*engine, Some(&NoAlbum)).await?;
        // The observation says whether it answers; without an answer it has no version.
        let version = adapter.version(&*engine).await.unwrap_or_default();
        return Ok(Side {
            instance: name.clone(),
            snapshot: None,
            version: version.map(|version| version.to_string()),
            seen_at: jiff::Timestamp::now().to_string(),
            observation,
        });
    }
    let manifest = find::snapshot(&App::repository(config).await?, config, wanted).await?;
    let Some(observation) = manifest.observation else {
        return Err(Box::new(NotSeen { id: manifest.id, instance: manifest.instance }));
    };
    Ok(Side {
        instance: manifest.instance,
        snapshot: Some(manifest.id),
        version: manifest.version.map(|version| version.to_string()),
        seen_at: manifest.taken_at,
        observation,
    })
}

fn text(first: &Side, second: &Side, found: &Difference) -> String {
    let mut text = format!("A: {}\nB: {}\n", head(first), head(second));
    let mut group = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title} ({})\n", lines.len()));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    let things = |things: &[Thing]| things.iter().map(|thing| thing.title.clone()).collect::<Vec<_>>();
    let changes = |changes: &[Change]| {
        changes.iter().map(|it| format!("{}: {} -> {}", it.title, it.from, it.to)).collect::<Vec<_>>()
    };
    group("gone, only in A", things(&found.gone));
    group("new, only in B", things(&found.new));
    group("renamed", found.renamed.iter().map(|it| format!("{} is called `{}` in B", it.title, it.to)).collect());
    group("changed", changes(&found.changed));
    group("checks that differ", changes(&found.checks));
    group("not compared", found.unknown.clone());
    if found.is_empty() {
        let things: usize = second.observation.inventory.things.values().map(|all| all.len()).sum();
        let checks = second.observation.checks.len();
        text.push_str(&format!("\nno difference in {things} things and {checks} checks\n"));
    }
    text
}

fn head(side: &Side) -> String {
    let version = side.version.as_ref().map(|version| format!(", {version}")).unwrap_or_default();
    let (instance, at) = (&side.instance, moment(&side.seen_at));
    match &side.snapshot {
        Some(id) => format!("snapshot {id} of {instance}{version}, {at}"),
        None => format!("{instance} now{version}, {at}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diff::tests::two;

    fn sides(first: Observation, second: Observation) -> (Side, Side) {
        let instance = || InstanceName::new("production").unwrap();
        let snapshot = Side {
            instance: instance(),
            snapshot: Some(SnapshotId::new("3fa4c1d2").unwrap()),
            version: Some("v2.1".into()),
            seen_at: "2026-03-20T03:00:00Z".into(),
            observation: first,
        };
        let now = Side {
            instance: instance(),
            snapshot: None,
            version: None,
            seen_at: "2026-03-21T09:30:00Z".into(),
            observation: second,
        };
        (snapshot, now)
    }

    fn told(first: Observation, second: Observation) -> String {
        let (first, second) = sides(first, second);
        text(&first, &second, &between(&first.observation, &second.observation))
    }

    #[test]
    fn every_group_of_differences_is_told() {
        let (first, second) = two();
        insta::assert_snapshot!(told(first, second));
    }

    #[test]
    fn no_difference_is_said() {
        let (first, _) = two();
        insta::assert_snapshot!(told(first.clone(), first));
    }

    #[test]
    fn json_says_which_sides_and_holds_no_inventory() {
        let (one, other) = two();
        let (first, second) = sides(one, other);
        let found = between(&first.observation, &second.observation);
        let json = serde_json::json!({ "a": first, "b": second, "difference": found });
        assert_eq!((json["a"]["snapshot"].as_str(), json["b"]["snapshot"].is_null()), (Some("3fa4c1d2"), true));
        assert_eq!(json["difference"]["renamed"][0]["to"], "Start");
        assert!(json["a"].get("observation").is_none());
    }
}
