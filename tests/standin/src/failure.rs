//! The one error type: what was tried, and what went wrong below it.

use std::fmt;
use std::io;
use std::path::Path;

/// Says what could not be done. The cause stays a source and is printed once, at the top.
#[derive(Debug)]
pub struct Failure {
    what: String,
    cause: Option<io::Error>,
}

/// What most functions of the stand-in return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None }
    }

    /// For `map_err`: names the action and the path that an I/O error hit.
    pub fn at(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("cannot {action} {}", path.display());
        move |cause| Self { what, cause: Some(cause) }
    }

    /// For `map_err` where there is no path.
    pub fn of(what: &str) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_owned();
        move |cause| Self { what, cause: Some(cause) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
