//! A snapshot of an instance that runs on: an archive by the app's own tool, made, proved, read, and cleared again.
//!
//! The tool chooses the archive's name, from the moment at which it begins. So what was there before is written down
//! first, and an undo that finds no name in the journal knows its own archive by that and by its moment.

use async_trait::async_trait;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::look::{NotFit, list_request};
use super::{At, sources};
use crate::engine::{HelperMount, PorterRequest};
use crate::instance::hot::Hot;
use crate::instance::mounts::{join, locate};
use crate::model::definition::MountSource;
use crate::model::ids::PartName;
use crate::model::layout::{helper_container, helper_target};
use crate::model::part::{Cover, PartPlan, mounts_of};
use crate::ops::notes::{Before, HotNotes, Notes};
use crate::stream;
use crate::workflow::{RunCx, Step, StepError, UndoKind};

/// The part that holds the archive.
pub const PART: &str = "backup";
/// The clock of the engine's host may be another than ours, and a loaded host is slow to begin.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);

/// Writes down which archives are there, and that there is room for one more.
#[derive(Debug)]
pub struct Prepare {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Prepare {
    fn name(&self) -> String {
        self.at.step("prepare the archive of")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let before = at.before_or_fail(cx, notes)?;
        let place = Place::of(at, &before)?;
        let (known, free_bytes) = place.archives(at, cx).await?;
        let needed_bytes = at.hot()?.needed_bytes(&before.listings);
        if free_bytes < needed_bytes {
            let (instance, source_text) = (at.instance.clone(), place.source.to_string());
            return Err(Box::new(NotFit::NoRoomForArchive { instance, source_text, free_bytes, needed_bytes }));
        }
        let known = known.into_iter().map(|archive| archive.name).collect();
        let prepared_at = cx.now();
        notes.of_mut(&at.instance).hot = Some(HotNotes { known, prepared_at, archive: None, taken_at: None });
        Ok(())
    }
}

/// Has the app's own tool make an archive while the app runs on, and reads it to its end.
#[derive(Debug)]
pub struct Archive {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Archive {
    fn name(&self) -> String {
        self.at.step("archive")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        // A first try may have been cut off.
        clear(at, cx, notes).await?;
        let before = at.before_or_fail(cx, notes)?;
        let (hot, place) = (at.hot()?, Place::of(at, &before)?);
        let grown = || {
            let sum = async {
                let listed = place.archives(at, cx).await;
                listed.ok().map(|(archives, _)| archives.iter().map(|archive| archive.bytes).sum())
            };
            sum.boxed()
        };
        let name = hot.make_archive(at.engine(), &cx.run, &grown, &cx.cancel).await?;
        let known = at.hot_notes(notes)?.known;
        let (archives, _) = place.archives(at, cx).await?;
        for gone in known.iter().filter(|name| !archives.iter().any(|archive| archive.name == **name)) {
            cx.warn(format!("`{gone}` of `{}` vanished while an archive was made beside it", at.instance));
        }
        if known.contains(&name) || !archives.iter().any(|archive| archive.name == name && archive.bytes > 0) {
            return Err(
                format!("the tool of `{}` says that it has made {name}, which is not there", at.instance).into()
            );
        }
        self.prove(cx, &before, &place, &name).await?;
        let taken_at = hot.archive_time(&name).map(|at| at.to_string());
        let known = notes.of_mut(&at.instance);
        known.parts = Some([before.parts, vec![place.part(&name)?]].concat());
        if let Some(hot) = &mut known.hot {
            (hot.archive, hot.taken_at) = (Some(name), taken_at);
        }
        Ok(())
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        self.at.clear_helpers(cx).await?;
        clear(&self.at, cx, notes).await
    }
}

impl Archive {
    async fn prove(&self, cx: &RunCx, before: &Before, place: &Place, name: &str) -> Result<(), StepError> {
        let at = &self.at;
        let helper = helper_container(&cx.run, &at.instance);
        let mounts = [HelperMount { source: place.source.clone(), writable: false }];
        at.engine().remove(&helper).await?;
        at.engine().open_helper(&helper, &mounts, &at.labels(&cx.run, "helper")).await?;
        let path = join(&helper_target(0), &place.path(name));
        let tar = at.engine().archive_out(&helper, &path).await?;
        let tar = stream::cancellable(stream::stall(tar, at.tools.settings.stall_timeout), cx.cancel.clone());
        let checked = at.hot()?.check_archive(tar).await;
        at.engine().remove(&helper).await?;
        tracing::debug!(instance = %before.definition.container, archive = name, "archive read to its end");
        Ok(checked?)
    }
}

/// Takes the archive away again: it is in the store by now, or nowhere.
#[derive(Debug)]
pub struct ClearArchive {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for ClearArchive {
    fn name(&self) -> String {
        self.at.step("clear the archive of")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        clear(&self.at, cx, notes).await
    }
}

/// Ends what this run has left running in the container, and deletes its archive. May be called again. Of several that
/// may be its own none is deleted: archives of other people are worth more than room.
async fn clear(at: &At, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
    let Some(before) = at.before(cx, &notes.of(&at.instance))? else { return Ok(()) };
    let (hot, place, known) = (at.hot()?, Place::of(at, &before)?, at.hot_notes(notes)?);
    hot.end_left(at.engine(), &cx.run).await?;
    let (archives, _) = place.archives(at, cx).await?;
    let names: Vec<String> = archives.into_iter().map(|archive| archive.name).collect();
    let own = match &known.archive {
        Some(name) => names.into_iter().filter(|it| it == name).collect(),
        None => {
            let new: Vec<String> = names.into_iter().filter(|name| !known.known.contains(name)).collect();
            let (own, others): (Vec<_>, Vec<_>) =
                new.into_iter().partition(|name| begun_here(hot, name, &known.prepared_at));
            let unsure = if own.len() > 1 { [own.clone(), others].concat() } else { others };
            for name in unsure {
                cx.warn(format!(
                    "`{name}` of `{}` came while an archive was made, and may be somebody else's: it stays",
                    at.instance
                ));
            }
            if own.len() > 1 { Vec::new() } else { own }
        }
    };
    if own.is_empty() {
        return Ok(());
    }
    let files = own.iter().map(|name| place.path(name)).collect();
    at.porter(cx, &place.source, &PorterRequest::Remove { root: helper_target(0), files }).await?;
    Ok(())
}

fn begun_here(hot: &dyn Hot, name: &str, prepared_at: &str) -> bool {
    let (Some(begun), Ok(prepared)) = (hot.archive_time(name), prepared_at.parse::<Timestamp>()) else { return false };
    begun.duration_since(prepared).abs() <= CLOCK_TOLERANCE
}

/// Where the tool puts its archives, as a mount and a folder in it.
struct Place {
    mount: String,
    source: MountSource,
    folder: String,
}

/// A file of the tool's.
struct Found {
    name: String,
    bytes: u64,
}

impl Place {
    fn of(at: &At, before: &Before) -> Result<Self, StepError> {
        let folder = at.hot()?.archive_folder();
        let mounts = mounts_of(&before.parts);
        let found = locate(mounts.iter().map(String::as_str), folder);
        let (mount, folder) = found
            .and_then(|(index, folder)| Some((mounts.get(index)?.clone(), folder)))
            .ok_or_else(|| format!("nothing that lasts is mounted at {folder} of `{}`", at.instance))?;
        let source = sources(before, std::slice::from_ref(&mount)).pop();
        let source = source.ok_or_else(|| format!("nothing is mounted at {mount} of `{}`", at.instance))?;
        Ok(Self { mount, source, folder })
    }

