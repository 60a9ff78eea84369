//! P1 and P4, with a real process killed by a real SIGKILL at exact writes of its journal, a real engine that refuses a
//! request or loses its answer, and a disk below the state directory that is full from an exact write on.
//!
//! Each case begins with an instance on the old image (in a restore: on the new one), runs one workflow with one
//! accident, then `tidegate resume` until nothing is open, and looks at what came of it. Written once more: a step
//! whose record was not written is run again, and so is its undo.

mod accident;
pub mod engine;

use rand::SeedableRng;
use rand::seq::IndexedRandom;

use super::content::Content;
use super::observer::Observer;
use super::pair::{BAD, GOOD, Make, OLD, Pair, Site};
use super::side::{Side, side};
use accident::{Accident, Moment, Room};
use engine::EngineProxy;

/// A workflow and what it may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Snapshot,
    /// To a good version.
    Upgrade,
    /// To one that migrates and then fails its checks.
    Failing,
    /// From the new version back to a snapshot of the old one.
    Restore,
}

impl Work {
    fn words(self, snapshot: &str) -> Vec<&str> {
        match self {
            Self::Snapshot => vec!["snapshot", "staging"],
            Self::Upgrade => vec!["upgrade", GOOD, "--only", "staging"],
            Self::Failing => vec!["upgrade", BAD, "--only", "staging"],
            Self::Restore => vec!["restore", "staging", snapshot],
        }
    }

    /// The exit code without any accident.
    fn code(self) -> i32 {
        if self == Self::Failing { 5 } else { 0 }
    }

    fn may_end(self, side: Side) -> bool {
        matches!((self, side), (_, Side::Old) | (Self::Upgrade | Self::Restore, Side::New))
    }
}

/// How a workflow is tried.
struct Yard {
    pair: Pair,
    engine: EngineProxy,
    work: Work,
    /// What the old image had.
    before: Content,
    /// Of the old image, where the work is a restore.
    snapshot: String,
}

impl Yard {
    async fn new(test: &str, work: Work) -> Self {
        let pair = Pair::start(test, Make { tags: &[GOOD, BAD], ..Make::default() }).await;
        let engine = EngineProxy::start().await;
        let before = pair.staging.content().await;
        Self { pair, engine, work, before, snapshot: String::new() }
    }

    fn site(&self) -> &Site {
        &self.pair.staging
    }

    /// Puts the instance where the work begins.
    async fn prepare(&mut self) {
        let site = self.pair.staging.clone();
        let is_fresh = site.content().await.is(&self.before);
        if self.work == Work::Restore {
            if self.snapshot.is_empty() {
                self.snapshot = self.pair.snapshot(&site).await;
            }
            if is_fresh {
                self.pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
            }
        } else if !is_fresh || site.image().await != self.pair.image_id(OLD).await {
            self.pair.create(&site, 2).await;
        }
        site.is_well().await;
    }

    /// How many lines its journal has and which changes it asks of the engine, without any accident.
    async fn measure(&mut self) -> (usize, Vec<String>) {
        self.prepare().await;
        self.engine.reset(None);
        let mut command = self.pair.command(&self.work.words(&self.snapshot));
        command.env("DOCKER_HOST", self.engine.host());
        let ended = self.pair.finish(command).await.expect(self.work.code());
        let run = super::journal::journals(&self.pair.state()).into_iter().next_back().expect("a journal");
        let lines = std::fs::read_to_string(run).unwrap().lines().count();
        let changes = self.engine.changes();
        assert!(lines > 5 && changes.len() > 5, "{lines} lines, {changes:?}\n{}", ended.stderr);
        (lines, changes)
    }

