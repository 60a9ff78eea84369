//! Daily work on one branch: status, fetch, commit, push, discard.

use super::ask::Ask;
use super::errors;
use super::guard::{self, locked};
use super::steps::{self, Commit};
use super::target::Target;
use crate::api::envelope::{Answer, ApiError, ok};
use crate::git::clone::Repo;
use crate::git::status::{self, Change};
use crate::world::World;
use serde_json::{Value, json};

const MIGRATED: &str =
    "Some of the changes above are due to an update of the product that changed the format of the files.";

/// What is changed in a branch, and how it stands to its remote.
#[derive(Debug)]
pub struct Standing {
    /// Files that differ from the last commit.
    pub changes: Vec<(Change, String)>,
    /// Commits that the remote has not.
    pub ahead: u64,
    /// Commits that are only at the remote.
    pub behind: u64,
}

impl Standing {
    /// Looks at a branch; afterwards it is what the working tree holds.
    pub async fn of(world: &World, target: &Target, clone: &Repo, fetch: bool) -> Result<Self, ApiError> {
        let failed = |trouble| errors::of("status", trouble);
        if fetch {
            clone.fetch(false).await.map_err(failed)?;
        }
        steps::export(world, target, clone).await?;
        let changes = clone.changes().await.map_err(failed)?;
        let (ahead, behind) = clone.tracking(&target.branch).await.map_err(failed)?;
        Ok(Self { changes, ahead, behind })
    }

    /// Is a file changed that was there before? New and deleted ones do not keep a pull from going on.
    pub fn is_modified(&self) -> bool {
        self.changes.iter().any(|(change, _)| *change == Change::Modified)
    }
}

/// What is changed in a branch.
pub async fn status(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        // The newer paths ask the remote unless they are told not to.
        let fetch = ask.is_set("compareRemote") || (!ask.is_old && ask.word("compareRemote").is_none());
        let run = async {
            let clone = target.open(&ask.world, fetch)?;
            let standing = Standing::of(&ask.world, &target, &clone, fetch).await?;
            let mut fields = status::lists(&standing.changes);
            let migrated = standing.changes.iter().any(|(_, path)| path == "metadata.json");
            fields.insert("isClean".to_owned(), json!(standing.changes.is_empty()));
            fields.insert("aheadCount".to_owned(), json!(standing.ahead));
            fields.insert("behindCount".to_owned(), json!(standing.behind));
            fields.insert("remoteBranch".to_owned(), json!(format!("refs/remotes/origin/{}", target.branch)));
            fields.insert("conflicting".to_owned(), json!([]));
            fields.insert("migrationMessage".to_owned(), json!(if migrated { MIGRATED } else { "" }));
            ok(Value::Object(fields))
        };
        locked(&ask.world, "status", &target.base, run).await
    })
    .await
}

/// Asks the remote, and says how the branch stands to it.
pub async fn fetch(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let run = async {
            let failed = |trouble| errors::of("fetch", trouble);
            let clone = target.open(&ask.world, true)?;
            clone.fetch(false).await.map_err(failed)?;
            let (ahead, behind) = clone.tracking(&target.branch).await.map_err(failed)?;
            ok(json!({
                "aheadCount": ahead, "behindCount": behind,
                "remoteTrackingBranch": format!("refs/remotes/origin/{}", target.branch),
            }))
        };
        locked(&ask.world, "fetch", &target.base, run).await
    })
    .await
}

/// Commits the branch as it is, pushes it and deploys it. The older form pushes if it is told to.
pub async fn commit(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let author = steps::author(&ask, &target.base)?;
        let given = ask.text(&["message", "commitMessage"]).map(str::to_owned);
        let message = given.unwrap_or_else(|_| format!("{}initial commit", steps::SYSTEM));
        let push = !ask.is_old || ask.body["doPush"] == true;
        let amend = ask.body["isAmendCommit"] == true || ask.is_set("doAmend");
        let run = async {
            let clone = target.open(&ask.world, push)?;
            clone.check_out(&target.branch).await.map_err(|trouble| errors::of("checkout", trouble))?;
            let commit = Commit { message: &message, author: &author, amend, empty: false, push };
            match steps::commit(&ask.world, &target, &clone, commit).await {
                // In the newer service whatever goes wrong in here reaches the client as a failed commit.
                Err(error) if !ask.is_old && error.code().starts_with("AE-GIT-40") => {
                    Err(if error.message().starts_with("git commit") || error.code() == "AE-GIT-4043" {
                        error
                    } else {
                        errors::wrapped("commit", &error)
                    })
                }
                other => ok(json!(other?)),
            }
        };
        locked(&ask.world, "commit", &target.base, run).await
    })
    .await
}

/// Pushes what is committed. Only the older paths have it.
pub async fn push(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let run = async {
            let clone = target.open(&ask.world, true)?;
            clone.check_out(&target.branch).await.map_err(|trouble| errors::of("checkout", trouble))?;
            steps::push(&target, &clone).await?;
            ok(json!("pushed successfully with status : [OK, UP_TO_DATE]"))
        };
        locked(&ask.world, "push", &target.base, run).await
    })
    .await
}

/// Makes a branch its last commit again, and deploys that.
pub async fn discard(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let run = async {
            let clone = target.open(&ask.world, false)?;
            clone.check_out(&target.branch).await.map_err(|trouble| errors::of("discard", trouble))?;
            steps::take_in(&ask.world, &target, &clone).await?;
            steps::publish(&ask.world, &target)?;
            ok(target.shown(&ask)?)
        };
        locked(&ask.world, "discard", &target.base, run).await
    })
    .await
}
