//! What must be true after a run, however it went.

use std::io::Read;

use futures::TryStreamExt;
use tidegate::engine::{ContainerEngine, ContainerState};
use tidegate::model::ids::{InstanceName, RunId};
use tidegate::model::layout::LABEL_ROLE;
use tidegate::model::manifest::Mode;
use tidegate::ops::history::{self, Story};
use tidegate::ops::lock::Locks;
use tidegate::ops::run::Plan;
use tidegate::repository::{ManifestEntry, Repository};
use tidegate::workflow::{Outcome, Record};

use super::app::Manner;
use super::data::{self, Content, after_file};
use super::life::Life;
use super::world::{INSTANCES, POLICY, Pair, Workflow, World};

/// Everything that is wrong with the world, one line each.
#[derive(Debug, Default)]
pub struct Wrongs(Vec<String>);

impl Wrongs {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    /// Fails the test if there is any.
    pub fn assert_none(&self, world: &World, case: &str) {
        if !self.0.is_empty() {
            let (what, seed) = (self.0.join("\n  "), super::seed());
            panic!("{case} (TIDEGATE_TEST_SEED={seed}):\n  {what}\n{}", journal(world));
        }
    }
}

/// Judges a world in which no process runs any more.
pub fn judge(world: &World) -> Wrongs {
    let mut wrongs = Wrongs::default();
    wrongs.0.extend(world.engine.violations());
    wrongs.0.extend(world.tell.wrongs.lock().unwrap().iter().cloned());
    let story = story(world);
    let outcome = story.as_ref().and_then(outcome);
    if let Some(story) = &story {
        wrongs.unless(outcome.is_some(), || format!("run {} is still open", story.header.run));
    }
    for instance in INSTANCES {
        let reopened = story.as_ref().is_some_and(|story| is_reopened(story, instance));
        match outcome {
            Some(Outcome::Stuck) if !reopened => stuck(world, instance, story.as_ref().unwrap(), &mut wrongs),
            _ => whole(world, instance, reopened, &mut wrongs),
        }
        if outcome == Some(Outcome::Completed) && world.after.contains_key(instance) {
            wrongs.unless(reopened, || format!("the run is completed, and `{instance}` was never reopened"));
        }
        users(world, instance, &mut wrongs);
    }
    if let (Some(story), Some(Outcome::Stuck)) = (&story, outcome) {
        all_undos_tried(story, &mut wrongs);
    }
    leftovers(world, story.as_ref(), outcome, &mut wrongs);
    world.block_on(free(world, &mut wrongs));
    if !world.damaged {
        world.block_on(snapshots(world, &mut wrongs));
    }
    wrongs
}

/// How the last run ended.
pub fn outcome_of(world: &World) -> Option<Outcome> {
    story(world).as_ref().and_then(outcome)
}

/// The last run, if its journal was ever begun.
pub fn story(world: &World) -> Option<Story> {
    let run = world.last_run()?;
    let story = history::story(&world.state, &run).unwrap();
    let wanted = world.plan.workflow().0;
    (story.header.workflow == wanted).then_some(story)
}

fn outcome(story: &Story) -> Option<Outcome> {
    match story.records.last() {
        Some(Record::Finished { outcome, .. }) => Some(*outcome),
        _ => None,
    }
}

fn is_reopened(story: &Story, instance: &str) -> bool {
    let wanted = format!("reopen {instance}");
    story.records.iter().any(|record| match record {
        Record::Reopened { step, .. } => story.header.steps[*step] == wanted,
        _ => false,
    })
}

/// Image and data as they must be, running, and as its operator wants it.
fn whole(world: &World, instance: &str, reopened: bool, wrongs: &mut Wrongs) {
    let expected = if reopened { &world.after[instance] } else { &world.before[instance] };
    let found = without_users(world.pair(instance), world.runs);
    wrongs.unless(found.image == expected.image, || {
        format!("`{instance}` (reopened: {reopened}) has image {:?}, not {:?}", found.image, expected.image)
    });
    wrongs.unless(found.content == expected.content, || {
        format!("`{instance}` (reopened: {reopened}): {}", data::difference(&found.content, &expected.content))
    });
    if expected.image.is_some() {
        runs(world, instance, wrongs);
    }
    unmarked(world, instance, wrongs);
}

