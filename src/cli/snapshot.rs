//! `snapshot`: take a snapshot of instances.

use super::render::{Render, bytes};
use super::{Usage, app, carry_out, configured, exit, tools, upgrade};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::model::manifest::Mode;
use crate::ops::run::{Plan, RunReport};
use crate::ops::snapshot;
use crate::workflow::{Outcome, StepError, chain};

/// Take a snapshot of instances
///
/// The instance rests (it is down) while its files are read and stored; then it runs again, every stored byte is read
/// back and compared, and the manifest makes the snapshot exist. With `--mode hot` it is not stopped.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate snapshot production --tag before-migration\n  tidegate snapshot production --mode hot\n  tidegate snapshot --all"
)]
pub struct SnapshotArgs {
    /// Instances, as named in the configuration
    pub instances: Vec<InstanceName>,
    /// All of them
    #[arg(long, conflicts_with = "instances")]
    pub all: bool,
    /// `cold`: the instance rests meanwhile. `hot`: it runs on (Appsmith only), and the snapshot is not of one moment
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub mode: Option<Mode>,
    /// A word to find it by; may be given several times
    #[arg(long)]
    pub tag: Vec<String>,
    /// Print the plan and stop; nothing is touched
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Take the lock of that run, because its host is gone for good
    #[arg(long, value_name = "RUN")]
    pub take_over: Option<crate::model::ids::RunId>,
}

/// One after the other; one that fails does not stop the others.
pub async fn run(args: SnapshotArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let instances = if args.all { config.instances.keys().cloned().collect() } else { args.instances };
    if instances.is_empty() {
        let known: Vec<&str> = config.instances.keys().map(InstanceName::as_str).collect();
        return Err(Box::new(Usage(format!("name an instance ({}) or say --all", known.join(", ")))));
    }
    configured(config, &instances)?;
    let mut app = app(config, if args.dry_run { Repositories::Unasked } else { Repositories::OpenOrInit }).await?;
    app.take_over(args.take_over.as_ref());
    let mut plans = Vec::new();
    for instance in &instances {
        plans.push(snapshot::plan(tools(&app), instance, args.mode, args.tag.clone())?);
    }
    let (mut worst, mut done_count) = (exit::DONE, 0_usize);
    for plan in plans {
        let plan = Plan::Snapshot(plan);
        if args.dry_run {
            show_plan(&plan, out);
            continue;
        }
        let report = match carry_out(&app, &plan, out).await {
            Ok(report) => report,
            Err(error) if instances.len() > 1 => {
                worst = out.failure(&error);
                continue;
            }
            Err(error) => return Err(Box::new(error)),
        };
        let code = tell(&report, out);
        done_count += usize::from(report.outcome == Some(Outcome::Completed));
        worst = if worst == exit::DONE { code } else { worst };
        if code == exit::INTERRUPTED {
            return Ok(code);
        }
    }
    let partly = worst != exit::DONE && done_count > 0 && instances.len() > 1;
    Ok(if partly { exit::PARTLY } else { worst })
}

fn show_plan(plan: &Plan, out: &mut Render) {
    if out.is_json() {
        out.data(plan);
    } else if let Plan::Snapshot(plan) = plan {
        let (instance, container) = (&plan.instance, &plan.container);
        out.text(&match plan.mode {
            Mode::Cold => format!(
                "would take a snapshot of `{instance}` (container `{container}`): rest, read, wake, verify, publish\n"
            ),
            Mode::Hot => format!(
                "would take a hot snapshot of `{instance}` (container `{container}`), which runs on: archive by its own tool, \
                 read, clear, verify, publish\nit holds no sessions and nothing of the embedded PostgreSQL; its database and \
                 Git are not of one moment, so no upgrade rests on it\n"
            ),
        });
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    let all = [Mode::Cold, Mode::Hot];
    all.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| "it is `cold` or `hot`".into())
}

fn tell(report: &RunReport, out: &mut Render) -> u8 {
    let code = exit::of_run(report, out.warned());
    match (&report.failure, report.outcome) {
        (_, Some(Outcome::Stuck)) => return upgrade::tell(report, out),
        (_, Some(Outcome::Completed)) => {
            if out.is_json() {
                out.data(&report.summary);
            } else if let Some(taken) = &report.summary.snapshot {
                let down = report
                    .summary
                    .down_seconds
                    .first()
                    .map_or(String::new(), |(_, seconds)| format!(", down for {seconds:.1} s"));
                out.text(&format!(
                    "snapshot {} of {}: {} stored as {}, every byte read back{down}\n",
                    taken.id,
                    taken.instance,
                    bytes(taken.plain_bytes),
                    bytes(taken.stored_bytes)
                ));
            }
        }
        _ if report.gave_way => {
            let instance = report.summary.instances.first().map(ToString::to_string).unwrap_or_default();
            let text = format!("no snapshot of `{instance}` was taken: it gave way to a restore, which goes first");
            out.error(&text, Some("take it again once the restore is done"));
        }
        (Some((step, error)), _) => {
            let instance = report.summary.instances.first().map(ToString::to_string).unwrap_or_default();
            let text = format!("no snapshot of `{instance}` was taken: {step}: {}", chain(&**error));
            out.error(&text, Some(&upgrade::advice(report)));
        }
        (None, _) => out.error(&format!("run {} ended: {}", report.summary.run, report.summary.state_word()), None),
    }
    code
}
