//! Our own bare copy of a repository: a cache, made anew whenever it is damaged or has grown odd. Nothing is ever
//! checked out, so nothing of its content reaches a file system, and no hook runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{
    AutotagOption, Direction, FetchOptions, Oid, ProxyOptions, PushOptions, RemoteRedirect, Repository,
    RepositoryInitOptions,
};
use sha2::{Digest, Sha256};

use super::access::{Access, Bounds, Session, in_words};
use super::error::GitError;
use crate::model::ids::CommitId;
use crate::model::promotion::Address;

/// Each fetch adds a pack. A copy with more is made anew.
const PACKS_MAX: usize = 60;

/// Files and folders; an app has some hundreds.
const ENTRIES_MAX: usize = 500_000;

/// What a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The branch that a clone gets.
    pub default_branch: Option<String>,
    /// All branches with their heads.
    pub branches: BTreeMap<String, CommitId>,
}

/// A copy that is open. Every method blocks.
pub struct Mirror<'a> {
    pub(super) repository: Repository,
    pub(super) remote: &'a Address,
    reached: Address,
    access: &'a Access,
}

impl<'a> Mirror<'a> {
    /// Opens the copy below `folder`, or makes an empty one.
    pub fn open(folder: &Path, remote: &'a Address, access: &'a Access) -> Result<Self, GitError> {
        let path = place(folder, remote);
        let reached = remote.instead(&access.instead_of)?;
        let repository = match Repository::open_bare(&path) {
            Ok(repository) => repository,
            Err(_) => {
                remove(&path, remote)?;
                init(&path).map_err(|error| failed("make a copy of", remote, &error))?
            }
        };
        let guarded = repository.config().and_then(|mut config| config.set_bool("http.followRedirects", false));
        guarded.map_err(|error| failed("make a copy of", remote, &error))?;
        Ok(Self { repository, remote, reached, access })
    }

    /// Throws the copy away if it has grown odd. Nobody may be at work with it.
    pub fn tidy(folder: &Path, remote: &Address) -> Result<(), GitError> {
        let path = place(folder, remote);
        if count_packs(&path) > PACKS_MAX { remove(&path, remote) } else { Ok(()) }
    }

    /// Whether these commits are here.
    pub fn has_all(&self, commits: &[&CommitId]) -> bool {
        commits.iter().all(|commit| self.commit(commit).is_ok())
    }

    /// Refuses a tree of more entries than any app has: a few bytes of nested trees can stand for millions.
    pub(super) fn is_bounded(&self, tree: &git2::Tree<'_>) -> Result<(), GitError> {
        let mut count = 0_usize;
        let walked = tree.walk(git2::TreeWalkMode::PreOrder, |_, _| {
            count += 1;
            if count > ENTRIES_MAX { git2::TreeWalkResult::Abort } else { git2::TreeWalkResult::Ok }
        });
        if count > ENTRIES_MAX {
            return Err(GitError::TooMany { remote: self.remote.clone(), limit: ENTRIES_MAX });
        }
        walked.map_err(|error| self.failed("look into", error))
    }

    /// What is there, without fetching it.
    pub fn heads(&self, bounds: &Bounds) -> Result<Heads, GitError> {
        let session = Session::new(self.access, &self.reached, bounds);
        let end = |error| session.reason("list the branches of", error);
        let mut remote = self.repository.remote_anonymous(self.reached.as_str()).map_err(end)?;
        let connection =
            remote.connect_auth(Direction::Fetch, Some(session.callbacks()), Some(proxy())).map_err(end)?;
        heads(connection.list().map_err(end)?, self.remote)
    }

    /// Fetches these branches, and says where they are now. Other branches and tags are left alone.
    pub fn fetch(&self, branches: &[&str], bounds: &Bounds) -> Result<Heads, GitError> {
        let heads = self.heads(bounds)?;
        for branch in branches {
            if !heads.branches.contains_key(*branch) {
                return Err(GitError::NoBranch { remote: self.remote.clone(), branch: (*branch).to_owned() });
            }
        }
        let session = Session::new(self.access, &self.reached, bounds);
        let end = |error| session.reason("fetch", error);
        let mut remote = self.repository.remote_anonymous(self.reached.as_str()).map_err(end)?;
        let specs: Vec<String> = branches.iter().map(|it| format!("+refs/heads/{it}:{}", kept_as(it))).collect();
        let mut options = FetchOptions::new();
        options.remote_callbacks(session.callbacks()).proxy_options(proxy());
        options.download_tags(AutotagOption::None).update_fetchhead(false).follow_redirects(RemoteRedirect::None);
        remote.fetch(&specs, Some(&mut options), None).map_err(end)?;
        // What came is what counts: somebody may have pushed since the list.
        let mut heads = heads;
        for branch in branches {
            heads.branches.insert((*branch).to_owned(), self.head(branch)?);
        }
        Ok(heads)
    }

