//! `approve` and `reject`: what a person says to an upgrade that waits at a gate.

use tokio_util::sync::CancellationToken;

use super::render::{Render, moment};
use super::{app, exit, logs, tools, upgrade, wait};
use crate::app::{self, App, Repositories};
use crate::config::Config;
use crate::ops::approve::{self, Question};
use crate::workflow::{Outcome, StepError};

/// Let an upgrade that waits at a gate go on, and see it through
///
/// The approval is bound to what the gate saw: another pass, another image or another container since makes it void, and
/// so does time (`upgrade.approval_max_age`). It is kept in the journal with who gave it and why.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate approve upgrade-20261121-101530-7f3a --dry-run\n  \
    tidegate approve upgrade-20261121-101530-7f3a --reason \"looked at the orders page on staging\"\n  \
    tidegate approve upgrade-20261121-101530-7f3a --reason CHG-1234 --evidence 1f0c9a4b7d2e6538")]
pub struct ApproveArgs {
    /// The run, or the beginning of its id; `tidegate status` shows those that wait
    pub run: String,
    /// Why, for the journal
    #[arg(long, required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Only if this is still what is to be approved; --dry-run shows it
    #[arg(long, value_name = "FINGERPRINT")]
    pub evidence: Option<String>,
    /// Show what is to be approved and stop; nothing is touched
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// End an upgrade that waits at a gate; what is upgraded already stays as it is
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate reject upgrade-20261121-101530-7f3a --reason \"the orders page is blank on staging\""
)]
pub struct RejectArgs {
    /// The run, or the beginning of its id; `tidegate status` shows those that wait
    pub run: String,
    /// Why, for the journal
    #[arg(long)]
    pub reason: String,
}

/// Shows what is approved, and goes on with the run.
pub async fn approve(args: ApproveArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    // Before the identity of the state directory's owner is taken.
    let by = app::caller();
    let run = logs::find(&App::state(config)?, Some(&args.run))?;
    let app = app(config, Repositories::Unasked).await?;
    let question = approve::question(tools(&app), &run, args.evidence.as_deref()).await?;
    if out.is_json() {
        out.data(&question);
    } else {
        out.text(&text(&question));
    }
    let Some(reason) = args.reason.filter(|_| !args.dry_run) else { return Ok(exit::DONE) };
    let (cancel, events) = (CancellationToken::new(), out.progress());
    let (tools, token) = (tools(&app).clone(), cancel.clone());
    let running = async move { approve::approve(&tools, &question, by, reason, events, token).await };
    let report = wait(tokio::spawn(running), cancel, out).await?;
    Ok(upgrade::tell(&report, out))
}

/// Ends the run.
pub async fn reject(args: RejectArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let by = app::caller();
    let run = logs::find(&App::state(config)?, Some(&args.run))?;
    let app = app(config, Repositories::Unasked).await?;
    let report = approve::reject(tools(&app), &run, &by, &args.reason, out.progress()).await?;
    out.progress_done();
    if report.outcome != Some(Outcome::RolledBack) {
        return Ok(upgrade::tell(&report, out));
    }
    if out.is_json() {
        out.data(&report.summary);
    }
    out.say(&format!("{run} is rejected: {}", report.summary.state_text()));
    let summary = &report.summary;
    for instance in summary.reopened.iter().filter(|instance| !summary.is_changed_since(instance)) {
        out.say(&format!("to take `{instance}` back, too: `tidegate restore {instance} before-upgrade`"));
    }
    Ok(exit::DONE)
}

fn text(question: &Question) -> String {
    let Question { run, instance, reference, conditions, evidence, until, .. } = question;
    let mut text = format!("{run} waits to upgrade {instance} to {reference}\n");
    for condition in conditions {
        text.push_str(&format!("  holds: {}\n", condition.text));
    }
    text.push_str(&format!("  evidence {evidence}; it can be approved until {}\n", moment(until)));
    text.push_str(&format!(
        "  then {instance} is down: rest, snapshot, read it back, swap the container, start, wait until ready\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::gate::Condition;
    use crate::model::ids::{InstanceName, RunId};

    #[test]
    fn what_is_approved_is_shown() {
        let holds = |text: &str| Condition { holds: true, text: text.into(), lifts: None };
        let question = Question {
            run: RunId::new("upgrade-20261121-101530-7f3a").unwrap(),
            instance: InstanceName::new("production").unwrap(),
            reference: "appsmith/appsmith-ce:v2.2".into(),
            conditions: vec![
                holds("this image (aaaaaaaaaaaa) passed 12 checks on `staging`"),
                holds("`staging` still runs on it"),
            ],
            evidence: "1f0c9a4b7d2e6538".into(),
            until: "2026-11-28T10:15:30Z".into(),
            counts_until: "2026-11-21T11:15:30Z".into(),
        };
        insta::assert_snapshot!(text(&question), @r"
        upgrade-20261121-101530-7f3a waits to upgrade production to appsmith/appsmith-ce:v2.2
          holds: this image (aaaaaaaaaaaa) passed 12 checks on `staging`
          holds: `staging` still runs on it
          evidence 1f0c9a4b7d2e6538; it can be approved until 2026-11-28 10:15:30 UTC
          then production is down: rest, snapshot, read it back, swap the container, start, wait until ready
        ");
    }
}
