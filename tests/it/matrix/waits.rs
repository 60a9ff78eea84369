//! An upgrade that waits for a person on an engine in memory: what ends it, and what is said of it afterwards.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tidegate::model::gate::Approval;
use tidegate::model::ids::{InstanceName, RunId};
use tidegate::ops::notes::Notes;
use tidegate::ops::run::{self, Plan, Resume, RunError};
use tidegate::ops::{Tools, history, restore, upgrade};
use tidegate::workflow::{FileJournal, Journal, Outcome, Record};
use tokio_util::sync::CancellationToken;

use super::app::Manner;
use super::life::Life;
use super::world::{Workflow, World};

/// A month later: whatever waits has waited for too long.
fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * 30)
}

fn tools(world: &World, now: Option<fn() -> Timestamp>) -> Arc<Tools> {
    let mut tools = world.tools(&Life::quiet());
    let own = Arc::get_mut(&mut tools).unwrap();
    own.settings.approval = vec![InstanceName::new("production").unwrap()];
    own.now = now.unwrap_or(own.now);
    tools
}

/// Upgrades staging; the run waits before production.
fn waiting(world: &World) -> RunId {
    let tools = tools(world, None);
    let plan = Plan::Upgrade(world.block_on(upgrade::plan(&tools, "v2.0", None, false, None)).unwrap());
    let begun = run::begin(&tools, &plan, Arc::new(Life::quiet()), CancellationToken::new());
    let report = world.block_on(begun).unwrap();
    assert!(report.outcome.is_none() && report.summary.waiting.is_some(), "{report:?}");
    report.summary.run
}

fn resumed(world: &World, run: &RunId, how: Resume, now: Option<fn() -> Timestamp>) -> Result<Outcome, RunError> {
    let tools = tools(world, now);
    let resumed = run::resume(&tools, run, how, Arc::new(Life::quiet()), CancellationToken::new());
    world.block_on(resumed).map(|report| report.outcome.unwrap())
}

fn journal(world: &World, run: &RunId) -> Vec<u8> {
    std::fs::read(world.state.journal(run)).unwrap()
}

/// The daemon has seen that the time is over, and takes the lock. What it finds under it decides.
#[test]
fn what_nobody_approved_in_time_ends_unless_somebody_was_faster() {
    let world = World::new(Workflow::Upgrade(Manner::Good));
    let run = waiting(&world);
    let refused = |now: Option<fn() -> Timestamp>, why: &str| {
        let before = journal(&world, &run);
        let error = resumed(&world, &run, Resume::Expire, now).unwrap_err();
        assert!(matches!(&error, RunError::WaitsForNobody { how, .. } if how == why), "{error}");
        assert!(journal(&world, &run) == before, "something was written down");
    };

    // Somebody looked again meanwhile, and its time is another one.
    refused(None, "its time is not over");

    // Somebody approved it meanwhile, and was cut off: that counts.
    let state = world.state.clone();
    let story = history::story(&state, &run).unwrap();
    let Some(Record::Waiting { step, wait, .. }) = story.records.last().cloned() else { panic!("it does not wait") };
    let approval =
        Approval { by: "ada".into(), reason: "looked".into(), evidence: wait.evidence.clone(), until: wait.until };
    let whole = journal(&world, &run);
    world.block_on(async {
        let mut journal = FileJournal::<Notes>::open(&state.journal(&run)).unwrap();
        journal.append(&Record::Approved { step, at: Timestamp::now().to_string(), approval }).await.unwrap();
    });
    refused(Some(later), "its time is not over");
    std::fs::write(state.journal(&run), whole).unwrap();

    let ended = resumed(&world, &run, Resume::Expire, Some(later)).unwrap();
    assert_eq!(ended, Outcome::RolledBack);
    let summary = history::summary(&history::story(&state, &run).unwrap());
    assert!(summary.failure.as_ref().unwrap().ends_with("nobody approved it in time"), "{summary:?}");
    assert_eq!(summary.state_text(), "`staging` stays upgraded; `production` was not touched");
    refused(Some(later), "it ended, rolled back");
}

#[test]
fn what_was_put_back_meanwhile_is_not_said_to_stay_upgraded() {
    let world = World::new(Workflow::Upgrade(Manner::Good));
    let run = waiting(&world);
    let tools = tools(&world, None);
    let plan = world.block_on(restore::plan(&tools, &super::world::back("staging", None))).unwrap();
    let plan = Plan::Restore(plan);
    let begun = run::begin(&tools, &plan, Arc::new(Life::quiet()), CancellationToken::new());
    let restored = world.block_on(begun).unwrap();
    assert_eq!(restored.outcome, Some(Outcome::Completed), "{restored:?}");
    resumed(&world, &run, Resume::Reject { why: "no".into() }, None).unwrap();

    let summary = history::summary(&history::story(&world.state, &run).unwrap());
    let told = history::with_what_came_after(&world.state, summary).state_text();
    let by = restored.summary.run.as_str();
    insta::assert_snapshot!(told.replace(by, "RESTORE"), @"`staging` was upgraded, and changed since by RESTORE; `production` was not touched");
}
