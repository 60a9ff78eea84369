//! Brings one branch into the other, and takes that back. Only commits are made here; nothing is pushed.
//!
//! A promotion that was taken back stays in production's history. Git would take its changes for merged from then on, so
//! the next promotion brings them back first: a commit says so in a trailer, and the next merge reads it.

use std::collections::BTreeSet;

use git2::{Index, Oid, Signature, Sort, Time};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::compare::line;
use super::error::GitError;
use super::mirror::Mirror;
use crate::model::ids::CommitId;
use crate::model::promotion::Style;

const REVERTS: &str = "Tidegate-Reverts: ";
const REAPPLIES: &str = "Tidegate-Reapplies: ";
/// How Appsmith begins the message of a commit that it makes by itself, such as after each pull.
const BY_APPSMITH: &str = "System generated commit";
/// Commits of production that staging does not have; more are not looked at.
const OWN_COMMITS_MAX: usize = 10_000;
const CONFLICTS_LISTED_MAX: usize = 100;

/// Who writes our commits, and when: the same each time a step is done, so that its commit is the same one.
#[derive(Clone, Debug)]
pub struct Author {
    /// A name.
    pub name: String,
    /// An address.
    pub email: String,
    /// To the second.
    pub at: Timestamp,
}

/// What merging came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Merged {
    /// There is nothing to bring.
    UpToDate,
    /// The branch only moves on.
    FastForward {
        /// To where.
        commit: CommitId,
    },
    /// A commit with both as its parents.
    Commit {
        /// Which.
        commit: CommitId,
    },
    /// Both changed the same, or it is no fast-forward and must be one.
    Conflicts {
        /// The files.
        paths: Vec<String>,
    },
    /// `ff-only`, and the other has commits of its own.
    NotForward,
}