fn runs(world: &World, instance: &str, wrongs: &mut Wrongs) {
    let Some((state, definition)) = world.engine.peek(&format!("app-{instance}")) else {
        return wrongs.unless(false, || format!("`{instance}` has no container"));
    };
    wrongs.unless(state == ContainerState::Running, || format!("`{instance}` is {state:?}"));
    wrongs.unless(definition.restart.name == POLICY, || {
        format!("`{instance}` has the restart policy `{}`", definition.restart.name)
    });
    wrongs.unless(!world.folders(instance).0.join("logs/quiet").exists(), || {
        format!("`{instance}` was left half way to rest")
    });
}

fn unmarked(world: &World, instance: &str, wrongs: &mut Wrongs) {
    let (data, more) = world.folders(instance);
    for folder in [data, more] {
        wrongs.unless(!folder.join(".tidegate-filling").exists(), || format!("{} is marked", folder.display()));
    }
}

fn without_users(mut pair: Pair, run: usize) -> Pair {
    pair.content.remove(&format!("more/{}", after_file(run)));
    pair
}

/// What users wrote once they were let in is never lost.
fn users(world: &World, instance: &str, wrongs: &mut Wrongs) {
    if world.written.lock().unwrap().contains(instance) {
        let there = world.folders(instance).1.join(after_file(world.runs)).exists();
        wrongs.unless(there, || format!("what users wrote to `{instance}` after it was reopened is lost"));
    }
}

/// A person must look; until then whatever consistent state can run does.
fn stuck(world: &World, instance: &str, story: &Story, wrongs: &mut Wrongs) {
    let touched = story.records.iter().any(|record| match record {
        Record::Started { step, .. } => story.header.steps[*step] == format!("rest {instance}"),
        _ => false,
    });
    if !touched {
        return whole(world, instance, false, wrongs);
    }
    let rest = format!("rest {instance}");
    let failed = story.records.iter().rev().find_map(|record| match record {
        Record::UndoFailed { step, error, .. } if story.header.steps[*step] == rest => Some(error.as_str()),
        _ => None,
    });
    let found = without_users(world.pair(instance), world.runs);
    let state = world.engine.peek(&format!("app-{instance}")).map(|(state, _)| state);
    if state == Some(ContainerState::Running) {
        let (before, after) = (&world.before[instance], world.after.get(instance));
        wrongs.unless(found == *before || Some(&found) == after, || {
            format!("`{instance}` runs on {:?} with data of neither before nor after", found.image)
        });
        unmarked(world, instance, wrongs);
    }
    match failed {
        None => whole(world, instance, false, wrongs),
        Some(error) if error.contains("was started on the data") => {
            let ends = matches!(world.workflow, Workflow::Upgrade(Manner::Ends | Manner::EndsHalfWay));
            if !ends {
                runs(world, instance, wrongs);
            }
        }
        // The engine does not obey, or there is no state that could run: the record says which.
        Some(error) => wrongs.unless(error.contains("nothing runs") || error.contains("on purpose"), || error.into()),
    }
}

/// At a stuck end every step that was started was undone, or at least tried, unless it is behind the barrier.
fn all_undos_tried(story: &Story, wrongs: &mut Wrongs) {
    if !story.records.iter().any(|record| matches!(record, Record::UndoStarted { .. })) {
        // It is a step behind the barrier that failed: there is nothing to undo.
        return;
    }
    for (index, name) in story.header.steps.iter().enumerate() {
        let of = |record: &Record<_>| match record {
            Record::Started { step, .. } => Some((*step, false)),
            Record::UndoDone { step, .. } | Record::UndoFailed { step, .. } => Some((*step, true)),
            _ => None,
        };
        let has = |ended| story.records.iter().any(|record| of(record) == Some((index, ended)));
        let kept = INSTANCES.iter().any(|instance| name.ends_with(instance) && is_reopened(story, instance));
        wrongs.unless(!has(false) || has(true) || kept, || format!("`{name}` was started and its undo never tried"));
    }
}

