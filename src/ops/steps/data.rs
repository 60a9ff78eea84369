//! Puts a snapshot's data in the place of what is there: fetch, verify, set aside, fill, settle.

use async_trait::async_trait;

use super::At;
use super::adapt::{Adaptation, adaptation};
use super::look::NotFit;
use super::meter::Meter;
use super::recall::recall;
use crate::engine::{Answer, HelperMount, PorterRequest};
use crate::model::definition::{Definition, Mount, MountSource};
use crate::model::ids::SnapshotId;
use crate::model::layout::{self, helper_target};
use crate::model::manifest::{Manifest, Mode, PartRecord};
use crate::model::part::{PartPlan, cover_of, mounts_of};
use crate::ops::notes::Notes;
use crate::stream;
use crate::workflow::{RunCx, Step, StepError, UndoKind, chain};

/// Fetches manifest and definition of the snapshot, and checks that every object is there.
#[derive(Debug)]
pub struct FetchSnapshot {
    /// Where to.
    pub at: At,
    /// Which.
    pub snapshot: SnapshotId,
    /// It is another instance's: what the container is stays as it is, on the snapshot's image.
    pub of_another: bool,
}

#[async_trait]
impl Step<Notes> for FetchSnapshot {
    fn name(&self) -> String {
        self.at.step("fetch the snapshot for")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let manifest = at.tools.repository.find(self.snapshot.as_str()).await?;
        at.tools.repository.check_presence(&manifest).await?;
        let definition = if self.of_another {
            let container = at.container().to_owned();
            let none = NotFit::NoContainer { instance: at.instance.clone(), container };
            at.engine().find(at.container()).await?.ok_or(none)?;
            at.engine().definition(at.container()).await?
        } else {
            at.tools.repository.read_definition(&manifest).await?
        };
        let known = notes.of_mut(&at.instance);
        known.manifest = Some(at.tools.state.attach(&cx.run, &format!("manifest-{}", at.instance), &manifest)?);
        known.definition = Some(at.tools.state.attach(&cx.run, &format!("definition-{}", at.instance), &definition)?);
        Ok(())
    }
}

/// Reads every byte of the snapshot before anything is stopped.
#[derive(Debug)]
pub struct VerifySnapshot {
    /// Where to.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for VerifySnapshot {
    fn name(&self) -> String {
        self.at.step("verify the snapshot for")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        // Room for both, before hours of reading. What is not there yet has all the room of its file system.
        for destination in mounts_of(&plans(&manifest)) {
            let Some(mount) = definition.mounts.iter().find(|mount| mount.destination == destination) else {
                return Err(format!(
                    "the snapshot has data for {destination}, where its own definition mounts nothing"
                )
                .into());
            };
            let listing =
                self.at.list(cx, &mount.source, super::look::list_request(Default::default(), Vec::new())).await?;
            let records = manifest.parts.iter().filter(|part| part.plan.mount == destination);
            // The numbers come from the store, where anything may have been written.
            let (bytes, entries) = records.fold((0_u64, 0_u64), |sum, part| {
                (sum.0.saturating_add(part.plain_bytes), sum.1.saturating_add(part.entries))
            });
            // A dump is packed; loaded, and unpacked beside that, it is a few times as large.
            let bytes = if manifest.mode == Mode::Hot { bytes.saturating_mul(4) } else { bytes };
            let needed_bytes = bytes.saturating_add(bytes / 20);
            let (instance, source_text) = (self.at.instance.clone(), mount.source.to_string());
            if listing.free_bytes < needed_bytes {
                let free_bytes = listing.free_bytes;
                return Err(Box::new(NotFit::NoRoom { instance, source_text, free_bytes, needed_bytes }));
            }
            if listing.free_inodes < entries {
                let free = listing.free_inodes;
                return Err(Box::new(NotFit::NoInodes { instance, source_text, free, needed: entries }));
            }
        }
        // The very container that is to come, before anything is read and long before anything is stopped.
        let at = &self.at;
        at.can_be_created(cx, &at.to_come(cx, notes)?).await?;
        let data: Vec<MountSource> =
            data_mounts(&definition.mounts, &manifest)?.into_iter().map(|(_, source)| source).collect();
        at.nobody_else_writes(&data).await?;
        let meter = Meter::new(cx, &format!("verify {}", manifest.id), manifest.plain_bytes());
        Ok(self.at.tools.repository.verify(&manifest, cx.cancel.clone(), meter.progress()).await?)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        self.at.clear_helpers(cx).await
    }
}

