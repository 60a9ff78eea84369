//! `verify`: prove that snapshots are whole.

use super::render::{Render, ago, bytes, table};
use super::{app, exit, find, tools};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::ops::verify::{self, Finding, Subset};
use crate::workflow::StepError;

/// Read the stored bytes of snapshots back, and say which are whole
///
/// Every object is looked for and read to its end: stored bytes, plain bytes, archives, definition. Whatever is missing
/// or damaged is named, all of it at once. Without ID all snapshots of all instances; then parts without a manifest are
/// found, too. Changes nothing, stops nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate verify\n  tidegate verify 3fa4c1d2\n  \
    tidegate verify production --read-data-subset 10%\n  tidegate verify --read-data-subset 1/7   (a slice a day)\n\n\
    Exit codes: 0 all whole, 1 something is missing or damaged, 3 all whole, but there are parts without a manifest")]
pub struct VerifyArgs {
    /// An id, the beginning of one, or an instance; may be several
    #[arg(value_name = "ID|INSTANCE")]
    pub wanted: Vec<String>,
    /// Read only a share of the parts, such as `10%` at random or `1/5` for the first of five slices
    #[arg(long, value_name = "SHARE", value_parser = str::parse::<Subset>)]
    pub read_data_subset: Option<Subset>,
}

/// Reads; touches nothing.
pub async fn run(args: &VerifyArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let app = app(config, Repositories::Open).await?;
    let tools = tools(&app);
    let subset = args.read_data_subset.unwrap_or(Subset::All);
    let (mut instances, mut snapshots) = (Vec::new(), Vec::new());
    for wanted in &args.wanted {
        match config.instances.keys().find(|name| name.as_str() == wanted) {
            Some(name) => instances.push(name.clone()),
            None => snapshots.push(find::snapshot(&tools.repository, config, wanted).await?),
        }
    }
    let everything = args.wanted.is_empty();
    if everything {
        instances = config.instances.keys().cloned().collect::<Vec<InstanceName>>();
    }
    let events = out.progress();
    let mut findings = verify::all(tools, &instances, subset, &events).await?;
    for manifest in &snapshots {
        findings.push(verify::one(tools, manifest, subset, &events).await?);
    }
    if everything {
        findings.extend(verify::without_manifest(tools).await?);
    }
    out.progress_done();
    if out.is_json() {
        out.data(&findings);
    } else if findings.is_empty() {
        out.say("no snapshots yet; take one with `tidegate snapshot --all`");
    } else {
        out.text(&text(&findings, (tools.now)()));
    }
    let damaged = findings.iter().filter(|finding| !finding.troubles.is_empty()).count();
    if damaged > 0 {
        let what =
            if findings.len() == 1 { "it is".to_owned() } else { format!("{damaged} of {} are", findings.len()) };
        out.error(
            &format!("{what} not whole"),
            Some("a restore of such a snapshot is refused before it touches anything; take a new one with `tidegate snapshot`"),
        );
        return Ok(exit::FAILED);
    }
    Ok(if findings.iter().any(|finding| finding.unexplained) { exit::PARTLY } else { exit::DONE })
}

fn text(findings: &[Finding], now: jiff::Timestamp) -> String {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let row = |finding: &Finding| {
        vec![
            dash(finding.id.as_ref().map(ToString::to_string)),
            dash(finding.instance.as_ref().map(ToString::to_string)),
            dash(finding.taken_at.as_ref().map(|at| ago(at, now))),
            format!("{} of {}", finding.read_count, finding.object_count),
            bytes(finding.read_bytes),
            result(finding),
        ]
    };
    let rows: Vec<Vec<String>> = findings.iter().map(row).collect();
    let mut text = table(&["ID", "INSTANCE", "TAKEN", "READ", "BYTES", "RESULT"], &rows);
    for finding in findings {
        for trouble in &finding.troubles {
            let id = finding.id.as_ref().map_or_else(String::new, |id| format!("{id}: "));
            text.push_str(&format!("\n{id}`{}` is {}: {}", trouble.object, trouble.is, trouble.reason));
        }
        if let (true, Some(id)) = (finding.unexplained, &finding.id) {
            text.push_str(&format!(
                "\n{id}: {} objects lie in `parts/{id}/` and no manifest names them: a snapshot that another host takes \
                 now, one that was cut off, or one whose manifest is lost",
                finding.object_count
            ));
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn result(finding: &Finding) -> String {
    match (finding.troubles.len(), finding.unexplained) {
        (0, true) => "no manifest".into(),
        (0, false) if finding.read_count == finding.object_count => "whole".into(),
        (0, false) => "whole as far as it was read".into(),
        (1, _) => format!("NOT WHOLE: 1 object {}", finding.troubles[0].is),
        (count, _) => format!("NOT WHOLE: {count} objects"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::SnapshotId;
    use crate::ops::verify::Trouble;

    #[test]
    fn every_trouble_of_every_snapshot_is_named() {
        let whole = Finding {
            id: Some(SnapshotId::new("3fa4c1d2").unwrap()),
            instance: Some(InstanceName::new("production").unwrap()),
            taken_at: Some("2026-03-20T03:00:00Z".into()),
            object_count: 4,
            read_count: 4,
            read_bytes: 201 << 20,
            troubles: vec![],
            unexplained: false,
        };
        let id = |id: &str| Some(SnapshotId::new(id).unwrap());
        let trouble = |object: &str, is, reason: &str| Trouble { object: object.into(), is, reason: reason.into() };
        let broken = Finding {
            id: id("9b1c22aa"),
            read_count: 2,
            troubles: vec![
                trouble("parts/9b1c22aa/database.tar.gz", "missing", "the store does not have it"),
                trouble("parts/9b1c22aa/definition.json", "damaged", "it has 11 bytes, not 2100"),
            ],
            ..whole.clone()
        };
        let unread = Finding {
            id: None,
            taken_at: None,
            object_count: 0,
            read_count: 0,
            read_bytes: 0,
            troubles: vec![trouble("snapshots/production/00000003-x.json", "damaged", "it is not a manifest")],
            ..whole.clone()
        };
        let partly = Finding { id: id("0000abcd"), read_count: 1, read_bytes: 2_100, ..whole.clone() };
        let lost = Finding {
            id: id("00001111"),
            instance: None,
            taken_at: None,
            read_count: 0,
            read_bytes: 0,
            object_count: 3,
            unexplained: true,
            ..whole.clone()
        };
        let all = [whole, broken, unread, partly, lost];
        insta::assert_snapshot!(text(&all, "2026-03-20T05:30:00Z".parse().unwrap()));
    }
}
