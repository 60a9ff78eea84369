//! Pictures of checks have an end.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tidegate::model::ids::{InstanceName, RunId};
use tidegate::ops::album;

use super::app::Manner;
use super::life::{Act, Life};
use super::world::{End, Workflow, World};

fn month_later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * 31)
}

fn keep_a_picture(folder: &Path) {
    std::fs::create_dir_all(folder.join("after")).unwrap();
    std::fs::write(folder.join("after").join("a.png"), "png").unwrap();
}

#[test]
fn pictures_of_runs_that_ended_go_after_a_while_and_those_of_open_runs_stay() {
    let mut world = World::new(Workflow::Upgrade(Manner::Good));
    let staging = InstanceName::new("staging").unwrap();
    let End::Over(report) = world.begin(&Life::quiet()) else { panic!("it did not end") };
    let ended = report.summary.run;
    // Killed when it rests.
    let dies = Life::new(|point| if point.what.starts_with("stop ") { Act::Die } else { Act::Pass });
    world.engine.publish("app:v3.0", super::app::image("v3.0", Manner::Good, &world.tell));
    let tools = world.tools(&Life::quiet());
    let plan = tidegate::ops::upgrade::plan(&tools, "v3.0", None, false, None);
    world.plan = tidegate::ops::run::Plan::Upgrade(world.block_on(plan).unwrap());
    let before = world.state.runs().unwrap();
    assert!(matches!(world.begin(&dies), End::Died));
    let open: RunId = world.state.runs().unwrap().into_iter().find(|run| !before.contains(run)).unwrap();

    let folders =
        [world.state.pictures(&ended, &staging), world.state.pictures(&open, &staging), world.state.smoke(&staging)];
    folders.iter().for_each(|folder| keep_a_picture(folder));
    let there = || folders.clone().map(|folder| folder.join("after").join("a.png").exists());

    let mut tools = world.tools(&Life::quiet());
    world.block_on(album::drop_old(&tools));
    assert_eq!(there(), [true, true, true]);
    Arc::get_mut(&mut tools).unwrap().now = month_later;
    world.block_on(album::drop_old(&tools));
    assert_eq!(there(), [false, true, false]);
    assert!(world.state.journal(&ended).exists(), "the journal stays");
}

/// Each run that begins makes room.
#[test]
fn a_run_that_begins_drops_old_pictures() {
    let mut world = World::new(Workflow::Snapshot);
    let staging = InstanceName::new("staging").unwrap();
    keep_a_picture(&world.state.smoke(&staging));
    let after = std::fs::File::open(world.state.smoke(&staging).join("after")).unwrap();
    let long_ago = (world.tools(&Life::quiet()).now)() - SignedDuration::from_hours(24 * 31);
    after.set_modified(long_ago.into()).unwrap();
    assert!(matches!(world.begin(&Life::quiet()), End::Over(_)));
    assert!(!world.state.smoke(&staging).exists());
}
