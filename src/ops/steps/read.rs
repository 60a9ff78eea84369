//! Reads an instance's files into the store, proves that they are there, and publishes the manifest.

use async_trait::async_trait;
use jiff::Timestamp;

use super::meter::Meter;
use super::{At, sources};
use crate::engine::{HelperMount, PorterRequest};
use crate::instance::Cleanliness;
use crate::model::definition::MountSource;
use crate::model::ids::{RunId, SnapshotId};
use crate::model::layout::{self, helper_target};
use crate::model::manifest::{FORMAT, Manifest, Mode, Reason};
use crate::model::part::{PartPlan, mounts_of};
use crate::ops::history;
use crate::ops::notes::{Before, Notes, SnapshotNotes};
use crate::stream::{self, StreamError};
use crate::workflow::{Outcome, RunCx, Step, StepError, UndoKind, chain};

/// Streams every part from a never-started helper container to the store, in one pass, without a temporary file.
#[derive(Debug)]
pub struct Read {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Read {
    fn name(&self) -> String {
        self.at.step("read")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let before = at.before_or_fail(cx, notes)?;
        at.still_rests(notes).await?;
        let plans = notes.of(&at.instance).parts.unwrap_or_else(|| before.parts.clone());
        let id = new_id()?;
        let hot = notes.of(&at.instance).hot;
        let taken_at = hot.as_ref().and_then(|hot| hot.taken_at.clone()).unwrap_or_else(|| cx.now());
        let destinations = mounts_of(&plans);
        let mounts: Vec<HelperMount> =
            sources(&before, &destinations).into_iter().map(|source| HelperMount { source, writable: false }).collect();
        let data: Vec<MountSource> = mounts.iter().map(|mount| mount.source.clone()).collect();
        at.nobody_else_writes(&data).await?;
        let helper = layout::helper_container(&cx.run, &at.instance);
        at.engine().remove(&helper).await?;
        at.engine().open_helper(&helper, &mounts, &at.labels(&cx.run, "helper")).await?;
        let adapter = at.adapter()?;
        let data_format = adapter.data_format(at.engine(), &helper, &destinations).await?;
        // Of a hot one hardly anything is known before: the archive's size is that of no place.
        let total = if hot.is_some() { 0 } else { covered_bytes(&before) };
        let meter = Meter::new(cx, &format!("read {}", at.instance), total);
        let mut parts = Vec::new();
        for plan in &plans {
            let index = destinations.iter().position(|destination| *destination == plan.mount).unwrap_or_default();
            let archives = self.archives(cx, &helper, &helper_target(index), plan);
            let (tar, _) = stream::tar::join(archives, &plan.cover.exclude);
            let level = at.tools.settings.compression_level;
            parts.push(
                at.tools.repository.write_part(&id, plan, tar, level, cx.cancel.clone(), meter.progress()).await?,
            );
        }
        let definition = at.tools.repository.write_definition(&id, &before.definition).await?;
        at.engine().remove(&helper).await?;
        at.still_rests(notes).await?;
        let snapshot = SnapshotNotes { id, taken_at, parts, definition, data_format, verified_at: None };
        notes.of_mut(&at.instance).snapshot = Some(snapshot);
        Ok(())
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    /// Nothing is deleted in the store: without a manifest what was written does not count.
    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        Ok(self.at.engine().remove(&layout::helper_container(&cx.run, &self.at.instance)).await?)
    }
}

impl Read {
    fn archives(&self, cx: &RunCx, helper: &str, target: &str, plan: &PartPlan) -> Vec<stream::tar::Source> {
        let mut archives = Vec::new();
        for include in &plan.cover.include {
            let path = if include.is_empty() { target.to_owned() } else { format!("{target}/{include}") };
            // Opened only when its turn comes: an open archive that nobody reads holds the helper.
            let (engine, helper, from) = (self.at.tools.engine.clone(), helper.to_owned(), path.clone());
            let tar = stream::lazily(async move {
                let opened = engine.archive_out(&helper, &from).await;
                opened.map_err(|error| StreamError::Source { bytes: 0, source: Box::new(error) })
            });
            let tar = stream::stall(tar, self.at.tools.settings.stall_timeout);
            let tar = stream::cancellable(tar, cx.cancel.clone());
            let strip = path.rsplit('/').next().unwrap_or_default().to_owned();
            archives.push(stream::tar::Source { tar, strip, prefix: include.clone() });
        }
        archives
    }
}

/// Reads every stored byte back and compares.
#[derive(Debug)]
pub struct Verify {
    /// Where.
    pub at: At,
    /// Why the snapshot is taken.
    pub reason: Reason,
    /// Tags given by a person.
    pub tags: Vec<String>,
}

#[async_trait]
impl Step<Notes> for Verify {
    fn name(&self) -> String {
        self.at.step("verify")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let manifest = manifest(&self.at, cx, notes, 0, &self.reason, &self.tags)?;
        let meter = Meter::new(cx, &format!("verify {}", self.at.instance), manifest.plain_bytes());
        self.at.tools.repository.verify(&manifest, cx.cancel.clone(), meter.progress()).await?;
        if let Some(snapshot) = &mut notes.of_mut(&self.at.instance).snapshot {
            snapshot.verified_at = Some(cx.now());
        }
        Ok(())
    }
}

/// Writes the manifest: with it the snapshot exists.
#[derive(Debug)]
pub struct Publish {
    /// Where.
    pub at: At,
    /// Why the snapshot is taken.
    pub reason: Reason,
    /// Tags given by a person.
    pub tags: Vec<String>,
}

#[async_trait]
impl Step<Notes> for Publish {
    fn name(&self) -> String {
        self.at.step("publish")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let listed = at.tools.repository.manifests(&at.instance).await?;
        // A first try may have written it before its answer was lost.
        let id = notes.of(&at.instance).snapshot.map(|snapshot| snapshot.id);
        let known =
            listed.iter().filter_map(|entry| entry.manifest()).find(|manifest| Some(&manifest.id) == id.as_ref());
        let manifest = match known {
            Some(manifest) => manifest.clone(),
            None => {
                let sequence = at.tools.repository.next_sequence(&at.instance).await?;
                manifest(at, cx, notes, sequence, &self.reason, &self.tags)?
            }
        };
        if manifest.verified_at.is_none() {
            return Err("the snapshot was not verified".into());
        }
        // Beside the journal first: a roll back must find it even if the store does not answer then.
        let file = at.tools.state.attach(&cx.run, &format!("manifest-{}", at.instance), &manifest)?;
        at.tools.repository.publish(&manifest).await?;
        notes.of_mut(&at.instance).manifest = Some(file);
        Ok(())
    }
}

/// Deletes what old restores have set aside, now that a later verified snapshot exists, and what uploads that died long
/// ago have left in the store. The store's part is best effort: the snapshot is there either way.
#[derive(Debug)]
pub struct Tidy {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Tidy {
    fn name(&self) -> String {
        self.at.step("tidy")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        at.clear_helpers_if_possible(cx).await;
        let before = at.before_or_fail(cx, notes)?;
        match at.tools.repository.sweep().await {
            Ok(0) => {}
            Ok(count) => cx.note(format!("{count} uploads that were never finished are removed from the store")),
            Err(error) => tracing::warn!(error = %chain(&error), "unfinished uploads not removed"),
        }
        // What an instance that is not well has now may be worth less than what was set aside.
        if before.unhealthy_because.is_some() {
            return Ok(());
        }
        for (destination, listing) in &before.listings {
            let Some(source) = before.source_of(destination) else { continue };
            let old = |run: &&String| expired(run, (at.tools.now)(), at.tools.settings.keep_aside) && self.is_over(run);
            for run in listing.asides.iter().filter(old) {
                let request = PorterRequest::Drop { root: helper_target(0), run: run.clone() };
                match at.porter(cx, source, &request).await {
                    Ok(_) => cx.note(format!("what {run} had set aside is deleted; a later verified snapshot exists")),
                    Err(error) => cx.warn(format!("cannot delete what {run} had set aside: {error}")),
                }
            }
        }
        Ok(())
    }
}

impl Tidy {
    /// Of a run that is open or stuck both states are kept, however old.
    fn is_over(&self, aside: &str) -> bool {
        let run = aside.split("-back").next().unwrap_or(aside);
        let outcome = RunId::new(run).ok().and_then(|run| history::story(&self.at.tools.state, &run).ok());
        // A journal that is not on this host says nothing against it.
        outcome.is_none_or(|story| {
            matches!(history::summary(&story).outcome, Some(Outcome::Completed | Outcome::RolledBack))
        })
    }
}

/// Run ids carry their time: `restore-20261121-101530-7f3a`.
fn expired(run: &str, now: Timestamp, keep: jiff::SignedDuration) -> bool {
    let mut words = run.split('-').skip(1);
    let (Some(date), Some(time)) = (words.next(), words.next()) else { return false };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", format!("{date}{time}"));
    let at = at.and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    at.is_ok_and(|at| now.duration_since(at.timestamp()) > keep)
}

fn manifest(
    at: &At,
    cx: &RunCx,
    notes: &Notes,
    sequence: u64,
    reason: &Reason,
    tags: &[String],
) -> Result<Manifest, StepError> {
    let known = notes.of(&at.instance);
    let before = at.before_or_fail(cx, notes)?;
    let snapshot = known.snapshot.ok_or("nothing was read before this step")?;
    let clean = matches!(known.clean, Some(Cleanliness::Clean));
    Ok(Manifest {
        format: FORMAT,
        id: snapshot.id,
        instance: at.instance.clone(),
        sequence,
        taken_at: snapshot.taken_at,
        run: cx.run.clone(),
        reason: reason.clone(),
        mode: if known.hot.is_some() { Mode::Hot } else { Mode::Cold },
        container: at.container().to_owned(),
        image: before.image,
        version: before.version,
        data_format: snapshot.data_format,
        healthy: before.unhealthy_because.is_none(),
        unhealthy_because: before.unhealthy_because,
        clean,
        observation: before.observation,
        parts: snapshot.parts,
        definition: snapshot.definition,
        verified_at: snapshot.verified_at,
        tags: tags.to_vec(),
        taken_by: format!("tidegate {} on {}", env!("CARGO_PKG_VERSION"), at.tools.settings.host),
    })
}

fn covered_bytes(before: &Before) -> u64 {
    let top = |path: &str| !path.contains('/');
    before
        .listings
        .iter()
        .flat_map(|(_, listing)| &listing.entries)
        .filter(|entry| top(&entry.path))
        .map(|entry| entry.bytes)
        .sum()
}

fn new_id() -> Result<SnapshotId, StepError> {
    Ok(SnapshotId::new(format!("{:08x}", rand::random::<u32>()))?)
}
