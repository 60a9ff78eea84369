//! Dies before every single system effect of every job, asks again, and compares the trees.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::error::Trouble;
use crate::protocol::{Answer, Cover, FOLDER, MARKER, Request};
use crate::run;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Called before every effect; once dead, nothing has an effect any more.
pub(crate) fn effect() -> Result<(), Trouble> {
    LEFT.with(|left| match left.get() {
        0 => Err(Trouble::refused("died")),
        effects => {
            left.set(effects - 1);
            Ok(())
        }
    })
}

/// Runs a job that dies before its effect number `effects`; `true` if it did not come that far.
fn run_and_die_after(effects: u64, request: &Request) -> bool {
    LEFT.with(|left| left.set(effects));
    let answer = run(request);
    LEFT.with(|left| left.set(u64::MAX));
    match answer {
        Answer::Failed { error, .. } => {
            assert_eq!(error, "died");
            false
        }
        _ => true,
    }
}

fn run_well(request: &Request) -> u64 {
    match run(request) {
        Answer::Done { entries } => entries,
        other => panic!("{request:?}: {other:?}"),
    }
}

fn error_of(request: &Request) -> String {
    match run(request) {
        Answer::Failed { error, .. } => error,
        other => panic!("{request:?}: {other:?}"),
    }
}

const RUN: &str = "restore-1";

struct World {
    folder: TempDir,
}

/// Everything that has to be as before: kind, mode, time and content or target, by path.
type Tree = BTreeMap<String, (char, u32, i64, i64, Vec<u8>)>;

