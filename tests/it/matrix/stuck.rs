//! Undos that fail: once, and for good, with and without their effect; and a store that is gone when it is needed.

use tidegate::workflow::{Outcome, Record};

use super::deaths::live_on;
use super::judge::{judge, outcome_of, story};
use super::life::{Act, Kind, Life, Point, When};
use super::world::{End, Workflow, World};
use super::{Manner, is_full, sample};

/// What is made to fail so that everything before it is undone.
fn failing(workflow: Workflow) -> Vec<&'static str> {
    match workflow {
        Workflow::Snapshot => vec!["rest staging", "read staging", "verify staging"],
        Workflow::Upgrade(_) if is_full() => vec![
            "rest staging",
            "read staging",
            "publish staging",
            "park staging",
            "create staging",
            "start staging",
            "check staging",
            "rest production",
            "create production",
            "start production",
            "check production",
        ],
        Workflow::Upgrade(_) => vec!["publish staging", "create staging", "start staging", "check production"],
        Workflow::Clone => vec!["adapt the snapshot to staging", "fill staging", "start staging", "check staging"],
        Workflow::Undo { .. } => vec![
            "park production",
            "set aside production",
            "bring back production",
            "settle production",
            "create production",
            "start production",
            "check production",
        ],
        _ => vec![
            "park production",
            "set aside production",
            "fill production",
            "settle production",
            "create production",
            "start production",
            "check production",
        ],
    }
}

/// The steps that are started when `step` fails.
fn started(workflow: Workflow, step: &str) -> Vec<String> {
    let mut world = World::new(workflow);
    world.begin(&breaks(step, |_| Act::Pass));
    let story = story(&world).unwrap();
    let started = story.records.iter().filter_map(|record| match record {
        Record::UndoStarted { step, .. } => Some(story.header.steps[*step].clone()),
        _ => None,
    });
    started.collect()
}

/// A process in which `step` fails, and to which `fate` happens besides.
fn breaks(step: &str, fate: impl Fn(&Point) -> Act + Send + Sync + 'static) -> Life {
    let step = step.to_owned();
    Life::new(move |point| if point.is_in(&step) && point.when == When::After { Act::Fail } else { fate(point) })
}

const FAILING: [Workflow; 6] = [
    Workflow::Snapshot,
    Workflow::Upgrade(Manner::Good),
    Workflow::Restore { well: true },
    Workflow::RestoreGone,
    Workflow::Clone,
    Workflow::Undo { well: true },
];

/// Mended, a stuck run ends.
fn mend(world: &World, case: &str) {
    let run = world.last_run().unwrap();
    let life = Life::quiet();
    let end = world.resume(&run, &life);
    let case = format!("{case}, mended: {:#?}", life.said());
    assert!(matches!(end, End::Over(_)), "{case}: {end:?}");
    judge(world).assert_none(world, &case);
    assert_eq!(outcome_of(world), Some(Outcome::RolledBack), "{case}");
}

fn for_good(workflow: Workflow, when: When) {
    for step in failing(workflow) {
        for undo in sample(started(workflow, step), 3) {
            let mut world = World::new(workflow);
            let bad = format!("undo {undo}");
            let life =
                breaks(step, move |point| if point.is_in(&bad) && point.when == when { Act::Fail } else { Act::Pass });
            let end = world.begin(&life);
            let case = format!("{workflow:?}, `{step}` fails, undo of `{undo}` fails {when:?}: {:#?}", life.said());
            assert!(matches!(end, End::Over(_)), "{case}: {end:?}");
            judge(&world).assert_none(&world, &case);
            if outcome_of(&world) != Some(Outcome::Stuck) {
                continue;
            }
            // Also after a reboot whatever can run does, until somebody has looked.
            world.engine.reboot();
            judge(&world).assert_none(&world, &format!("{case}, rebooted"));
            mend(&world, &case);
        }
    }
}

#[test]
fn every_undo_fails_for_good_before_its_effect() {
    FAILING.into_iter().for_each(|workflow| for_good(workflow, When::Before));
}

#[test]
fn every_undo_fails_for_good_after_its_effect() {
    FAILING.into_iter().for_each(|workflow| for_good(workflow, When::After));
}

/// Every call of a roll back fails once: tried again, it succeeds.
/// Coolify#4218: what an upgrade that broke had left behind stood in the way back.
#[test]
fn every_call_of_a_roll_back_fails_once() {
    for workflow in FAILING {
        for step in failing(workflow) {
            let mut world = World::new(workflow);
            let life = breaks(step, |_| Act::Pass);
            world.begin(&life);
            let undoing = |point: &&Point| point.step.starts_with("undo ") && point.kind != Kind::Journal;
            let points: Vec<Point> = life.points().into_iter().filter(|point| undoing(&point)).collect();
            for Point { index, what, when, .. } in sample(points, 16) {
                let mut world = World::new(workflow);
                let life = breaks(step, move |point| if point.index == index { Act::Fail } else { Act::Pass });
                let end = world.begin(&life);
                let case = format!("{workflow:?}, `{step}` fails, `{what}` {when:?}: {end:?} {:#?}", life.said());
                live_on(&world, Life::quiet);
                judge(&world).assert_none(&world, &case);
                assert_ne!(outcome_of(&world), Some(Outcome::Stuck), "{case}");
            }
        }
    }
}

/// Without the store the data of before cannot be had: the new image goes on with what it has made.
#[test]
fn the_store_is_gone_when_data_is_to_be_put_back() {
    for manner in [Manner::FailsChecks, Manner::Ends, Manner::EndsHalfWay] {
        for nth in 0..4 {
            let workflow = Workflow::Upgrade(manner);
            let mut world = World::new(workflow);
            let passed = std::sync::Mutex::new(0);
            let life = Life::new(move |point| {
                if !(point.kind == Kind::Store && point.step.starts_with("undo ") && point.when == When::Before) {
                    return Act::Pass;
                }
                let mut passed = passed.lock().unwrap();
                *passed += 1;
                if *passed > nth { Act::Fail } else { Act::Pass }
            });
            let end = world.begin(&life);
            let case = format!("{workflow:?}, the store is gone after {nth} calls: {:#?}", life.said());
            assert!(matches!(end, End::Over(_)), "{case}: {end:?}");
            judge(&world).assert_none(&world, &case);
            if nth < 3 {
                assert_eq!(outcome_of(&world), Some(Outcome::Stuck), "{case}");
                if manner != Manner::EndsHalfWay {
                    assert_eq!(world.pair("staging"), world.after["staging"], "{case}");
                }
                world.engine.reboot();
                judge(&world).assert_none(&world, &format!("{case}, rebooted"));
                mend(&world, &case);
            }
        }
    }
}
