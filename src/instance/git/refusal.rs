//! The ways in which Appsmith says no to something of Git, from `AppsmithErrorCode` and what its server does with them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why it was refused. Nothing was done, but for [`Self::Failed`] and [`Self::Protected`] in a pull, which may have
/// deployed before they failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No key, no profile, or not connected.
    NotConfigured,
    /// The Git host does not take the key.
    NoAccess,
    /// Connecting needs a repository without commits.
    NotEmpty,
    /// The remote has commits that the instance has not pulled.
    Behind,
    /// The app has changes that are not committed.
    Dirty,
    /// Only the remote has that branch.
    OnlyRemote,
    /// More private repositories than the edition allows.
    PrivateLimit,
    /// A command of Git failed.
    Failed,
    /// Both branches changed the same, in a merge.
    MergeConflict,
    /// The same, in a pull.
    PullConflict,
    /// Somebody pushed in between.
    Upstream,
    /// Only SSH addresses are taken.
    NotSsh,
    /// There is no such repository, or the key may not see it.
    NoRepository,
    /// The memory that holds the clones cannot be used.
    InMemory,
    /// The disk that holds the clones cannot be used.
    FileSystem,
    /// A command of Git took too long on the server.
    TimedOut,
    /// Another operation of the same app is going on.
    Locked,
    /// The branch is protected, in the instance or at the host.
    Protected,
    /// There is such a branch already.
    BranchExists,
    /// A data source of that name is of another kind.
    DatasourceClash,
    /// The repository is of a newer version than the instance.
    NewerSchema,
    /// A code that is not known.
    Other,
}

impl Refusal {
    /// By the code, and where that stands for many things by what is said with it. `None` for codes that are not about Git.
    pub fn read(code: &str, said: &str) -> Option<Self> {
        let said = said.to_lowercase();
        let number = match code.strip_prefix("AE-GIT-") {
            Some(number) => number,
            None if code == "AE-JSN-4045" => return Some(Self::NewerSchema),
            None => return None,
        };
        Some(match number {
            "4031" => Self::NotConfigured,
            "4032" => Self::NoAccess,
            "4033" => Self::NotEmpty,
            "4036" => Self::Behind,
            "4037" => Self::Dirty,
            "4040" => Self::OnlyRemote,
            "4043" => Self::PrivateLimit,
            // The server wraps nearly everything in this one.
            "4044" => Self::in_words(&said).unwrap_or(Self::Failed),
            "4046" => Self::MergeConflict,
            "4047" => Self::PullConflict,
            "4048" => Self::Upstream,
            "4050" => Self::NotSsh,
            "4051" => Self::NoRepository,
            "5005" | "5006" | "5007" | "5008" | "5009" | "5010" | "5011" | "5012" | "5015" => Self::InMemory,
            "5013" => Self::FileSystem,
            "5014" => Self::TimedOut,
            "5016" => Self::in_words(&said).unwrap_or(Self::Other),
            "5020" => Self::Locked,
            _ => Self::Other,
        })
    }

    fn in_words(said: &str) -> Option<Self> {
        let known = [
            ("protected", Self::Protected),
            ("uncommitted", Self::Dirty),
            ("upstream", Self::Upstream),
            ("remote is ahead", Self::Behind),
            ("same name", Self::DatasourceClash),
            ("already exists", Self::BranchExists),
            ("conflict", Self::MergeConflict),
        ];
        known.iter().find(|(words, _)| said.contains(words)).map(|(_, refusal)| *refusal)
    }

    /// It was refused because of the moment: later it may be done.
    pub fn passes(self) -> bool {
        matches!(self, Self::Locked)
    }

