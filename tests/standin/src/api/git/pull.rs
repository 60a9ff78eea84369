//! Pull: what brings a promotion to production.

use super::ask::Ask;
use super::errors;
use super::guard::{self, locked};
use super::steps::{self, Commit};
use super::target::Target;
use super::work::Standing;
use crate::api::envelope::{Answer, ok};
use crate::broken::Broken;
use crate::feature::Feature;
use crate::git::clone::Merge;
use serde_json::{Value, json};

const UP_TO_DATE: &str = "Nothing to fetch from remote. All changes are up to date.";

/// Brings the remote's commits into a branch, deploys it, and commits and pushes what the import made of them.
///
/// Whoever gets an error from the last two steps has the new state deployed all the same.
pub async fn pull(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        locked(&ask.world, "pull", &target.base, run(&ask, &target)).await
    })
    .await
}

async fn run(ask: &Ask, target: &Target) -> Answer {
    let (world, failed) = (&ask.world, |trouble| errors::of("pull", trouble));
    let author = steps::profile(ask, &target.base)?;
    let clone = target.open(world, true)?;
    let standing = Standing::of(world, target, &clone, true).await?;
    if standing.is_modified() {
        let why = "There are uncommitted changes present in your local. Please commit them first and then try git pull";
        return Err(errors::step("pull", why));
    }
    let remote = format!("origin/{}", target.branch);
    let message = format!("Merge branch '{}' of {}", target.branch, target.repository);
    let status = if !clone.has(&remote).await.map_err(failed)? {
        UP_TO_DATE.to_owned()
    } else {
        match clone.merge(&remote, &message).await.map_err(failed)? {
            Merge::UpToDate => UP_TO_DATE.to_owned(),
            Merge::FastForward(count) | Merge::Merged(count) => format!("{count} commits merged from {remote}"),
            Merge::Conflicting(files) => {
                let message = format!("Merge conflicts occurred while pulling the changes: {}", files.join(", "));
                return Err(errors::coded("AE-GIT-4047", message));
            }
        }
    };
    steps::take_in(world, target, &clone).await?;
    steps::publish(world, target)?;
    let message = format!("{}for syncing changes with remote after git pull", steps::SYSTEM);
    let commit = Commit {
        empty: world.behaviour.open.empty_followup,
        push: !world.behaviour.is(&Broken::GitNoFollowupPush),
        ..Commit::system(&message, &author)
    };
    steps::commit(world, target, &clone, commit).await?;
    let artifact = if world.behaviour.version.has(Feature::BaseIds) { "artifact" } else { "application" };
    let mut answer = json!({"mergeStatus": {"isMergeAble": true, "status": status, "conflictingFiles": Value::Null}});
    answer[artifact] = target.shown(ask)?;
    ok(answer)
}
