//! Every call fails once, and every step fails for good.

use tidegate::workflow::{Outcome, Record};

use super::deaths::{expected, live_on};
use super::judge::{judge, outcome_of, story};
use super::life::{Act, Kind, Life, Point, When};
use super::world::{End, Workflow, World};
use super::{Manner, WORKFLOWS, sample};

/// The points of a run to which nothing happens.
pub fn points(workflow: Workflow) -> Vec<Point> {
    let mut world = World::new(workflow);
    let life = Life::quiet();
    world.begin(&life);
    life.points()
}

/// One fault at each point that `wanted` names; the run ends by itself, or by being taken up, and is never stuck.
fn once(workflow: Workflow, act: Act, one_in: usize, wanted: impl Fn(&Point) -> bool) -> usize {
    let all: Vec<Point> = points(workflow).into_iter().filter(|point| wanted(point)).collect();
    for point in sample(&all, one_in) {
        let mut world = World::new(workflow);
        let life = Life::meets(point.index, act);
        world.damaged = act == Act::Damage && matches!(workflow, Workflow::Restore { .. });
        let end = world.begin(&life);
        live_on(&world, Life::quiet);
        let case = format!("{workflow:?}, {act:?} at {point:?}: {end:?} {:#?}", life.said());
        judge(&world).assert_none(&world, &case);
        let outcome = outcome_of(&world);
        assert_ne!(outcome, Some(Outcome::Stuck), "{case}");
        if act == Act::Damage {
            assert_eq!(outcome, Some(Outcome::RolledBack), "{case}");
        }
    }
    all.len()
}

#[test]
fn every_call_of_the_engine_fails_once() {
    for workflow in WORKFLOWS {
        once(workflow, Act::Fail, 12, |point| {
            point.kind == Kind::Engine && (point.changes || point.when == When::Before)
        });
    }
}

#[test]
fn every_call_of_the_store_fails_once() {
    for workflow in WORKFLOWS {
        once(workflow, Act::Fail, 2, |point| {
            point.kind == Kind::Store && (point.changes || point.when == When::Before)
        });
    }
}

#[test]
fn every_write_of_the_journal_fails_once() {
    for workflow in WORKFLOWS {
        once(workflow, Act::Fail, 12, |point| point.kind == Kind::Journal);
    }
}

#[test]
fn whatever_is_damaged_in_the_store_is_found_before_anything_rests_on_it() {
    for workflow in [Workflow::Snapshot, Workflow::Upgrade(Manner::Good)] {
        let count =
            once(workflow, Act::Damage, 1, |point| point.what.starts_with("put_stream") && point.when == When::Half);
        assert!(count >= 3, "{count}");
    }
    let count = once(Workflow::Restore { well: true }, Act::Damage, 1, |point| {
        point.what.starts_with("get_stream")
            && point.when == When::Half
            && point.is_in("verify the snapshot for production")
    });
    assert!(count >= 3, "{count}");
}

#[test]
fn somebody_asks_it_to_stop_at_any_moment() {
    for workflow in WORKFLOWS {
        once(workflow, Act::Cancel, 10, |point| point.when == When::Before);
    }
}

/// Dokploy#4263: the backup failed, and the app was left stopped. containrrr#542: a create failed after the remove, and the
/// container was gone.
#[test]
fn every_step_fails_for_good() {
    for workflow in WORKFLOWS {
        let mut world = World::new(workflow);
        world.begin(&Life::quiet());
        let steps = story(&world).unwrap().header.steps;
        for step in steps {
            let mut world = World::new(workflow);
            let failing = step.clone();
            let life = Life::new(move |point| if point.is_in(&failing) { Act::Fail } else { Act::Pass });
            let end = world.begin(&life);
            let case = format!("{workflow:?}, `{step}` fails: {:#?}", life.said());
            assert!(matches!(end, End::Over(_)), "{case}: {end:?}");
            if step.starts_with("open ") && expected(workflow) == Outcome::Completed {
                // Behind the barrier there is no way back: a person must look, and then it goes on.
                assert_eq!(outcome_of(&world), Some(Outcome::Stuck), "{case}");
                let run = world.last_run().unwrap();
                let end = world.resume(&run, &Life::quiet());
                assert!(matches!(end, End::Over(_)), "{case}: {end:?}");
                assert_eq!(outcome_of(&world), Some(Outcome::Completed), "{case}");
            }
            judge(&world).assert_none(&world, &case);
            let failed = story(&world).unwrap().records.iter().any(|record| matches!(record, Record::Failed { .. }));
            let wanted = if failed && !step.starts_with("open ") { Outcome::RolledBack } else { expected(workflow) };
            assert_eq!(outcome_of(&world), Some(wanted), "{case}");
        }
    }
}

/// The last thing that needs room on the disk: where it fails, users were not let in yet, and there is a way back.
#[test]
fn what_passed_is_kept_before_users_are_let_in() {
    for instance in ["staging", "production"] {
        let mut world = World::new(Workflow::Upgrade(Manner::Good));
        // Where the draft of the file would be.
        std::fs::create_dir(world.state.root().join("evidence").join(format!("{instance}.tmp"))).unwrap();
        let life = Life::quiet();
        let end = world.begin(&life);
        let case = format!("no evidence of {instance}: {end:?} {:#?}", life.said());
        judge(&world).assert_none(&world, &case);
        assert_eq!(outcome_of(&world), Some(Outcome::RolledBack), "{case}");
    }
}
