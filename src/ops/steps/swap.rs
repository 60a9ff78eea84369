//! Takes the old container away, puts the new one in its place, and opens it to its users.

use async_trait::async_trait;

use super::back::put_back;
use super::{At, sources};
use crate::engine::{ContainerEngine, ContainerView, EngineError, Labels};
use crate::model::definition::{Definition, RestartPolicy};
use crate::model::gate::Evidence;
use crate::model::layout;
use crate::model::manifest::Manifest;
use crate::model::part::mounts_of;
use crate::ops::notes::Notes;
use crate::workflow::{RunCx, Step, StepError, UndoKind};

/// Removes the container (never with its volumes) and holds its image and its name. Its undo creates it again as it was.
///
/// While its name is free, `docker-compose up` would make a new one on data that is not whole; so the name is held by
/// one that cannot be started and looks to Compose like that of before. With two containers of one Compose service, Compose removes the new one and starts the old image on the new
/// data, so there is never a parked copy of it: what it was is in the journal.
#[derive(Debug)]
pub struct Park {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Park {
    fn name(&self) -> String {
        self.at.step("park")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let Some(before) = at.before(cx, &notes.of(&at.instance))? else { return at.vacate(cx, notes).await };
        if at.engine().find(at.container()).await?.is_some() {
            at.still_rests(notes).await?;
        }
        let holder = layout::holder_container(&cx.run, &at.instance, "before");
        let image = &before.definition.image_id;
        at.engine().tag(image, &layout::pin_tag(at.container(), image)).await?;
        at.engine().hold(&holder, image, &at.labels(&cx.run, "holder")).await?;
        at.vacate(cx, notes).await
    }

    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        let at = &self.at;
        let Some(before) = at.before(cx, &notes.of(&at.instance))? else {
            // There was none. One that is there now is somebody else's, or kept by an undo that failed.
            if at.engine().find(at.container()).await?.is_none() {
                at.engine().remove(at.container()).await?;
            }
            return Ok(());
        };
        at.rests_on(cx, &["start", "create", "set aside"], "the old container would run on foreign data")?;
        Ok(at.engine().create(&before.definition).await?)
    }
}

/// Creates the container on its new image; it is not started. Its undo removes it.
#[derive(Debug)]
pub struct Create {
    /// Where.
    pub at: At,
    /// From what.
    pub from: From,
}

/// What a container is created from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// As it was before, on the image of the upgrade.
    Target,
    /// As it was when the snapshot was taken.
    Snapshot,
}

impl At {
    /// The container that is to come: of a snapshot, where this run puts one back, else that of before on the image of
    /// the upgrade.
    pub(super) fn to_come(&self, cx: &RunCx, notes: &Notes) -> Result<Definition, StepError> {
        let known = notes.of(&self.instance);
        let target = known.target.as_ref().ok_or("no image was found before this step")?;
        let definition: Definition = match &known.definition {
            Some(file) => self.tools.state.attached(&cx.run, file)?,
            None => self.before_or_fail(cx, notes)?.definition,
        };
        Ok(Definition { container: self.container().to_owned(), ..definition.on_image(&target.reference, &target.id) })
    }

    /// Removes the container and holds its name, with the labels by which Compose knows it.
    async fn vacate(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        let definition = match self.before(cx, &notes.of(&self.instance))? {
            Some(before) => before.definition,
            None => self.to_come(cx, notes)?,
        };
        let given = definition.config["Labels"].as_object().into_iter().flatten();
        let given = given.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let labels: Labels = given.chain(self.labels(&cx.run, layout::ROLE_PLACEHOLDER)).collect();
        Ok(cx.patiently(|| self.engine().vacate(self.container(), &labels)).await?)
    }
}

#[async_trait]
impl Step<Notes> for Create {
    fn name(&self) -> String {
        self.at.step("create")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        at.engine().create(&at.to_come(cx, notes)?).await?;
        notes.of_mut(&at.instance).created = at.engine().find(at.container()).await?.map(|view| view.id);
        Ok(())
    }

    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        let at = &self.at;
        at.rests_on(cx, &["start"], "the new container belongs to the data that is there")?;
        let Some(view) = at.engine().find(at.container()).await? else { return Ok(()) };
        let before = at.before(cx, &notes.of(&at.instance))?;
        // The old one, created by an undo that was cut off, or never taken away: it stays.
        let target = notes.of(&at.instance).target;
        let is_old = before.is_some_and(|before| before.definition.image_id == view.image_id)
            && target.is_some_and(|target| target.id != view.image_id);
        if is_old {
            return Ok(());
        }
        // Somebody else started it, so that it has touched the data although this run never did.
        let foreign_start = (view.started_at.is_some() || view.is_up()) && !cx.undone.contains(&at.step("start"));
        match self.from {
            From::Target if foreign_start => return undo_start(at, cx, notes, true).await,
            From::Target => {}
            // An earlier try may have ended with it running; its data is not what it is about.
            From::Snapshot => at.hold_still().await?,
        }
        at.vacate(cx, notes).await
    }
}

