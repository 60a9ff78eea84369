//! The command line: one file a command. `render.rs` is the only place that prints; `exit.rs` has codes and hints.

mod approve;
mod completions;
mod config;
mod daemon;
mod diff;
mod doctor;
pub mod exit;
mod explain;
mod find;
mod logs;
mod plan;
mod progress;
mod promote;
mod recover;
pub mod render;
mod report;
mod restore;
mod resume;
mod runs;
mod schedules;
mod show;
mod smoke;
mod snapshot;
mod snapshots;
mod status;
mod undo;
mod upgrade;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Repositories};
use crate::config::{Config, ConfigError, Environment};
use crate::model::ids::InstanceName;
use crate::ops::UnknownInstance;
use crate::ops::run::{self, Plan, Resume, RunError, RunReport};
use crate::workflow::StepError;
use render::Render;

/// Snapshots, safe upgrades and one-command restore for a staging and a production instance
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Every failure says what happened, what is safe, and what to type next.\n\
    `tidegate help exit-codes` lists the exit codes.")]
pub struct Cli {
    /// The configuration file
    #[arg(long, short = 'c', global = true, env = "TIDEGATE_CONFIG", default_value = "/etc/tidegate/tidegate.toml")]
    pub config: PathBuf,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more to stderr; twice for all of it
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// How much is logged, counted from 0; the service says what it does.
    pub fn verbosity(&self) -> i8 {
        let asked = i8::try_from(self.verbose).unwrap_or(i8::MAX);
        asked.saturating_add(i8::from(matches!(self.command, Command::Daemon(_))))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum Command {
    /// Take a snapshot of instances
    #[command(visible_alias = "backup")]
    Snapshot(snapshot::SnapshotArgs),
    /// List the snapshots
    #[command(visible_alias = "list")]
    Snapshots(snapshots::SnapshotsArgs),
    /// Show everything about one snapshot
    Show(show::ShowArgs),
    /// Say what differs between two snapshots, or between one and an instance as it is now
    Diff(diff::DiffArgs),
    /// Read the stored bytes of snapshots back, and say which are whole
    Verify(verify::VerifyArgs),
    /// Say what an upgrade would do, how its gates stand now, and how long it may take
    Plan(plan::PlanArgs),
    /// Upgrade the pipeline: staging first, production behind the gate
    Upgrade(upgrade::UpgradeArgs),
    /// Let an upgrade that waits at a gate go on, and see it through
    Approve(approve::ApproveArgs),
    /// End an upgrade that waits at a gate; what is upgraded already stays as it is
    Reject(approve::RejectArgs),
    /// Put an instance back to a snapshot: image, definition and data together
    Restore(restore::RestoreArgs),
    /// Undo a restore: put back the data, the image and the definition that it had replaced
    Undo(undo::UndoArgs),
    /// Bring apps from staging to production by Git
    Promote(promote::PromoteArgs),
    /// Run the checks of an instance now, and say what differs from how it was
    Smoke(smoke::SmokeArgs),
    /// Show what the checks of a run saw, and write it as a report
    Report(report::ReportArgs),
    /// Show the instances, their versions and snapshots, and open runs
    Status(status::StatusArgs),
    /// Check everything that a run rests on: Docker, store, instances, rival updaters, clock, disk
    Doctor(doctor::DoctorArgs),
    /// Say what stands in the way of the next run, when that lifts, and what to type
    Explain(explain::ExplainArgs),
    /// List what was done on this host
    Runs(runs::RunsArgs),
    /// Tell what a run did: each step, when, how long, what was undone, and why it failed
    Logs(logs::LogsArgs),
    /// Take up runs that were cut off, or a stuck one
    Resume(resume::ResumeArgs),
    /// Put service back after a crash: take up every run that was cut off
    Recover(recover::RecoverArgs),
    /// Run as a service: take up what was cut off, and do what the schedules say
    Daemon(daemon::DaemonArgs),
    /// Check or print the configuration
    #[command(
        subcommand,
        after_help = "Examples:\n  tidegate config check\n  tidegate config template > tidegate.toml"
    )]
    Config(config::ConfigCommand),
    /// Print a script with which a shell completes commands and options
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one page a command into a folder
    Man(completions::ManArgs),
    /// Explain a topic, or a command
    Help(HelpArgs),
}