impl World {
    fn new() -> Self {
        let world = Self { folder: TempDir::new().unwrap() };
        let at = |path: &str| world.path(path);
        fs::create_dir_all(at("data/db/journal")).unwrap();
        fs::create_dir_all(at("data/backup/old")).unwrap();
        fs::create_dir_all(at("logs")).unwrap();
        fs::write(at("data/db/one"), "old one").unwrap();
        fs::write(at("data/db/journal/j1"), "old journal").unwrap();
        fs::write(at("data/backup/old/b1"), "stays").unwrap();
        fs::write(at("logs/app.log"), "stays too").unwrap();
        fs::write(at("docker.env"), "OLD=1").unwrap();
        fs::set_permissions(at("docker.env"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("../../../etc", at("data/way-out")).unwrap();
        fs::set_permissions(at("data"), fs::Permissions::from_mode(0o2750)).unwrap();
        for (index, path) in ["data/db/journal", "data/db", "data/backup", "data", "logs", ""].iter().enumerate() {
            let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000 + index as u64, 123_456_789);
            File::open(at(path)).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
        }
        world
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn root(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    fn cover() -> Cover {
        Cover { include: vec![String::new()], exclude: vec!["data/backup".into(), "logs".into()] }
    }

    fn aside(&self) -> Request {
        Request::Aside { root: self.root(), run: RUN.into(), cover: Self::cover() }
    }
    fn settle(&self) -> Request {
        Request::Settle { root: self.root(), run: RUN.into() }
    }
    fn back(&self) -> Request {
        Request::Back { root: self.root(), run: RUN.into() }
    }
    fn drop(&self) -> Request {
        Request::Drop { root: self.root(), run: RUN.into() }
    }

    /// What a snapshot leaves there, with everything that makes putting back hard.
    fn fill(&self) {
        fs::create_dir_all(self.path("data/db")).unwrap();
        fs::write(self.path("data/db/one"), "new one").unwrap();
        fs::create_dir_all(self.path("data/new")).unwrap();
        fs::write(self.path("data/new/file"), "new").unwrap();
        fs::write(self.path("docker.env"), "NEW=1").unwrap();
        fs::set_permissions(self.path("data"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn is_marked(&self) -> bool {
        self.path(MARKER).exists()
    }

    /// All but our own things. The root's own time is left out with `root_time`: a death between making our
    /// folder and writing down what the time was loses it.
    fn tree(&self, root_time: bool) -> Tree {
        let mut tree = Tree::new();
        look(self.folder.path(), "", &mut tree);
        if !root_time {
            tree.get_mut("").unwrap().2 = 0;
            tree.get_mut("").unwrap().3 = 0;
        }
        tree
    }
}

fn look(root: &Path, at: &str, tree: &mut Tree) {
    let path = root.join(at);
    let meta = fs::symlink_metadata(&path).unwrap();
    let (kind, content) = if meta.is_dir() {
        ('d', Vec::new())
    } else if meta.is_symlink() {
        ('l', fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
    } else {
        ('f', fs::read(&path).unwrap())
    };
    tree.insert(at.to_owned(), (kind, meta.mode(), meta.mtime(), meta.mtime_nsec(), content));
    if meta.is_dir() {
        for entry in fs::read_dir(&path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name != FOLDER && name != MARKER {
                look(root, &if at.is_empty() { name } else { format!("{at}/{name}") }, tree);
            }
        }
    }
}

/// Calls `check` with a world in which `job` died before its effect 0, 1, 2 and so on, until it lives.
fn at_every_effect(prepare: impl Fn(&World), job: impl Fn(&World) -> Request, check: impl Fn(&World, &Tree, u64)) {
    for effects in 0.. {
        let world = World::new();
        let before = world.tree(true);
        prepare(&world);
        let lived = run_and_die_after(effects, &job(&world));
        check(&world, &before, effects);
        if lived {
            assert!(effects > 3, "the job had hardly any effect");
            return;
        }
        assert!(effects < 500);
    }
}

/// Only a death before the plan is written may lose the root's time; that is within the first effects.
fn assert_as_before(world: &World, before: &Tree, effects: u64) {
    let exact = effects == 0 || world.tree(true) == *before || effects > 6;
    let mut expected = before.clone();
    if !exact {
        expected.get_mut("").unwrap().2 = 0;
        expected.get_mut("").unwrap().3 = 0;
    }
    assert_eq!(world.tree(exact), expected, "after {effects} effects");
    assert!(!world.is_marked(), "after {effects} effects");
}

fn assert_all_is_aside(world: &World) {
    let left: Vec<String> = world.tree(false).into_keys().collect();
    let expected = ["", "data", "data/backup", "data/backup/old", "data/backup/old/b1", "logs", "logs/app.log"];
    assert_eq!(left, expected);
    assert!(world.is_marked());
    assert!(world.path(FOLDER).join(RUN).join("aside/data/db/journal/j1").exists());
}

#[test]
fn setting_aside_is_finished_by_asking_again() {
    at_every_effect(
        |_| {},
        World::aside,
        |world, before, effects| {
            run_well(&world.aside());
            assert_all_is_aside(world);
            assert_eq!(run_well(&world.aside()), 0, "the second time there is nothing to do");
            world.fill();
            assert_eq!(run_well(&world.aside()), 0);
            assert_eq!(fs::read(world.path("data/db/one")).unwrap(), b"new one", "new data must not move");
            run_well(&world.settle());
            assert!(!world.is_marked());
            run_well(&world.back());
            assert_as_before(world, before, effects);
        },
    );
}

#[test]
fn setting_aside_is_undone_wherever_it_died() {
    at_every_effect(
        |_| {},
        World::aside,
        |world, before, effects| {
            run_well(&world.back());
            assert_as_before(world, before, effects);
            assert_eq!(run_well(&world.back()), 0);
            assert_as_before(world, before, effects);
            run_well(&world.drop());
            assert_as_before(world, before, effects);
            assert!(!world.path(FOLDER).exists());
        },
    );
}

#[test]
fn settling_is_finished_or_undone() {
    let prepare = |world: &World| {
        run_well(&world.aside());
        world.fill();
    };
    for settle_again in [true, false] {
        for effects in 0..8 {
            let world = World::new();
            let before = world.tree(true);
            prepare(&world);
            run_and_die_after(effects, &world.settle());
            if settle_again {
                run_well(&world.settle());
                assert!(!world.is_marked());
                assert_eq!(fs::read(world.path("docker.env")).unwrap(), b"NEW=1");
            }
            run_well(&world.back());
            assert_as_before(&world, &before, u64::MAX);
        }
    }
}

#[test]
fn putting_back_is_finished_by_asking_again_also_when_it_dies_twice() {
    let prepare = |world: &World| {
        run_well(&world.aside());
        world.fill();
        run_well(&world.settle());
    };
    at_every_effect(prepare, World::back, |world, before, _| {
        run_well(&world.back());
        assert_as_before(world, before, u64::MAX);
        assert_eq!(fs::read(world.path(FOLDER).join(RUN).join("failed/data/db/one")).unwrap(), b"new one");
        assert!(error_of(&world.aside()).contains("put back already"));
    });
    for first in (0..60).step_by(7) {
        for second in (0..60).step_by(2) {
            let world = World::new();
            let before = world.tree(true);
            prepare(&world);
            run_and_die_after(first, &world.back());
            run_and_die_after(second, &world.back());
            run_well(&world.back());
            assert_as_before(&world, &before, u64::MAX);
        }
    }
}

#[test]
fn while_it_is_put_back_the_marker_is_there() {
    let prepare = |world: &World| {
        run_well(&world.aside());
        world.fill();
        run_well(&world.settle());
    };
    at_every_effect(prepare, World::back, |world, before, _| {
        let tree = world.tree(true);
        let mut restored = before.clone();
        restored.get_mut("").unwrap().2 = tree[""].2;
        restored.get_mut("").unwrap().3 = tree[""].3;
        let untouched = fs::read(world.path("docker.env")).is_ok_and(|content| content == b"NEW=1")
            && world.path("data/new/file").exists();
        assert!(world.is_marked() || untouched || tree == restored, "moved without a marker");
    });
}

#[test]
fn what_is_half_deleted_is_never_put_back() {
    let prepare = |world: &World| {
        run_well(&world.aside());
        world.fill();
        run_well(&world.settle());
    };
    at_every_effect(prepare, World::drop, |world, before, _| {
        let Answer::Listing(listing) =
            run(&Request::List { root: world.root(), cover: Cover::default(), stat: Vec::new() })
        else {
            panic!("no listing")
        };
        let gone = !world.path(FOLDER).exists() || fs::read_dir(world.path(FOLDER)).unwrap().next().is_none();
        assert_eq!(listing.asides.is_empty(), gone, "a folder that is left is shown");
        let intact = world.path(FOLDER).join(RUN).exists();
        run_well(&world.back());
        if intact {
            assert_as_before(world, before, u64::MAX);
        } else {
            assert_eq!(fs::read(world.path("docker.env")).unwrap(), b"NEW=1");
        }
        run_well(&world.drop());
        assert!(!world.path(FOLDER).exists());
        assert_eq!(run_well(&world.drop()), 0);
    });
}

const LATER: &str = "undo-1";

impl World {
    fn of_later(&self, request: &Request) -> Request {
        let (root, run) = (self.root(), LATER.to_owned());
        match request {
            Request::Aside { cover, .. } => Request::Aside { root, run, cover: cover.clone() },
            Request::Settle { .. } => Request::Settle { root, run },
            Request::Drop { .. } => Request::Drop { root, run },
            _ => Request::Back { root, run },
        }
    }
    fn recall(&self) -> Request {
        Request::Recall { root: self.root(), run: LATER.into(), from: RUN.into() }
    }

    /// A restore that went well, after which the app has written.
    fn restored(&self) {
        run_well(&self.aside());
        self.fill();
        run_well(&self.settle());
        fs::write(self.path("data/db/since"), "written since").unwrap();
        fs::write(self.path("since.log"), "written since").unwrap();
    }
}

/// An undo of a restore brings back exactly what was there, wherever it died, and can be undone itself.
#[test]
fn what_an_earlier_run_had_set_aside_is_brought_back_by_asking_again() {
    let prepare = |world: &World| {
        world.restored();
        run_well(&world.of_later(&world.aside()));
    };
    at_every_effect(prepare, World::recall, |world, before, _| {
        assert!(world.is_marked());
        run_well(&world.recall());
        assert_eq!(run_well(&world.recall()), 0, "the second time there is nothing to do");
        run_well(&world.of_later(&world.settle()));
        assert_as_before(world, before, u64::MAX);
        assert!(!world.path(FOLDER).join(RUN).join("aside/docker.env").exists());
        let restored = world.path(FOLDER).join(LATER).join("aside");
        assert_eq!(fs::read(restored.join("docker.env")).unwrap(), b"NEW=1");
        assert_eq!(fs::read(restored.join("data/db/since")).unwrap(), b"written since");
        run_well(&world.drop());
        assert!(!world.path(FOLDER).join(RUN).exists() && world.path(FOLDER).join(LATER).exists());
    });
}

/// An undo that is given up leaves the restored data in place, and what was set aside where it was: it may be asked
/// for again.
#[test]
fn bringing_back_is_undone_wherever_it_died() {
    for second in [None, Some(3), Some(9), Some(17), Some(25)] {
        let restored = std::cell::RefCell::new(Tree::new());
        let prepare = |world: &World| {
            world.restored();
            *restored.borrow_mut() = world.tree(true);
            run_well(&world.of_later(&world.aside()));
        };
        at_every_effect(prepare, World::recall, |world, before, effects| {
            let back = world.of_later(&world.back());
            // The app was started on it, and has written.
            if world.path("docker.env").exists() {
                fs::write(world.path("docker.env"), "OLD=1").unwrap();
                fs::write(world.path("booted"), "by the undo").unwrap();
            }
            if let Some(second) = second {
                run_and_die_after(second, &back);
            }
            run_well(&back);
            assert_as_before(world, &restored.borrow(), u64::MAX);
            run_well(&back);
            run_well(&world.of_later(&world.drop()));
            assert_as_before(world, &restored.borrow(), u64::MAX);
            // All of it is still there to be brought back.
            run_well(&world.back());
            let expected: Vec<&String> = before.keys().collect();
            assert_eq!(world.tree(false).keys().collect::<Vec<_>>(), expected, "after {effects} effects");
            assert_eq!(fs::read(world.path("data/db/journal/j1")).unwrap(), b"old journal");
        });
    }
}

#[test]
fn nothing_is_brought_back_that_is_not_all_there() {
    let world = World::new();
    world.restored();
    assert!(error_of(&world.recall()).contains("has not set everything aside"));
    run_well(&world.of_later(&world.aside()));
    fs::remove_file(world.path(FOLDER).join(RUN).join("aside/docker.env")).unwrap();
    assert!(error_of(&world.recall()).contains("is gone"));
    assert!(world.is_marked(), "nothing may be started on the half of it");
    run_well(&world.of_later(&world.back()));
    assert_eq!(fs::read(world.path("docker.env")).unwrap(), b"NEW=1");
    run_well(&world.of_later(&world.drop()));
    run_well(&world.drop());
    run_well(&world.of_later(&world.aside()));
    assert!(error_of(&world.recall()).contains("nothing is left"));
}
