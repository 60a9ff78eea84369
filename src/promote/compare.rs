//! What would go live: the commits and the things between two branches.

use std::collections::BTreeSet;

use git2::{Delta as GitDelta, DiffOptions, ObjectType, Oid, Sort};
use serde::{Deserialize, Serialize};

use super::error::GitError;
use super::mirror::Mirror;
use crate::model::ids::CommitId;
use crate::model::promotion::thing::printable;
use crate::model::promotion::{Change, Delta, How, Schema, summarise};

/// More commits are counted and not listed.
const COMMITS_LISTED_MAX: usize = 50;
/// More files are no app: its things are not summed up.
const DELTAS_MAX: usize = 200_000;
const METADATA_BYTES_MAX: usize = 64 << 10;
const SUBJECT_CHARS_MAX: usize = 100;
const ODD_LISTED_MAX: usize = 50;
/// More changed things are counted as files and not named.
const CHANGES_MAX: usize = 5_000;

/// How two commits stand to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// What would come, such as staging's head.
    pub from: CommitId,
    /// To where, such as production's head.
    pub to: CommitId,
    /// Commits that only `from` has.
    pub ahead: usize,
    /// Commits that only `to` has.
    pub behind: usize,
    /// The newest of those that only `from` has.
    pub commits: Vec<CommitLine>,
    /// What is another in `from` than in `to`.
    pub changes: Vec<Change>,
    /// How many files that is.
    pub files: usize,
    /// What an app has no use for, and nothing here follows: links, submodules, names that are no text.
    pub odd: Vec<String>,
    /// The format of the files of `from`.
    pub schema: Schema,
    /// The format of the files of `to`.
    pub schema_to: Schema,
}

/// A commit, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLine {
    /// Which.
    pub id: CommitId,
    /// Its first line.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// When, seconds since 1970.
    pub at: i64,
}

impl Mirror<'_> {
    /// Compares two commits that were fetched. Memory grows with the changed files, not with the history.
    pub fn compare(&self, from: &CommitId, to: &CommitId) -> Result<Comparison, GitError> {
        let failed = |error| self.failed("compare the branches of", error);
        let (ours, theirs) = (self.commit(to)?, self.commit(from)?);
        let (ahead, behind) = self.repository.graph_ahead_behind(theirs.id(), ours.id()).map_err(failed)?;
        let mut options = DiffOptions::new();
        options.include_typechange(true).ignore_submodules(false).skip_binary_check(true);
        let (old, new) = (ours.tree().map_err(failed)?, theirs.tree().map_err(failed)?);
        self.is_bounded(&old)?;
        self.is_bounded(&new)?;
        let diff = self.repository.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options)).map_err(failed)?;
        let (mut deltas, mut odd) = (Vec::new(), Vec::new());
        for delta in diff.deltas().take(DELTAS_MAX) {
            let how = match delta.status() {
                GitDelta::Added => How::Added,
                GitDelta::Deleted => How::Removed,
                _ => How::Changed,
            };
            let file = if how == How::Removed { delta.old_file() } else { delta.new_file() };
            let path = file.path_bytes().unwrap_or_default().to_vec();
            if how != How::Removed {
                odd.extend(oddness(&path, delta.new_file().mode()).filter(|_| odd.len() < ODD_LISTED_MAX));
            }
            deltas.push(Delta { path, how });
        }
        Ok(Comparison {
            from: from.clone(),
            to: to.clone(),
            ahead,
            behind,
            commits: self.commits(theirs.id(), ours.id()).map_err(failed)?,
            changes: summarise(&deltas).into_iter().take(CHANGES_MAX).collect(),
            files: diff.deltas().len(),
            odd,
            schema: self.schema(&new),
            schema_to: self.schema(&old),
        })
    }

    /// The files that differ between two commits that were fetched, as text.
    pub fn changed_files(&self, from: &CommitId, to: &CommitId) -> Result<BTreeSet<String>, GitError> {
        let failed = |error| self.failed("compare the branches of", error);
        let (old, new) = (self.commit(to)?.tree().map_err(failed)?, self.commit(from)?.tree().map_err(failed)?);
        self.is_bounded(&old)?;
        self.is_bounded(&new)?;
        let diff = self.repository.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(failed)?;
        let paths = diff.deltas().flat_map(|delta| [delta.old_file().path_bytes(), delta.new_file().path_bytes()]);
        Ok(paths.flatten().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// The format of the files at a commit that was fetched.
    pub fn schema_at(&self, commit: &CommitId) -> Result<Schema, GitError> {
        let tree = self.commit(commit)?.tree().map_err(|error| self.failed("look into", error))?;
        Ok(self.schema(&tree))
    }

    fn commits(&self, from: Oid, not: Oid) -> Result<Vec<CommitLine>, git2::Error> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
        walk.push(from)?;
        walk.hide(not)?;
        let mut lines = Vec::new();
        for oid in walk.take(COMMITS_LISTED_MAX) {
            lines.extend(line(&self.repository.find_commit(oid?)?));
        }
        Ok(lines)
    }

    /// What cannot be read says nothing: the instance judges for itself, too.
    fn schema(&self, tree: &git2::Tree<'_>) -> Schema {
        let read = || {
            let entry = tree.get_name("metadata.json")?;
            let odb = self.repository.odb().ok()?;
            // A blob is measured before it is read.
            let (size, kind) = odb.read_header(entry.id()).ok()?;
            if kind != ObjectType::Blob || size > METADATA_BYTES_MAX {
                return None;
            }
            let blob = self.repository.find_blob(entry.id()).ok()?;
            serde_json::from_slice::<serde_json::Value>(blob.content()).ok()
        };
        let metadata = read().unwrap_or_default();
        let number = |key: &str| metadata.get(key).and_then(|it| it.as_u64()).and_then(|it| u32::try_from(it).ok());
        Schema {
            client: number("clientSchemaVersion"),
            server: number("serverSchemaVersion"),
            format: number("fileFormatVersion"),
        }
    }
}

pub(super) fn line(commit: &git2::Commit<'_>) -> Option<CommitLine> {
    let text = |bytes: &[u8]| -> String {
        let text = String::from_utf8_lossy(bytes);
        printable(&text, SUBJECT_CHARS_MAX)
    };
    let message = commit.message_bytes();
    let subject = message.split(|&byte| byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    Some(CommitLine {
        id: CommitId::new(commit.id().to_string()).ok()?,
        subject: text(subject),
        author: text(commit.author().name_bytes()),
        at: commit.time().seconds(),
    })
}

fn oddness(path: &[u8], mode: git2::FileMode) -> Option<String> {
    let text = printable(&String::from_utf8_lossy(path), SUBJECT_CHARS_MAX);
    match mode {
        git2::FileMode::Link => Some(format!("`{text}` is a link")),
        git2::FileMode::Commit => Some(format!("`{text}` is a submodule")),
        _ if std::str::from_utf8(path).is_err() => Some(format!("the name of `{text}` is no text")),
        _ if path.split(|&byte| byte == b'/').any(|part| part == b"..") => Some(format!("`{text}` leads out")),
        _ => None,
    }
}
