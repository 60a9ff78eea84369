//! Every crash point of made-up runs: the process dies before or after any journal write, any step and any
//! undo may fail, and the world must still end up whole, untouched, or loudly stuck.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use tidegate::model::gate::Approval;
use tidegate::model::ids::RunId;
use tidegate::workflow::{
    DriveError, FileJournal, Guard, Header, JOURNAL_FORMAT, Journal, JournalError, Outcome, Record, Retry, RunCx,
    Silent, Step, StepError, UndoKind, Wait, Waits, drive,
};

type World = Arc<Mutex<BTreeSet<String>>>;

/// Creates two things, so that a cut-off run can leave one of them behind.
struct Create {
    name: String,
    stage: Option<usize>,
    reopens: bool,
    world: World,
    fails: bool,
    undo_fails: bool,
    kind: UndoKind,
}

#[async_trait]
impl Step<u32> for Create {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn stage(&self) -> Option<usize> {
        self.stage
    }
    fn reopens(&self) -> bool {
        self.reopens
    }
    fn undo_kind(&self) -> UndoKind {
        self.kind
    }
    async fn run(&self, _: &RunCx, notes: &mut u32) -> Result<(), StepError> {
        *notes += 1;
        self.world.lock().unwrap().insert(format!("{}/a", self.name));
        if self.fails {
            return Err("no space left".into());
        }
        self.world.lock().unwrap().insert(format!("{}/b", self.name));
        Ok(())
    }
    async fn undo(&self, _: &RunCx, _: &u32) -> Result<(), StepError> {
        let prefix = format!("{}/", self.name);
        self.world.lock().unwrap().retain(|thing| !thing.starts_with(&prefix));
        if self.undo_fails { Err("engine is gone".into()) } else { Ok(()) }
    }
}

/// Survives in `durable`; dies on the `fuse`-th write, having written it or not.
struct DyingJournal {
    durable: Arc<Mutex<Vec<Record<u32>>>>,
    seen: Vec<Record<u32>>,
    fuse: usize,
    after_write: bool,
}

#[async_trait]
impl Journal<u32> for DyingJournal {
    async fn append(&mut self, record: &Record<u32>) -> Result<(), JournalError> {
        let dying = self.fuse == 0;
        self.fuse = self.fuse.saturating_sub(1);
        let power_cut =
            || JournalError::Io { action: "append to", path: "j".into(), source: std::io::Error::other("power cut") };
        if dying && !self.after_write {
            return Err(power_cut());
        }
        self.durable.lock().unwrap().push(record.clone());
        self.seen.push(record.clone());
        if dying { Err(power_cut()) } else { Ok(()) }
    }
    fn records(&self) -> &[Record<u32>] {
        &self.seen
    }
}

#[derive(Debug)]
struct Ours;
#[async_trait]
impl Guard for Ours {
    async fn still_ours(&self) -> Result<(), StepError> {
        Ok(())
    }
}

fn cx() -> RunCx {
    RunCx {
        run: RunId::new("snapshot-1").unwrap(),
        cancel: Default::default(),
        events: Arc::new(Silent),
        guard: Arc::new(Ours),
        retry: Retry { pauses: vec![], ..Retry::default() },
        clock: || jiff::Timestamp::UNIX_EPOCH,
        approval: None,
        undo_failed: vec![],
        undone: vec![],
    }
}

fn steps(
    world: &World,
    count: usize,
    failing: Option<usize>,
    bad_undo: Option<usize>,
    barrier: Option<usize>,
) -> Vec<Box<dyn Step<u32>>> {
    let step = |i: usize| Create {
        name: format!("s{i}"),
        // Everything up to the barrier is stage 0, everything after it stage 1.
        stage: Some(usize::from(barrier.is_some_and(|b| i > b))),
        reopens: barrier == Some(i),
        world: world.clone(),
        fails: failing == Some(i),
        undo_fails: bad_undo == Some(i),
        kind: UndoKind::Service,
    };
    (0..count).map(|i| Box::new(step(i)) as _).collect()
}