/// What is left over where an attempt to clean up failed: noted, and no reason to call the run anything else.
fn is_untidy(story: &Story) -> bool {
    story.records.iter().any(|record| matches!(record, Record::UndoFailed { .. }))
}

fn leftovers(world: &World, story: Option<&Story>, outcome: Option<Outcome>, wrongs: &mut Wrongs) {
    let untidy = outcome == Some(Outcome::Stuck) || story.is_some_and(is_untidy);
    let views = world.block_on(world.engine.labelled(&Default::default())).unwrap();
    for view in views {
        let Some(role) = view.labels.get(LABEL_ROLE).map(String::as_str) else { continue };
        let run = story.map(|story| story.header.run.as_str());
        let instance = INSTANCES.into_iter().find(|instance| view.name.contains(instance));
        let reopened = instance.is_some_and(|it| story.is_some_and(|story| is_reopened(story, it)));
        // An image is held for whoever wants to go back, and after a roll back nobody does.
        let of_this_run = run.is_some_and(|run| view.name.ends_with(run));
        let may_stay = match role {
            "holder" => !of_this_run || reopened || untidy,
            // Of a process that died after its last record. The next run takes it over.
            "lock" => true,
            _ => untidy,
        };
        wrongs.unless(may_stay, || format!("{} is left over", view.name));
    }
    let porters = world.porters.lock().unwrap();
    wrongs.unless(porters.is_empty() || untidy, || format!("porters are left over: {porters:?}"));
    for instance in INSTANCES {
        let (data, more) = world.folders(instance);
        let reopened = story.is_some_and(|story| is_reopened(story, instance));
        for folder in [data, more] {
            let asides = std::fs::read_dir(folder.join(".tidegate")).map_or(0, Iterator::count);
            let undo = matches!(world.workflow, Workflow::Undo { .. }) && instance == "production";
            wrongs.unless(asides == 0 || reopened || untidy || undo, || {
                format!("{} holds {asides} things that were set aside", folder.display())
            });
        }
        if !untidy
            && let (Workflow::Undo { .. }, "production", Plan::Undo(plan)) = (world.workflow, instance, &world.plan)
        {
            kept(world, &plan.undoes, story.map(|story| &story.header.run).filter(|_| reopened), wrongs);
        }
        let evidence = world.state.evidence(&InstanceName::new(instance).unwrap());
        let image = world.pair(instance).image;
        wrongs.unless(evidence.is_none() || image.is_none() || evidence.map(|it| it.image_ref) == image, || {
            format!("there is evidence for another image than the one that `{instance}` runs on")
        });
    }
}

/// What a restore had set aside is there, whole, until an undo has brought it back; then what that replaced is.
fn kept(world: &World, restore: &RunId, undo: Option<&RunId>, wrongs: &mut Wrongs) {
    let (data_folder, more_folder) = world.folders("production");
    let by = undo.unwrap_or(restore);
    let aside = |folder: &std::path::Path| folder.join(".tidegate").join(by.as_str()).join("aside");
    let found = data::content(&aside(&data_folder), &aside(&more_folder));
    let pair = if undo.is_some() { &world.before["production"] } else { &world.after["production"] };
    let mut expected = pair.content.clone();
    expected.retain(|path, _| !path.starts_with("more/cache/") && !path.starts_with("data/logs/"));
    wrongs.unless(found == expected, || {
        format!("what {by} set aside is not kept: {}", data::difference(&found, &expected))
    });
    // The folder of a restore that was undone may stay where it cannot be removed, but it is empty.
    let others = |folder: &std::path::Path| {
        let all = std::fs::read_dir(folder.join(".tidegate")).into_iter().flatten().map(|entry| entry.unwrap().path());
        all.filter(|path| !path.ends_with(by.as_str())).map(|path| path.join("aside")).collect::<Vec<_>>()
    };
    for other in [others(&data_folder), others(&more_folder)].concat() {
        let left = data::content(&other, &other);
        wrongs.unless(left.is_empty(), || format!("{} still holds {left:?}", other.display()));
    }
}

