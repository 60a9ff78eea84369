//! Apps whose content lies in Git repositories, as their instance sees them: what it can be asked, and how it says no.

mod refusal;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::refusal::Refusal;
use super::InstanceError;
use crate::model::ids::InstanceName;

/// What an instance can do with the repositories of its apps.
///
/// The server goes on with what it was asked for when nobody waits for the answer any more: after
/// [`GitFailure::Unanswered`] look at how it is, and never just ask again.
#[async_trait]
pub trait GitApps: Send + Sync + fmt::Debug {
    /// The apps of a workspace, by the workspace's name or id, connected or not.
    async fn apps(&self, workspace: &str) -> Result<Vec<GitApp>, GitFailure>;

    /// The app as it is on a branch. One that only the remote has is brought to the instance.
    async fn on_branch(&self, app: &GitApp, branch: &str) -> Result<Branched, GitFailure>;

    /// How it stands to the remote. Takes the app's lock and long: the server writes all of the app to files for it.
    async fn standing(&self, app: &Branched) -> Result<Standing, GitFailure>;

    /// Brings what the remote has into the app and deploys it; then the server makes a commit of its own and pushes it.
    async fn pull(&self, app: &Branched) -> Result<Pulled, GitFailure>;

    /// Puts the app back to the last commit of its branch, and deploys that.
    async fn discard(&self, app: &Branched) -> Result<(), GitFailure>;

    /// Commits all of the app, pushes and deploys it.
    async fn commit(&self, app: &Branched, message: &str) -> Result<(), GitFailure>;
}

/// An app, and how it is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitApp {
    /// The id that it has on every branch.
    pub base_id: String,
    /// As people call it.
    pub name: String,
    /// The repository, without a password; `None` where it is not connected.
    pub remote: Option<String>,
    /// The branch that its users see.
    pub default_branch: Option<String>,
    /// Whether the instance itself refuses commits on that branch; `None` where it does not say.
    pub protected: Option<bool>,
    /// When it was last deployed, in the instance's words: only whether it moves means something.
    pub deployed_at: Option<String>,
}

/// An app on one of its branches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branched {
    /// The id of the app on that branch.
    pub id: String,
    /// The id that it has on every branch.
    pub base_id: String,
    /// As people call it.
    pub name: String,
    /// Which branch.
    pub branch: String,
    /// Versions whose ids do not say the branch are told it.
    pub by_name: bool,
    /// As [`GitApp::deployed_at`].
    pub deployed_at: Option<String>,
}

/// How an app stands to its repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Files that the app would write otherwise than they were committed. An upgrade alone can do that.
    pub modified: Vec<String>,
    /// Commits that the remote does not have.
    pub ahead: u64,
    /// Commits that only the remote has.
    pub behind: u64,
    /// Why the server itself changed files, in its words.
    pub migration: Option<String>,
}

impl Standing {
    /// Nothing is left to commit.
    pub fn is_clean(&self) -> bool {
        self.modified.is_empty()
    }
}

/// What a pull came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// In the server's words.
    pub said: String,
}

/// Why something was not done, or is not known to be done.
#[derive(Debug, thiserror::Error)]
pub enum GitFailure {
    /// It said no.
    #[error("`{instance}` refused to {action}: {}", with(refusal, said))]
    Refused {
        /// Which instance.
        instance: InstanceName,
        /// What was asked for.
        action: String,
        /// Why.
        refusal: Refusal,
        /// In its words.
        said: String,
    },
    /// No answer came. It may be done, or still be going on.
    #[error("whether `{instance}` did {action} is not known: {why}")]
    Unanswered {
        /// Which instance.
        instance: InstanceName,
        /// What was asked for.
        action: String,
        /// What came instead.
        why: String,
    },
    /// There is no such workspace.
    #[error("`{instance}` has no workspace `{workspace}`, or the login may not see it; it has {known}")]
    NoWorkspace {
        /// Which instance.
        instance: InstanceName,
        /// What was asked for.
        workspace: String,
        /// What there is.
        known: String,
    },
    /// Anything else.
    #[error("{0}")]
    Instance(#[from] InstanceError),
}

fn with(refusal: &Refusal, said: &str) -> String {
    if said.is_empty() { refusal.to_string() } else { format!("{refusal} (it says: {said})") }
}
