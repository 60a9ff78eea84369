//! `resume`: take up runs that were cut off.

use tokio_util::sync::CancellationToken;

use super::render::Render;
use super::{app, exit, logs, take_up, tools, upgrade};
use crate::app::{App, Repositories};
use crate::config::Config;
use crate::model::ids::RunId;
use crate::ops::history;
use crate::ops::lock::{self, LockError};
use crate::ops::run::{self, Resume, RunError, RunReport, Unended};
use crate::workflow::{Outcome, StepError, chain};

/// Take up runs that were cut off; puts service back after a crash
///
/// Without RUN all open runs whose process is dead. Naming a stuck run tries its undos again.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate resume\n  tidegate resume --dry-run\n  tidegate resume upgrade-20261121-101530-7f3a"
)]
pub struct ResumeArgs {
    /// The run, or the beginning of its id; `tidegate runs` lists them
    pub run: Option<String>,
    /// Say what would be taken up and stop; nothing is touched
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// What would be taken up: the plans are those of the runs' own journals.
fn would(run: Option<&RunId>, app: &App, out: &mut Render) -> Result<u8, StepError> {
    let runs = match run {
        Some(run) => vec![history::summary(&history::story(&tools(app).state, run)?)],
        None => run::open_runs(tools(app))?,
    };
    if out.is_json() {
        out.data(&runs);
        return Ok(exit::DONE);
    }
    if runs.is_empty() {
        out.say("no run was cut off");
    }
    for run in &runs {
        let text = match run.outcome {
            None if run.waiting.is_some() => format!("would look again at what {} waits for", run.run),
            None => format!("would take up {}, at {}", run.run, run.at_step.as_deref().unwrap_or("its beginning")),
            Some(Outcome::Stuck) => format!("would try the undos of {} once more", run.run),
            Some(outcome) => format!("would do nothing: {} ended, {outcome}", run.run),
        };
        out.text(&format!("{text}\n"));
    }
    Ok(exit::DONE)
}

/// One after the other; one that fails does not stop the others.
pub async fn run(args: ResumeArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let run = args.run.as_deref().map(|run| logs::find(&App::state(config)?, Some(run))).transpose()?;
    let app = app(config, Repositories::Unasked).await?;
    if args.dry_run {
        return would(run.as_ref(), &app, out);
    }
    if let Some(run) = &run {
        let report = take_up(&app, run, out).await?;
        return Ok(tell(&report, out));
    }
    all(&app, OnSignal::Undo, out).await
}

/// What was cut off and is rolled back now is what was asked for; what went on and then failed is not.
fn tell(report: &RunReport, out: &mut Render) -> u8 {
    if report.outcome != Some(Outcome::RolledBack) || report.failure.is_some() {
        return upgrade::tell(report, out);
    }
    let summary = &report.summary;
    if out.is_json() {
        out.data(summary);
    }
    let why = summary.failure.as_deref().unwrap_or("no reason is known");
    out.say(&format!("{} is undone ({why}): {}", summary.run, summary.state_text()));
    exit::DONE
}

/// What SIGTERM does to a run that is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnSignal {
    /// Asks it to stop: it then undoes what it has done.
    Undo,
    /// Nothing: the caller drops it where it is.
    Ignore,
}

/// Takes up every run that was cut off.
pub(super) async fn all(app: &App, on_signal: OnSignal, out: &mut Render) -> Result<u8, StepError> {
    let Unended { open, waiting } = run::unended_runs(tools(app))?;
    if open.is_empty() {
        out.say("no run was cut off");
    }
    for waiting in waiting {
        out.say(&format!("{} waits and is left alone; {}", waiting.run, upgrade::answers(&waiting.run)));
    }
    let mut worst = exit::DONE;
    for open in open {
        let taken = match on_signal {
            OnSignal::Undo => take_up(app, &open.run, out).await,
            OnSignal::Ignore => {
                let (events, never) = (out.progress(), CancellationToken::new());
                run::resume(tools(app), &open.run, Resume::TakeUp, events, never).await
            }
        };
        out.progress_done();
        let code = match taken {
            Ok(report) => match tell(&report, out) {
                // Service is back, and nothing is left to do without a person.
                exit::WAITING => exit::DONE,
                code => code,
            },
            // Not cut off, if its process lives here; else nobody knows.
            Err(RunError::Lock(error @ LockError::Busy { .. })) => {
                out.say(&format!("{} goes on: {error}", open.run));
                exit::DONE
            }
            Err(error) => out.failure(&error),
        };
        worst = worst.max(code);
    }
    if let Err(error) = lock::clear_dead(tools(app)).await {
        out.say(&format!("a lock of a dead process stays, and is taken over when it is needed: {}", chain(&error)));
    }
    Ok(worst)
}
