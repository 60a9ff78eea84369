//! Git, as promotions need it: fetch, compare, merge, revert, push, on bare copies of our own. The only home of `git2`.
//!
//! [`Git`] is the door: each call runs where blocking is allowed, and is bounded in time and bytes. A repository's content
//! is hostile: nothing of it is ever checked out.

pub mod access;
pub mod compare;
pub mod error;
mod known_hosts;
pub mod merge;
pub mod mirror;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::access::{Access, Bounds};
pub use self::compare::{CommitLine, Comparison};
pub use self::error::GitError;
pub use self::merge::{Author, Merged};
pub use self::mirror::{Heads, Mirror};
use crate::model::promotion::Address;

/// A server that is silent for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// For what is computed here after the last byte came.
const GRACE: Duration = Duration::from_secs(60);

/// Repositories of apps.
#[derive(Clone, Debug)]
pub struct Git {
    folder: Arc<PathBuf>,
    access: Arc<Access>,
    limit: Duration,
    bytes_max: u64,
}

impl Git {
    /// `folder` holds the copies; they can be removed at any time. `limit` is for one call, `bytes_max` for one fetch.
    pub fn new(folder: PathBuf, access: Access, limit: Duration, bytes_max: u64) -> Self {
        Self { folder: Arc::new(folder), access: Arc::new(access), limit, bytes_max }
    }

    /// Throws the copy of `remote` away if it has grown odd. For a moment in which nobody works on it.
    pub async fn tidy(&self, remote: &Address) -> Result<(), GitError> {
        let (folder, at) = (self.folder.clone(), remote.clone());
        let tidied = tokio::task::spawn_blocking(move || Mirror::tidy(&folder, &at)).await;
        tidied.unwrap_or_else(|error| {
            Err(GitError::Git { action: "work on", remote: remote.clone(), source: error.into() })
        })
    }

    /// Works on the copy of `remote`. A caller that goes away stops it at the next sign of life of the server.
    pub async fn with<T: Send + 'static>(
        &self,
        remote: &Address,
        work: impl FnOnce(&Mirror<'_>, &Bounds) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let cancel = CancellationToken::new();
        let _left = cancel.clone().drop_guard();
        let bounds = Bounds { limit: self.limit, bytes_max: self.bytes_max, cancel };
        let (folder, access, at) = (self.folder.clone(), self.access.clone(), remote.clone());
        let done = tokio::task::spawn_blocking(move || work(&Mirror::open(&folder, &at, &access)?, &bounds));
        // A server that sends a byte now and then is not seen by the callbacks; its thread ends with its connection.
        let Ok(done) = tokio::time::timeout(self.limit + GRACE, done).await else {
            return Err(GitError::TooSlow { remote: remote.clone(), seconds: self.limit.as_secs() });
        };
        done.unwrap_or_else(|error| {
            Err(GitError::Git { action: "work on", remote: remote.clone(), source: error.into() })
        })
    }
}

/// Ends waits for a server that is silent: libgit2 has no limit of its own. Called once, before there is any thread.
#[allow(unsafe_code, reason = "libgit2 has these limits as plain globals only")]
pub fn limit_silence() {
    let millis = i32::try_from(SILENCE.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: both set a global of libgit2 without a lock; `main` calls this before it makes the runtime.
    let set = unsafe {
        git2::opts::set_server_connect_timeout_in_milliseconds(millis)
            .and_then(|()| git2::opts::set_server_timeout_in_milliseconds(millis))
    };
    if let Err(error) = set {
        tracing::warn!(error = error.message(), "silent git servers are waited for without a limit");
    }
}
