//! Brings back what an earlier restore had set aside: recollect, bring back, let go.

use async_trait::async_trait;

use super::At;
use super::data::{data_mounts, fetched};
use super::image::find_image;
use super::look::list_request;
use crate::engine::{Answer, PorterRequest};
use crate::model::ids::RunId;
use crate::model::layout::helper_target;
use crate::ops::notes::{Notes, Recall};
use crate::ops::undo::{UndoError, recollect};
use crate::workflow::{RunCx, Step, StepError, UndoKind, chain};

/// Reads from the journal of an earlier restore what it had replaced, and finds all of it: files and image. Touches
/// nothing.
#[derive(Debug)]
pub struct Recollect {
    /// Where.
    pub at: At,
    /// The restore.
    pub undoes: RunId,
}

#[async_trait]
impl Step<Notes> for Recollect {
    fn name(&self) -> String {
        self.at.step("recollect")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (at, name) = (&self.at, &self.at.instance);
        let remembered = recollect(&at.tools, &self.undoes)?;
        for (destination, source) in data_mounts(&remembered.definition.mounts, &remembered.manifest)? {
            let listing = at.list(cx, &source, list_request(Default::default(), Vec::new())).await?;
            if !listing.asides.iter().any(|run| run == self.undoes.as_str()) {
                let reason =
                    format!("what it set aside at {destination} ({source}) is gone, deleted after its time perhaps");
                return Err(UndoError::NoWayBack { run: self.undoes.clone(), reason }.into());
            }
        }
        let before = &remembered.recall.before;
        let target = find_image(at, &before.image, before.version.clone()).await?;
        let (state, run) = (&at.tools.state, &cx.run);
        let known = notes.of_mut(name);
        known.target = Some(target);
        known.manifest = Some(state.attach(run, &format!("manifest-{name}"), &remembered.manifest)?);
        known.definition = Some(state.attach(run, &format!("definition-{name}"), &remembered.definition)?);
        known.recall = Some(state.attach(run, &format!("recall-{name}"), &remembered.recall)?);
        at.can_be_created(cx, &at.to_come(cx, notes)?).await
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        self.at.clear_helpers(cx).await
    }
}

/// Moves what the restore had set aside to where it was. The undo of `set aside` gives it back to the restore, which can
/// then be undone later.
#[derive(Debug)]
pub struct BringBack {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for BringBack {
    fn name(&self) -> String {
        self.at.step("bring back")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        let recall = recall(&self.at, cx, notes)?;
        for (_, source) in data_mounts(&definition.mounts, &manifest)? {
            let (run, from) = (cx.run.to_string(), recall.run.to_string());
            let request = PorterRequest::Recall { root: helper_target(0), run, from };
            match self.at.porter(cx, &source, &request).await? {
                Answer::Done { .. } => {}
                other => return Err(format!("the porter answered {other:?}").into()),
            }
        }
        Ok(())
    }
}

/// The restore has nothing set aside any more: its empty folders are removed.
#[derive(Debug)]
pub struct LetGo {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for LetGo {
    fn name(&self) -> String {
        self.at.step("let go of what was brought back to")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    /// Everything is done by now: what cannot be tidied stays, with a warning.
    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (manifest, definition) = fetched(&self.at, cx, notes)?;
        let recall = recall(&self.at, cx, notes)?;
        for (_, source) in data_mounts(&definition.mounts, &manifest)? {
            let request = PorterRequest::Drop { root: helper_target(0), run: recall.run.to_string() };
            if let Err(error) = self.at.porter(cx, &source, &request).await {
                cx.warn(format!("the empty folder of {} stays in {source}: {}", recall.run, chain(&*error)));
            }
        }
        Ok(())
    }
}

pub(super) fn recall(at: &At, cx: &RunCx, notes: &Notes) -> Result<Recall, StepError> {
    let file = notes.of(&at.instance).recall.ok_or("nothing was recollected before this step")?;
    Ok(at.tools.state.attached(&cx.run, &file)?)
}
