//! What `doctor` finds on an engine in memory.

use tidegate::engine::ContainerEngine;
use tidegate::model::ids::InstanceName;
use tidegate::ops::doctor::{Doctor, Finding, Level};

use super::app::{Manner, image};
use super::life::Life;
use super::world::{Workflow, World};

fn doctor() -> Doctor {
    Doctor::new(|error| Some(format!("about {error}")))
}

fn of_staging(world: &World) -> Vec<Finding> {
    let tools = world.tools(&Life::quiet());
    let staging = InstanceName::new("staging").unwrap();
    let mut doctor = doctor();
    world.block_on(doctor.instance(&*tools.engine, &tools.instances[&staging], tools.state.root(), true));
    doctor.findings
}

fn worst(findings: &[Finding]) -> (Level, &str) {
    let worst = findings.iter().max_by_key(|finding| finding.level).unwrap();
    (worst.level, worst.text.as_str())
}

#[test]
fn what_is_wrong_with_an_instance_is_found() {
    let world = World::new(Workflow::Snapshot);
    assert_eq!(worst(&of_staging(&world)).0, Level::Ok, "{:?}", of_staging(&world));
    std::fs::write(world.folders("staging").1.join(".tidegate-filling"), "restore-1").unwrap();
    let findings = of_staging(&world);
    assert_eq!(worst(&findings).0, Level::Problem);
    assert!(worst(&findings).1.contains("half filled by restore-1"), "{findings:?}");
    std::fs::remove_file(world.folders("staging").1.join(".tidegate-filling")).unwrap();
    world.tell.unwell.lock().unwrap().insert("app:v1.0".into());
    assert_eq!(worst(&of_staging(&world)).0, Level::Warning);
    world.block_on(world.engine.stop("app-staging", std::time::Duration::ZERO)).unwrap();
    assert!(worst(&of_staging(&world)).1.contains("does not run"));
    world.block_on(world.engine.remove("app-staging")).unwrap();
    assert!(worst(&of_staging(&world)).1.contains("there is no container `app-staging`"));
}

/// appsmith#12695: an update by watchtower broke the instance.
#[test]
fn a_rival_updater_is_found_while_it_runs() {
    let world = World::new(Workflow::Snapshot);
    let look = || {
        let mut doctor = doctor();
        world.block_on(doctor.rivals(&world.engine, &["app-staging".into()]));
        doctor.findings
    };
    assert_eq!(worst(&look()).0, Level::Ok);
    world.engine.add_image("containrrr/watchtower:1.7", image("v1.0", Manner::Good, &world.tell));
    let (_, app) = world.engine.peek("app-staging").unwrap();
    let rival = world.engine.define("tower", "containrrr/watchtower:1.7", &app.mounts, "always").unwrap();
    world.engine.run(rival).unwrap();
    let findings = look();
    assert_eq!(worst(&findings).0, Level::Problem);
    assert!(worst(&findings).1.starts_with("`tower` (containrrr/watchtower:1.7)"), "{findings:?}");
}
