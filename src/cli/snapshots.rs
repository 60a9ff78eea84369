//! `snapshots`: list them.

use super::render::{Render, ago, bytes};
use super::show::reason;
use super::{configured, exit};
use crate::app::App;
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::model::manifest::{Manifest, Mode};
use crate::repository::ManifestEntry;
use crate::workflow::StepError;

/// List the snapshots
///
/// Newest first. One whose manifest cannot be read, or whose objects are not all there, is shown with the reason.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate snapshots\n  tidegate snapshots production --json")]
pub struct SnapshotsArgs {
    /// Only of this instance
    pub instance: Option<InstanceName>,
}

/// Reads the manifests; touches nothing.
pub async fn run(args: &SnapshotsArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    configured(config, &args.instance)?;
    let repository = App::repository(config).await?;
    let instances: Vec<InstanceName> = match &args.instance {
        Some(instance) => vec![instance.clone()],
        None => config.instances.keys().cloned().collect(),
    };
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    let now = jiff::Timestamp::now();
    for instance in &instances {
        for entry in repository.manifests(instance).await?.iter().rev() {
            let manifest = match entry {
                ManifestEntry::Whole(manifest) => manifest,
                ManifestEntry::Broken { key, reason } => {
                    data.push(serde_json::json!({ "instance": instance, "key": key, "broken": reason }));
                    let state = format!("broken: {key}: {reason}");
                    rows.push([vec!["?".into(), instance.to_string()], vec![String::new(); 4], vec![state]].concat());
                    continue;
                }
            };
            let missing = repository.check_presence(manifest).await.err().map(|error| error.to_string());
            rows.push(row(manifest, missing.as_deref(), now));
            data.push(serde_json::json!({
                "id": manifest.id, "instance": manifest.instance, "taken_at": manifest.taken_at, "version": manifest.version,
                "image": manifest.image, "reason": manifest.reason, "healthy": manifest.healthy, "clean": manifest.clean,
                "mode": manifest.mode, "verified_at": manifest.verified_at, "partial": missing, "plain_bytes": manifest.plain_bytes(),
                "stored_bytes": manifest.stored_bytes(), "tags": manifest.tags, "run": manifest.run,
            }));
        }
    }
    if out.is_json() {
        out.data(&data);
    } else if rows.is_empty() {
        out.say("no snapshots yet; take one with `tidegate snapshot --all`");
    } else {
        let head = ["ID", "INSTANCE", "TAKEN", "VERSION", "SIZE", "STORED", "STATE", "REASON"];
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|mut row: Vec<String>| {
                row.resize(head.len(), String::new());
                row
            })
            .collect();
        out.table(&head, &rows);
    }
    Ok(exit::DONE)
}

fn row(manifest: &Manifest, missing: Option<&str>, now: jiff::Timestamp) -> Vec<String> {
    let version = manifest.version.as_ref().map(ToString::to_string);
    let state = match (missing, &manifest.verified_at, manifest.healthy) {
        (Some(missing), _, _) => format!("partial: {missing}"),
        (None, None, _) => "not verified".into(),
        (None, Some(_), false) => "verified, was unhealthy".into(),
        (None, Some(_), true) => "verified".into(),
    };
    let state = if manifest.mode == Mode::Hot { format!("hot, {state}") } else { state };
    vec![
        manifest.id.to_string(),
        manifest.instance.to_string(),
        ago(&manifest.taken_at, now),
        version.unwrap_or_else(|| "-".into()),
        bytes(manifest.plain_bytes()),
        bytes(manifest.stored_bytes()),
        state,
        [vec![reason(&manifest.reason)], manifest.tags.clone()].concat().join(" "),
    ]
}