/// Lives through the deaths, and returns the outcome and all records.
fn live(steps: &[Box<dyn Step<u32>>], deaths: Vec<(usize, bool)>) -> (Outcome, Vec<Record<u32>>) {
    let durable = Arc::new(Mutex::new(Vec::new()));
    let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut lives = deaths.into_iter().chain([(usize::MAX, false)]);
    let outcome = loop {
        let (fuse, after_write) = lives.next().unwrap();
        let seen = durable.lock().unwrap().clone();
        let mut journal = DyingJournal { durable: durable.clone(), seen, fuse, after_write };
        match rt.block_on(drive(steps, &mut journal, &cx(), 0)) {
            Ok(driven) => break driven.outcome.expect("nothing waits"),
            Err(DriveError::Journal(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let records = durable.lock().unwrap().clone();
    (outcome, records)
}

proptest! {
    #[test]
    fn a_run_ends_whole_or_untouched_and_a_reopened_stage_is_kept(
        count in 1usize..6,
        failing in proptest::option::of(0usize..6),
        barrier in proptest::option::of(0usize..6),
        deaths in proptest::collection::vec((0usize..14, any::<bool>()), 0..6),
    ) {
        let world = World::default();
        let steps = steps(&world, count, failing, None, barrier);
        let (outcome, _) = live(&steps, deaths);
        let things = world.lock().unwrap().clone();
        let fails = failing.filter(|f| *f < count);
        match (outcome, fails) {
            (Outcome::Completed, None) => prop_assert_eq!(things.len(), 2 * count),
            (Outcome::RolledBack, Some(failed)) => {
                let kept = barrier.filter(|b| *b < failed).map_or(0, |b| b + 1);
                prop_assert_eq!(things.len(), 2 * kept, "{:?}", things);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn one_undo_that_fails_stops_no_other_and_is_stuck(
        count in 2usize..6,
        bad_undo in 0usize..5,
        deaths in proptest::collection::vec((0usize..14, any::<bool>()), 0..5),
    ) {
        let world = World::default();
        let steps = steps(&world, count, Some(count - 1), Some(bad_undo), None);
        let (outcome, records) = live(&steps, deaths);
        let undone = records.iter().filter(|r| matches!(r, Record::UndoDone { .. })).count();
        if bad_undo < count {
            prop_assert_eq!(outcome, Outcome::Stuck);
            prop_assert_eq!(undone, count - 1);
        } else {
            prop_assert_eq!(outcome, Outcome::RolledBack);
        }
    }
}

fn header() -> Header {
    Header {
        format: JOURNAL_FORMAT,
        run: RunId::new("snapshot-1").unwrap(),
        workflow: "snapshot".into(),
        version: 1,
        steps: vec!["s0".into()],
        parameters: serde_json::json!({}),
        started_at: "2026-01-01T00:00:00Z".into(),
        occasion: None,
    }
}

#[tokio::test]
async fn a_torn_last_line_is_dropped_and_any_other_bad_line_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    let mut journal = FileJournal::<u32>::create(&path, &header()).unwrap();
    journal.append(&Record::Started { step: 0, at: "t".into() }).await.unwrap();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();

    std::fs::write(&path, [&whole[..], b"{\"record\":\"done\",\"st"].concat()).unwrap();
    let mut journal = FileJournal::<u32>::open(&path).unwrap();
    assert_eq!(journal.records().len(), 1);
    journal.append(&Record::Done { step: 0, at: "t".into(), notes: 7 }).await.unwrap();
    let (_, records) = FileJournal::<u32>::load(&path).unwrap();
    assert_eq!(records.len(), 2, "the torn line must be gone before the next one is written");

    std::fs::write(&path, [&whole[..], b"{\"record\":\"done\",\"st\n"].concat()).unwrap();
    let error = FileJournal::<u32>::open(&path).unwrap_err();
    assert!(error.to_string().starts_with("line 3 of the journal"), "{error}");
}

#[tokio::test]
async fn a_journal_has_room_on_a_full_disk_and_is_private() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    FileJournal::<u32>::create(&path, &header()).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert!(meta.blocks() * 512 >= 1 << 20, "only {} blocks are allocated", meta.blocks());
    assert_eq!(meta.mode() & 0o777, 0o600);

    // Without room for that, there is no run and no file.
    let disk = crate::store::dir::SmallDisk::mount("256k");
    let error = FileJournal::<u32>::create(&disk.path().join("r.jsonl"), &header()).unwrap_err();
    assert!(error.to_string().starts_with("cannot allocate room for the journal"), "{error}");
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_stuck_run_can_be_asked_to_try_its_undos_again() {
    let world = World::default();
    let broken = steps(&world, 2, Some(1), Some(0), None);
    let durable = Arc::new(Mutex::new(Vec::new()));
    let journal = |seen| DyingJournal { durable: durable.clone(), seen, fuse: usize::MAX, after_write: false };
    assert_eq!(drive(&broken, &mut journal(vec![]), &cx(), 0).await.unwrap().outcome, Some(Outcome::Stuck));
    let mended = steps(&world, 2, Some(1), None, None);
    let seen = durable.lock().unwrap().clone();
    let mut again = journal(seen);
    again.append(&Record::RetryUndo { at: "t".into() }).await.unwrap();
    assert_eq!(drive(&mended, &mut again, &cx(), 0).await.unwrap().outcome, Some(Outcome::RolledBack));
}

/// Its undo only tidies up, and fails as often as it is told to.
struct Tidies {
    fails: Mutex<usize>,
    tries: Arc<Mutex<usize>>,
}

#[async_trait]
impl Step<u32> for Tidies {
    fn name(&self) -> String {
        "tidies".into()
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    async fn run(&self, _: &RunCx, _: &mut u32) -> Result<(), StepError> {
        Err("it fails".into())
    }

    async fn undo(&self, _: &RunCx, _: &u32) -> Result<(), StepError> {
        *self.tries.lock().unwrap() += 1;
        let mut fails = self.fails.lock().unwrap();
        if *fails == 0 {
            return Ok(());
        }
        *fails -= 1;
        Err("the answer was lost".into())
    }
}

/// What a lost answer has left would mount the data of an instance for good.
#[tokio::test(start_paused = true)]
async fn tidying_up_is_done_again_where_an_answer_was_lost_and_never_holds_a_run() {
    for (fails, hiccup, expected) in [(1, true, 2), (9, true, 3), (1, false, 1)] {
        let tries = Arc::new(Mutex::new(0));
        let step = Tidies { fails: Mutex::new(fails), tries: tries.clone() };
        let durable = Arc::new(Mutex::new(Vec::new()));
        let mut journal = DyingJournal { durable, seen: vec![], fuse: usize::MAX, after_write: false };
        let lost = |error: &(dyn std::error::Error + 'static)| error.to_string() == "the answer was lost";
        let retry = Retry { hiccup: if hiccup { lost } else { |_| false }, ..cx().retry };
        let driven = drive(&[Box::new(step) as _], &mut journal, &RunCx { retry, ..cx() }, 0).await.unwrap();
        assert_eq!((driven.outcome, *tries.lock().unwrap()), (Some(Outcome::RolledBack), expected));
    }
}

/// Waits until somebody has approved it.
struct Gate(Create);

#[async_trait]
impl Step<u32> for Gate {
    fn name(&self) -> String {
        self.0.name()
    }

    fn stage(&self) -> Option<usize> {
        self.0.stage()
    }

    fn undo_kind(&self) -> UndoKind {
        self.0.undo_kind()
    }

    async fn run(&self, cx: &RunCx, notes: &mut u32) -> Result<(), StepError> {
        if cx.approval.as_ref().is_some_and(|approval| approval.evidence == "seen") {
            return self.0.run(cx, notes).await;
        }
        let wait = Wait { reason: "a person".into(), evidence: "seen".into(), until: "t".into() };
        Err(Box::new(Waits(wait)))
    }

    async fn undo(&self, cx: &RunCx, notes: &u32) -> Result<(), StepError> {
        self.0.undo(cx, notes).await
    }
}

fn approval(evidence: &str) -> Approval {
    Approval { by: "anna".into(), reason: "fine".into(), evidence: evidence.into(), until: "t".into() }
}

proptest! {
    /// Whenever it dies, it waits until it is approved, and only what was approved counts.
    #[test]
    fn a_run_waits_at_its_gate_until_it_is_approved(
        count in 1usize..5,
        gate in 0usize..5,
        barrier in proptest::option::of(0usize..5),
        deaths in proptest::collection::vec((0usize..10, any::<bool>()), 0..4),
        ends in 0usize..3,
    ) {
        let (world, gate) = (World::default(), gate % count);
        let mut steps = steps(&world, count, None, None, barrier);
        let create = Create {
            name: format!("s{gate}"),
            stage: steps[gate].stage(),
            reopens: false,
            world: world.clone(),
            fails: false,
            undo_fails: false,
            kind: UndoKind::Service,
        };
        // A gate is no barrier.
        prop_assume!(barrier != Some(gate));
        steps[gate] = Box::new(Gate(create));
        let durable = Arc::new(Mutex::new(Vec::new()));
        let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut lives = deaths.into_iter().chain(std::iter::repeat((usize::MAX, false)));
        let mut live = |said: Option<Record<u32>>| loop {
            let (fuse, after_write) = lives.next().unwrap();
            let seen = durable.lock().unwrap().clone();
            let mut journal = DyingJournal { durable: durable.clone(), seen, fuse: usize::MAX, after_write };
            if let Some(said) = &said && !journal.seen.contains(said) {
                rt.block_on(journal.append(said)).unwrap();
            }
            journal.fuse = fuse;
            match rt.block_on(drive(&steps, &mut journal, &cx(), 0)) {
                Ok(driven) => break driven.outcome,
                Err(DriveError::Journal(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let at = || "t".to_owned();
        prop_assert_eq!(live(None), None);
        prop_assert_eq!(live(None), None, "nobody has said anything");
        prop_assert_eq!(world.lock().unwrap().len(), 2 * gate);
        let other = Record::Approved { step: gate, at: at(), approval: approval("other") };
        prop_assert_eq!(live(Some(other)), None, "something else was approved");
        let (said, expected) = match ends {
            0 => (Record::Approved { step: gate, at: at(), approval: approval("seen") }, Outcome::Completed),
            1 => (Record::Failed { step: gate, at: at(), error: "rejected".into() }, Outcome::RolledBack),
            _ => (Record::RollBack { at: at(), reason: "stopped".into() }, Outcome::RolledBack),
        };
        prop_assert_eq!(live(Some(said)), Some(expected));
        let things = world.lock().unwrap().len();
        let stays = barrier.filter(|barrier| *barrier < gate).map_or(0, |barrier| 2 * (barrier + 1));
        prop_assert_eq!(things, if ends == 0 { 2 * count } else { stays });
    }
}