/// Moves what is there into `.tidegate/<run>` of the same mount. Its undo brings it back.
#[derive(Debug)]
pub struct Aside {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Aside {
    fn name(&self) -> String {
        self.at.step("set aside")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        let before = self.at.before(cx, &notes.of(&self.at.instance))?;
        let mut since = before.map(|before| before.parts).unwrap_or_default();
        if notes.of(&self.at.instance).recall.is_some() {
            // Whatever is to come back must find its place empty.
            since.extend(recall(&self.at, cx, notes)?.parts);
        }
        if manifest.mode == Mode::Hot {
            since.push(super::load::replaced(&self.at, &manifest)?);
        }
        let data = data_mounts(&definition.mounts, &manifest)?;
        let sources: Vec<MountSource> = data.iter().map(|(_, source)| source.clone()).collect();
        self.at.nobody_else_writes(&sources).await?;
        end_lost_runs(&self.at, cx, &data).await?;
        set_aside(&self.at, cx, &definition.mounts, &manifest, &since, cx.run.as_str()).await
    }

    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        self.at.rests_on(cx, &["start", "create", "load"], "its data may be in use")?;
        // An earlier try may have ended with the old container running.
        self.at.hold_still().await?;
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        let (run, sources) = (cx.run.to_string(), data_mounts(&definition.mounts, &manifest)?);
        for (_, source) in &sources {
            self.at.porter(cx, source, &PorterRequest::Back { root: helper_target(0), run: run.clone() }).await?;
        }
        // What never became whole is worth nothing, and the old container may need its room. The rest waits until that
        // runs.
        if !cx.undone.contains(&self.at.step("settle")) {
            for (_, source) in &sources {
                let request = PorterRequest::Drop { root: helper_target(0), run: run.clone() };
                if let Err(error) = self.at.porter(cx, source, &request).await {
                    tracing::warn!(%source, error = %chain(&*error), "half of a filling not deleted yet");
                }
            }
        }
        Ok(())
    }
}

