//! Loads the archive of a hot snapshot, by the app's own tool in a container that nobody else reaches.
//!
//! The marker of `set aside` stays until that is done: half a database is not whole either. The closed container has
//! the snapshot's image, environment and data, and no port, no network, no label but ours: on an empty app anybody may
//! make himself its administrator.

use async_trait::async_trait;

use super::At;
use super::adapt::adaptation;
use super::data::{fetched, fill};
use super::hot::PART;
use crate::engine::PorterRequest;
use crate::instance::mounts::below;
use crate::model::definition::{Definition, MountSource};
use crate::model::ids::PartName;
use crate::model::layout::{helper_target, loader_container};
use crate::model::manifest::{Manifest, PartRecord};
use crate::model::part::{Cover, PartPlan};
use crate::ops::notes::Notes;
use crate::workflow::{RunCx, Step, StepError, UndoKind};

/// The part with the settings: the tool rewrites them, so they are put back as they were.
const SETTINGS: &str = "configuration";

/// Loads the archive. May be run again after any partial run.
#[derive(Debug)]
pub struct Load {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Load {
    fn name(&self) -> String {
        self.at.step("load")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let (manifest, definition) = fetched(at, cx, notes)?;
        let archive = archive_of(&manifest)?;
        end_loader(at, cx).await?;
        fill(at, cx, &definition.mounts, &settings_alone(&manifest), adaptation(at, cx, notes)?.as_ref()).await?;
        let (loader, engine) = (loader_container(&cx.run, &at.instance), at.engine());
        let closed = at.to_come(cx, notes)?.closed(&loader, &at.labels(&cx.run, "loader"));
        engine.create(&closed).await?;
        engine.start(&loader).await?;
        let tell = |text| cx.note(text);
        at.hot()?.load_archive(engine, &loader, &archive.name, &tell, &cx.cancel).await?;
        engine.stop(&loader, at.adapter()?.stop_grace()).await?;
        let ended = engine.find(&loader).await?.ok_or("somebody removed the container that loads the archive")?;
        if ended.oom_killed || ended.exit_code == Some(137) {
            return Err("the container that loads the archive was killed before it had stopped".into());
        }
        Ok(())
    }

    /// Nothing of the data may be moved while it runs.
    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        end_loader(&self.at, cx).await
    }
}

/// Takes the closed container away, and what loading has left in the data.
#[derive(Debug)]
pub struct Unload {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Unload {
    fn name(&self) -> String {
        self.at.step("tidy what was loaded for")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let (manifest, definition) = fetched(at, cx, notes)?;
        let archive = archive_of(&manifest)?;
        end_loader(at, cx).await?;
        fill(at, cx, &definition.mounts, &settings_alone(&manifest), adaptation(at, cx, notes)?.as_ref()).await?;
        let source = source_of(&definition, &archive.plan.mount)?;
        at.porter(cx, &source, &PorterRequest::Remove { root: helper_target(0), files: vec![archive.path] }).await?;
        Ok(())
    }
}

async fn end_loader(at: &At, cx: &RunCx) -> Result<(), StepError> {
    let loader = loader_container(&cx.run, &at.instance);
    at.engine().stop(&loader, at.adapter()?.stop_grace()).await?;
    Ok(at.engine().remove(&loader).await?)
}

/// What has to be out of the way beside the parts: all that the app will make anew, and that the tool leaves.
pub(super) fn replaced(at: &At, manifest: &Manifest) -> Result<PartPlan, StepError> {
    let archive = archive_of(manifest)?;
    let mount = archive.plan.mount.clone();
    let places = at.hot()?.replaced(&archive.name);
    let include = places.iter().filter_map(|path| below(&mount, path).map(str::to_owned)).collect();
    Ok(PartPlan { name: PartName::new("replaced")?, mount, cover: Cover { include, exclude: Vec::new() } })
}

struct ArchivePart<'a> {
    plan: &'a PartPlan,
    /// Relative to the mount.
    path: String,
    name: String,
}

fn archive_of(manifest: &Manifest) -> Result<ArchivePart<'_>, StepError> {
    let part = manifest.parts.iter().find(|part| part.plan.name.as_str() == PART);
    let found = part.and_then(|part| match part.plan.cover.include.as_slice() {
        [path] => Some(ArchivePart { plan: &part.plan, path: path.clone(), name: path.rsplit('/').next()?.to_owned() }),
        _ => None,
    });
    found.ok_or_else(|| format!("the hot snapshot {} has no part `{PART}` with one archive", manifest.id).into())
}

fn settings_alone(manifest: &Manifest) -> Manifest {
    let is_it = |part: &&PartRecord| part.plan.name.as_str() == SETTINGS;
    Manifest { parts: manifest.parts.iter().filter(is_it).cloned().collect(), ..manifest.clone() }
}

fn source_of(definition: &Definition, destination: &str) -> Result<MountSource, StepError> {
    let mount = definition.mounts.iter().find(|mount| mount.destination == destination);
    Ok(mount.ok_or_else(|| format!("nothing is mounted at {destination}"))?.source.clone())
}