/// `tidegate help [TOPIC]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tidegate help\n  tidegate help restore\n  tidegate help exit-codes")]
pub struct HelpArgs {
    /// `exit-codes`, or the name of a command
    pub topic: Option<String>,
}

/// Carries out the command and says with which code to exit.
pub async fn run(cli: Cli, out: &mut Render) -> Result<u8, StepError> {
    match cli.command {
        Command::Help(args) => return Ok(help(args, out)),
        Command::Config(command) => return config::run(&command, &cli.config, out),
        Command::Completions(args) => return Ok(completions::completions(&args, out)),
        Command::Man(args) => return completions::man(&args, out),
        _ => {}
    }
    let config = load(&cli.config)?;
    match cli.command {
        Command::Snapshot(args) => snapshot::run(args, &config, out).await,
        Command::Snapshots(args) => snapshots::run(&args, &config, out).await,
        Command::Show(args) => show::run(&args, &config, out).await,
        Command::Diff(args) => diff::run(&args, &config, out).await,
        Command::Verify(args) => verify::run(&args, &config, out).await,
        Command::Plan(args) => plan::run(&args, &config, out).await,
        Command::Upgrade(args) => upgrade::run(args, &config, out).await,
        Command::Approve(args) => approve::approve(args, &config, out).await,
        Command::Reject(args) => approve::reject(args, &config, out).await,
        Command::Restore(args) => restore::run(args, &config, out).await,
        Command::Undo(args) => undo::run(args, &config, out).await,
        Command::Promote(args) => promote::run(args, &config, out).await,
        Command::Smoke(args) => smoke::run(&args, &config, out).await,
        Command::Report(args) => report::run(&args, &config, out).await,
        Command::Status(args) => status::run(&args, &config, out).await,
        Command::Doctor(args) => doctor::run(&args, &config, out).await,
        Command::Explain(args) => explain::run(&args, &config, out).await,
        Command::Logs(args) => logs::run(&args, &config, out),
        Command::Runs(args) => runs::run(&args, &config, out),
        Command::Resume(args) => resume::run(args, &config, out).await,
        Command::Recover(args) => recover::run(&args, &config, out).await,
        Command::Daemon(args) => daemon::run(&args, &cli.config, config).await,
        Command::Config(_) | Command::Completions(_) | Command::Man(_) | Command::Help(_) => Ok(exit::DONE),
    }
}

fn load(path: &std::path::Path) -> Result<Config, ConfigError> {
    Config::load(path, &Environment::of_process())
}

fn help(args: HelpArgs, out: &mut Render) -> u8 {
    use clap::CommandFactory;
    let mut command = Cli::command();
    match args.topic.as_deref() {
        Some("exit-codes") => out.text(exit::TABLE),
        Some(name) => match command.find_subcommand_mut(name) {
            Some(found) => out.text(&found.render_long_help().to_string()),
            None => {
                out.error(
                    &format!("there is no topic and no command `{name}`"),
                    Some("`tidegate help` lists the commands"),
                );
                return exit::USAGE;
            }
        },
        None => out.text(&command.render_long_help().to_string()),
    }
    exit::DONE
}

/// Begins a run, shows it, and lets Ctrl-C or SIGTERM ask it to stop: it then undoes what it has done.
async fn carry_out(app: &App, plan: &Plan, out: &mut Render) -> Result<RunReport, RunError> {
    let (cancel, events) = (CancellationToken::new(), out.progress());
    let (tools, plan, token) = (app.tools.clone(), plan.clone(), cancel.clone());
    let running = tokio::spawn(async move { run::begin(&tools, &plan, events, token).await });
    wait(running, cancel, out).await
}

/// As [`carry_out`], for a run that was cut off.
async fn take_up(app: &App, id: &crate::model::ids::RunId, out: &mut Render) -> Result<RunReport, RunError> {
    let (cancel, events) = (CancellationToken::new(), out.progress());
    let (tools, id, token) = (app.tools.clone(), id.clone(), cancel.clone());
    let running = tokio::spawn(async move { run::resume(&tools, &id, Resume::TakeUp, events, token).await });
    wait(running, cancel, out).await
}

/// Within this time a second signal is the same one.
const TWICE: Duration = Duration::from_secs(1);

type Running = tokio::task::JoinHandle<Result<RunReport, RunError>>;

