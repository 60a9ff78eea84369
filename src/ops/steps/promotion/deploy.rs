//! Brings what production's branch has to production's users.

use async_trait::async_trait;

use super::{Ahead, known, told};
use crate::instance::git::{Branched, GitFailure, Standing};
use crate::ops::notes::Notes;
use crate::workflow::{RunCx, Step, StepError};

/// Lets production pull. The server goes on with that when nobody waits any more, and a pull that says that it failed may
/// have deployed before; so how the app stands counts, and not what was answered.
#[derive(Debug)]
pub struct Deploy(Ahead);

impl Deploy {
    /// Of that app.
    pub fn new(ahead: Ahead) -> Self {
        Self(ahead)
    }

    /// Until the app has all that its branch has. `before` is when it was deployed before, to know that it was.
    pub(super) async fn deploy(&self, cx: &RunCx, before: Option<&str>) -> Result<(), StepError> {
        let (ahead, plan) = (&self.0, &self.0.plan);
        let app = ahead.deployed().await?;
        let failed = match self.settled(&app).await?.behind {
            0 => None,
            _ => match ahead.live()?.pull(&app).await {
                Ok(pulled) => {
                    cx.note(format!("`{}` pulled: {}", plan.production.instance, pulled.said));
                    None
                }
                Err(error @ (GitFailure::NoWorkspace { .. } | GitFailure::Instance(_))) => return Err(error.into()),
                Err(error) => Some(error),
            },
        };
        // Waits for what may still be going on: the app has one lock.
        let now = self.settled(&app).await?;
        match failed {
            Some(error) if now.behind > 0 => return Err(error.into()),
            Some(error) => {
                told(cx, &format!("`{}` has pulled and deployed", plan.app), &error);
                if now.ahead > 0 {
                    cx.warn(format!(
                        "its own commit after the pull was not pushed: let its deploy key push to `{}`",
                        plan.production.branch
                    ));
                }
            }
            None if now.behind > 0 => return Err(Box::new(Lacks { app: plan.app.clone(), count: now.behind })),
            None => {}
        }
        if before.is_some() && ahead.deployed().await?.deployed_at.as_deref() == before {
            cx.warn(format!("`{}` does not say that it was deployed anew; the checks will tell", plan.app));
        }
        Ok(())
    }

    /// How the app stands. A pull that was cut off leaves the files of its commits merged and not taken into the app: the
    /// app is put to what is committed then. Any other change is somebody's work, and is left.
    async fn settled(&self, app: &Branched) -> Result<Standing, StepError> {
        let (ahead, plan) = (&self.0, &self.0.plan);
        let standing = ahead.live()?.standing(app).await?;
        if standing.is_clean() {
            return Ok(standing);
        }
        let ours = ahead.files().await?;
        if let Some(file) = standing.modified.iter().find(|file| !ours.contains(*file)) {
            return Err(Box::new(Edited { app: plan.app.clone(), file: file.clone() }));
        }
        ahead.live()?.discard(app).await?;
        let standing = ahead.live()?.standing(app).await?;
        match standing.modified.first() {
            None => Ok(standing),
            Some(file) => Err(Box::new(Edited { app: plan.app.clone(), file: file.clone() })),
        }
    }
}

/// Production was asked to pull, and has not.
#[derive(Debug, thiserror::Error)]
#[error("`{app}` still lacks {count} commits after it has pulled")]
pub struct Lacks {
    /// Which app.
    pub app: String,
    /// How many.
    pub count: u64,
}

/// Somebody works on the app in production.
#[derive(Debug, thiserror::Error)]
#[error("`{app}` was changed in production in the meantime, and that is not committed: `{file}`")]
pub struct Edited {
    /// Which app.
    pub app: String,
    /// One of the files.
    pub file: String,
}

#[async_trait]
impl Step<Notes> for Deploy {
    fn name(&self) -> String {
        self.0.step("deploy")
    }

    fn stage(&self) -> Option<usize> {
        Some(0)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        self.deploy(cx, known(notes).deployed_at.as_deref()).await
    }
}
