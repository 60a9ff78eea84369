//! `upgrade`: staging first, production behind the gate.

use super::render::Render;
use super::{Consent, app, carry_out, exit, tools};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::ops::run::{Plan, RunReport};
use crate::ops::upgrade::{self, UpgradePlan};
use crate::workflow::{Outcome, StepError, chain};

/// Upgrade the pipeline: staging first, production behind the gate
///
/// Each instance is snapshotted and the snapshot read back, started on the new image, and checked against how it was.
/// What fails is rolled back: image, definition and data together. Production is only touched once the very same image
/// has passed on staging.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate upgrade v2.5.1 --dry-run\n  tidegate upgrade v2.5.1\n  \
    tidegate upgrade v2.5.1 --only production --force --reason \"checks are broken, see #123\"")]
pub struct UpgradeArgs {
    /// The version: the image's tag, such as v2.5.1
    pub version: String,
    /// Only this stage; its gate still holds
    #[arg(long, value_name = "INSTANCE")]
    pub only: Option<InstanceName>,
    /// Without gate and without checks; needs --only and --reason
    #[arg(long, requires = "only", requires = "reason")]
    pub force: bool,
    /// Why it is forced, for the journal
    #[arg(long)]
    pub reason: Option<String>,
    /// How to go ahead
    #[command(flatten)]
    pub consent: Consent,
}

/// Shows the plan, asks, and carries it out.
pub async fn run(args: UpgradeArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let app = app(config, if args.consent.dry_run { Repositories::Unasked } else { Repositories::OpenOrInit }).await?;
    if let Some(only) = &args.only {
        tools(&app).instance(only)?;
    }
    let plan = upgrade::plan(tools(&app), &args.version, args.only.as_ref(), args.force, args.reason).await?;
    show(&Plan::Upgrade(plan.clone()), &plan, out);
    if args.consent.dry_run {
        return Ok(exit::DONE);
    }
    if plan.stages.is_empty() {
        out.say("nothing to do");
        return Ok(exit::DONE);
    }
    let production =
        plan.stages.iter().find(|stage| config.instances.get(&stage.instance).is_some_and(|known| known.production));
    // Behind a gate the checks decide; forced, a person does.
    if let Some(stage) = production {
        args.consent.given(&stage.instance, plan.forced, out)?;
    }
    let plan = Plan::Upgrade(plan);
    let report = carry_out(&app, &plan, out).await?;
    Ok(tell(&report, out))
}

fn show(whole: &Plan, plan: &UpgradePlan, out: &mut Render) {
    if out.is_json() {
        return out.data(whole);
    }
    let mut text = format!("upgrade to {}\n", plan.reference);
    for skipped in &plan.skipped {
        text.push_str(&format!("  {skipped}: runs on it already\n"));
    }
    for stage in &plan.stages {
        let gate = match (&stage.gate, plan.forced) {
            (Some(previous), false) => format!("gate: the same image passed on {previous}; then "),
            _ => String::new(),
        };
        let checks = if plan.forced { "NO checks (forced)" } else { "checks against how it is now" };
        text.push_str(&format!(
            "  {}: {gate}snapshot (it is down from here), swap {} for the new image, wait until ready, {checks}\n",
            stage.instance, stage.from
        ));
    }
    text.push_str("  what fails is rolled back: image, definition and data; users' changes since the new image's start are lost then\n");
    out.text(&text);
}

/// Says how an upgrade ended; also for one that was taken up.
pub fn tell(report: &RunReport, out: &mut Render) -> u8 {
    let code = exit::of_run(report, false);
    if out.is_json() {
        out.data(&report.summary);
    }
    let summary = &report.summary;
    for (instance, seconds) in &summary.down_seconds {
        out.say(&format!("{instance} was down for {seconds:.1} s"));
    }
    match report.outcome {
        Outcome::Completed => out.say("done"),
        Outcome::RolledBack => {
            let why = report.failure.as_ref().map(|(step, error)| format!("{step}: {}", chain(&**error)));
            let why = why.or_else(|| summary.failure.clone()).unwrap_or_else(|| "no reason is known".into());
            let hint = report.failure.as_ref().and_then(|(_, error)| exit::hint(&**error));
            let safe = summary.state_text();
            out.error(
                &format!("{} was not done: {why}", summary.workflow),
                Some(&format!("{safe}{}", hint.map(|hint| format!("; {hint}")).unwrap_or_default())),
            );
        }
        Outcome::Stuck => {
            let hint = format!(
                "both states are kept; look at `docker ps -a`, then `tidegate resume {}` tries again",
                summary.run
            );
            let why = summary.undo_failure.clone().or_else(|| summary.failure.clone()).unwrap_or_default();
            out.error(&format!("{} is stuck and a person must look: {why}", summary.run), Some(&hint));
        }
    }
    code
}