async fn wait(mut running: Running, cancel: CancellationToken, out: &mut Render) -> Result<RunReport, RunError> {
    let mut signals = Signals::new();
    let mut asked: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = &mut running => {
                out.progress_done();
                return ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            }
            () = signals.next() => {
                // One Ctrl-C may come twice: to the group, and again from a `sudo` or `timeout` in front.
                if asked.is_some_and(|asked| asked.elapsed() < TWICE) {
                    continue;
                }
                if asked.is_some() {
                    out.progress_done();
                    out.error("interrupted in the middle of an undo", Some("`tidegate resume` ends it and puts service back"));
                    std::process::exit(exit::INTERRUPTED.into());
                }
                out.say("stopping: what was done is being undone (once more: stop at once, and `tidegate resume` later)");
                asked = Some(Instant::now());
                cancel.cancel();
            }
        }
    }
}

/// SIGINT and SIGTERM, none of them lost between two looks. SIGHUP is taken and forgotten: a run goes on when the terminal
/// goes away. Where they cannot be listened to, they do what they always do.
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    _hang_up: Option<Signal>,
}

impl Signals {
    fn new() -> Self {
        let listen = |kind| signal(kind).ok();
        Self {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            _hang_up: listen(SignalKind::hangup()),
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            () = heard(&mut self.interrupt) => {}
            () = heard(&mut self.terminate) => {}
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// How a command that changes something is told to go ahead.
#[derive(Debug, clap::Args)]
pub struct Consent {
    /// Print the plan and stop; nothing is touched
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Go ahead without a question
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Go ahead without a question, by naming the instance
    #[arg(long, value_name = "INSTANCE")]
    pub confirm: Option<InstanceName>,
    /// Take the lock of that run, because its host is gone for good
    #[arg(long, value_name = "RUN")]
    pub take_over: Option<crate::model::ids::RunId>,
}

impl Consent {
    /// Asks for the instance's name before something is done to a production instance. Without a terminal it
    /// must have been given.
    fn given(&self, instance: &InstanceName, asks: bool, out: &mut Render) -> Result<(), NoConsent> {
        match &self.confirm {
            Some(named) if named == instance => return Ok(()),
            Some(named) => return Err(NoConsent::Other { named: named.clone(), instance: instance.clone() }),
            None if self.yes || !asks => return Ok(()),
            None => {}
        }
        if !out.can_ask() {
            return Err(NoConsent::NoTerminal { instance: instance.clone() });
        }
        let typed = out.ask(&format!("type the name of the instance to go ahead ({instance}): "));
        if typed == instance.as_str() { Ok(()) } else { Err(NoConsent::Declined { instance: instance.clone() }) }
    }
}

/// Nobody said to go ahead. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum NoConsent {
    /// Nobody can be asked.
    #[error("`{instance}` is a production instance, and without a terminal nobody can be asked")]
    NoTerminal {
        /// Which.
        instance: InstanceName,
    },
    /// Another name was typed.
    #[error("not confirmed; `{instance}` was not touched")]
    Declined {
        /// Which.
        instance: InstanceName,
    },
    /// Another instance was named.
    #[error("--confirm names `{named}`, but this is about `{instance}`")]
    Other {
        /// What was given.
        named: InstanceName,
        /// What it is about.
        instance: InstanceName,
    },
}

/// A command's own mistake in its arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Looked up before anything is asked: a slip of the hand must not wait for an engine or a store.
fn configured<'a>(config: &Config, names: impl IntoIterator<Item = &'a InstanceName>) -> Result<(), UnknownInstance> {
    match names.into_iter().find(|name| !config.instances.contains_key(name)) {
        Some(name) => Err(UnknownInstance::new(name, config.instances.keys())),
        None => Ok(()),
    }
}

async fn app(config: &Config, repositories: Repositories) -> Result<App, StepError> {
    Ok(App::open(config, repositories).await?)
}

fn tools(app: &App) -> &Arc<crate::ops::Tools> {
    &app.tools
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_a_short_line_and_examples() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let (name, examples) = (command.get_name(), command.get_after_help().map(ToString::to_string));
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{name}: {about}");
            let examples = examples.unwrap_or_default();
            assert!(
                examples.contains("Examples:") && examples.contains(&format!("tidegate {name}")),
                "{name}: {examples}"
            );
        }
    }
}
