//! The steps of a promotion. All of them are about one app in production; what its users see changes in [`Deploy`].

mod deploy;
mod judge;
mod merge;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::deploy::{Deploy, Edited, Lacks};
pub use self::judge::{Judge, Mark};
pub use self::merge::Merge;
use crate::instance::git::{Branched, GitApps};
use crate::model::chain::chain;
use crate::model::ids::CommitId;
use crate::model::promotion::Address;
use crate::ops::Tools;
use crate::ops::album::{FolderAlbum, Moment};
use crate::ops::notes::{Notes, PromotionNotes};
use crate::ops::promote::{PromotePlan, Promotion, git_of};
use crate::promote::{Git, GitError};
use crate::workflow::{RunCx, Step, StepError};

/// What every step of a promotion needs; as a step, the look before anything is touched.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// Engine, instances, state.
    pub tools: Arc<Tools>,
    /// Which app, from where to where.
    pub plan: Arc<PromotePlan>,
}

/// Something stands in the way. Nothing was touched.
#[derive(Debug, thiserror::Error)]
#[error("`{app}` cannot be promoted now: {}", reasons.join("; "))]
pub struct Obstructed {
    /// Which app.
    pub app: String,
    /// Why.
    pub reasons: Vec<String>,
}

impl Ahead {
    fn promotion(&self) -> Result<&Promotion, StepError> {
        Ok(self.tools.promotion.as_ref().ok_or("`[environments]` is not configured any more")?)
    }

    fn git(&self) -> Result<&Git, StepError> {
        Ok(&self.promotion()?.git)
    }

    fn live(&self) -> Result<&dyn GitApps, StepError> {
        Ok(git_of(&self.tools, &self.plan.production.instance)?)
    }

    fn address(&self) -> Result<Address, StepError> {
        Ok(self.plan.address()?)
    }

    fn step(&self, verb: &str) -> String {
        format!("{verb} {}", self.plan.production.instance)
    }

    /// The app as production's users get it.
    async fn deployed(&self) -> Result<Branched, StepError> {
        Ok(self.live()?.on_branch(&self.plan.target, &self.plan.production.branch).await?)
    }

    /// The files that this promotion changes.
    async fn files(&self) -> Result<BTreeSet<String>, StepError> {
        let address = self.address()?;
        let seen = &self.plan.comparison;
        let (from, to) = (self.plan.made().unwrap_or(&seen.from).clone(), seen.to.clone());
        let branches = (self.plan.staging.branch.clone(), self.plan.production.branch.clone());
        let found = self.git()?.with(&address, move |mirror, bounds| {
            if !mirror.has_all(&[&from, &to]) {
                mirror.fetch(&[&branches.0, &branches.1], bounds)?;
            }
            mirror.changed_files(&from, &to)
        });
        Ok(found.await?)
    }

    /// Where production's branch is now, and whether it has `commit`.
    async fn head(&self, commit: Option<&CommitId>) -> Result<(CommitId, bool), StepError> {
        let (branch, commit) = (self.plan.production.branch.clone(), commit.cloned());
        let address = self.address()?;
        let found = self.git()?.with(&address, move |mirror, bounds| {
            mirror.fetch(&[&branch], bounds)?;
            let head = mirror.head(&branch)?;
            let has = commit.map_or(Ok(false), |commit| mirror.has(&head, &commit))?;
            Ok((head, has))
        });
        Ok(found.await?)
    }
}

fn known(notes: &Notes) -> PromotionNotes {
    notes.promotion.clone().unwrap_or_default()
}

#[async_trait]
impl Step<Notes> for Ahead {
    fn name(&self) -> String {
        self.step("look at")
    }

    fn stage(&self) -> Option<usize> {
        Some(0)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let plan = &self.plan;
        if !plan.obstacles.is_empty() {
            let reasons = plan.obstacles.iter().map(ToString::to_string).collect();
            return Err(Box::new(Obstructed { app: plan.app.clone(), reasons }));
        }
        // Both instances are locked: nobody else works with the copy now.
        self.git()?.tidy(&self.address()?).await?;
        let (head, _) = self.head(None).await?;
        if head != plan.comparison.to {
            let (remote, branch) = (self.address()?, plan.production.branch.clone());
            return Err(Box::new(GitError::Moved { remote, branch }));
        }
        let app = self.deployed().await?;
        if let Some(file) = self.live()?.standing(&app).await?.modified.first() {
            return Err(Box::new(Edited { app: plan.app.clone(), file: file.clone() }));
        }
        let instance = &plan.production.instance;
        let pictures = self.tools.state.pictures(&cx.run, instance);
        let album = FolderAlbum::begin(&pictures, Moment::Before).await;
        let adapter = self.tools.instance(instance)?;
        let baseline = adapter.observe(&*self.tools.engine, Some(&album)).await?;
        if let Some(trouble) = baseline.first_failure() {
            cx.warn(format!("`{instance}` was not all well before: {trouble}"));
        }
        let baseline = self.tools.state.attach(&cx.run, "before-promotion", &baseline)?;
        let deployed_at = app.deployed_at;
        notes.promotion = Some(PromotionNotes { baseline: Some(baseline), deployed_at, made: None });
        Ok(())
    }
}

/// Says of a failure what it is worth: what the other side says of itself counts more than the answer to one call.
fn told(cx: &RunCx, what: &str, error: &(dyn std::error::Error + 'static)) {
    cx.warn(format!("{what}, although it was answered with: {}", chain(error)));
}
