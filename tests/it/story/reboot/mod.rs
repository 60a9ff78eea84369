//! P1 and P4, when the whole machine goes down: engine, containers and Tidegate are killed together, at a record of the
//! journal, in the middle of a change at the engine, or while bytes flow. The engine comes back first and starts what
//! its restart policies say; Tidegate comes after it.

mod alone;
mod machine;
mod moment;

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::crash::engine::EngineProxy;
use super::journal::Journal;
use super::observer::Observer;
use super::running::{Ended, Running};
use super::side::pairing;
use super::wait_for;
use super::work::{Begin, Trial, Work};
use crate::docker::docker_ok;
use alone::alone;
use machine::{Machine, child_of};
use moment::{Measure, Moment};

/// With which the engine starts a container by itself. `always` also what was stopped cleanly, so it is tried more often.
const POLICIES: &[&str] = &["always", "always", "unless-stopped", "on-failure"];

/// Who comes after the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// A person.
    Resume,
    /// The service.
    Daemon,
}

/// One reboot.
#[derive(Clone, Debug)]
struct Reboot {
    moment: Moment,
    after: After,
}

/// A machine and what is tried on it.
struct Yard {
    machine: Machine,
    engine: EngineProxy,
    folder: PathBuf,
    trial: Trial,
}

impl Yard {
    async fn new(test: &str, folder: &Path, work: Work, policy: &'static str) -> Self {
        let machine = Machine::new(folder).await;
        let mut trial = Trial::new(test, work).await;
        trial.pair.staging.restart = policy;
        Self { machine, engine: EngineProxy::start().await, folder: folder.to_owned(), trial }
    }

    fn start(&self, words: &[&str]) -> Running {
        let pair = &self.trial.pair;
        Running::start(self.machine.inside(&pair.command(words)), pair.state())
    }

    async fn run(&self, words: &[&str]) -> Ended {
        self.start(words).end().await
    }

    /// The work on this machine without any accident.
    async fn measure(&mut self) -> Measure {
        self.trial.prepare().await;
        let (begin, pair) = (self.trial.begin().await, &self.trial.pair);
        self.engine.reset(None);
        let mut command = self.machine.inside(&pair.command(&self.trial.words()));
        command.env("DOCKER_HOST", self.engine.host());
        let ended = pair.finish(command).await.expect(self.trial.work.code());
        let journal = self.trial.journal(&begin).unwrap_or_else(|| panic!("no journal: {}", ended.stderr));
        Measure { records: journal.records, changes: self.engine.changes().len() }
    }

    /// One reboot, and all that must hold after it.
    async fn suffer(&mut self, reboot: &Reboot, measure: &Measure) {
        println!("{:?} of an instance with `{}`: {reboot:?}", self.trial.work, self.trial.site().restart);
        self.trial.prepare().await;
        let begin = self.trial.begin().await;
        let observer = Observer::start(self.trial.site()).await;
        let said = self.until(reboot, measure).await;
        let cut = self.trial.journal(&begin);
        let (what, site) = (format!("{reboot:?}: {cut:?}\n{said}"), self.trial.site());
        observer.nothing_ran_twice_until_its_death().await;

        let dark = jiff::Timestamp::now().to_string();
        self.machine.boot().await;
        let observer = Observer::since(site, &dark).await;
        self.engine_did_no_harm(cut.as_ref(), &what).await;
        match reboot.after {
            After::Resume => {
                let resumed = self.run(&["resume"]).await;
                let says = format!("{what}\n--- resume {:?}\n{}", resumed.code, resumed.stderr);
                assert!(matches!(resumed.code, Some(0 | 5)), "{says}");
                self.judge(&begin, cut.as_ref(), &says).await;
            }
            After::Daemon => {
                let mut daemon = self.start(&["daemon"]);
                self.is_closed_by(&mut daemon, &begin).await;
                self.judge(&begin, cut.as_ref(), &format!("{what}\n--- daemon\n{}", daemon.said("stderr"))).await;
                kill(child_of(daemon.pid()).expect("the daemon"), Signal::SIGTERM).unwrap();
                daemon.end().await.expect(0);
            }
        }
        let again = self.run(&["resume"]).await.expect(0);
        assert!(again.stderr.contains("no run was cut off"), "{what}\n--- resume\n{}", again.stderr);
        observer.nothing_ran_twice().await;
    }

    /// Begins the work and kills the machine at the moment. Gives what Tidegate had said.
    async fn until(&mut self, reboot: &Reboot, measure: &Measure) -> String {
        let (pair, halt) = (&self.trial.pair, self.folder.join("halt"));
        let _ = std::fs::remove_file(&halt);
        self.engine.reset(None);
        let mut command = self.machine.inside(&pair.command(&self.trial.words()));
        reboot.moment.prepare(&mut command, measure, &halt, &self.engine, &pair.proxy);
        let mut running = Running::start(command, pair.state());
        let ended = wait_for("the work to end", async || running.has_ended().then_some(()));
        let is_early = tokio::select! {
            () = reboot.moment.comes(&halt, &self.engine, &pair.proxy) => false,
            () = ended => true,
        };
        // How often it looks while it waits depends on the machine, so a run may have fewer changes than the measured one.
        let may_be_early = matches!(reboot.moment, Moment::Change(_));
        assert!(!is_early || may_be_early, "it ended before {reboot:?}: {}", running.said("stderr"));
        let said = running.said("stderr");
        self.machine.lose_power(running).await;
        pair.proxy.release();
        self.engine.reset(None);
        said
    }

