//! Brings what production's branch has to production's users.

use async_trait::async_trait;

use super::{Ahead, known, told};
use crate::instance::git::{GitFailure, Refusal};
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
        let live = ahead.live()?;
        let app = ahead.deployed().await?;
        let standing = live.standing(&app).await?;
        let answer = if standing.behind > 0 { Some(live.pull(&app).await) } else { None };
        match &answer {
            Some(Err(error @ (GitFailure::NoWorkspace { .. } | GitFailure::Instance(_)))) => {
                return Err(error.to_string().into());
            }
            Some(Ok(pulled)) => cx.note(format!("`{}` pulled: {}", plan.production.instance, pulled.said)),
            _ => {}
        }
        // Waits for what may still be going on: the app has one lock.
        let mut now = live.standing(&app).await?;
        if now.behind == 0 && !now.is_clean() {
            // It was clean before. The server had merged, and ended before it took the files into the app.
            live.discard(&app).await?;
            now = live.standing(&app).await?;
        }
        let deployed_at = ahead.deployed().await?.deployed_at;
        let is_there = now.behind == 0 && now.is_clean();
        match answer {
            Some(Err(error)) if !is_there => return Err(error.into()),
            Some(Err(error)) => {
                told(cx, &format!("`{}` has pulled and deployed", plan.app), &error);
                if matches!(error, GitFailure::Refused { refusal: Refusal::Protected, .. }) || now.ahead > 0 {
                    cx.warn(format!(
                        "its own commit after the pull was not pushed: let its deploy key push to `{}`",
                        plan.production.branch
                    ));
                }
            }
            _ if !is_there => {
                return Err(format!(
                    "`{}` still lacks {} commits of `{}` after it has pulled",
                    plan.app, now.behind, plan.production.branch
                )
                .into());
            }
            _ => {}
        }
        if before.is_some() && deployed_at.as_deref() == before {
            cx.warn(format!("`{}` does not say that it was deployed anew; the checks will tell", plan.app));
        }
        Ok(())
    }
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
