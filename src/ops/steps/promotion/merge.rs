//! Merges, and takes the merge back.

use async_trait::async_trait;

use super::{Ahead, Deploy, known, told};
use crate::model::ids::CommitId;
use crate::ops::notes::Notes;
use crate::ops::promote::merged;
use crate::promote::{Author, GitError, Merged};
use crate::workflow::{LeftAsIs, RunCx, Step, StepError, UndoKind};

/// Brings staging's commits into production's branch at the remote. Nobody's users see that yet.
#[derive(Debug)]
pub struct Merge(Ahead);

impl Merge {
    /// Of that app.
    pub fn new(ahead: Ahead) -> Self {
        Self(ahead)
    }

    /// Makes the commit of the plan, or finds it: the same each time, so that one that was pushed is known again.
    async fn make(&self, wanted: &CommitId) -> Result<(), StepError> {
        let ahead = &self.0;
        match merged(ahead.git()?, &ahead.plan, &ahead.address()?).await? {
            Merged::FastForward { commit } | Merged::Commit { commit } if commit == *wanted => Ok(()),
            _ => Err("the branches cannot be merged as it was planned any more".into()),
        }
    }

    /// Pushes a commit onto production's branch; an answer that was lost is looked for.
    async fn push(&self, cx: &RunCx, commit: &CommitId) -> Result<(), StepError> {
        let ahead = &self.0;
        let (pushed, reference) = (commit.clone(), format!("refs/heads/{}", ahead.plan.production.branch));
        let address = ahead.address()?;
        let push = ahead.git()?.with(&address, move |mirror, bounds| mirror.push(&pushed, &reference, bounds));
        let Err(error) = push.await else { return Ok(()) };
        match ahead.head(Some(commit)).await {
            Ok((_, true)) => {
                told(cx, "the push arrived", &error);
                Ok(())
            }
            _ => Err(error.into()),
        }
    }
}

impl Merge {
    /// The undo of a pull alone: which of the commits that came were live before, nobody wrote down.
    async fn only_pulled(&self) -> Result<(), StepError> {
        let (ahead, plan) = (&self.0, &self.0.plan);
        if ahead.live()?.standing(&ahead.deployed().await?).await?.behind >= plan.unpulled {
            return Ok(());
        }
        let reason = format!(
            "production has pulled what others had merged into `{}`, and that is not taken back by itself: revert it at the \
             host, then promote again",
            plan.production.branch
        );
        Err(Box::new(LeftAsIs { reason }))
    }
}

#[async_trait]
impl Step<Notes> for Merge {
    fn name(&self) -> String {
        self.0.step("merge")
    }

    fn stage(&self) -> Option<usize> {
        Some(0)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let plan = &self.0.plan;
        let Some(made) = plan.made().cloned() else { return Ok(()) };
        let (head, has) = self.0.head(Some(&made)).await?;
        if !has {
            if head != plan.comparison.to {
                let (remote, branch) = (self.0.address()?, plan.production.branch.clone());
                return Err(Box::new(GitError::Moved { remote, branch }));
            }
            self.make(&made).await?;
            self.push(cx, &made).await?;
        }
        cx.note(format!("`{}` of {} is at {}", plan.production.branch, plan.remote, made.short()));
        notes.promotion = Some(crate::ops::notes::PromotionNotes { made: Some(made), ..known(notes) });
        Ok(())
    }

    /// A commit that puts the old files back goes on top, and production pulls it.
    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        let (ahead, plan) = (&self.0, &self.0.plan);
        let Some(made) = plan.made().cloned() else { return self.only_pulled().await };
        let (head, has) = ahead.head(Some(&made)).await?;
        if !has {
            return Ok(());
        }
        let (before, branch, commit) = (plan.comparison.to.clone(), plan.production.branch.clone(), made.clone());
        let author = Author { at: cx.now().parse().unwrap_or(plan.at), ..plan.author() };
        let message = format!("Take the promotion of {} back\n\nBy Tidegate, run {}.", plan.app, cx.run);
        let address = ahead.address()?;
        let branches = (plan.staging.branch.clone(), branch.clone());
        let revert = ahead.git()?.with(&address, move |mirror, bounds| {
            if !mirror.has_all(&[&before, &commit, &head]) {
                mirror.fetch(&[&branches.0, &branches.1], bounds)?;
            }
            if mirror.is_reverted(&head, &commit)? {
                return Ok(None);
            }
            mirror.revert(&before, &commit, &head, &branch, &author, &message).map(Some)
        });
        match revert.await {
            Ok(None) => {}
            Ok(Some(revert)) => self.push(cx, &revert).await?,
            // Trying again does not help: a person must say whose commits count.
            Err(error @ GitError::Others { .. }) => return Err(Box::new(LeftAsIs { reason: error.to_string() })),
            Err(error) => return Err(error.into()),
        }
        Deploy::new(ahead.clone()).deploy(cx, None).await
    }
}