/// Fills the places with the snapshot's data. What lies there half-way is overwritten when it runs again, and set
/// aside by the undo of `set aside`.
#[derive(Debug)]
pub struct Fill {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Fill {
    fn name(&self) -> String {
        self.at.step("fill")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        let adaptation = adaptation(&self.at, cx, notes)?;
        fill(&self.at, cx, &definition.mounts, &manifest, adaptation.as_ref()).await
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        Ok(self.at.engine().remove(&layout::helper_container(&cx.run, &self.at.instance)).await?)
    }
}

/// Flushes what was filled, and takes the marker away: from here on something may be started on it.
#[derive(Debug)]
pub struct Settle {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Settle {
    fn name(&self) -> String {
        self.at.step("settle")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        settle(&self.at, cx, &definition.mounts, &manifest, cx.run.as_str()).await
    }
}

/// A run that nobody knows any more (its state directory is lost) has left files set aside and others half filled:
/// what it had set aside is put back first, so that this run can set it aside itself. Nothing runs on it now, and
/// the lock says that nobody else is at it.
async fn end_lost_runs(at: &At, cx: &RunCx, mounts: &[(String, MountSource)]) -> Result<(), StepError> {
    for (_, source) in mounts {
        let listing = at.list(cx, source, super::look::list_request(Default::default(), Vec::new())).await?;
        if let Some(run) = listing.filling.filter(|run| !run.starts_with(cx.run.as_str())) {
            cx.warn(format!(
                "{source} was half filled by {run}, which is lost; what it had set aside is put back first"
            ));
            at.porter(cx, source, &PorterRequest::Back { root: helper_target(0), run }).await?;
        }
    }
    Ok(())
}

/// Moves aside what the snapshot covers, and what `since` covers besides.
pub(super) async fn set_aside(
    at: &At,
    cx: &RunCx,
    mounts: &[Mount],
    manifest: &Manifest,
    since: &[PartPlan],
    run: &str,
) -> Result<(), StepError> {
    let plans = [plans(manifest), since.to_vec()].concat();
    for (destination, source) in data_mounts(mounts, manifest)? {
        let cover = cover_of(&plans, &destination);
        let request = PorterRequest::Aside { root: helper_target(0), run: run.to_owned(), cover };
        at.porter(cx, &source, &request).await?;
    }
    Ok(())
}

pub(super) async fn settle(
    at: &At,
    cx: &RunCx,
    mounts: &[Mount],
    manifest: &Manifest,
    run: &str,
) -> Result<(), StepError> {
    for (_, source) in data_mounts(mounts, manifest)? {
        let request = PorterRequest::Settle { root: helper_target(0), run: run.to_owned() };
        match at.porter(cx, &source, &request).await? {
            Answer::Done { .. } => {}
            other => return Err(format!("the porter answered {other:?}").into()),
        }
    }
    Ok(())
}

/// As the snapshot has it, unless `adaptation` says otherwise.
pub(super) async fn fill(
    at: &At,
    cx: &RunCx,
    mounts: &[Mount],
    manifest: &Manifest,
    adaptation: Option<&Adaptation>,
) -> Result<(), StepError> {
    let data = data_mounts(mounts, manifest)?;
    let helper = layout::helper_container(&cx.run, &at.instance);
    let helper_mounts: Vec<HelperMount> =
        data.iter().map(|(_, source)| HelperMount { source: source.clone(), writable: true }).collect();
    at.engine().remove(&helper).await?;
    at.engine().open_helper(&helper, &helper_mounts, &at.labels(&cx.run, "helper")).await?;
    let total = manifest.plain_bytes();
    let meter = Meter::new(cx, &format!("fill {}", at.instance), total);
    for record in &manifest.parts {
        let index = data.iter().position(|(destination, _)| *destination == record.plan.mount);
        let prefix = helper_target(index.ok_or("a part without a mount")?);
        let plain = plain_stream(at, cx, record, &meter).await?;
        let prefix = prefix.trim_start_matches('/').to_owned();
        let tar = match adaptation.is_some_and(|it| it.empties(&record.plan)) {
            true => stream::tar::place_folders(plain, prefix),
            false => stream::tar::place(vec![(plain, prefix)]).0,
        };
        at.engine().archive_in(&helper, tar).await?;
    }
    let destinations: Vec<String> = data.into_iter().map(|(destination, _)| destination).collect();
    if let Some(tar) = adaptation.map(|it| it.settings(&destinations)).transpose()?.flatten() {
        at.engine().archive_in(&helper, tar).await?;
    }
    at.engine().remove(&helper).await?;
    Ok(())
}

async fn plain_stream(
    at: &At,
    cx: &RunCx,
    record: &PartRecord,
    meter: &Meter,
) -> Result<stream::ByteStream, StepError> {
    let plain = at.tools.repository.read_part(record).await?;
    let plain = stream::stall(plain, at.tools.settings.stall_timeout);
    Ok(stream::metered(stream::cancellable(plain, cx.cancel.clone()), meter.tell()))
}

fn plans(manifest: &Manifest) -> Vec<PartPlan> {
    manifest.parts.iter().map(|part| part.plan.clone()).collect()
}

/// The mounts that the parts belong to, in order.
pub(super) fn data_mounts(mounts: &[Mount], manifest: &Manifest) -> Result<Vec<(String, MountSource)>, StepError> {
    sources_of(mounts, &mounts_of(&plans(manifest)))
}

/// What is mounted at each of those places.
pub(super) fn sources_of(mounts: &[Mount], destinations: &[String]) -> Result<Vec<(String, MountSource)>, StepError> {
    let find = |destination: &String| {
        let mount = mounts.iter().find(|mount| mount.destination == *destination);
        let none = || format!("nothing is mounted at {destination}, where data of the snapshot belongs");
        mount.map(|mount| (destination.clone(), mount.source.clone())).ok_or_else(|| none().into())
    };
    destinations.iter().map(find).collect()
}

pub(super) fn fetched(at: &At, cx: &RunCx, notes: &Notes) -> Result<(Manifest, Definition), StepError> {
    let known = notes.of(&at.instance);
    let (manifest, definition) =
        known.manifest.zip(known.definition).ok_or("the snapshot was not fetched before this step")?;
    Ok((at.tools.state.attached(&cx.run, &manifest)?, at.tools.state.attached(&cx.run, &definition)?))
}
