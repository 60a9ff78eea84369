//! `upgrade`: staging first, production behind the gate.

use super::render::{Render, moment};
use super::{Consent, app, carry_out, configured, exit, tools};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::ids::{InstanceName, RunId};
use crate::ops::history::RunSummary;
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
    configured(config, &args.only)?;
    let mut app =
        app(config, if args.consent.dry_run { Repositories::Unasked } else { Repositories::OpenOrInit }).await?;
    app.take_over(args.consent.take_over.as_ref());
    let plan = upgrade::plan(tools(&app), &args.version, args.only.as_ref(), args.force, args.reason).await?;
    show(&plan, out);
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

fn show(plan: &UpgradePlan, out: &mut Render) {
    if out.is_json() {
        out.data(&Plan::Upgrade(plan.clone()));
    } else {
        out.text(&text(plan));
    }
}

/// The plan for a person.
pub(super) fn text(plan: &UpgradePlan) -> String {
    let mut text = format!("upgrade to {}\n", plan.reference);
    for skipped in &plan.skipped {
        text.push_str(&format!("  {skipped}: runs on it already\n"));
    }
    for stage in &plan.stages {
        text.push_str(&format!("  {} (container {}, now {})\n", stage.instance, stage.container, stage.from));
        match (&stage.gate, plan.forced) {
            (Some(previous), false) => {
                text.push_str(&format!(
                    "    gate: this very image has passed its checks on {previous}, and {previous} runs on it\n"
                ));
            }
            (Some(_), true) => text.push_str("    NO gate (forced)\n"),
            (None, _) => {}
        }
        if stage.approval {
            text.push_str("    approval: it waits here until a person says `tidegate approve`\n");
        }
        text.push_str("    down: rest, snapshot, read it back, swap the container, start, wait until ready\n");
        text.push_str(if plan.forced {
            "    NO checks (forced)\n"
        } else {
            "    checks: what works now must work then\n"
        });
    }
    text.push_str(
        "  what fails is rolled back: image, definition and data. What users write between the new image's start and\n  \
         the end of its checks is lost then\n",
    );
    text
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
        None => {
            out.say(&waits(summary));
            out.say(&format!("  {}", summary.state_text()));
        }
        Some(Outcome::Completed) => out.say("done"),
        Some(Outcome::RolledBack) => {
            let why = report.failure.as_ref().map(|(step, error)| format!("{step}: {}", chain(&**error)));
            let why = why.or_else(|| summary.failure.clone()).unwrap_or_else(|| "no reason is known".into());
            out.error(&format!("{} was not done: {why}", summary.workflow), Some(&advice(report)));
        }
        Some(Outcome::Stuck) => {
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

/// How a hint ends that is given before anything happens to the instance.
const NOTHING: &str = "nothing was touched";

/// What is safe after a run that was rolled back, and what to do next.
pub(super) fn advice(report: &RunReport) -> String {
    let hint = report.failure.as_ref().and_then(|(_, error)| exit::hint(&**error));
    with_state(&report.summary, hint)
}

/// The hint is about the instance at hand, and says itself if nothing of that was touched. Of an instance before it in
/// the pipeline only the run knows.
fn with_state(summary: &RunSummary, hint: Option<String>) -> String {
    let safe = summary.state_text();
    let Some(hint) = hint else { return safe };
    if !hint.contains("touched") {
        return format!("{safe}; {hint}");
    }
    if summary.rolled_back.is_empty() && summary.reopened.is_empty() {
        return hint;
    }
    match hint.strip_suffix(NOTHING).map(|rest| rest.trim_end_matches("; ")) {
        Some("") => safe,
        rest => format!("{safe}; {}", rest.unwrap_or(&hint)),
    }
}

/// For what a run waits, and what a person can say to that.
pub(super) fn waits(summary: &RunSummary) -> String {
    let RunSummary { run, waiting, .. } = summary;
    let what =
        waiting.as_ref().map_or_else(String::new, |wait| format!(": {}, until {}", wait.reason, moment(&wait.until)));
    format!(
        "{run} waits{what}\n  to let it go on: tidegate approve {run} --reason WHY\n  to end it:       tidegate reject {run} --reason WHY"
    )
}

/// What a person can say to a run that waits, in one line.
pub(super) fn answers(run: &RunId) -> String {
    format!("`tidegate approve {run} --reason WHY` lets it go on, `tidegate reject {run} --reason WHY` ends it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::upgrade::StagePlan;

    fn plan(forced: bool) -> UpgradePlan {
        let name = |name: &str| InstanceName::new(name).unwrap();
        let stage = |instance: &str, gate: Option<&str>| StagePlan {
            instance: name(instance),
            container: format!("appsmith-{instance}"),
            from: "appsmith/appsmith-ce:v2.1".into(),
            gate: gate.map(name),
            approval: gate.is_some() && !forced,
        };
        let stages = if forced {
            vec![stage("production", Some("staging"))]
        } else {
            vec![stage("staging", None), stage("production", Some("staging"))]
        };
        let (reference, version) = ("appsmith/appsmith-ce:v2.2".into(), "v2.2".into());
        UpgradePlan { reference, version, stages, skipped: vec![], forced, why: None }
    }

    #[test]
    fn the_plan_says_what_is_done_to_whom() {
        insta::assert_snapshot!(text(&plan(false)), @r#"
        upgrade to appsmith/appsmith-ce:v2.2
          staging (container appsmith-staging, now appsmith/appsmith-ce:v2.1)
            down: rest, snapshot, read it back, swap the container, start, wait until ready
            checks: what works now must work then
          production (container appsmith-production, now appsmith/appsmith-ce:v2.1)
            gate: this very image has passed its checks on staging, and staging runs on it
            approval: it waits here until a person says `tidegate approve`
            down: rest, snapshot, read it back, swap the container, start, wait until ready
            checks: what works now must work then
          what fails is rolled back: image, definition and data. What users write between the new image's start and
          the end of its checks is lost then
        "#);
    }

    #[test]
    fn a_forced_plan_says_what_is_left_out() {
        insta::assert_snapshot!(text(&plan(true)), @r#"
        upgrade to appsmith/appsmith-ce:v2.2
          production (container appsmith-production, now appsmith/appsmith-ce:v2.1)
            NO gate (forced)
            down: rest, snapshot, read it back, swap the container, start, wait until ready
            NO checks (forced)
          what fails is rolled back: image, definition and data. What users write between the new image's start and
          the end of its checks is lost then
        "#);
    }

    fn summary(reopened: &[&str]) -> RunSummary {
        let names = |names: &[&str]| names.iter().map(|name| InstanceName::new(*name).unwrap()).collect::<Vec<_>>();
        RunSummary {
            instances: names(&["staging", "production"]),
            outcome: Some(Outcome::RolledBack),
            reopened: names(reopened),
            ..RunSummary::begun("upgrade-20260301-020000-a1b2c3")
        }
    }

    #[test]
    fn that_nothing_was_touched_is_only_said_where_it_is_so() {
        let told = |reopened: &[&str], hint: &str| with_state(&summary(reopened), Some(hint.into()));
        let mend = "mend that line; nothing was touched";
        assert_eq!(told(&[], mend), mend);
        let half = "`staging` stays upgraded; `production` was not touched";
        assert_eq!(told(&["staging"], mend), format!("{half}; mend that line"));
        assert_eq!(told(&["staging"], "nothing was touched"), half);
        assert_eq!(
            told(&["staging"], "mend `production`; it was not touched"),
            format!("{half}; mend `production`; it was not touched")
        );
        assert_eq!(told(&["staging"], "look at its logs"), format!("{half}; look at its logs"));
        assert_eq!(with_state(&summary(&["staging"]), None), half);
    }
}
