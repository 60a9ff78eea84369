//! `promote`: apps go from staging to production by Git.

use super::render::Render;
use super::{Consent, Usage, app, carry_out, exit, tools, upgrade};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::promotion::{Change, How};
use crate::ops::promote::{self, Planned, PromotePlan};
use crate::ops::run::{Plan, RunReport};
use crate::promote::Merged;
use crate::workflow::{Outcome, StepError, chain};

/// Bring apps from staging to production by Git
///
/// Merges staging's branch into production's, pushes it, lets production pull and deploy, and checks it against how it was.
/// What fails is taken back by a commit that is pulled as well. Neither instance is stopped.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate promote --all --dry-run     what would go live, app by app\n  tidegate promote Orders\n  \
    tidegate promote Orders --confirm production"
)]
pub struct PromoteArgs {
    /// Apps, as they are called on staging
    pub apps: Vec<String>,
    /// All that are connected in both places
    #[arg(long, conflicts_with = "apps")]
    pub all: bool,
    /// How to go ahead
    #[command(flatten)]
    pub consent: Consent,
}

/// One app after the other; one that fails does not stop the others.
pub async fn run(args: PromoteArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    if args.apps.is_empty() && !args.all && !args.consent.dry_run {
        return Err(Box::new(Usage("name an app or say --all".into())));
    }
    let mut app = app(config, Repositories::Unasked).await?;
    app.take_over(args.consent.take_over.as_ref());
    let Planned { plans, left } = promote::plan(tools(&app), &args.apps).await?;
    if out.is_json() && args.consent.dry_run {
        out.data(&serde_json::json!({ "plans": plans, "left": left }));
        return Ok(exit::DONE);
    }
    if !out.is_json() {
        plans.iter().for_each(|plan| out.text(&text(plan)));
        left.iter().for_each(|(app, why)| out.text(&format!("{app}: left out: {why}\n")));
    }
    if args.consent.dry_run {
        return Ok(exit::DONE);
    }
    let (ready, obstructed): (Vec<_>, Vec<_>) =
        plans.into_iter().filter(|plan| !plan.is_in_step()).partition(|plan| plan.obstacles.is_empty());
    let Some(first) = ready.first().or(obstructed.first()) else {
        out.say("nothing to do: production has all that staging has");
        return Ok(exit::DONE);
    };
    if !ready.is_empty() {
        args.consent.given(&first.production.instance, true, out)?;
    }
    // One that cannot go now is begun all the same: its first step says why, and so does the history.
    let (mut worst, mut done_count) = (exit::DONE, 0_usize);
    let count = ready.len() + obstructed.len();
    for plan in ready.into_iter().chain(obstructed) {
        let name = plan.app.clone();
        let code = match carry_out(&app, &Plan::Promote(Box::new(plan)), out).await {
            Ok(report) => {
                done_count += usize::from(report.outcome == Some(Outcome::Completed));
                tell(&name, &report, out)
            }
            Err(error) if count > 1 => out.failure(&error),
            Err(error) => return Err(Box::new(error)),
        };
        worst = if worst == exit::DONE { code } else { worst };
        if code == exit::INTERRUPTED {
            return Ok(code);
        }
    }
    Ok(if worst != exit::DONE && done_count > 0 && count > 1 { exit::PARTLY } else { worst })
}

/// Says how a promotion ended; also for one that was taken up.
pub fn tell(app: &str, report: &RunReport, out: &mut Render) -> u8 {
    let code = exit::of_run(report, out.warned());
    if out.is_json() {
        out.data(&report.summary);
    }
    match report.outcome {
        Some(Outcome::Completed) => out.say(&format!("{app} is live")),
        Some(Outcome::RolledBack) => {
            let why = report.failure.as_ref().map(|(step, error)| format!("{step}: {}", chain(&**error)));
            let why = why.or_else(|| report.summary.failure.clone()).unwrap_or_else(|| "no reason is known".into());
            let was = if report.touched { "taken back" } else { "not promoted" };
            out.error(&format!("{app} was {was}: {why}"), Some(&upgrade::advice(report)));
        }
        _ => return upgrade::tell(report, out),
    }
    code
}

const CHANGES_MAX: usize = 40;
const COMMITS_MAX: usize = 10;

/// The plan of one app for a person.
pub(super) fn text(plan: &PromotePlan) -> String {
    let seen = &plan.comparison;
    let (from, to) = (&plan.staging.branch, &plan.production.branch);
    if plan.is_in_step() && plan.obstacles.is_empty() {
        return format!("{}: in step\n", plan.app);
    }
    let files = counted(seen.files, "file");
    let mut text = match (seen.ahead, &plan.merged) {
        (0, Merged::Commit { .. }) => {
            format!("{}: what was taken back from `{to}` comes again, in {files}\n", plan.app)
        }
        (ahead, _) => {
            format!("{}: `{from}` has {} that `{to}` lacks, in {files}\n", plan.app, counted(ahead, "commit"))
        }
    };
    for commit in seen.commits.iter().take(COMMITS_MAX) {
        text.push_str(&format!("  {} {} ({})\n", commit.id.short(), commit.subject, commit.author));
    }
    if seen.ahead > COMMITS_MAX {
        text.push_str(&format!("  and {} more\n", seen.ahead - COMMITS_MAX.min(seen.commits.len())));
    }
    changes(&seen.changes, &mut text);
    for odd in &seen.odd {
        text.push_str(&format!("  odd: {odd}\n"));
    }
    match &plan.merged {
        Merged::FastForward { commit } => {
            text.push_str(&format!("  push: `{to}` moves on to {} (fast-forward)\n", commit.short()));
        }
        Merged::Commit { .. } => {
            let own = counted(seen.behind, "commit");
            text.push_str(&format!("  push: a merge commit on `{to}`, which has {own} of its own\n"));
        }
        Merged::UpToDate if plan.unpulled > 0 => {
            let unpulled = counted(usize::try_from(plan.unpulled).unwrap_or(usize::MAX), "commit");
            text.push_str(&format!("  nothing to push; production has not pulled {unpulled}\n"));
            if seen.ahead > 0 {
                text.push_str("  first only these, and checked; then promote again for the rest\n");
            }
        }
        _ => {}
    }
    if plan.obstacles.is_empty() {
        text.push_str(&format!(
            "  then `{}` pulls and deploys, and is checked; what fails is taken back by a commit\n",
            plan.production.instance
        ));
    }
    for obstacle in &plan.obstacles {
        text.push_str(&format!("  NOT NOW: {obstacle}\n"));
    }
    text
}

fn changes(changes: &[Change], text: &mut String) {
    let word = |how| match how {
        How::Added => "new",
        How::Removed => "gone",
        How::Changed => "changed",
    };
    let mut page = None;
    for change in changes.iter().take(CHANGES_MAX) {
        let thing = &change.thing;
        let is_on_page = thing.page.is_some() && thing.page.as_deref() != Some(&thing.name);
        if is_on_page && page != thing.page.as_ref() {
            text.push_str(&format!("  on page `{}`\n", thing.page.as_deref().unwrap_or_default()));
            page = thing.page.as_ref();
        }
        let indent = if is_on_page { "    " } else { "  " };
        text.push_str(&format!("{indent}{thing}: {}\n", word(change.how)));
    }
    if changes.len() > CHANGES_MAX {
        text.push_str(&format!("  and {} more\n", changes.len() - CHANGES_MAX));
    }
}

fn counted(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}
