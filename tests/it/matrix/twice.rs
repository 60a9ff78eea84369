//! Every step is run twice, and every undo is done twice: what a death between an effect and its record comes to.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate::model::ids::RunId;
use tidegate::ops::lock::Locks;
use tidegate::ops::notes::Notes;
use tidegate::ops::run::Plan;
use tidegate::workflow::{FileJournal, Header, JOURNAL_FORMAT, Outcome, RunCx, Step, StepError, UndoKind, drive};

use super::WORKFLOWS;
use super::deaths::expected;
use super::judge::judge;
use super::life::Life;
use super::mortal::MortalJournal;
use super::world::{Workflow, World};

/// Does everything twice, the second time with what was known before the first.
struct Twice {
    step: Box<dyn Step<Notes>>,
    fails: bool,
}

#[async_trait]
impl Step<Notes> for Twice {
    fn name(&self) -> String {
        self.step.name()
    }
    fn stage(&self) -> Option<usize> {
        self.step.stage()
    }
    fn reopens(&self) -> bool {
        self.step.reopens()
    }
    fn undo_kind(&self) -> UndoKind {
        self.step.undo_kind()
    }
    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let mut lost = notes.clone();
        self.step.run(cx, &mut lost).await?;
        self.step.run(cx, notes).await?;
        if self.fails { Err("failed on purpose".into()) } else { Ok(()) }
    }
    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        self.step.undo(cx, notes).await?;
        self.step.undo(cx, notes).await
    }
}

/// Runs it with the steps wrapped; `failing` is the step that fails at its end, if there is one of that number.
fn twice(workflow: Workflow, failing: Option<usize>) -> bool {
    let mut world = World::new(workflow);
    world.next_run();
    let life = Life::quiet();
    let tools = world.tools(&life);
    let wrap = |(index, step)| Box::new(Twice { step, fails: failing == Some(index) }) as Box<dyn Step<Notes>>;
    let steps: Vec<_> = world.plan.steps(&tools).into_iter().enumerate().map(wrap).collect();
    if failing.is_some_and(|failing| failing >= steps.len()) {
        return false;
    }
    let run = RunId::new(format!("{}-20270101-000000-0000", world.plan.workflow().0)).unwrap();
    let header = header(&world.plan, &run, &steps);
    let kept = failing.is_some_and(|failing| {
        steps[..failing].iter().any(|step| step.reopens() && step.stage() == steps[failing].stage())
            || steps[failing].reopens()
    });
    let mut journal = MortalJournal {
        inner: FileJournal::create(&world.state.journal(&run), &header).unwrap(),
        life: life.clone(),
        durable: world.durable(),
    };
    let driven = world.block_on(async {
        let locks = Arc::new(Locks::take(&tools, &run, &world.plan.instances()).await.unwrap());
        let cx = RunCx {
            approval: None,
            run: run.clone(),
            cancel: Default::default(),
            events: Arc::new(life.clone()),
            guard: locks.clone(),
            retry: tools.settings.retry.clone(),
            clock: tools.now,
            undo_failed: Vec::new(),
            undone: Vec::new(),
        };
        let driven = drive(&steps, &mut journal, &cx, Notes::default()).await.unwrap();
        locks.release().await;
        driven
    });
    let case = format!("{workflow:?}, everything twice, step {failing:?} fails: {:#?}", life.said());
    judge(&world).assert_none(&world, &case);
    match failing {
        None => assert_eq!(driven.outcome, Some(expected(workflow)), "{case}"),
        // A step behind the barrier, or the barrier itself, which is not passed.
        Some(_) if kept => assert_ne!(driven.outcome, Some(Outcome::Completed), "{case}"),
        Some(_) => assert_eq!(driven.outcome, Some(Outcome::RolledBack), "{case}"),
    }
    true
}

fn header(plan: &Plan, run: &RunId, steps: &[Box<dyn Step<Notes>>]) -> Header {
    Header {
        format: JOURNAL_FORMAT,
        run: run.clone(),
        workflow: plan.workflow().0.into(),
        version: 1,
        steps: steps.iter().map(|step| step.name()).collect(),
        parameters: serde_json::to_value(plan).unwrap(),
        started_at: "2027-01-01T00:00:00Z".into(),
        occasion: None,
    }
}

#[test]
fn every_step_may_be_run_twice_and_every_undo_done_twice() {
    for workflow in WORKFLOWS {
        twice(workflow, None);
        let mut failing = 0;
        while twice(workflow, Some(failing)) {
            failing += 1;
        }
    }
}
