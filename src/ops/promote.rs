//! Promotes one app: what was built on staging's branch goes live in production.
//!
//! The commits are merged on a copy of our own and pushed; then production is asked to pull. What production's users
//! see changes with that pull, and the checks that come after it decide: if they fail, a commit that takes the merge back
//! is pushed and pulled. Instances are never stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::notes::Notes;
use super::steps::promotion::{Ahead, Deploy, Judge, Mark, Merge};
use super::{Tools, UnknownInstance};
use crate::instance::InstanceError;
use crate::instance::git::{GitApp, GitApps, GitFailure};
use crate::model::ids::{CommitId, InstanceName};
use crate::model::promotion::guard::{self, Frozen};
use crate::model::promotion::{Address, BadAddress, Style};
use crate::promote::{Author, Comparison, Git, GitError, Merged};
use crate::workflow::Step;

/// From where to where, and how: what the configuration says.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The repositories.
    pub git: Git,
    /// Where people build.
    pub staging: Place,
    /// Where people work.
    pub production: Place,
    /// How branches are merged.
    pub merge: Style,
    /// Who writes commits: name and address.
    pub author: (String, String),
}

/// A workspace of an instance, and the branch that it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// On which instance.
    pub instance: InstanceName,
    /// Its name or id.
    pub workspace: String,
    /// On which branch.
    pub branch: String,
}

/// What a promotion run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotePlan {
    /// As it is called on staging.
    pub app: String,
    /// Its repository, as the instances reach it.
    pub remote: String,
    /// Where it was built.
    pub staging: Place,
    /// Where it goes live.
    pub production: Place,
    /// The app in production.
    pub target: GitApp,
    /// What would go live: of these very commits, also if somebody pushes more in the meantime.
    pub comparison: Comparison,
    /// How.
    pub merge: Style,
    /// What the merge comes to.
    pub merged: Merged,
    /// Production has not pulled what its branch has already: so many commits.
    pub unpulled: u64,
    /// What stands in the way. With one of these nothing is begun.
    pub obstacles: Vec<Obstacle>,
    /// Who writes the commits.
    pub author: (String, String),
    /// When they were planned: the time of the commits, so that a step that is done again makes the same ones.
    pub at: Timestamp,
}

/// Why an app cannot be promoted now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Obstacle {
    /// Versions or files do not fit.
    Frozen {
        /// Which and until when.
        frozen: Frozen,
    },
    /// Both branches changed the same.
    Conflicts {
        /// The files.
        paths: Vec<String>,
    },
    /// `ff-only`, and production's branch has commits of its own.
    NotForward,
    /// Production's app has changes that nobody committed; a pull would be refused.
    Dirty {
        /// The files.
        files: Vec<String>,
        /// Why the server itself changed them, in its words.
        migration: Option<String>,
    },
    /// What users see in production is another branch.
    OtherBranch {
        /// Which.
        branch: String,
    },
    /// Production refuses commits on its branch, and each pull ends in one.
    Protected,
    /// Production has commits that it could not push: the next pull would merge them, and nobody could take that back.
    Unpushed {
        /// How many.
        count: u64,
    },
}

impl PromotePlan {
    /// There is nothing to do.
    pub fn is_in_step(&self) -> bool {
        self.merged == Merged::UpToDate && self.unpulled == 0
    }

    /// Our commits of this plan.
    pub fn author(&self) -> Author {
        let (name, email) = self.author.clone();
        Author { name, email, at: self.at }
    }

    /// Its repository.
    pub fn address(&self) -> Result<Address, BadAddress> {
        Address::parse(&self.remote)
    }

    /// The commit that production's branch is to get; `None` where there is nothing to push.
    pub fn made(&self) -> Option<&CommitId> {
        match &self.merged {
            Merged::FastForward { commit } | Merged::Commit { commit } => Some(commit),
            _ => None,
        }
    }

    /// The message of its merge.
    pub fn message(&self) -> String {
        let Comparison { from, to, .. } = &self.comparison;
        format!(
            "Promote {} from {} to {}\n\nBy Tidegate, {} on top of {}.\n",
            self.app,
            self.staging.branch,
            self.production.branch,
            from.short(),
            to.short()
        )
    }
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &PromotePlan) -> Vec<Box<dyn Step<Notes>>> {
    let plan = Arc::new(plan.clone());
    let ahead = || Ahead { tools: tools.clone(), plan: plan.clone() };
    vec![
        Box::new(ahead()),              // nothing has moved since it was planned; how production is now
        Box::new(Merge::new(ahead())),  // pushed: who pulls gets it
        Box::new(Deploy::new(ahead())), // users see it from here
        Box::new(Judge::new(ahead())),  // against how it was
        Box::new(Mark::new(ahead())),   // a tag
    ]
}