    fn path(&self, name: &str) -> String {
        join(&self.folder, name)
    }

    /// The archives that are there, and the bytes that are free.
    async fn archives(&self, at: &At, cx: &RunCx) -> Result<(Vec<Found>, u64), StepError> {
        let hot = at.hot()?;
        // A path inside has the folder's entries listed; what is covered is counted.
        let exclude = vec![self.path("no-such-file")];
        let cover = Cover { include: vec![self.folder.clone()], exclude };
        let listing = at.list(cx, &self.source, list_request(cover, Vec::new())).await?;
        let archive = |path: &str, bytes: u64| {
            let name = path.strip_prefix(&self.folder)?.strip_prefix('/')?.to_owned();
            hot.archive_time(&name).is_some().then_some(Found { name, bytes })
        };
        let files = listing.entries.iter().filter(|entry| !entry.folder);
        Ok((files.filter_map(|entry| archive(&entry.path, entry.bytes)).collect(), listing.free_bytes))
    }

    fn part(&self, name: &str) -> Result<PartPlan, StepError> {
        let cover = Cover { include: vec![self.path(name)], exclude: Vec::new() };
        Ok(PartPlan { name: PartName::new(PART)?, mount: self.mount.clone(), cover })
    }
}

impl At {
    /// How the app is snapshotted while it runs.
    pub(super) fn hot(&self) -> Result<&dyn Hot, StepError> {
        let none = || NotFit::NoHotTool { instance: self.instance.clone() };
        Ok(self.adapter()?.hot().ok_or_else(none)?)
    }

    fn hot_notes(&self, notes: &Notes) -> Result<HotNotes, StepError> {
        Ok(notes.of(&self.instance).hot.ok_or("no archive was prepared before this step")?)
    }
}
