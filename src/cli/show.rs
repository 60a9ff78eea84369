//! `show`: everything about one snapshot.

use super::render::{Render, ago, bytes, moment, table};
use super::{exit, find};
use crate::app::App;
use crate::config::Config;
use crate::model::manifest::{Manifest, Mode, Reason};
use crate::model::verdict::{ON_LOAD_KIND, PLUGIN_KIND, STRUCTURE_KIND};
use crate::repository::RepositoryError;
use crate::workflow::StepError;

/// Show everything about one snapshot
///
/// When and why it was taken, of what, in which state the app was, what it holds, and whether all of it is there now.
/// Reads no part; `tidegate verify` does.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate show 3fa4c1d2\n  tidegate show 3fa --json")]
pub struct ShowArgs {
    /// Its id, or the beginning of one
    pub id: String,
}

/// Reads the manifest; touches nothing.
pub async fn run(args: &ShowArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let repository = App::repository(config).await?;
    let manifest = find::snapshot(&repository, config, &args.id).await?;
    let problems = match repository.check_presence(&manifest).await {
        Ok(()) => Vec::new(),
        Err(RepositoryError::NotWhole { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        Err(error) => return Err(error.into()),
    };
    if out.is_json() {
        out.data(&serde_json::json!({
            "snapshot": manifest, "problems": problems,
            "plain_bytes": manifest.plain_bytes(), "stored_bytes": manifest.stored_bytes(),
        }));
    } else {
        out.text(&text(&manifest, &problems, jiff::Timestamp::now()));
    }
    Ok(exit::DONE)
}

/// Why a snapshot was taken, for people.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Manual => "manual".into(),
        Reason::Schedule => "schedule".into(),
        Reason::BeforeUpgrade { to } => format!("before {to}"),
    }
}

fn text(manifest: &Manifest, problems: &[String], now: jiff::Timestamp) -> String {
    let mut text = format!("snapshot {} of {}\n", manifest.id, manifest.instance);
    let mut line = |name: &str, what: String| text.push_str(&format!("  {name:<10} {what}\n"));
    line(
        "taken",
        format!("{} ({}), by {}", moment(&manifest.taken_at), ago(&manifest.taken_at, now), manifest.taken_by),
    );
    line("reason", reason(&manifest.reason));
    if manifest.mode == Mode::Hot {
        line(
            "mode",
            "hot: taken while it ran, so its database and Git are not of one moment; no upgrade rests on it".into(),
        );
    }
    if !manifest.tags.is_empty() {
        line("tags", manifest.tags.join(", "));
    }
    let version = manifest.version.as_ref().map_or_else(|| "not known".to_owned(), ToString::to_string);
    let format = manifest.data_format.as_ref().map(|format| format!(", data format {format}")).unwrap_or_default();
    line("version", version + &format);
    line("image", format!("{} ({})", manifest.image.reference, manifest.image.id.short()));
    for digest in &manifest.image.digests {
        line("", digest.clone());
    }
    line("container", manifest.container.clone());
    line("run", manifest.run.to_string());
    line(
        "verified",
        manifest.verified_at.as_ref().map_or_else(
            || "never".to_owned(),
            |at| format!("every byte was read back {} ({})", ago(at, now), moment(at)),
        ),
    );
    line("health", health(manifest));
    if manifest.mode == Mode::Cold {
        line(
            "shut down",
            if manifest.clean {
                "cleanly".into()
            } else {
                "UNCLEANLY: its files may be torn; no upgrade rests on it".into()
            },
        );
    }
    if let Some(holds) = inventory(manifest) {
        line("held", holds);
    }
    line("size", format!("{}, stored as {}", bytes(manifest.plain_bytes()), bytes(manifest.stored_bytes())));
    match problems {
        [] => line("now", "all of its objects are there".into()),
        problems => {
            line("now", "NOT WHOLE: a restore of it would be refused before it touches anything".into());
            problems.iter().for_each(|problem| line("", problem.clone()));
        }
    }
    text.push('\n');
    text.push_str(&parts(manifest));
    text
}

fn health(manifest: &Manifest) -> String {
    let checks = manifest.observation.as_ref().map(|seen| (seen.passed_count(), seen.checks.len()));
    let checks = checks.map_or(String::new(), |(passed, all)| format!("{passed} of {all} checks passed"));
    match (&manifest.unhealthy_because, manifest.healthy) {
        (_, true) if checks.is_empty() => "healthy".into(),
        (_, true) => format!("healthy: {checks}"),
        (because, false) => {
            let because = because.as_deref().unwrap_or("its checks did not pass");
            let checks = if checks.is_empty() { checks } else { format!(" ({checks})") };
            format!("UNHEALTHY: {because}{checks}; never chosen by itself")
        }
    }
}

/// Such as `4 applications, 2 workspaces`.
fn inventory(manifest: &Manifest) -> Option<String> {
    let things = &manifest.observation.as_ref()?.inventory.things;
    // What a page shows or runs is no thing of its own, and plugins come with the version.
    let own = |kind: &str| ![STRUCTURE_KIND, ON_LOAD_KIND, PLUGIN_KIND].contains(&kind);
    let counted = things.iter().filter(|(kind, all)| own(kind) && !all.is_empty());
    let words = |kind: &str, count| match (kind, count) {
        (kind, 1) => kind.to_owned(),
        ("query", _) => "queries".to_owned(),
        (kind, _) => format!("{kind}s"),
    };
    let counted: Vec<String> = counted.map(|(kind, all)| format!("{} {}", all.len(), words(kind, all.len()))).collect();
    (!counted.is_empty()).then(|| counted.join(", "))
}

