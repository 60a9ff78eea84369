//! Killed at every point, and taken up again.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidegate::workflow::Outcome;

use super::judge::{judge, outcome_of};
use super::life::Life;
use super::world::{End, Workflow, World};
use super::{Manner, WORKFLOWS, is_full, sample, seed};

/// Takes the run up until it has ended, each time with the next process.
pub fn live_on(world: &World, mut next: impl FnMut() -> Life) {
    for _ in 0..20 {
        let Some(run) = world.open_run() else { return };
        world.resume(&run, &next());
    }
    panic!("the run does not end:\n{}", super::judge::journal(world));
}

pub fn expected(workflow: Workflow) -> Outcome {
    match workflow {
        Workflow::Snapshot | Workflow::HotSnapshot | Workflow::RestoreGone | Workflow::Clone => Outcome::Completed,
        Workflow::Restore { well: true } | Workflow::Undo { well: true } => Outcome::Completed,
        Workflow::Upgrade(Manner::Good) => Outcome::Completed,
        Workflow::Upgrade(_) | Workflow::Restore { well: false } | Workflow::Undo { well: false } => {
            Outcome::RolledBack
        }
    }
}

#[test]
fn without_a_death_every_workflow_ends_as_it_should() {
    for workflow in WORKFLOWS.into_iter().chain([Workflow::HotSnapshot]) {
        let mut world = World::new(workflow);
        let life = Life::quiet();
        let end = world.begin(&life);
        assert!(matches!(end, End::Over(_)), "{workflow:?}: {end:?}");
        judge(&world).assert_none(&world, &format!("{workflow:?}"));
        assert_eq!(outcome_of(&world), Some(expected(workflow)), "{workflow:?}: {:#?}", life.said());
        eprintln!("{workflow:?}: {} points, {} lethal", life.points().len(), life.lethal_count());
    }
}

fn lethal_count(workflow: Workflow) -> usize {
    let mut world = World::new(workflow);
    let life = Life::quiet();
    world.begin(&life);
    life.lethal_count()
}

/// What happens between a death and the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    /// The engine starts anew, and with it what its restart policy says. drydock#81: and somebody prunes its images,
    /// those that a roll back needs among them if no container holds them.
    Reboot,
}

/// All pairs take hours.
const APART: usize = 16;

fn die_once(workflow: Workflow, between: Between) {
    let one_in = if between == Between::Reboot { 8 } else { 3 };
    for first in sample(0..lethal_count(workflow), one_in) {
        let mut world = World::new(workflow);
        let life = Life::dies_at(first);
        let end = world.begin(&life);
        assert!(matches!(end, End::Died), "{workflow:?} {first}: {end:?}");
        if between == Between::Reboot {
            world.engine.reboot();
            world.engine.prune_images();
        }
        live_on(&world, Life::quiet);
        let at = life.points().pop();
        judge(&world).assert_none(&world, &format!("{workflow:?}, {between:?} after death {first} at {at:?}"));
    }
}

fn die_again(workflow: Workflow) {
    for first in sample(0..lethal_count(workflow), 12) {
        let mut random = StdRng::seed_from_u64(seed() ^ first as u64);
        let mut world = World::new(workflow);
        let mut lives = vec![Life::dies_at(first)];
        world.begin(&lives[0]);
        let mut deaths = random.random_range(1..4);
        live_on(&world, || {
            if random.random_bool(0.3) {
                world.engine.reboot();
            }
            let life = if deaths > 0 { Life::dies_at(random.random_range(0..30)) } else { Life::quiet() };
            deaths = u32::saturating_sub(deaths, 1);
            lives.push(life.clone());
            life
        });
        let at: Vec<_> = lives.iter().map(|life| life.points().pop()).collect();
        judge(&world).assert_none(&world, &format!("{workflow:?}, {first}: deaths at {at:#?}"));
    }
}

/// Pairs of deaths: to every first one every [`APART`]th second one, from another one on each time.
fn die_twice(workflow: Workflow) {
    for first in 0..lethal_count(workflow) {
        let offset = StdRng::seed_from_u64(seed() ^ first as u64).random_range(0..APART);
        for second in (offset..).step_by(APART) {
            let mut world = World::new(workflow);
            let life = Life::dies_at(first);
            world.begin(&life);
            let Some(run) = world.open_run() else { break };
            let again = Life::dies_at(second);
            let ended = !matches!(world.resume(&run, &again), End::Died);
            live_on(&world, Life::quiet);
            let at = (life.points().pop(), again.points().pop());
            judge(&world).assert_none(&world, &format!("{workflow:?}, deaths {first} and {second} at {at:?}"));
            if ended {
                break;
            }
        }
    }
}

macro_rules! deaths {
    ($($name:ident: $workflow:expr;)*) => {$(
        mod $name {
            use super::*;
            use Workflow::*;

            #[test]
            fn killed_at_every_point_it_is_whole_after_it_was_taken_up() {
                die_once($workflow, Between::Nothing);
            }

            /// drydock#81: the image that the roll back needed was pruned.
            #[test]
            fn killed_with_the_engine_restarted_it_is_whole_after_it_was_taken_up() {
                die_once($workflow, Between::Reboot);
            }

            #[test]
            fn killed_again_and_again_it_is_whole_in_the_end() {
                die_again($workflow);
                if is_full() {
                    die_twice($workflow);
                }
            }
        }
    )*};
}

deaths! {
    snapshot: Snapshot;
    hot_snapshot: HotSnapshot;
    upgrade: Upgrade(Manner::Good);
    upgrade_that_fails_its_checks: Upgrade(Manner::FailsChecks);
    upgrade_that_ends: Upgrade(Manner::Ends);
    upgrade_that_ends_half_way: Upgrade(Manner::EndsHalfWay);
    restore: Restore { well: true };
    restore_that_fails: Restore { well: false };
    restore_of_what_is_gone: RestoreGone;
    undo: Undo { well: true };
    undo_that_fails: Undo { well: false };
}