/// What was found out about apps.
#[derive(Debug, Default)]
pub struct Planned {
    /// Those that are in both places.
    pub plans: Vec<PromotePlan>,
    /// Those that cannot be promoted at all, and why.
    pub left: BTreeMap<String, String>,
}

/// A promotion that makes no sense, or cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The configuration says nothing of it.
    #[error("`[environments]` is not configured, so there is nothing to promote from and to")]
    NotConfigured,
    /// It is not configured.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// Its apps cannot be reached.
    #[error("the apps of `{instance}` cannot be reached: it is no Appsmith, or has no login")]
    NoGit {
        /// Which.
        instance: InstanceName,
    },
    /// There is no such app.
    #[error("`{workspace}` of `{instance}` has no app `{app}`; it has {known}")]
    NoApp {
        /// What was asked for.
        app: String,
        /// Where.
        instance: InstanceName,
        /// Where.
        workspace: String,
        /// What there is.
        known: String,
    },
    /// It is there, and cannot be promoted.
    #[error("`{app}` cannot be promoted: {why}")]
    Left {
        /// Which.
        app: String,
        /// Why.
        why: String,
    },
    /// The instance refused, or did not answer.
    #[error("{0}")]
    Git(#[from] GitFailure),
    /// The repository failed.
    #[error("{0}")]
    Repository(#[from] GitError),
    /// The instance failed.
    #[error("{0}")]
    Instance(#[from] InstanceError),
}

/// The part of an instance that drives its repositories.
pub(super) fn git_of<'a>(tools: &'a Tools, instance: &InstanceName) -> Result<&'a dyn GitApps, PromoteError> {
    let adapter = tools.instance(instance)?;
    adapter.git().ok_or_else(|| PromoteError::NoGit { instance: instance.clone() })
}

/// Plans the promotion of these apps, of all that are connected where none is named. Changes nothing: what it fetches is
/// kept in a copy of our own.
pub async fn plan(tools: &Tools, names: &[String]) -> Result<Planned, PromoteError> {
    let promotion = tools.promotion.as_ref().ok_or(PromoteError::NotConfigured)?;
    let Promotion { staging, production, .. } = promotion;
    let built = git_of(tools, &staging.instance)?.apps(&staging.workspace).await?;
    let live = git_of(tools, &production.instance)?.apps(&production.workspace).await?;
    for name in names {
        if !built.iter().any(|app| app.name == *name) {
            let known: Vec<String> = built.iter().map(|app| format!("`{}`", app.name)).collect();
            return Err(PromoteError::NoApp {
                app: name.clone(),
                instance: staging.instance.clone(),
                workspace: staging.workspace.clone(),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            });
        }
    }
    let versions = (
        tools.instance(&staging.instance)?.version(&*tools.engine).await?,
        tools.instance(&production.instance)?.version(&*tools.engine).await?,
    );
    let mut planned = Planned::default();
    for app in built.iter().filter(|app| names.is_empty() || names.contains(&app.name)) {
        let Some(remote) = &app.remote else {
            planned.left.insert(app.name.clone(), "it is not connected to Git".into());
            continue;
        };
        let Some(target) = live.iter().find(|other| other.remote.as_ref() == Some(remote)) else {
            let why = format!("`{}` of `{}` has no app of {remote}", production.workspace, production.instance);
            planned.left.insert(app.name.clone(), why);
            continue;
        };
        match plan_one(tools, promotion, app, target, remote).await {
            Ok(mut plan) => {
                let (staging, production) = (versions.0.as_ref(), versions.1.as_ref());
                // What it has not pulled yet is what comes first.
                let seen = &plan.comparison;
                let files = if plan.unpulled > 0 { seen.schema_to } else { seen.schema };
                let frozen = guard::frozen(staging, production, files);
                if let Some(frozen) = frozen.filter(|_| !plan.is_in_step()) {
                    plan.obstacles.insert(0, Obstacle::Frozen { frozen });
                }
                planned.plans.push(plan);
            }
            // One that cannot be looked at keeps no other from it.
            Err(error) if names.is_empty() => {
                planned.left.insert(app.name.clone(), crate::workflow::chain(&error));
            }
            Err(error) => return Err(error),
        }
    }
    for name in names {
        if let Some(why) = planned.left.get(name) {
            return Err(PromoteError::Left { app: name.clone(), why: why.clone() });
        }
    }
    Ok(planned)
}

