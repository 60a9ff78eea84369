//! The daemon: one supervisor, which owns every task.
//!
//! It turns around one loop. Each turn looks at the journals, takes up the open runs whose lock is free (a command that
//! was killed leaves one, too), and begins what the schedules say is due. Nothing in the loop waits for an engine or a
//! store: that is done in tasks, so the watchdog is fed exactly as long as the loop turns.
//!
//! What was served stands in the journals ([`crate::ops::schedules`]), so a restart loses nothing and doubles nothing.

mod backoff;
mod book;
mod journals;
mod log;
mod signals;
mod systemd;
mod ticker;
mod work;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::fcntl::Flock;
use tokio::task::{Id, JoinError, JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::app::{App, schedules};
use crate::config::{Config, ConfigError, Environment};
use crate::model::ids::RunId;
use crate::ops::lock::LockError;
use crate::ops::run::{Resume, RunError, RunReport};
use crate::ops::schedules::{Decision, Entry, decide};
use crate::ops::state::{StateDir, StateError};
use crate::workflow::chain;
use backoff::Backoff;
use book::Keeper;
use journals::Journals;
use signals::{Asked, Signals};
use ticker::Ticker;
use work::{Served, WorkError};

/// How often the loop turns by itself.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a stop waits for what is being undone; a little less than the unit's TimeoutStopSec. What is not over by then
/// is taken up at the next start.
const STOP_GRACE: Duration = Duration::from_secs(280);

/// It cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The state directory, or another daemon on it.
    #[error("{0}")]
    State(#[from] StateError),
    /// Signals cannot be listened to.
    #[error("cannot listen to signals")]
    Signals(#[source] std::io::Error),
    /// The ticker cannot be started.
    #[error("cannot start the ticker of the schedules")]
    Ticker(#[from] ticker::TickerError),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked to stop, and everything that was begun is over.
    Stopped,
    /// Asked twice, or out of patience: what is open is taken up at the next start.
    AtOnce,
}

/// Runs until it is asked to stop. `path` is the configuration, which SIGHUP reads again.
pub async fn run(path: PathBuf, config: Config) -> Result<End, DaemonError> {
    let signals = Signals::listen().map_err(DaemonError::Signals)?;
    let state = App::state(&config)?;
    let alone = lock(&state).await?;
    let ticker = Ticker::start().await?;
    let mut supervisor = Supervisor {
        path,
        entries: schedules::entries(&config),
        config: Arc::new(config),
        journals: Journals::new(state.clone()),
        keeper: Keeper::open(state),
        tasks: JoinSet::new(),
        works: HashMap::new(),
        backoff: Backoff::default(),
        stop: CancellationToken::new(),
        _alone: alone,
    };
    supervisor.keeper.fit(&supervisor.entries, Timestamp::now());
    supervisor.run(signals, ticker).await
}

/// Tried more than once: somebody may just be looking whether a daemon runs.
async fn lock(state: &StateDir) -> Result<Flock<File>, StateError> {
    for _ in 0..5 {
        match state.lock_daemon() {
            Err(StateError::DaemonRuns { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            locked => return locked,
        }
    }
    state.lock_daemon()
}

/// What a task is about.
#[derive(Clone, Debug)]
enum Work {
    /// One moment of a schedule.
    Serve { key: String, planned_at: Timestamp },
    /// A run that was cut off.
    TakeUp(RunId),
}

impl Work {
    fn name(&self) -> String {
        match self {
            Self::Serve { key, .. } => format!("schedule {key}"),
            Self::TakeUp(run) => run.to_string(),
        }
    }
}

/// How a task ended.
#[derive(Debug)]
enum Ended {
    Serve(Result<Served, WorkError>),
    TakeUp(Box<Result<RunReport, WorkError>>),
}

/// Owns every task of the daemon; nothing else in it spawns.
struct Supervisor {
    path: PathBuf,
    config: Arc<Config>,
    entries: Vec<Entry>,
    journals: Journals,
    keeper: Keeper,
    tasks: JoinSet<Ended>,
    works: HashMap<Id, Work>,
    backoff: Backoff,
    stop: CancellationToken,
    _alone: Flock<File>,
}

impl Supervisor {
    async fn run(mut self, mut signals: Signals, mut ticker: Ticker) -> Result<End, DaemonError> {
        let every = systemd::watchdog().map_or(LOOK_EVERY, |watchdog| LOOK_EVERY.min(watchdog / 3));
        let mut looks = tokio::time::interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.journals.look()?;
        systemd::ready(&self.status());
        tracing::info!(schedules = self.entries.len(), state = %self.config.state_dir.display(), "ready");
        let mut give_up: Option<Instant> = None;
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => block_in_place(|| self.reload()),
                    Asked::Stop if give_up.is_some() => return Ok(self.at_once()),
                    Asked::Stop => {
                        give_up = Some(Instant::now() + STOP_GRACE);
                        systemd::stopping();
                        tracing::info!(tasks = self.tasks.len(), "stopping");
                        self.stop.cancel();
                    }
                },
                Some(ended) = self.tasks.join_next_with_id() => block_in_place(|| self.over(ended)),
                () = ticker.tick() => block_in_place(|| self.turn()),
                _ = looks.tick() => {
                    block_in_place(|| self.turn());
                    systemd::alive();
                }
            }
            match give_up {
                Some(_) if self.tasks.is_empty() => {
                    tracing::info!("stopped");
                    return Ok(End::Stopped);
                }
                Some(limit) if Instant::now() > limit => return Ok(self.at_once()),
                _ => {}
            }
        }
    }

    fn at_once(&self) -> End {
        for work in self.works.values() {
            tracing::warn!(what = %work.name(), "left open; the next start takes it up");
        }
        End::AtOnce
    }

    /// Looks at everything and begins what is to be done. Reads and writes only small files of the state directory: a
    /// disk that hangs stops the loop, and so the watchdog.
    fn turn(&mut self) {
        if self.stop.is_cancelled() {
            return;
        }
        if let Err(error) = self.journals.look() {
            tracing::error!(error = %chain(&error), "journals cannot be looked at");
            return;
        }
        let now = Timestamp::now();
        self.take_up_runs(now);
        self.serve_schedules(now);
    }

    /// A run that lives in another process keeps its lock, so that taking it up fails, and is tried again later.
    fn take_up_runs(&mut self, now: Timestamp) {
        let busy = |run: &RunId, schedule: Option<&str>| {
            self.works.values().any(|work| match work {
                Work::TakeUp(taken) => taken == run,
                Work::Serve { key, .. } => Some(key.as_str()) == schedule,
            })
        };
        let may_be_tried = |(run, schedule, _): &(&RunId, Option<&str>, Resume)| {
            !busy(run, *schedule) && self.backoff.is_over(run.as_str())
        };
        let unended = self.journals.unended(now).filter(may_be_tried);
        let unended: Vec<(RunId, Resume)> = unended.map(|(run, _, how)| (run.clone(), how)).collect();
        for (run, how) in unended {
            let work = work::take_up(self.config.clone(), run.clone(), how, self.stop.child_token());
            self.spawn(Work::TakeUp(run), async { Ended::TakeUp(Box::new(work.await)) });
        }
    }

    /// One scheduled run at a time: two snapshots at once would only take each other's disk.
    fn serve_schedules(&mut self, now: Timestamp) {
        for entry in self.entries.clone() {
            let Some(kept) = self.keeper.of(&entry) else { continue };
            match decide(&entry, kept, &self.journals.attempts(&entry.key), now) {
                Decision::Wait => {}
                Decision::Restart => {
                    tracing::warn!(schedule = %entry.key, "the clock was wrong; the schedule starts afresh");
                    self.keeper.restart(&entry, now);
                }
                Decision::GiveUp(planned_at) => {
                    let why = self.keeper.waits_for(&entry.key, planned_at).unwrap_or("nothing ran at that time");
                    let why = format!("missed: {why}");
                    tracing::warn!(schedule = %entry.key, %planned_at, %why, "moment not served");
                    self.keeper.settle(&entry.key, planned_at, why);
                }
                Decision::Begin(planned_at) => {
                    let serves = self.works.values().any(|work| matches!(work, Work::Serve { .. }));
                    if serves || !self.backoff.is_over(&entry.key) {
                        continue;
                    }
                    tracing::info!(schedule = %entry.key, %planned_at, "due");
                    let work = Work::Serve { key: entry.key.clone(), planned_at };
                    let served = work::serve(self.config.clone(), entry, planned_at, self.stop.child_token());
                    self.spawn(work, async { Ended::Serve(served.await) });
                }
            }
        }
    }

    fn spawn(&mut self, work: Work, task: impl Future<Output = Ended> + Send + 'static) {
        let span = tracing::info_span!("task", what = %work.name());
        let id = self.tasks.spawn(task.instrument(span)).id();
        self.works.insert(id, work);
    }

    /// Notes how a task ended. One that panicked has left its run open and its lock behind: the next turn takes it up.
    fn over(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => {
                tracing::error!(error = %chain(&error), "a task panicked; its run is taken up");
                (error.id(), None)
            }
        };
        let Some(work) = self.works.remove(&id) else { return };
        // What is written just now must be seen before anything else is decided.
        if let Err(error) = self.journals.look() {
            tracing::error!(error = %chain(&error), "journals cannot be looked at");
        }
        match (work, ended) {
            (Work::Serve { key, planned_at }, Some(Ended::Serve(served))) => self.served(&key, planned_at, served),
            (Work::TakeUp(run), Some(Ended::TakeUp(taken))) => self.taken_up(&run, *taken),
            (work, _) => self.backoff.failed(&work.key()),
        }
    }

    fn served(&mut self, key: &str, planned_at: Timestamp, served: Result<Served, WorkError>) {
        match served {
            Ok(Served::Run(report)) => {
                self.backoff.forget(key);
                self.keeper.done(key);
                told(&report);
            }
            Ok(Served::Nothing(why)) => {
                self.backoff.forget(key);
                tracing::info!(schedule = %key, %why, "nothing to do");
                self.keeper.settle(key, planned_at, why);
            }
            Err(WorkError::Stopped) => {}
            Err(error) => {
                let why = chain(&error);
                if self.backoff.failed_anew(key, &why) {
                    tracing::warn!(schedule = %key, error = %why, "waits");
                }
                self.keeper.wait(key, planned_at, why);
            }
        }
    }

    fn taken_up(&mut self, run: &RunId, taken: Result<RunReport, WorkError>) {
        match taken {
            Ok(report) => {
                self.backoff.forget(run.as_str());
                told(&report);
            }
            Err(WorkError::Stopped) => {}
            // It lives, in another process, or somebody was faster.
            Err(WorkError::Run(
                RunError::Lock(LockError::Held { .. } | LockError::Busy { .. }) | RunError::WaitsForNobody { .. },
            )) => {
                self.backoff.wait_a_little(run.as_str());
            }
            Err(error) => {
                let why = chain(&error);
                if self.backoff.failed_anew(run.as_str(), &why) {
                    tracing::error!(%run, error = %why, "cannot be taken up yet");
                }
            }
        }
    }

    /// Takes the new configuration if all of it is valid; else the old one stays, and the log and systemd say why.
    fn reload(&mut self) {
        systemd::reloading();
        let status = match self.reloaded() {
            Ok(config) => {
                self.entries = schedules::entries(&config);
                self.config = Arc::new(config);
                self.keeper.fit(&self.entries, Timestamp::now());
                self.backoff = Backoff::default();
                tracing::info!(schedules = self.entries.len(), "configuration reloaded");
                self.status()
            }
            Err(why) => {
                tracing::error!(error = %why, "the new configuration is not taken, and the old one stays");
                format!("{}; the new configuration is not taken: {}", self.status(), why)
            }
        };
        systemd::ready(&status);
    }

    fn reloaded(&self) -> Result<Config, String> {
        let config = Config::load(&self.path, &Environment::of_process()).map_err(|error| chain(&error))?;
        let (old, new) = (&self.config.state_dir, &config.state_dir);
        match old == new {
            true => Ok(config),
            false => Err(format!("`state_dir` is `{}` now; that takes a restart", new.display())),
        }
    }

    fn status(&self) -> String {
        match self.entries.len() {
            0 => "recovers runs that were cut off; there are no schedules".into(),
            1 => "1 schedule".into(),
            count => format!("{count} schedules"),
        }
    }
}

impl Work {
    fn key(&self) -> String {
        match self {
            Self::Serve { key, .. } => key.clone(),
            Self::TakeUp(run) => run.to_string(),
        }
    }
}

/// A run that ended otherwise than well must be seen in the log.
fn told(report: &RunReport) {
    use crate::workflow::Outcome;
    let summary = &report.summary;
    let why = summary.undo_failure.as_ref().or(summary.failure.as_ref()).cloned().unwrap_or_default();
    match report.outcome {
        None => tracing::warn!(run = %summary.run, "waits for the approval of a person"),
        Some(Outcome::Completed) => {}
        Some(Outcome::RolledBack) => tracing::warn!(run = %summary.run, %why, "rolled back"),
        Some(Outcome::Stuck) => tracing::error!(run = %summary.run, %why, "stuck: a person must look"),
    }
}
