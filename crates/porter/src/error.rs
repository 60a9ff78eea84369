//! Why a job failed, in words for a person.

use std::fmt::Display;

use rustix::io::Errno;

/// A job failed. Carried out of the container as text, so it has no source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What was tried, on which path, and why it failed.
    pub error: String,
    /// There is no room.
    pub disk_full: bool,
}

impl Trouble {
    /// A rule forbids it.
    pub fn refused(error: impl Into<String>) -> Self {
        Self { error: error.into(), disk_full: false }
    }

    /// The system refused it.
    pub fn system(action: &str, path: impl Display, errno: Errno) -> Self {
        let disk_full = errno == Errno::NOSPC || errno == Errno::DQUOT;
        Self { error: format!("cannot {action} `{path}`: {}", std::io::Error::from(errno)), disk_full }
    }
}
