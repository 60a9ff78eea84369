//! What can go wrong with Git.

use std::fmt;
use std::path::PathBuf;

use crate::model::promotion::{Address, BadAddress};
use crate::stream::BoxError;

/// The key by which a host is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:` and base64, as `ssh-keygen -lf` shows it.
    pub fingerprint: String,
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} key {}", self.kind, self.fingerprint)
    }
}

/// Why something of Git was not done.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Nobody answers, or the connection broke.
    #[error("cannot reach `{remote}`")]
    Unreachable {
        /// Which repository.
        remote: Address,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// It did not answer in time.
    #[error("`{remote}` was given up after {seconds} s")]
    TooSlow {
        /// Which repository.
        remote: Address,
        /// The limit.
        seconds: u64,
    },
    /// Somebody wanted it to stop.
    #[error("`{remote}` was left alone, as it was asked for")]
    Cancelled {
        /// Which repository.
        remote: Address,
    },
    /// It refused who we are.
    #[error("`{remote}` refused the login with {tried}")]
    Refused {
        /// Which repository.
        remote: Address,
        /// What was tried.
        tried: String,
    },
    /// There is nothing to log in with.
    #[error("nothing is configured to log in to `{remote}` with: {missing}")]
    NoLogin {
        /// Which repository.
        remote: Address,
        /// What could be.
        missing: &'static str,
    },
    /// The file of a token or a passphrase cannot be read.
    #[error("cannot read `{}`", path.display())]
    NoSecret {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Who answers is not known.
    #[error("the host of `{remote}` is not known: it shows {shown}{}", other_kinds(known))]
    UnknownHost {
        /// Which repository.
        remote: Address,
        /// What it shows.
        shown: Box<HostKey>,
        /// Keys of other kinds that it is known by.
        known: Vec<String>,
    },
    /// Who answers is not who answered before.
    #[error("the host of `{remote}` shows another key than {place} has: {shown}")]
    ChangedHost {
        /// Which repository.
        remote: Address,
        /// What it shows.
        shown: Box<HostKey>,
        /// Where another one is written, or this one is revoked.
        place: String,
    },
    /// There is no such branch.
    #[error("`{remote}` has no branch `{branch}`")]
    NoBranch {
        /// Which repository.
        remote: Address,
        /// Which branch.
        branch: String,
    },
    /// Somebody pushed in the meantime.
    #[error("`{branch}` of `{remote}` has moved in the meantime")]
    Moved {
        /// Which repository.
        remote: Address,
        /// Which branch.
        branch: String,
    },
    /// The server does not want it, such as on a protected branch.
    #[error("`{remote}` refused the push of `{branch}`: {reason}")]
    Rejected {
        /// Which repository.
        remote: Address,
        /// What was pushed.
        branch: String,
        /// In its words.
        reason: String,
    },
    /// More came than is taken.
    #[error("`{remote}` sends more than {limit_bytes} bytes")]
    TooLarge {
        /// Which repository.
        remote: Address,
        /// The limit.
        limit_bytes: u64,
    },
    /// It has more files than any app.
    #[error("`{remote}` has more than {limit} files and folders")]
    TooMany {
        /// Which repository.
        remote: Address,
        /// The limit.
        limit: usize,
    },
    /// A commit that should be there is not.
    #[error("`{remote}` has no commit {commit}")]
    NoCommit {
        /// Which repository.
        remote: Address,
        /// Which.
        commit: String,
    },
    /// What was promoted cannot be taken back without losing what came after.
    #[error("`{branch}` of `{remote}` has {count} commits of others after the promotion: {first}")]
    Others {
        /// Which repository.
        remote: Address,
        /// Which branch.
        branch: String,
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// An address that cannot be used.
    #[error("{0}")]
    Address(#[from] BadAddress),
    /// Git itself failed.
    #[error("cannot {action} `{remote}`")]
    Git {
        /// What was tried.
        action: &'static str,
        /// Which repository.
        remote: Address,
        /// Why.
        #[source]
        source: BoxError,
    },
}

fn other_kinds(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!("; known are only its keys of {}", known.join(", ")),
    }
}
