//! Merging one branch of an application into another.

use super::ask::Ask;
use super::errors;
use super::guard::{self, locked};
use super::steps::{self, Commit};
use super::target::Target;
use super::work::Standing;
use crate::api::envelope::{Answer, ApiError, ok};
use crate::git::clone::{Merge, Repo};
use serde_json::{Value, json};

/// Where a conflict is explained.
const CONFLICTS: &str =
    "https://docs.appsmith.com/advanced-concepts/version-control-with-git/pull-and-sync#resolve-merge-conflicts";

/// Both sides of a merge.
struct Sides {
    source: Target,
    destination: Target,
}

impl Sides {
    fn of(ask: &Ask) -> Result<Self, ApiError> {
        let target = Target::of(ask)?;
        let side = |field: &str| {
            let name = ask.text(&[field])?;
            if name.starts_with("origin/") {
                let message =
                    format!("This action is not supported on the remote branch {name}. Please check it out first.");
                return Err(errors::coded("AE-GIT-4040", message));
            }
            target.branch(&ask.world, name)?.ok_or_else(|| ApiError::not_found("branch", name))
        };
        let sides = Self { source: side("sourceBranch")?, destination: side("destinationBranch")? };
        if sides.source.branch == sides.destination.branch {
            return Err(ApiError::bad_request("Please enter a valid parameter sourceBranch."));
        }
        Ok(sides)
    }

    /// Both must be clean and have what their remotes have. The destination is in the working tree afterwards.
    async fn check(&self, ask: &Ask, clone: &Repo) -> Result<(), ApiError> {
        let mut fetch = true;
        for side in [&self.source, &self.destination] {
            let standing = Standing::of(&ask.world, side, clone, fetch).await?;
            fetch = false;
            let refused = if standing.behind > 0 {
                let message = format!(
                    "Remote is ahead of local by {} commits on branch {}. Please pull.",
                    standing.behind, side.branch
                );
                errors::coded("AE-GIT-4036", message)
            } else if standing.changes.is_empty() {
                continue;
            } else {
                let message = format!("There are uncommitted changes present in your local branch {}.", side.branch);
                errors::coded("AE-GIT-4037", message)
            };
            // In the newer service the refusal goes through the status step and loses its code.
            return Err(if ask.is_old { refused } else { errors::wrapped("status", &refused) });
        }
        Ok(())
    }
}

fn view(merge: &Merge) -> Value {
    let status = match merge {
        Merge::UpToDate => "ALREADY_UP_TO_DATE",
        Merge::FastForward(_) => "FAST_FORWARD",
        Merge::Merged(_) => "MERGED",
        Merge::Conflicting(files) => {
            return json!({
                "isMergeAble": false, "status": "CONFLICTING", "conflictingFiles": files, "referenceDoc": CONFLICTS,
                "message": "There are conflicts between the two branches.",
            });
        }
    };
    json!({"isMergeAble": true, "status": status, "message": "There are no conflicts between the two branches."})
}

/// What merging would come to.
pub async fn status(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let sides = Sides::of(&ask)?;
        let run = async {
            let clone = sides.source.open(&ask.world, true)?;
            sides.check(&ask, &clone).await?;
            let plan = clone.plan(&sides.source.branch, &sides.destination.branch).await;
            ok(view(&plan.map_err(|trouble| errors::of("merge status", trouble))?))
        };
        locked(&ask.world, "merge-status", &sides.source.base, run).await
    })
    .await
}

/// Merges, takes the destination in, commits, pushes and deploys it.
pub async fn merge(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let sides = Sides::of(&ask)?;
        let author = steps::profile(&ask, &sides.source.base)?;
        let run = async {
            let failed = |trouble| errors::of("merge", trouble);
            let (world, destination) = (&ask.world, &sides.destination);
            let clone = sides.source.open(world, true)?;
            sides.check(&ask, &clone).await?;
            clone.check_out(&destination.branch).await.map_err(failed)?;
            let message = format!("Merge branch '{}' into {}", sides.source.branch, destination.branch);
            let merged = clone.merge(&sides.source.branch, &message).await.map_err(failed)?;
            if let Merge::Conflicting(files) = &merged {
                let message = format!("Merge conflicts: {}", files.join(", "));
                return Err(errors::coded("AE-GIT-4046", message));
            }
            steps::take_in(world, destination, &clone).await?;
            let message = format!("{}to sync changes after merging {} into it", steps::SYSTEM, sides.source.branch);
            steps::commit(world, destination, &clone, Commit::system(&message, &author)).await?;
            ok(view(&merged))
        };
        locked(&ask.world, "merge", &sides.source.base, run).await
    })
    .await
}