fn parts(manifest: &Manifest) -> String {
    let places = |paths: &[String]| {
        let shown = paths.iter().map(|path| if path.is_empty() { "all" } else { path.as_str() });
        shown.collect::<Vec<_>>().join(" ")
    };
    let row = |part: &crate::model::manifest::PartRecord| {
        let cover = &part.plan.cover;
        let without =
            if cover.exclude.is_empty() { String::new() } else { format!(" without {}", places(&cover.exclude)) };
        vec![
            part.plan.name.to_string(),
            format!("{}: {}{without}", part.plan.mount, places(&cover.include)),
            part.entries.to_string(),
            bytes(part.plain_bytes),
            bytes(part.object.stored_bytes),
            part.object.key.to_string(),
        ]
    };
    let mut rows: Vec<Vec<String>> = manifest.parts.iter().map(row).collect();
    let definition = &manifest.definition;
    let none = String::new;
    let stored = bytes(definition.stored_bytes);
    rows.push(vec![
        "definition".into(),
        "the container".into(),
        none(),
        stored.clone(),
        stored,
        definition.key.to_string(),
    ]);
    table(&["PART", "COVERS", "ENTRIES", "SIZE", "STORED", "OBJECT"], &rows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ids::{ImageId, InstanceName, PartName, RunId, SnapshotId};
    use crate::model::layout::{definition_key, part_key};
    use crate::model::manifest::{FORMAT, ImageRecord, ObjectRecord, PartRecord};
    use crate::model::observation::{Inventory, Observation, Seen, SeenResult};
    use crate::model::part::{Cover, PartPlan};
    use crate::model::version::Version;

    fn manifest() -> Manifest {
        let id = SnapshotId::new("3fa4c1d2").unwrap();
        let part = |name: &str, include: &[&str], exclude: &[&str], plain_bytes, stored_bytes| {
            let name = PartName::new(name).unwrap();
            let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
            PartRecord {
                object: ObjectRecord { key: part_key(&id, &name), stored_bytes, sha256: String::new() },
                plan: PartPlan {
                    name,
                    mount: "/appsmith-stacks".into(),
                    cover: Cover { include: own(include), exclude: own(exclude) },
                },
                plain_bytes,
                plain_sha256: String::new(),
                entries: 40,
            }
        };
        let seen = |title: &str| Seen { title: title.into(), result: SeenResult::Pass };
        let things = |all: &[&str]| all.iter().map(|id| ((*id).to_owned(), String::new())).collect::<BTreeMap<_, _>>();
        Manifest {
            format: FORMAT,
            instance: InstanceName::new("production").unwrap(),
            sequence: 7,
            taken_at: "2026-03-20T03:00:00.123456789Z".into(),
            run: RunId::new("upgrade-20260320-025930-7f3a").unwrap(),
            reason: Reason::BeforeUpgrade { to: "v2.2".into() },
            container: "appsmith".into(),
            image: ImageRecord {
                id: ImageId::new(format!("sha256:{}", "ab".repeat(32))).unwrap(),
                reference: "appsmith/appsmith-ce:v2.1".into(),
                digests: vec!["appsmith/appsmith-ce@sha256:cdcd".into()],
            },
            version: Some(Version::parse("v2.1").unwrap()),
            data_format: Some("7".into()),
            healthy: true,
            unhealthy_because: None,
            clean: true,
            observation: Some(Observation {
                inventory: Inventory {
                    instance_id: None,
                    things: [
                        ("application".to_owned(), things(&["a", "b"])),
                        ("datasource".to_owned(), things(&[])),
                        ("page-structure".to_owned(), things(&["p"])),
                        ("workspace".to_owned(), things(&["w"])),
                    ]
                    .into(),
                    ..Inventory::default()
                },
                checks: [("ready".to_owned(), seen("ready")), ("app:a".to_owned(), seen("app `A`"))].into(),
                ..Observation::default()
            }),
            parts: vec![
                part("configuration", &["configuration"], &[], 4_096, 700),
                part("database", &["data"], &["data/backup"], 348 << 20, 201 << 20),
            ],
            definition: ObjectRecord { key: definition_key(&id), stored_bytes: 2_100, sha256: String::new() },
            verified_at: Some("2026-03-20T03:00:30Z".into()),
            tags: vec!["before-migration".into()],
            mode: Default::default(),
            taken_by: "tidegate 0.1.0 on backup-host".into(),
            id,
        }
    }

    #[test]
    fn a_whole_snapshot_with_all_that_is_known_of_it() {
        insta::assert_snapshot!(text(&manifest(), &[], "2026-03-20T05:30:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_with_a_snapshot_stands_out() {
        let bad = Manifest {
            healthy: false,
            unhealthy_because: Some("its login fails".into()),
            clean: false,
            observation: None,
            verified_at: None,
            version: None,
            data_format: None,
            tags: vec![],
            ..manifest()
        };
        let problems = ["`parts/3fa4c1d2/database.tar.gz` is missing: the store does not have it".to_owned()];
        insta::assert_snapshot!(text(&bad, &problems, "2026-03-20T05:30:00Z".parse().unwrap()));
    }

    #[test]
    fn a_hot_one_says_so_and_nothing_of_how_it_was_shut_down() {
        let hot = text(
            &Manifest { mode: Mode::Hot, clean: false, ..manifest() },
            &[],
            "2026-03-20T05:30:00Z".parse().unwrap(),
        );
        let line = hot.lines().find(|line| line.trim_start().starts_with("mode"));
        insta::assert_snapshot!(line.unwrap().trim(), @"mode       hot: taken while it ran, so its database and Git are not of one moment; no upgrade rests on it");
        assert!(!hot.contains("shut down"), "{hot}");
    }
}
