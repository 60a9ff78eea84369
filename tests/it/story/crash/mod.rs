//! P1 and P4, with a real process killed by a real SIGKILL at exact writes of its journal, a real engine that refuses a
//! request or loses its answer, and a disk below the state directory that is full from an exact write on.
//!
//! Each case begins with an instance on the old image (in a restore: on the new one), runs one workflow with one
//! accident, then `tidegate resume` until nothing is open, and looks at what came of it. Written once more: a step
//! whose record was not written is run again, and so is its undo.

pub mod accident;
pub mod engine;

use std::io::Write;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use rand::SeedableRng;
use rand::seq::IndexedRandom;

use super::observer::Observer;
use super::work::{Trial, Work};
use accident::{Accident, Moment, Room};
use engine::EngineProxy;

/// How a workflow is tried.
struct Yard {
    trial: Trial,
    engine: EngineProxy,
}

impl Yard {
    async fn new(test: &str, work: Work) -> Self {
        Self { trial: Trial::new(test, work).await, engine: EngineProxy::start().await }
    }

    /// How many lines its journal has and which changes it asks of the engine, without any accident.
    async fn measure(&mut self) -> (usize, Vec<String>) {
        self.trial.prepare().await;
        self.engine.reset(None);
        let pair = &self.trial.pair;
        let mut command = pair.command(&self.trial.words());
        command.env("DOCKER_HOST", self.engine.host());
        let ended = pair.finish(command).await.expect(self.trial.work.code());
        let run = super::journal::journals(&pair.state()).into_iter().next_back().expect("a journal");
        let lines = std::fs::read_to_string(run).unwrap().lines().count();
        let changes = self.engine.changes();
        assert!(lines > 5 && changes.len() > 5, "{lines} lines, {changes:?}\n{}", ended.stderr);
        (lines, changes)
    }

    /// One accident, and all that must hold after it.
    async fn suffer(&mut self, accident: Accident) {
        let work = self.trial.work;
        self.trial.prepare().await;
        let (trial, pair) = (&self.trial, &self.trial.pair);
        let (begin, observer) = (trial.begin().await, Observer::start(trial.site()).await);
        let mut command = pair.command(&trial.words());
        accident.prepare(&mut command, &self.engine, &pair.state());
        let ended = pair.finish(command).await;
        let what = format!("{work:?} {accident:?}: {:?}\n{}{}", ended.code, ended.stdout, ended.stderr);
        match accident {
            // A lost answer is asked for again, and so changes nothing.
            Accident::Lost { .. } => assert_eq!(ended.code, Some(work.code()), "{what}"),
            Accident::Kill { .. } => assert_eq!(ended.code, None, "it was not killed: {what}"),
            // 1: nothing was touched. 3: done, with a warning. 5: rolled back.
            Accident::Refused { .. } => assert!(matches!(ended.code, Some(0 | 1 | 3 | 5)), "{what}"),
            // It ends by itself: nobody can be told to make room first while the instance is down.
            Accident::Full { room: Room::Reserved, .. } => {
                assert!(matches!(ended.code, Some(0 | 1 | 3 | 5)), "{what}");
                let is_done = ended.code == Some(work.code());
                assert!(is_done || ended.stderr.contains("No space left on device"), "{what}");
                let resumed = pair.run(&["resume"]).await.expect(0);
                assert!(resumed.stderr.contains("no run was cut off"), "{what}\n{}", resumed.stderr);
            }
            Accident::Full { room: Room::Nothing, .. } => {
                assert_eq!(ended.code, Some(1), "{what}");
                assert!(ended.stderr.contains("No space left on device"), "{what}");
            }
        }
        self.engine.reset(None);
        let resumed = pair.run(&["resume"]).await;
        assert!(matches!(resumed.code, Some(0 | 5)), "{what}\n--- resume {:?}\n{}", resumed.code, resumed.stderr);
        let again = pair.run(&["resume"]).await.expect(0);
        assert!(again.stderr.contains("no run was cut off"), "{what}\n--- resume\n{}", again.stderr);
        trial.ended_well(&begin, &trial.before, &what).await;
        observer.nothing_ran_twice().await;
        if matches!(accident, Accident::Full { .. }) {
            // One that was killed in its first line never existed; a full disk leaves none.
            assert!(
                trial.journals(&begin).all(|journal| journal.is_some()),
                "a journal without a line is left: {what}"
            );
        }
    }
}