/// Nothing keeps the next run from beginning.
async fn free(world: &World, wrongs: &mut Wrongs) {
    let (tools, run) = (world.tools(&Life::quiet()), RunId::new("next").unwrap());
    match Locks::take(&tools, &run, &tools.settings.stages).await {
        Ok(locks) => locks.release().await,
        Err(error) => wrongs.unless(false, || error.to_string()),
    }
}

/// Whatever is published is whole, and is one moment at which the app stood still.
async fn snapshots(world: &World, wrongs: &mut Wrongs) {
    let repository = Repository::unopened(std::sync::Arc::new(world.store.clone()));
    for instance in INSTANCES {
        let name = InstanceName::new(instance).unwrap();
        for entry in repository.manifests(&name).await.unwrap() {
            let manifest = match entry {
                ManifestEntry::Whole(manifest) => manifest,
                ManifestEntry::Broken { key, reason } => return wrongs.unless(false, || format!("{key}: {reason}")),
            };
            let verified = repository.verify(&manifest, Default::default(), std::sync::Arc::new(|_| {})).await;
            if let Err(error) = verified {
                return wrongs
                    .unless(false, || format!("snapshot {} of `{instance}` is published: {error}", manifest.id));
            }
            wrongs.unless(manifest.verified_at.is_some(), || format!("{} was published unverified", manifest.id));
            wrongs.unless(manifest.data_format.as_deref() == Some("1"), || format!("{:?}", manifest.data_format));
            let mut content = Content::new();
            for part in &manifest.parts {
                let blocks: Vec<bytes::Bytes> = repository.read_part(part).await.unwrap().try_collect().await.unwrap();
                untar(&part.plan.mount, &blocks.concat(), &mut content);
            }
            if manifest.mode == Mode::Hot {
                let kept = |path: &&String| path.starts_with("data/conf/") || path.starts_with("data/archives/");
                let rows =
                    content.iter().any(|(path, text)| path.starts_with("data/archives/") && text.contains("rows"));
                wrongs.unless(rows && content.len() == 3 && content.keys().all(|path| kept(&path)), || {
                    format!("the hot snapshot {} holds {content:?}", manifest.id)
                });
                continue;
            }
            let mut expected = world.snapshotted[instance].clone();
            expected.retain(|path, _| !path.starts_with("more/cache/") && !path.starts_with("data/new/"));
            content.remove(&format!("more/{}", after_file(world.runs)));
            wrongs.unless(content == expected, || {
                format!("snapshot {} of `{instance}`: {}", manifest.id, data::difference(&content, &expected))
            });
        }
    }
}

fn untar(mount: &str, bytes: &[u8], content: &mut Content) {
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = format!("{}/{}", mount.trim_start_matches('/'), entry.path().unwrap().display());
        let path = path.trim_end_matches('/').to_owned();
        match entry.header().entry_type() {
            tar::EntryType::Directory => {}
            tar::EntryType::Symlink => {
                let to = entry.link_name().unwrap().unwrap().display().to_string();
                content.insert(path, format!("-> {to}"));
            }
            _ => {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                content.insert(path, text);
            }
        }
    }
}

/// The journal of the last run, for messages.
pub fn journal(world: &World) -> String {
    let Some(run) = world.last_run() else { return "no journal".into() };
    let path = world.state.journal(&run);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().skip(1).map(|line| short(line, &run)).collect::<Vec<_>>().join("\n")
}

fn short(line: &str, run: &RunId) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let step = value["step"].as_u64().map(|step| step.to_string()).unwrap_or_default();
    format!("    {} {step} {}{}{}", text("record"), text("error"), text("reason"), text("outcome"))
        .replace(run.as_str(), "<run>")
}