async fn plan_one(
    tools: &Tools,
    promotion: &Promotion,
    app: &GitApp,
    target: &GitApp,
    remote: &str,
) -> Result<PromotePlan, PromoteError> {
    let Promotion { git, staging, production, merge, author } = promotion;
    let address = Address::parse(remote).map_err(GitError::from)?;
    if address.host().is_none() {
        return Err(PromoteError::Left {
            app: app.name.clone(),
            why: "its repository is a folder of the instance itself".into(),
        });
    }
    let live = git_of(tools, &production.instance)?;
    let (from, into) = (staging.branch.clone(), production.branch.clone());
    let comparison = git
        .with(&address, move |mirror, bounds| {
            let heads = mirror.fetch(&[&from, &into], bounds)?;
            mirror.compare(&heads.branches[&from], &heads.branches[&into])
        })
        .await?;
    let mut plan = PromotePlan {
        app: app.name.clone(),
        remote: remote.to_owned(),
        staging: staging.clone(),
        production: production.clone(),
        target: target.clone(),
        comparison,
        merge: *merge,
        merged: Merged::UpToDate,
        unpulled: 0,
        obstacles: Vec::new(),
        author: author.clone(),
        // Git's time has no parts of seconds.
        at: Timestamp::from_second((tools.now)().as_second()).unwrap_or_default(),
    };
    plan.merged = merged(git, &plan, &address).await?;
    match &plan.merged {
        Merged::Conflicts { paths } => plan.obstacles.push(Obstacle::Conflicts { paths: paths.clone() }),
        Merged::NotForward => plan.obstacles.push(Obstacle::NotForward),
        _ => {}
    }
    if let Some(branch) = target.default_branch.as_ref().filter(|branch| **branch != production.branch) {
        // To look at a branch that production does not have would bring it there.
        plan.obstacles.push(Obstacle::OtherBranch { branch: branch.clone() });
        return Ok(plan);
    }
    if target.protected == Some(true) {
        plan.obstacles.push(Obstacle::Protected);
    }
    let standing = live.standing(&live.on_branch(target, &production.branch).await?).await?;
    plan.unpulled = standing.behind;
    if plan.unpulled > 0 {
        // First what is on the branch already, checked by itself: what is taken back goes back to something that was live.
        plan.merged = Merged::UpToDate;
        plan.obstacles.retain(|obstacle| !matches!(obstacle, Obstacle::Conflicts { .. } | Obstacle::NotForward));
    }
    if standing.ahead > 0 {
        plan.obstacles.push(Obstacle::Unpushed { count: standing.ahead });
    }
    if !standing.is_clean() {
        let (files, migration) = (standing.modified, standing.migration);
        plan.obstacles.push(Obstacle::Dirty { files, migration });
    }
    Ok(plan)
}

/// Makes the commits of the plan; the same each time.
pub(super) async fn merged(git: &Git, plan: &PromotePlan, address: &Address) -> Result<Merged, GitError> {
    let (from, to) = (plan.comparison.from.clone(), plan.comparison.to.clone());
    let (style, author, message) = (plan.merge, plan.author(), plan.message());
    let branches = (plan.staging.branch.clone(), plan.production.branch.clone());
    let merge = git.with(address, move |mirror, bounds| {
        // The copy may have been thrown away since.
        if !mirror.has_all(&[&from, &to]) {
            mirror.fetch(&[&branches.0, &branches.1], bounds)?;
        }
        mirror.merge(&from, &to, style, &author, &message)
    });
    merge.await
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frozen { frozen } => write!(f, "frozen: {frozen}"),
            Self::Conflicts { paths } => write!(f, "both branches changed {}", listed(paths)),
            Self::NotForward => f.write_str("production's branch has commits of its own, and `merge` is \"ff-only\""),
            Self::Dirty { files, migration } => {
                write!(f, "production's app has changes that are not committed: {}", listed(files))?;
                migration.as_ref().map_or(Ok(()), |why| write!(f, " ({why})"))
            }
            Self::OtherBranch { branch } => write!(f, "production shows its users the branch `{branch}`"),
            Self::Unpushed { count } => {
                write!(
                    f,
                    "production has {count} commits that it could not push; let its deploy key push, then commit there once"
                )
            }
            Self::Protected => {
                f.write_str("production's branch is protected in Appsmith, and each pull ends in a commit on it")
            }
        }
    }
}

const LISTED_MAX: usize = 5;

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        text.push_str(&format!(" and {} more", names.len() - LISTED_MAX));
    }
    text
}
