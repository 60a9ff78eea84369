//! `restore`: put an instance back to a snapshot.

use std::time::{Duration, Instant};

use super::render::{Render, ago, bytes};
use super::show::reason;
use super::{Consent, Usage, app, carry_out, configured, exit, take_up, tools, upgrade};
use crate::app::{App, Repositories};
use crate::config::Config;
use crate::engine::LockOwner;
use crate::model::ids::InstanceName;
use crate::model::manifest::Mode;
use crate::model::plan::choose::Selector;
use crate::ops::give_way;
use crate::ops::history::RunSummary;
use crate::ops::lock::{self, LockError};
use crate::ops::restore::{self, RestorePlan, Wanted};
use crate::ops::run::{self, Plan, RunError};
use crate::workflow::StepError;

/// How long a run that another process ends is waited for.
const RECOVERY_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How many snapshots are offered where nobody can be asked.
const CHOICES_MAX: usize = 5;

/// Put an instance back to a snapshot: image, definition and data together
///
/// Without SNAPSHOT Tidegate chooses: the one from right before the newest upgrade if that is open, failed, forced or
/// younger than 7 days, else the newest verified one that was taken while its checks passed. The choice and its reason
/// are the first lines of the plan. What is there now is set aside in the same volume and kept for days.
///
/// With --as the data goes into another instance. That keeps its container, its address and its settings; the keys that
/// open the data come along. So its queries work on the databases of the first one.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate restore production\n  tidegate restore production --dry-run\n  \
    tidegate restore staging 3fa4c1d2 --yes\n  tidegate restore production before-upgrade --confirm production\n  \
    tidegate restore production latest --as staging   # production's data on staging")]
pub struct RestoreArgs {
    /// The instance whose snapshot it is, as named in the configuration
    pub instance: InstanceName,
    /// `latest`, `before-upgrade`, an id, or the beginning of one
    pub snapshot: Option<String>,
    /// Put the snapshot in the place of this other instance, which stays what it is but for its data and image
    #[arg(long = "as", value_name = "OTHER")]
    pub target: Option<InstanceName>,
    /// Neither wait until it is ready nor check it, for a snapshot that is known not to pass
    #[arg(long)]
    pub no_checks: bool,
    /// How to go ahead
    #[command(flatten)]
    pub consent: Consent,
}

/// Chooses, shows the plan, asks, and carries it out.
pub async fn run(args: RestoreArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    // What is written about is where the data goes to.
    let (of, instance) = match &args.target {
        Some(target) if *target == args.instance => (None, target.clone()),
        Some(target) => (Some(args.instance.clone()), target.clone()),
        None => (None, args.instance.clone()),
    };
    configured(config, of.iter().chain([&instance]))?;
    let mut app = app(config, Repositories::Open).await?;
    app.take_over(args.consent.take_over.as_ref());
    let selector = match &args.snapshot {
        Some(text) if text.is_empty() => return Err(Box::new(Usage("the snapshot's name is empty".into()))),
        Some(text) => text.parse().unwrap_or(Selector::Auto),
        None => Selector::Auto,
    };
    let (running, open) = open_runs(&app, &instance).await?;
    let wanted = Wanted { instance, of, selector, no_checks: args.no_checks };
    let instance = &wanted.instance;
    let mut plan = restore::plan(tools(&app), &wanted).await?;
    if let Some(owner) = &running {
        plan.warnings.push(match give_way::gives_way(tools(&app), owner) {
            true => format!("{} is running; it is asked to give way, and what it has done is undone", owner.run),
            false => format!("{} is running (pid {} on {}) and does not give way", owner.run, owner.pid, owner.host),
        });
    }
    for open in &open {
        plan.warnings
            .push(format!("{} was cut off; it is ended first, which may put service back by itself", open.run));
    }
    show(&plan, (tools(&app).now)(), out);
    if args.consent.dry_run {
        return Ok(exit::DONE);
    }
    if let Some(owner) = running.filter(|owner| !give_way::gives_way(tools(&app), owner)) {
        return Err(Box::new(LockError::Held { instance: instance.clone(), owner: Box::new(owner) }));
    }
    if wanted.selector == Selector::Auto && !out.can_ask() {
        return Err(Box::new(Usage(choices(&app, &wanted).await?)));
    }
    let asks = config.instances.get(instance).is_some_and(|known| known.production);
    args.consent.given(instance, asks, out)?;
    if !open.is_empty() {
        let chosen = plan.snapshot;
        end(&app, &open, out).await?;
        plan = restore::plan(tools(&app), &wanted).await?;
        if plan.snapshot != chosen {
            let text =
                format!("the choice is now {}, and was {chosen}; look at the instance and run it again", plan.snapshot);
            return Err(Box::new(Usage(text)));
        }
    }
    let plan = Plan::Restore(plan);
    let report = carry_out(&app, &plan, out).await?;
    let code = upgrade::tell(&report, out);
    if code == exit::DONE {
        let run = &report.summary.run;
        out.say(&format!(
            "what was there before is kept in `.tidegate/{run}` of its volume; `tidegate undo {run}` brings it back"
        ));
    }
    Ok(code)
}

/// Who works on the instance now, and the runs on it that were cut off.
async fn open_runs(app: &App, instance: &InstanceName) -> Result<(Option<LockOwner>, Vec<RunSummary>), StepError> {
    let running = lock::is_free(tools(app), instance).await?;
    let mut open = run::open_runs(tools(app))?;
    let runs = |run: &RunSummary| running.as_ref().is_some_and(|owner| owner.run == run.run.as_str());
    open.retain(|run| run.instances.contains(instance) && !runs(run));
    Ok((running, open))
}

