//! `plan`: what an upgrade would do, with the state of its gates and how long it may take.

use serde::Serialize;

use super::render::Render;
use super::{app, configured, exit, tools, upgrade as upgrade_command};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::gate::{Condition, weigh};
use crate::model::ids::InstanceName;
use crate::model::version::Version;
use crate::ops::forecast::{Downtime, downtime};
use crate::ops::history::{self, RunSummary};
use crate::ops::run::Plan;
use crate::ops::upgrade::{self, StagePlan, UpgradeError, UpgradePlan};
use crate::ops::{Tools, gate::facts};
use crate::workflow::StepError;

/// Say what an upgrade would do, how its gates stand now, and how long it may take
///
/// The plan is the very one of `tidegate upgrade VERSION`. Where the way leads over other versions, all of them are
/// named. Changes nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate plan v2.5.1\n  tidegate plan v2.5.1 --only production --json")]
pub struct PlanArgs {
    /// The version: the image's tag, such as v2.5.1
    pub version: String,
    /// Only this stage; its gate still holds
    #[arg(long, value_name = "INSTANCE")]
    pub only: Option<InstanceName>,
}

/// What is known of one stage beside its plan.
#[derive(Clone, Debug, Serialize)]
struct Outlook {
    instance: InstanceName,
    gate: Option<Gate>,
    downtime: Option<Downtime>,
}

/// How the gate before a stage stands.
#[derive(Clone, Debug, Serialize)]
struct Gate {
    /// The stage before is upgraded by the same run, so it is weighed in the middle of it.
    in_this_run: bool,
    /// Then it waits for a person.
    approval: bool,
    /// As it stands now; empty where the image is not on this host yet, so that nobody knows which one it is.
    conditions: Vec<Condition>,
}

/// Looks; touches nothing.
pub async fn run(args: &PlanArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    configured(config, &args.only)?;
    let app = app(config, Repositories::Unasked).await?;
    let tools = tools(&app);
    let plan = match upgrade::plan(tools, &args.version, args.only.as_ref(), false, None).await {
        Err(error @ UpgradeError::NoWay(_)) => {
            for (instance, way) in ways(tools, &args.version).await? {
                out.say(&format!("{instance} would go by {way}, one `tidegate upgrade` each"));
            }
            return Err(error.into());
        }
        plan => plan?,
    };
    let runs: Vec<RunSummary> = history::runs(&tools.state)?.into_iter().flatten().collect();
    let mut outlooks = Vec::new();
    for stage in &plan.stages {
        let gate = match &stage.gate {
            Some(previous) => Some(gate(tools, &plan, stage, previous).await?),
            None => None,
        };
        let downtime = downtime(&runs, "upgrade", &stage.instance);
        outlooks.push(Outlook { instance: stage.instance.clone(), gate, downtime });
    }
    if out.is_json() {
        out.data(&serde_json::json!({ "plan": Plan::Upgrade(plan), "outlook": outlooks }));
    } else {
        out.text(&upgrade_command::text(&plan));
        out.text(&text(&outlooks));
    }
    Ok(exit::DONE)
}

async fn gate(
    tools: &Tools,
    plan: &UpgradePlan,
    stage: &StagePlan,
    previous: &InstanceName,
) -> Result<Gate, StepError> {
    let in_this_run = plan.stages.iter().any(|stage| stage.instance == *previous);
    let conditions = match tools.engine.image(&plan.reference).await? {
        Some(target) if !in_this_run => weigh(&facts(tools, previous, &stage.instance, target.id).await?),
        _ => Vec::new(),
    };
    Ok(Gate { in_this_run, approval: stage.approval, conditions })
}

/// The versions on the way of each stage that has to stop at some.
async fn ways(tools: &Tools, version: &str) -> Result<Vec<(InstanceName, String)>, StepError> {
    let Ok(target) = Version::parse(version) else { return Ok(Vec::new()) };
    let mut ways = Vec::new();
    for instance in &tools.settings.stages {
        let adapter = tools.instance(instance)?;
        let Some(view) = tools.engine.find(adapter.container()).await? else { continue };
        let tag =
            view.image_ref.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag.to_owned());
        let Some(running) = tag.and_then(|tag| Version::parse(&tag).ok()) else { continue };
        if let Ok(hops) = adapter.hops(&running, &target)
            && hops.len() > 1
        {
            let hops: Vec<String> = hops.iter().map(ToString::to_string).collect();
            ways.push((instance.clone(), hops.join(", then ")));
        }
    }
    Ok(ways)
}

fn text(outlooks: &[Outlook]) -> String {
    let mut text = String::new();
    for outlook in outlooks {
        text.push_str(&format!("{} as things stand\n", outlook.instance));
        match &outlook.gate {
            None => text.push_str("  gate: none, it is the first stage\n"),
            Some(Gate { in_this_run: true, .. }) => {
                text.push_str("  gate: weighed by this very run, once the stage before it has passed\n");
            }
            Some(Gate { conditions, .. }) if conditions.is_empty() => {
                text.push_str("  gate: not known before the image is on this host; the run pulls it first\n");
            }
            Some(Gate { conditions, .. }) => {
                let open = conditions.iter().all(|condition| condition.holds);
                text.push_str(if open {
                    "  gate: open\n"
                } else {
                    "  gate: SHUT, so the upgrade would stop before it\n"
                });
                for Condition { holds, text: seen, lifts } in conditions {
                    text.push_str(&format!("    {}  {seen}\n", if *holds { "ok  " } else { "SHUT" }));
                    if let Some(lifts) = lifts {
                        text.push_str(&format!("          lifts: {lifts}\n"));
                    }
                }
            }
        }
        if outlook.gate.as_ref().is_some_and(|gate| gate.approval) {
            text.push_str("  then it waits for a person: `tidegate approve RUN --reason WHY`\n");
        }
        match &outlook.downtime {
            None => text.push_str("  down: not known, no upgrade of it has ended well on this host\n"),
            Some(Downtime { run_count: 1, longest_seconds, .. }) => {
                text.push_str(&format!("  down: {longest_seconds:.0} s the last time\n"));
            }
            Some(Downtime { run_count, median_seconds, longest_seconds }) => text.push_str(&format!(
                "  down: about {median_seconds:.0} s by {run_count} earlier upgrades, {longest_seconds:.0} s at the longest\n"
            )),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_and_times_are_told_for_each_stage() {
        let name = |name: &str| InstanceName::new(name).unwrap();
        let condition = |holds, text: &str, lifts: Option<&str>| Condition {
            holds,
            text: text.into(),
            lifts: lifts.map(str::to_owned),
        };
        let down =
            |run_count, median_seconds, longest_seconds| Some(Downtime { run_count, median_seconds, longest_seconds });
        let shut = vec![
            condition(true, "`staging` still runs on it", None),
            condition(false, "no image has passed the checks on `staging` yet", Some("upgrade `staging` first")),
        ];
        let gate = |in_this_run, conditions| Some(Gate { in_this_run, approval: in_this_run, conditions });
        let all = [
            Outlook { instance: name("staging"), gate: None, downtime: down(4, 41.3, 55.0) },
            Outlook { instance: name("production"), gate: gate(true, vec![]), downtime: None },
            Outlook { instance: name("third"), gate: gate(false, shut), downtime: down(1, 30.0, 30.0) },
            Outlook { instance: name("fourth"), gate: gate(false, vec![]), downtime: None },
        ];
        insta::assert_snapshot!(text(&all));
    }
}
