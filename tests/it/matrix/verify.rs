//! What is deleted or damaged in the store is named by `verify`, whatever kind of object it is.

use std::sync::Arc;

use tidegate::model::ids::InstanceName;
use tidegate::model::layout::ObjectKey;
use tidegate::ops::verify::{self, Finding, Subset};
use tidegate::workflow::Silent;

use super::life::Life;
use super::world::{INSTANCES, Workflow, World};

fn findings(world: &World, subset: Subset) -> Vec<Finding> {
    let tools = world.tools(&Life::quiet());
    let instances = INSTANCES.map(|name| InstanceName::new(name).unwrap());
    world.block_on(async {
        let events: Arc<dyn tidegate::workflow::EventSink> = Arc::new(Silent);
        let mut all = verify::all(&tools, &instances, subset, &events).await.unwrap();
        all.extend(verify::without_manifest(&tools).await.unwrap());
        all
    })
}

/// Two snapshots, and every object of the second, the manifest too.
fn two_snapshots() -> (World, Vec<ObjectKey>) {
    let mut world = World::new(Workflow::Snapshot);
    world.begin(&Life::quiet());
    let first: Vec<ObjectKey> = world.store.objects().keys().cloned().collect();
    world.begin(&Life::quiet());
    let second: Vec<ObjectKey> = world.store.objects().keys().filter(|key| !first.contains(key)).cloned().collect();
    assert!(second.len() >= 4, "{second:?}");
    (world, second)
}

fn troubles(findings: &[Finding]) -> Vec<(String, &'static str)> {
    let all = findings.iter().flat_map(|finding| &finding.troubles);
    all.map(|trouble| (trouble.object.clone(), trouble.is)).collect()
}

/// pgbackrest#2544: verify passed although an object was deleted.
#[test]
fn every_kind_of_object_that_is_deleted_is_named() {
    let (world, second) = two_snapshots();
    assert_eq!(troubles(&findings(&world, Subset::All)), []);
    for key in &second {
        let kept = world.store.objects().remove(key).unwrap();
        let found = troubles(&findings(&world, Subset::All));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        // Of a manifest only its snapshot is known.
        let named = match key.0.strip_prefix("snapshots/staging/").and_then(|name| name.rsplit_once('-')) {
            Some((_, id)) => format!("snapshots/staging/*-{id}"),
            None => key.0.clone(),
        };
        assert_eq!(found[0], (named, "missing"));
        world.store.objects().insert(key.clone(), kept);
    }
}

/// restic#21820: check did not list all that was broken.
#[test]
fn every_kind_of_object_that_is_damaged_is_named_and_all_of_them_at_once() {
    let (world, second) = two_snapshots();
    for key in &second {
        let kept = world.store.objects()[key].clone();
        let mut bytes = kept.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] = bytes[middle].wrapping_add(1) | 0x80;
        world.store.objects().insert(key.clone(), bytes.into());
        assert_eq!(troubles(&findings(&world, Subset::All)), [(key.0.clone(), "damaged")]);
        world.store.objects().insert(key.clone(), kept);
    }
    let parts: Vec<&ObjectKey> = second.iter().filter(|key| key.0.starts_with("parts/")).collect();
    for key in &parts {
        world.store.objects().remove(key);
    }
    assert_eq!(troubles(&findings(&world, Subset::All)).len(), parts.len());
}

/// Whatever slice is read: all of them together read everything, and what is gone is seen by each.
#[test]
fn the_slices_together_read_everything() {
    let (world, second) = two_snapshots();
    let whole: usize = findings(&world, Subset::All).iter().map(|finding| finding.read_count).sum();
    let definitions = 2;
    let slices = (1..=3).map(|nth| findings(&world, Subset::Slice { nth, of: 3 }));
    let read: usize = slices.map(|found| found.iter().map(|it| it.read_count).sum::<usize>() - definitions).sum();
    assert_eq!(read, whole - definitions);
    // However small the share is, one part is read.
    assert!(findings(&world, Subset::Percent(1.0)).iter().map(|it| it.read_count).sum::<usize>() > definitions);
    let part = second.iter().find(|key| key.0.ends_with(".tar.gz")).unwrap();
    world.store.objects().remove(part);
    for nth in 1..=3 {
        assert_eq!(troubles(&findings(&world, Subset::Slice { nth, of: 3 })), [(part.0.clone(), "missing")]);
    }
}

/// Parts that no journal knows are told, and are no damage: another host may be at it.
#[test]
fn parts_that_nobody_knows_are_told() {
    let (world, second) = two_snapshots();
    let part = second.iter().find(|key| key.0.ends_with(".tar.gz")).unwrap();
    let foreign = ObjectKey("parts/0000abcd/database.tar.gz".into());
    let bytes = world.store.objects()[part].clone();
    world.store.objects().insert(foreign, bytes);
    let found = findings(&world, Subset::All);
    let unexplained: Vec<&Finding> = found.iter().filter(|finding| finding.unexplained).collect();
    assert_eq!(unexplained.len(), 1);
    assert_eq!(unexplained[0].id.as_ref().map(|id| id.as_str()), Some("0000abcd"));
    assert_eq!(troubles(&found), []);
}