/// Starts the new container: from here on its data may be changed for good. The undo stops it and, in an upgrade,
/// puts the data of before back. The old image is never started on data that a newer one has touched.
#[derive(Debug)]
pub struct Start {
    /// Where.
    pub at: At,
    /// Whether the data is this step's to put back; in a restore it is that of `set aside`.
    pub puts_data_back: bool,
}

#[async_trait]
impl Step<Notes> for Start {
    fn name(&self) -> String {
        self.at.step("start")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        if let Some(before) = at.before(cx, &notes.of(&at.instance))? {
            at.nothing_is_half_filled(cx, &sources(&before, &mounts_of(&before.parts))).await?;
        }
        Ok(at.engine().start(at.container()).await?)
    }

    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        undo_start(&self.at, cx, notes, self.puts_data_back).await
    }
}

/// Stops what was started and, in an upgrade, puts the data of before back and takes the container away. Only the very
/// container that was created for the new image, and never started, proves that there is no data to put back.
async fn undo_start(at: &At, cx: &RunCx, notes: &Notes, puts_data_back: bool) -> Result<(), StepError> {
    let known = notes.of(&at.instance);
    let view = at.engine().find(at.container()).await?;
    let never_began =
        |view: &ContainerView| known.created.as_ref() == Some(&view.id) && view.started_at.is_none() && !view.is_up();
    let began = !view.as_ref().is_some_and(never_began);
    if began {
        at.hold_still().await?;
        at.tools.state.drop_evidence(&at.instance)?;
    }
    if !puts_data_back {
        return Ok(());
    }
    // As long as it is there somebody may start it on the data of before. So this is not undone without that, and is
    // done from the start when it is tried again.
    at.vacate(cx, notes).await?;
    if began {
        let file = known.manifest.as_ref().ok_or("there is no snapshot to put the data back from")?;
        let manifest: Manifest = at.tools.state.attached(&cx.run, file)?;
        put_back(at, cx, &at.before_or_fail(cx, notes)?.definition, &manifest).await?;
    }
    Ok(())
}

/// The checks passed: users may write from now on. What they proved is kept, and then this is recorded in the journal,
/// after which no crash rolls this instance's data back: whatever needs room on the disk comes before.
#[derive(Debug)]
pub struct Reopen {
    /// Where.
    pub at: At,
    /// Whether a pass counts as evidence for the next stage.
    pub counts: bool,
}

#[async_trait]
impl Step<Notes> for Reopen {
    fn name(&self) -> String {
        self.at.step("reopen")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn reopens(&self) -> bool {
        true
    }

    /// Taken back by the undo of `start`.
    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (at, known) = (&self.at, notes.of(&self.at.instance));
        if let (true, Some(target), Some(verdict)) = (self.counts, known.target, known.verdict) {
            at.tools.state.keep_evidence(&Evidence {
                instance: at.instance.clone(),
                image: target.id,
                image_ref: target.reference,
                passed_at: cx.now(),
                run: cx.run.clone(),
                passed_count: verdict.passed_count,
            })?;
        } else {
            at.tools.state.drop_evidence(&at.instance)?;
        }
        Ok(())
    }
}

/// Sees to it that it runs, and gives the restart policy back.
#[derive(Debug)]
pub struct Open {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Open {
    fn name(&self) -> String {
        self.at.step("open")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (at, known) = (&self.at, notes.of(&self.at.instance));
        let policy = match (&known.definition, &known.restart) {
            (Some(file), _) => at.tools.state.attached::<Definition>(&cx.run, file)?.restart,
            (None, Some(policy)) => policy.clone(),
            (None, None) => return Err("nothing is known of its restart policy".into()),
        };
        // Users are in: this is not undone any more. A reboot since then has left the container down, because its
        // restart policy was still off.
        let (engine, container) = (at.engine(), at.container());
        cx.patiently(|| open(engine, container, &policy)).await?;
        at.clear_helpers_if_possible(cx).await;
        Ok(())
    }
}

async fn open(engine: &dyn ContainerEngine, container: &str, policy: &RestartPolicy) -> Result<(), EngineError> {
    engine.start(container).await?;
    engine.set_restart_policy(container, policy).await
}