    /// Where the branch was when it was last fetched.
    pub fn head(&self, branch: &str) -> Result<CommitId, GitError> {
        let missing = || GitError::NoBranch { remote: self.remote.clone(), branch: branch.to_owned() };
        let oid = self.repository.refname_to_id(&kept_as(branch)).map_err(|_| missing())?;
        commit_id(oid, self.remote)
    }

    /// Moves a branch there, or makes a tag; only forwards. `reference` in full, such as `refs/heads/production`.
    ///
    /// An error says nothing about whether it was done: an answer can get lost. Ask [`Self::heads`].
    pub fn push(&self, commit: &CommitId, reference: &str, bounds: &Bounds) -> Result<(), GitError> {
        let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned();
        let session = Session::new(self.access, &self.reached, bounds);
        let moved = || GitError::Moved { remote: self.remote.clone(), branch: branch.clone() };
        let end = |error: git2::Error| match error.code() {
            git2::ErrorCode::NotFastForward => moved(),
            _ => session.reason("push to", error),
        };
        let mut remote = self.repository.remote_anonymous(self.reached.as_str()).map_err(end)?;
        let mut options = PushOptions::new();
        options.remote_callbacks(session.callbacks()).proxy_options(proxy());
        options.follow_redirects(RemoteRedirect::None);
        remote.push(&[format!("{commit}:{reference}")], Some(&mut options)).map_err(end)?;
        match session.rejected() {
            None => Ok(()),
            Some((_, reason)) if reason.contains("non-fast-forward") || reason.contains("fetch first") => Err(moved()),
            Some((_, reason)) => Err(GitError::Rejected {
                remote: self.remote.clone(),
                branch,
                reason: reason.trim().replace(char::is_control, " "),
            }),
        }
    }

    /// Whether the history of `head` has `commit`; both as far as they were fetched.
    pub fn has(&self, head: &CommitId, commit: &CommitId) -> Result<bool, GitError> {
        let head = self.commit(head)?.id();
        let Ok(commit) = self.commit(commit) else { return Ok(false) };
        let has = head == commit.id()
            || self
                .repository
                .graph_descendant_of(head, commit.id())
                .map_err(|error| self.failed("look into", error))?;
        Ok(has)
    }

    /// libgit2 failed at something of the copy.
    pub(super) fn failed(&self, action: &'static str, error: git2::Error) -> GitError {
        failed(action, self.remote, &error)
    }

    pub(super) fn commit(&self, id: &CommitId) -> Result<git2::Commit<'_>, GitError> {
        let missing = || GitError::NoCommit { remote: self.remote.clone(), commit: id.short().to_owned() };
        let oid = Oid::from_str(id.as_str()).map_err(|_| missing())?;
        self.repository.find_commit(oid).map_err(|_| missing())
    }

    pub(super) fn id(&self, oid: Oid) -> Result<CommitId, GitError> {
        commit_id(oid, self.remote)
    }
}

/// Our own references, apart from those of the remote's side.
fn kept_as(branch: &str) -> String {
    format!("refs/tidegate/{branch}")
}

fn proxy() -> ProxyOptions<'static> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

fn heads(list: &[git2::RemoteHead<'_>], remote: &Address) -> Result<Heads, GitError> {
    let mut heads = Heads { default_branch: None, branches: BTreeMap::new() };
    for head in list {
        if let Some(branch) = head.name().strip_prefix("refs/heads/") {
            heads.branches.insert(branch.to_owned(), commit_id(head.oid(), remote)?);
        } else if head.name() == "HEAD" {
            let target = head.symref_target().and_then(|target| target.strip_prefix("refs/heads/"));
            heads.default_branch = target.map(str::to_owned);
        }
    }
    Ok(heads)
}

/// One folder for each address.
fn place(folder: &Path, remote: &Address) -> PathBuf {
    let name: String = Sha256::digest(remote.as_str()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{name}.git"))
}

fn init(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    // No template: it could bring hooks and settings of this host.
    options.bare(true).mkpath(true).external_template(false).no_reinit(true);
    Repository::init_opts(path, &options)
}

fn count_packs(path: &Path) -> usize {
    let entries = std::fs::read_dir(path.join("objects/pack")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count()
}

fn remove(path: &Path, remote: &Address) -> Result<(), GitError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(GitError::Git { action: "make the copy anew of", remote: remote.clone(), source: error.into() })
        }
        _ => Ok(()),
    }
}

fn commit_id(oid: Oid, remote: &Address) -> Result<CommitId, GitError> {
    CommitId::new(oid.to_string()).map_err(|error| GitError::Git {
        action: "understand",
        remote: remote.clone(),
        source: error.into(),
    })
}

pub(super) fn failed(action: &'static str, remote: &Address, error: &git2::Error) -> GitError {
    GitError::Git { action, remote: remote.clone(), source: in_words(error).into() }
}