    /// What an engine starts by itself, before Tidegate is there: one container at most, on data that belongs to it, and
    /// none at all between rest and the end of the run.
    async fn engine_did_no_harm(&self, cut: Option<&Journal>, what: &str) {
        let site = self.trial.site();
        let volume = format!("volume={}", site.container);
        let running = docker_ok(&["ps", "--format", "{{.Names}}", "--filter", &volume]).await;
        assert!(running.is_empty() || running == site.container, "the engine started {running}: {what}");
        let runs = !running.is_empty();
        if let Some(expected) = runs_after(cut) {
            assert_eq!(runs, expected, "whether the engine started it: {what}");
        }
        if runs {
            pairing(&self.trial.pair, site, &self.trial.before.or_recovered()).await;
        }
    }

    /// Waits until the daemon has ended the run.
    async fn is_closed_by(&self, daemon: &mut Running, begin: &Begin) {
        wait_for("the daemon to end the run", async || {
            assert!(!daemon.has_ended(), "the daemon ended: {}", daemon.said("stderr"));
            self.trial.journal(begin).is_none_or(|journal| journal.outcome.is_some()).then_some(())
        })
        .await;
    }

    async fn judge(&self, begin: &Begin, cut: Option<&Journal>, what: &str) {
        let records = || cut.into_iter().flat_map(|journal| &journal.records);
        let is_reopened = records().any(|(kind, _)| kind == "reopened");
        let has_started = records().any(|(_, step)| step == "start staging");
        // The machine was switched off under the very database that is there now.
        let was_killed =
            runs_after(cut) != Some(false) || is_reopened || self.trial.work == Work::Restore && has_started;
        let before = if was_killed { self.trial.before.or_recovered() } else { self.trial.before.clone() };
        self.trial.ended_well(begin, &before, what).await;
        if cut.is_none() {
            return;
        }
        let outcome = self.trial.journal(begin).and_then(|journal| journal.outcome);
        let expected = match self.trial.work {
            // Only what was reopened stays: of the rest nothing runs after a reboot.
            Work::Upgrade if is_reopened => "completed",
            Work::Upgrade | Work::Failing => "rolled_back",
            // What it puts back is safe, so it goes on.
            Work::Restore => "completed",
            // Its outcome depends on how far it came.
            Work::Snapshot => return,
        };
        assert_eq!(outcome.as_deref(), Some(expected), "{what}");
    }
}

/// Whether the container runs once the engine is back. `None` in the midst of a rest or of its end.
fn runs_after(cut: Option<&Journal>) -> Option<bool> {
    let mut runs = Some(true);
    for (kind, step) in cut.into_iter().flat_map(|journal| &journal.records) {
        let verb = step.split(' ').next().unwrap_or_default();
        match (kind.as_str(), verb) {
            ("started", "rest" | "wake" | "open") | ("undo_started", "rest") => runs = None,
            ("done", "rest") => runs = Some(false),
            ("done", "wake" | "open") | ("undo_done", "rest") => runs = Some(true),
            _ => {}
        }
    }
    runs
}

/// With a seed that is printed.
fn random() -> StdRng {
    let given = std::env::var("TIDEGATE_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(rand::random);
    println!("reboots chosen with TIDEGATE_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Some reboots: of the phases as many as TIDEGATE_TEST_REBOOTS says, else 1, and under TIDEGATE_TEST_FULL=1 all; and the
/// same number of moments in the middle of something, but at most 8.
fn chosen(work: Work, measure: &Measure, random: &mut StdRng) -> Vec<Reboot> {
    let is_full = std::env::var("TIDEGATE_TEST_FULL").is_ok_and(|full| full == "1");
    let count = std::env::var("TIDEGATE_TEST_REBOOTS").ok().map(|count| count.parse().expect("a number"));
    let count = count.unwrap_or(if is_full { usize::MAX } else { 1 });
    let phases = moment::phases(work);
    let between = moment::in_the_midst(work, measure);
    let mut moments = moment::troubles(work);
    moments.extend(phases.choose_multiple(random, count).cloned());
    moments.extend(between.choose_multiple(random, count.min(8)).cloned());
    let reboot =
        |moment| Reboot { moment, after: if random.random_ratio(1, 4) { After::Daemon } else { After::Resume } };
    moments.into_iter().map(reboot).collect()
}

fn survives(test: &str, work: Work) {
    alone(test, async |folder| {
        let mut random = random();
        let policy = POLICIES.choose(&mut random).unwrap();
        let mut yard = Yard::new(&test.replace('_', "-"), &folder, work, policy).await;
        let measure = yard.measure().await;
        println!("{work:?}: {} records, {} changes at the engine", measure.records.len(), measure.changes);
        for reboot in chosen(work, &measure, &mut random) {
            yard.suffer(&reboot, &measure).await;
        }
    });
}

#[test]
fn a_snapshot_survives_a_reboot() {
    survives("a_snapshot_survives_a_reboot", Work::Snapshot);
}

#[test]
fn an_upgrade_survives_a_reboot() {
    survives("an_upgrade_survives_a_reboot", Work::Upgrade);
}

#[test]
fn a_roll_back_survives_a_reboot() {
    survives("a_roll_back_survives_a_reboot", Work::Failing);
}

#[test]
fn a_restore_survives_a_reboot() {
    survives("a_restore_survives_a_reboot", Work::Restore);
}