    /// One accident, and all that must hold after it.
    async fn suffer(&mut self, accident: Accident) {
        println!("{:?}: {accident:?}", self.work);
        self.prepare().await;
        let (pair, site) = (&self.pair, self.site());
        let (id, observer) = (site.id().await, Observer::start(site).await);
        let known = super::journal::journals(&pair.state());
        let mut command = pair.command(&self.work.words(&self.snapshot));
        accident.prepare(&mut command, &self.engine, &pair.state());
        let ended = pair.finish(command).await;
        let what = || format!("{:?} {accident:?}: {:?}\n{}{}", self.work, ended.code, ended.stdout, ended.stderr);
        match accident {
            // A lost answer is asked for again, and so changes nothing.
            Accident::Lost { .. } => assert_eq!(ended.code, Some(self.work.code()), "{}", what()),
            Accident::Kill { .. } => assert_eq!(ended.code, None, "it was not killed: {}", what()),
            // 1: nothing was touched. 3: done, with a warning. 5: rolled back.
            Accident::Refused { .. } => {
                assert!(matches!(ended.code, Some(0 | 1 | 3 | 5)), "{}", what());
            }
            // It ends by itself: nobody can be told to make room first while the instance is down.
            Accident::Full { room: Room::Reserved, .. } => {
                assert!(matches!(ended.code, Some(0 | 1 | 3 | 5)), "{}", what());
                let is_done = ended.code == Some(self.work.code());
                assert!(is_done || ended.stderr.contains("No space left on device"), "{}", what());
                let resumed = pair.run(&["resume"]).await.expect(0);
                assert!(resumed.stderr.contains("no run was cut off"), "{}\n{}", what(), resumed.stderr);
            }
            Accident::Full { room: Room::Nothing, .. } => {
                assert_eq!(ended.code, Some(1), "{}", what());
                assert!(ended.stderr.contains("No space left on device"), "{}", what());
            }
        }
        self.engine.reset(None);
        let resumed = pair.run(&["resume"]).await;
        assert!(matches!(resumed.code, Some(0 | 5)), "{}\n--- resume {:?}\n{}", what(), resumed.code, resumed.stderr);
        let again = pair.run(&["resume"]).await.expect(0);
        assert!(again.stderr.contains("no run was cut off"), "{}\n--- resume\n{}", what(), again.stderr);

        let side = side(pair, site, &self.before).await;
        assert!(self.work.may_end(side), "it ended {side:?}: {}", what());
        pair.nothing_is_left(site).await;
        observer.nothing_ran_twice().await;
        if self.work == Work::Snapshot {
            assert_eq!(site.id().await, id, "a snapshot changes no container");
        }
        let mut begun = super::journal::journals(&pair.state());
        begun.retain(|path| !known.contains(path));
        // One that was killed in its first line never existed.
        let exists = |path: &std::path::PathBuf| super::journal::Journal::read(path).is_some();
        if matches!(accident, Accident::Full { .. }) {
            assert!(begun.iter().all(exists), "a journal without a line is left: {}", what());
        }
        begun.retain(exists);
        if let [begun] = begun.as_slice() {
            let outcome = super::journal::Journal::read(begun).and_then(|journal| journal.outcome).unwrap_or_default();
            let expected = match (self.work, side) {
                (Work::Snapshot, _) => &["completed", "rolled_back"][..],
                (Work::Upgrade, Side::New) | (Work::Restore, Side::Old) => &["completed"],
                _ => &["rolled_back"],
            };
            assert!(expected.contains(&outcome.as_str()), "{side:?} and {outcome}: {}", what());
        }
    }
}

/// Some accidents, with a seed that is printed: as many as TIDEGATE_TEST_ACCIDENTS says (a large number takes all,
/// which takes hours), else `few`, and under TIDEGATE_TEST_FULL=1 12.
fn chosen(all: Vec<Accident>, few: usize) -> Vec<Accident> {
    let is_full = std::env::var("TIDEGATE_TEST_FULL").is_ok_and(|full| full == "1");
    let count = std::env::var("TIDEGATE_TEST_ACCIDENTS")
        .ok()
        .map_or(if is_full { 12 } else { few }, |count| count.parse().expect("a number"));
    let given = std::env::var("TIDEGATE_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(rand::random);
    println!("accidents chosen with TIDEGATE_TEST_SEED={seed}");
    all.choose_multiple(&mut rand::rngs::StdRng::seed_from_u64(seed), count).cloned().collect()
}

/// Kills around every write of the journal, each change at the engine failing once, and a full disk from every write on.
async fn survives(test: &str, work: Work) {
    let mut yard = Yard::new(test, work).await;
    let (lines, changes) = yard.measure().await;
    println!("{work:?}: {lines} lines of journal, {} changes at the engine", changes.len());
    let kills = (0..lines)
        .flat_map(|line| [Moment::Before, Moment::Torn, Moment::After].map(|moment| Accident::Kill { line, moment }));
    for accident in chosen(kills.collect(), 2) {
        yard.suffer(accident).await;
    }
    let faults = (0..changes.len()).flat_map(|change| [Accident::Refused { change }, Accident::Lost { change }]);
    // A look into the app that gets no answer says nothing about the app.
    let first_look = changes.iter().position(|path| path.contains("/exec/"));
    let always = first_look.filter(|_| work == Work::Upgrade).map(|change| Accident::Lost { change });
    for accident in always.into_iter().chain(chosen(faults.collect(), 2)) {
        yard.suffer(accident).await;
    }
    let full = (0..lines).flat_map(|line| [Room::Reserved, Room::Nothing].map(|room| Accident::Full { line, room }));
    for accident in chosen(full.collect(), 1) {
        yard.suffer(accident).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_survives_any_accident() {
    survives("crash-snapshot", Work::Snapshot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_survives_any_accident() {
    survives("crash-upgrade", Work::Upgrade).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_survives_any_accident() {
    survives("crash-failing", Work::Failing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_survives_any_accident() {
    survives("crash-restore", Work::Restore).await;
}