/// Some accidents, with a seed that is printed: as many of each kind as TIDEGATE_TEST_ACCIDENTS says, else `few`, and
/// under TIDEGATE_TEST_FULL=1 all, or every third from the second on under TIDEGATE_TEST_SHARE=2/3.
fn chosen(all: Vec<Accident>, few: usize) -> Vec<Accident> {
    let share = std::env::var("TIDEGATE_TEST_SHARE").unwrap_or_else(|_| "1/1".into());
    let (part, parts) = share.split_once('/').expect("a share such as 2/3");
    let (part, parts): (usize, usize) = (part.parse().expect("a number"), parts.parse().expect("a number"));
    assert!((1..=parts).contains(&part), "{share} is no share");
    let all: Vec<_> = all.into_iter().skip(part - 1).step_by(parts).collect();
    let is_full = std::env::var("TIDEGATE_TEST_FULL").is_ok_and(|full| full == "1");
    let count = std::env::var("TIDEGATE_TEST_ACCIDENTS")
        .ok()
        .map_or(if is_full { usize::MAX } else { few }, |count| count.parse().expect("a number"));
    let given = std::env::var("TIDEGATE_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(rand::random);
    println!("accidents chosen with TIDEGATE_TEST_SEED={seed}");
    all.choose_multiple(&mut rand::rngs::StdRng::seed_from_u64(seed), count).cloned().collect()
}

/// What was tried and what came of it, as it happens: `target/tmp/accidents-<work>.log`. A run of hours that is cut off
/// says what it has seen, which the test program does only at its very end.
struct Record {
    file: std::fs::File,
    tried: usize,
    failed: Vec<String>,
}

impl Record {
    fn begin(work: Work) -> Self {
        let name = format!("accidents-{work:?}.log").to_lowercase();
        let file = std::fs::File::create(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).unwrap();
        Self { file, tried: 0, failed: Vec::new() }
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        writeln!(self.file, "{text}").unwrap();
    }
}

/// Kills around every write of the journal, each change at the engine failing once, and a full disk from every write on.
/// One that fails does not keep the others from being tried.
async fn survives(test: &str, work: Work) {
    let mut yard = Yard::new(test, work).await;
    let (lines, changes) = yard.measure().await;
    println!("{work:?}: {lines} lines of journal, {} changes at the engine", changes.len());
    let kills = (0..lines)
        .flat_map(|line| [Moment::Before, Moment::Torn, Moment::After].map(|moment| Accident::Kill { line, moment }));
    let faults = (0..changes.len()).flat_map(|change| [Accident::Refused { change }, Accident::Lost { change }]);
    // A look into the app that gets no answer says nothing about the app.
    let first_look = changes.iter().position(|path| path.contains("/exec/"));
    let always = first_look.filter(|_| work == Work::Upgrade).map(|change| Accident::Lost { change });
    let full = (0..lines).flat_map(|line| [Room::Reserved, Room::Nothing].map(|room| Accident::Full { line, room }));
    let all = chosen(kills.collect(), 1).into_iter().chain(always).chain(chosen(faults.collect(), 1));

    let mut record = Record::begin(work);
    for accident in all.chain(chosen(full.collect(), 1)) {
        record.tried += 1;
        record.say(&format!("{}. {work:?}: {accident:?}", record.tried));
        if let Err(panic) = AssertUnwindSafe(yard.suffer(accident.clone())).catch_unwind().await {
            let text = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
            record.say(&format!("FAILED: {text}"));
            record.failed.push(format!("{accident:?}: {text}"));
            // What it has left behind is nothing to begin the next one with.
            drop(yard);
            yard = Yard::new(test, work).await;
        }
    }
    let (tried, failed) = (record.tried, record.failed);
    assert!(failed.is_empty(), "{} of {tried} accidents were not survived:\n{}", failed.len(), failed.join("\n\n"));
    record.file.sync_all().unwrap();
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
