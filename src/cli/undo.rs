//! `undo`: put back what a restore had replaced.

use jiff::Timestamp;

use super::render::{Render, ago, moment};
use super::{Consent, Usage, app, carry_out, exit, logs, tools, upgrade};
use crate::app::Repositories;
use crate::config::Config;
use crate::ops::run::Plan;
use crate::ops::undo::{self, UndoPlan, Wanted};
use crate::workflow::StepError;

/// Undo a restore: put back the data, the image and the definition that it had replaced
///
/// The data was set aside in the same volume and comes back by rename: nothing is fetched, and the store is not asked.
/// What is there now is set aside in its place, so an undo destroys nothing and can be undone by `tidegate undo`.
/// Like a restore it is checked against how the instance was, and rolled back if that fails.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate undo --dry-run\n  tidegate undo staging\n  \
    tidegate undo restore-20261121-101530-7f3a --confirm production")]
pub struct UndoArgs {
    /// The instance whose newest restore is undone, or the id of the run; without it the newest restore of all
    #[arg(value_name = "INSTANCE|RUN")]
    pub what: Option<String>,
    /// Neither wait until it is ready nor check it, for a state that is known not to pass
    #[arg(long)]
    pub no_checks: bool,
    /// How to go ahead
    #[command(flatten)]
    pub consent: Consent,
}

/// Chooses, shows the plan, asks, and carries it out.
pub async fn run(args: UndoArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let app = app(config, Repositories::Unasked).await?;
    let tools = tools(&app);
    let wanted = match &args.what {
        None => Wanted::Newest,
        Some(word) => match config.instances.keys().find(|name| name.as_str() == word) {
            Some(instance) => Wanted::Of(instance.clone()),
            None => Wanted::Run(logs::find(&tools.state, Some(word))?),
        },
    };
    let plan = undo::plan(tools, &wanted, args.no_checks).await?;
    if out.is_json() {
        out.data(&Plan::Undo(plan.clone()));
    } else {
        out.text(&text(&plan, undo::kept_until(tools, &plan.undoes_at), (tools.now)()));
    }
    if args.consent.dry_run {
        return Ok(exit::DONE);
    }
    if wanted == Wanted::Newest && !out.can_ask() {
        let text = format!(
            "without a terminal the instance or the run must be named, such as `tidegate undo {}`",
            plan.undoes
        );
        return Err(Box::new(Usage(text)));
    }
    let asks = config.instances.get(&plan.instance).is_some_and(|known| known.production);
    args.consent.given(&plan.instance, asks, out)?;
    let report = carry_out(&app, &Plan::Undo(plan), out).await?;
    let code = upgrade::tell(&report, out);
    if code == exit::DONE {
        let run = &report.summary.run;
        out.say(&format!(
            "what was there before is kept in `.tidegate/{run}` of its volume; `tidegate undo {run}` brings it back"
        ));
    }
    Ok(code)
}

/// The plan for a person.
fn text(plan: &UndoPlan, kept_until: Option<Timestamp>, now: Timestamp) -> String {
    let mut text = format!(
        "undo {} of {}, begun {} ({})\n  brings back: {}, with the data of right before it\n",
        plan.undoes,
        plan.instance,
        ago(&plan.undoes_at, now),
        moment(&plan.undoes_at),
        plan.to
    );
    for warning in &plan.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    if let Some(until) = kept_until.filter(|until| *until < now) {
        text.push_str(&format!(
            "  warning: what it set aside was kept until {} and may be deleted by the next snapshot\n",
            moment(&until.to_string())
        ));
    }
    text.push_str("  everything that users changed since then goes out of service, and is kept beside it\n");
    text.push_str(&format!("  now: {}; fetches nothing\n", plan.from.as_deref().unwrap_or("no container")));
    if plan.no_checks {
        text.push_str("  NO checks, and no wait until it is ready\n");
    }
    for place in &plan.places {
        text.push_str(&format!("  swaps the data in {place}, by rename; what no snapshot covers stays\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{InstanceName, RunId};

    #[test]
    fn the_plan_says_what_comes_back_and_what_goes() {
        let plan = UndoPlan {
            instance: InstanceName::new("production").unwrap(),
            container: "appsmith".into(),
            undoes: RunId::new("restore-20260320-030000-7f3a").unwrap(),
            undoes_at: "2026-03-20T03:00:00.123Z".into(),
            to: "v2.2, appsmith/appsmith-ce:v2.2".into(),
            from: Some("appsmith/appsmith-ce:v2.1".into()),
            places: vec!["/appsmith-stacks".into()],
            warnings: vec!["it was not well when it was replaced (its login fails)".into()],
            no_checks: true,
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (until, now) = (at("2026-03-27T03:00:00Z"), at("2026-03-20T05:30:00Z"));
        insta::assert_snapshot!("in_time", text(&plan, Some(until), now));
        insta::assert_snapshot!("late", text(&plan, Some(until), at("2026-03-28T05:30:00Z")));
    }
}