/// Ended first: two runs would undo each other's work. Where the daemon was quicker, it is waited for.
async fn end(app: &App, open: &[RunSummary], out: &mut Render) -> Result<(), StepError> {
    for open in open {
        out.say(&format!("{} was cut off; it is ended first", open.run));
        let give_up = Instant::now() + RECOVERY_LIMIT;
        while run::open_runs(tools(app))?.iter().any(|run| run.run == open.run) {
            match take_up(app, &open.run, out).await {
                Ok(report) => drop(upgrade::tell(&report, out)),
                Err(RunError::Lock(LockError::Held { .. } | LockError::Busy { .. })) if Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What can be named where nobody can be asked, the newest first.
async fn choices(app: &App, wanted: &Wanted) -> Result<String, StepError> {
    let (tools, now) = (tools(app), (tools(app).now)());
    let instance = wanted.of.as_ref().unwrap_or(&wanted.instance);
    let listed = tools.repository.manifests(instance).await?;
    let target = wanted.of.as_ref().map(|_| format!(" --as {}", wanted.instance)).unwrap_or_default();
    let mut text =
        format!("without a terminal the snapshot must be named: `tidegate restore {instance} SNAPSHOT{target}`");
    for manifest in listed.iter().rev().filter_map(|entry| entry.manifest()).take(CHOICES_MAX) {
        let version = manifest.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let taken = ago(&manifest.taken_at, now);
        let hot = if manifest.mode == Mode::Hot { ", hot" } else { "" };
        text.push_str(&format!("\n  {}  {taken:<10}  {version:<8}  {}{hot}", manifest.id, reason(&manifest.reason)));
    }
    Ok(text)
}

fn show(plan: &RestorePlan, now: jiff::Timestamp, out: &mut Render) {
    if out.is_json() {
        out.data(&Plan::Restore(plan.clone()));
    } else {
        out.text(&text(plan, now));
    }
}

/// The plan for a person; the choice and its reason come first.
fn text(plan: &RestorePlan, now: jiff::Timestamp) -> String {
    let of = plan.of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default();
    let mut text = format!(
        "restore {} to snapshot {}{of}, taken {} ({}), version {}\n  because: {}\n",
        plan.instance,
        plan.snapshot,
        ago(&plan.taken_at, now),
        plan.taken_at.split('.').next().unwrap_or_default().replace('T', " "),
        plan.version,
        plan.why
    );
    for warning in &plan.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    text.push_str(match plan.of {
        Some(_) => {
            "  everything that it has now goes out of service, and is kept beside it; its address and settings stay\n"
        }
        None => "  everything that users changed since then goes out of service, and is kept beside it\n",
    });
    if plan.mode == Mode::Hot {
        text.push_str(
            "  its archive is loaded by the app's own tool in a closed container, which is started and stopped for that; sessions \
             and the embedded PostgreSQL begin empty\n",
        );
    }
    let from = plan.from.as_deref().unwrap_or("no container");
    let (fetched, written) = (bytes(plan.stored_bytes), bytes(plan.plain_bytes));
    text.push_str(&format!("  now: {from}; fetches {fetched}, writes {written}\n"));
    if plan.empty_cache && plan.of.is_none() {
        text.push_str("  its Redis begins empty: everybody logs in again\n");
    }
    if plan.no_checks {
        text.push_str("  NO checks, and no wait until it is ready\n");
    }
    for place in &plan.places {
        text.push_str(&format!("  replaces in {place}; all else there stays\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::SnapshotId;

    #[test]
    fn the_plan_begins_with_the_choice_and_why() {
        let plan = RestorePlan {
            mode: Default::default(),
            instance: InstanceName::new("production").unwrap(),
            container: "appsmith".into(),
            snapshot: SnapshotId::new("3fa4c1d2").unwrap(),
            why: "its upgrade to v2.2 was forced past its checks, and this is the one taken right before".into(),
            taken_at: "2026-03-20T03:00:00.123456789Z".into(),
            version: "v2.1".into(),
            plain_bytes: 348 << 20,
            stored_bytes: 201 << 20,
            places: vec!["/appsmith-stacks: configuration, database, git-storage".into()],
            from: Some("appsmith/appsmith-ce:v2.2".into()),
            no_checks: false,
            of: None,
            empty_cache: false,
            proves_keys: true,
            warnings: vec!["9b1c22aa is newer, but was taken while the instance was unhealthy: its login fails".into()],
        };
        insta::assert_snapshot!(text(&plan, "2026-03-20T05:30:00Z".parse().unwrap()), @r#"
        restore production to snapshot 3fa4c1d2, taken 2 h ago (2026-03-20 03:00:00), version v2.1
          because: its upgrade to v2.2 was forced past its checks, and this is the one taken right before
          warning: 9b1c22aa is newer, but was taken while the instance was unhealthy: its login fails
          everything that users changed since then goes out of service, and is kept beside it
          now: appsmith/appsmith-ce:v2.2; fetches 201.0 MiB, writes 348.0 MiB
          replaces in /appsmith-stacks: configuration, database, git-storage; all else there stays
        "#);
        let hot = text(&RestorePlan { mode: Mode::Hot, ..plan }, "2026-03-20T05:30:00Z".parse().unwrap());
        let line = hot.lines().find(|line| line.contains("closed container"));
        insta::assert_snapshot!(line.unwrap().trim(), @"its archive is loaded by the app's own tool in a closed container, which is started and stopped for that; sessions and the embedded PostgreSQL begin empty");
    }
}