impl Mirror<'_> {
    /// Makes the commit that brings `from` into `into`. Both were fetched.
    pub fn merge(
        &self,
        from: &CommitId,
        into: &CommitId,
        style: Style,
        author: &Author,
        message: &str,
    ) -> Result<Merged, GitError> {
        let (theirs, ours) = (self.commit(from)?.id(), self.commit(into)?.id());
        self.merged(theirs, ours, style, author, message).map_err(|error| self.failed("merge the branches of", error))
    }

    fn merged(
        &self,
        theirs: Oid,
        ours: Oid,
        style: Style,
        author: &Author,
        message: &str,
    ) -> Result<Merged, git2::Error> {
        let repository = &self.repository;
        let id = |oid: Oid| CommitId::new(oid.to_string()).map_err(|error| git2::Error::from_str(&error.to_string()));
        if ours == theirs {
            return Ok(Merged::UpToDate);
        }
        let outstanding = self.outstanding(ours, theirs)?;
        if outstanding.is_empty() && repository.graph_descendant_of(ours, theirs)? {
            return Ok(Merged::UpToDate);
        }
        if repository.graph_descendant_of(theirs, ours)? && style != Style::NoFf {
            return Ok(Merged::FastForward { commit: id(theirs)? });
        }
        if style == Style::FfOnly {
            return Ok(Merged::NotForward);
        }
        let mut ours = ours;
        for revert in outstanding {
            match self.reapplied(revert, ours, author)? {
                Ok(commit) => ours = commit,
                Err(paths) => return Ok(Merged::Conflicts { paths }),
            }
        }
        if repository.graph_descendant_of(ours, theirs)? {
            return Ok(Merged::Commit { commit: id(ours)? });
        }
        let (our, their) = (repository.find_commit(ours)?, repository.find_commit(theirs)?);
        let mut index = repository.merge_commits(&our, &their, None)?;
        if index.has_conflicts() {
            return Ok(Merged::Conflicts { paths: conflicts(&index)? });
        }
        let tree = repository.find_tree(index.write_tree_to(repository)?)?;
        let signature = signature(author)?;
        let commit = repository.commit(None, &signature, &signature, message, &tree, &[&our, &their])?;
        Ok(Merged::Commit { commit: id(commit)? })
    }

    /// Makes the commit that puts `before` back on top of `head`, which `made` led to. Refuses where somebody else's
    /// commits came after `made`; those that Appsmith makes by itself count as part of the promotion.
    pub fn revert(
        &self,
        before: &CommitId,
        made: &CommitId,
        head: &CommitId,
        branch: &str,
        author: &Author,
        message: &str,
    ) -> Result<CommitId, GitError> {
        let failed = |error| self.failed("revert", error);
        let (old, made, head) = (self.commit(before)?, self.commit(made)?, self.commit(head)?);
        let mut walk = self.repository.revwalk().map_err(failed)?;
        walk.push(head.id()).map_err(failed)?;
        walk.hide(made.id()).map_err(failed)?;
        let mut others = Vec::new();
        for oid in walk.take(OWN_COMMITS_MAX) {
            let commit = self.repository.find_commit(oid.map_err(failed)?).map_err(failed)?;
            if !commit.message_bytes().starts_with(BY_APPSMITH.as_bytes()) {
                others.push(commit);
            }
        }
        if let Some(first) = others.last() {
            let first = line(first).map(|line| format!("{} {}", line.id.short(), line.subject)).unwrap_or_default();
            let (remote, branch) = (self.remote.clone(), branch.to_owned());
            return Err(GitError::Others { remote, branch, count: others.len(), first });
        }
        let message = format!("{message}\n\n{REVERTS}{}\n", made.id());
        let make = || {
            let signature = signature(author)?;
            self.repository.commit(None, &signature, &signature, &message, &old.tree()?, &[&head])
        };
        self.id(make().map_err(failed)?)
    }

    /// Whether `made` was taken back between it and `head`.
    pub fn is_reverted(&self, head: &CommitId, made: &CommitId) -> Result<bool, GitError> {
        let failed = |error| self.failed("look into", error);
        let (head, made) = (self.commit(head)?, self.commit(made)?);
        let mut walk = self.repository.revwalk().map_err(failed)?;
        walk.push(head.id()).map_err(failed)?;
        walk.hide(made.id()).map_err(failed)?;
        let wanted = format!("{REVERTS}{}", made.id());
        for oid in walk.take(OWN_COMMITS_MAX) {
            let commit = self.repository.find_commit(oid.map_err(failed)?).map_err(failed)?;
            if String::from_utf8_lossy(commit.message_bytes()).lines().any(|line| line == wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What took promotions back that were not brought again, and that staging still wants: commits that only `ours` has,
    /// oldest first.
    fn outstanding(&self, ours: Oid, theirs: Oid) -> Result<Vec<Oid>, git2::Error> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        walk.push(ours)?;
        walk.hide(theirs)?;
        let (mut reverts, mut again) = (Vec::new(), BTreeSet::new());
        for oid in walk.take(OWN_COMMITS_MAX) {
            let commit = self.repository.find_commit(oid?)?;
            let message = String::from_utf8_lossy(commit.message_bytes());
            let trailer = |key| message.lines().filter_map(move |line| line.strip_prefix(key));
            let promoted = trailer(REVERTS).next().and_then(|id| Oid::from_str(id.trim()).ok());
            if let Some(promoted) = promoted.filter(|_| commit.parent_count() == 1)
                && self.is_wanted(promoted, theirs)?
            {
                reverts.push(commit.id());
            }
            again.extend(trailer(REAPPLIES).filter_map(|id| Oid::from_str(id.trim()).ok()));
        }
        Ok(reverts.into_iter().filter(|revert| !again.contains(revert)).collect())
    }

    /// Whether staging's branch has what was promoted by that commit: the commit itself, or what it merged.
    fn is_wanted(&self, promoted: Oid, theirs: Oid) -> Result<bool, git2::Error> {
        let Ok(mut promoted) = self.repository.find_commit(promoted) else { return Ok(false) };
        // What only brought something back that was taken back is wanted as long as that is.
        while let Some(first) = self.brought_back(&promoted) {
            promoted = first;
        }
        for id in promoted.parent_ids().skip(1).chain([promoted.id()]) {
            if id == theirs || self.repository.graph_descendant_of(theirs, id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was promoted first, where the commit only brings that back.
    fn brought_back(&self, commit: &git2::Commit<'_>) -> Option<git2::Commit<'_>> {
        let trailer = |commit: &git2::Commit<'_>, key: &str| {
            let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
            message.lines().find_map(|line| Oid::from_str(line.strip_prefix(key)?.trim()).ok())
        };
        let revert = self.repository.find_commit(trailer(commit, REAPPLIES)?).ok()?;
        let first = self.repository.find_commit(trailer(&revert, REVERTS)?).ok()?;
        // Trailers are only text: none may lead in a circle.
        self.repository.graph_descendant_of(commit.id(), first.id()).ok()?.then_some(first)
    }

    /// What the revert took back, on top of `ours`; the files that cannot be brought back, else.
    fn reapplied(&self, revert: Oid, ours: Oid, author: &Author) -> Result<Result<Oid, Vec<String>>, git2::Error> {
        let repository = &self.repository;
        let (revert, ours) = (repository.find_commit(revert)?, repository.find_commit(ours)?);
        let promoted = revert.parent(0)?.tree()?;
        let mut index = repository.merge_trees(&revert.tree()?, &ours.tree()?, &promoted, None)?;
        if index.has_conflicts() {
            return Ok(Err(conflicts(&index)?));
        }
        let tree = repository.find_tree(index.write_tree_to(repository)?)?;
        let signature = signature(author)?;
        let message =
            format!("Bring back what was taken back in {:.8}\n\n{REAPPLIES}{}\n", revert.id().to_string(), revert.id());
        repository.commit(None, &signature, &signature, &message, &tree, &[&ours]).map(Ok)
    }
}

fn signature(author: &Author) -> Result<Signature<'static>, git2::Error> {
    Signature::new(&author.name, &author.email, &Time::new(author.at.as_second(), 0))
}

fn conflicts(index: &Index) -> Result<Vec<String>, git2::Error> {
    let mut paths = BTreeSet::new();
    for conflict in index.conflicts()?.take(CONFLICTS_LISTED_MAX) {
        let conflict = conflict?;
        let entry = conflict.our.or(conflict.their).or(conflict.ancestor);
        paths.extend(entry.map(|entry| String::from_utf8_lossy(&entry.path).replace(char::is_control, "\u{fffd}")));
    }
    Ok(paths.into_iter().collect())
}