    /// What a person does next. What was asked for, of which app and branch, stands in the error before it.
    pub fn next(self) -> &'static str {
        match self {
            Self::NotConfigured => {
                "look at the app's Git settings in Appsmith: its key, its profile, its connection; then run it again"
            }
            Self::NoAccess => "add the instance's deploy key, with write access, at the Git host; then run it again",
            Self::NotEmpty => "make the repository empty, or name another one: connecting needs one without commits",
            Self::Behind => "pull that branch in Appsmith first, then run it again",
            Self::Dirty => "commit or discard what is changed there in Appsmith, then run it again",
            Self::OnlyRemote => "check that branch out in Appsmith once, then run it again",
            Self::PrivateLimit => {
                "the edition's limit of private repositories is reached: disconnect one, or make this one public"
            }
            Self::Failed => "look at the backend's log; run it again once the cause is gone",
            Self::MergeConflict | Self::PullConflict => {
                "solve the conflicts by a pull request at the Git host, then run it again"
            }
            Self::Upstream => "run it again: it begins with what is there now",
            Self::NotSsh => "Appsmith takes SSH addresses only, such as git@host:org/app.git",
            Self::NoRepository => "make that repository, or let the deploy key see it",
            Self::InMemory => {
                "look at the Redis that holds the repositories (`APPSMITH_REDIS_GIT_URL`); it may be full or away"
            }
            Self::FileSystem => "look at the room and the rights below /appsmith-stacks/git-storage",
            Self::TimedOut => "the Git host was slow: run it again, and raise Appsmith's Git time-out if it stays so",
            Self::Locked => {
                "another operation of this app goes on; run it again in two minutes, when its lock has expired"
            }
            Self::Protected => {
                "let the deploy key push to that branch, and unprotect it in Appsmith: each pull ends in a commit"
            }
            Self::BranchExists => "there is one of that name already; name another",
            Self::DatasourceClash => "rename the data source of the same name and another kind, then run it again",
            Self::NewerSchema => "upgrade this instance to the version of the other one first, then run it again",
            Self::Other => "look at the backend's log, then run it again",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConfigured => "its connection to Git is not complete",
            Self::NoAccess => "the Git host does not take its key",
            Self::NotEmpty => "the repository is not empty",
            Self::Behind => "the remote has commits that it has not pulled",
            Self::Dirty => "the app has changes that are not committed",
            Self::OnlyRemote => "only the remote has the branch",
            Self::PrivateLimit => "no more private repositories are allowed",
            Self::Failed => "a command of Git failed",
            Self::MergeConflict => "both branches changed the same",
            Self::PullConflict => "the remote and the app changed the same",
            Self::Upstream => "somebody pushed in between",
            Self::NotSsh => "the address is not one of SSH",
            Self::NoRepository => "there is no such repository for its key",
            Self::InMemory => "the memory that holds its repositories cannot be used",
            Self::FileSystem => "the disk that holds its repositories cannot be used",
            Self::TimedOut => "a command of Git took too long",
            Self::Locked => "another operation of the app goes on",
            Self::Protected => "the branch is protected",
            Self::BranchExists => "there is such a branch already",
            Self::DatasourceClash => "a data source of that name is of another kind",
            Self::NewerSchema => "the repository is of a newer version than the instance",
            Self::Other => "for a reason that is not known",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code of the contract's table, with the message and the next step that a person sees.
    #[test]
    fn every_code_has_a_meaning_and_a_next_step() {
        let codes = [
            ("AE-GIT-4031", ""),
            ("AE-GIT-4032", ""),
            ("AE-GIT-4033", ""),
            ("AE-GIT-4036", ""),
            ("AE-GIT-4037", ""),
            ("AE-GIT-4040", ""),
            ("AE-GIT-4043", ""),
            ("AE-GIT-4044", "git push failed. Details: broken pipe"),
            ("AE-GIT-4044", "git pull failed. Details: There are uncommitted changes present in your local."),
            ("AE-GIT-4044", "commit failed. Cannot commit to protected branch production"),
            ("AE-GIT-4044", "git create branch failed. origin/staging already exists in remote"),
            ("AE-GIT-4044", "git import failed. Datasource already exists with the same name"),
            ("AE-GIT-4044", "git status failed. Remote is ahead of local by 2 commits"),
            ("AE-GIT-4046", ""),
            ("AE-GIT-4047", ""),
            ("AE-GIT-4048", ""),
            ("AE-GIT-4050", ""),
            ("AE-GIT-4051", ""),
            ("AE-GIT-5005", ""),
            ("AE-GIT-5012", ""),
            ("AE-GIT-5013", ""),
            ("AE-GIT-5014", ""),
            ("AE-GIT-5015", ""),
            ("AE-GIT-5016", ""),
            ("AE-GIT-5020", ""),
            ("AE-GIT-9999", ""),
            ("AE-JSN-4045", ""),
        ];
        let told: Vec<String> = codes
            .iter()
            .map(|(code, said)| {
                let refusal = Refusal::read(code, said).unwrap();
                format!("{code} {said}\n  {refusal}\n  -> {}", refusal.next())
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
        assert_eq!(Refusal::read("AE-ACL-4004", ""), None);
    }
}
