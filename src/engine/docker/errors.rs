//! What an answer of the engine means.

use std::time::Duration;

use bollard::errors::Error;

use super::DockerEngine;
use crate::engine::EngineError;
use crate::stream::BoxError;

impl DockerEngine {
    /// An error of a request that concerns no container.
    pub(super) fn trouble(&self, action: String, error: Error) -> EngineError {
        if is_unreachable(&error) {
            return EngineError::Unreachable { address: self.address.clone(), source: Box::new(error) };
        }
        if is_disk_full(message(&error)) {
            return EngineError::DiskFull { action, source: Box::new(error) };
        }
        if is_broken(&error) {
            return EngineError::LostAnswer { action, source: Box::new(error) };
        }
        EngineError::Request { action, source: Box::new(error) }
    }

    /// An error of a request that concerns a container.
    pub(super) fn container_trouble(&self, action: String, container: &str, error: Error) -> EngineError {
        if status(&error) == Some(404) && message(&error).contains("No such container") {
            return EngineError::NoSuchContainer { container: container.to_owned() };
        }
        self.trouble(action, error)
    }

    /// An error of a request that concerns an image.
    pub(super) fn image_trouble(&self, action: String, reference: &str, error: Error) -> EngineError {
        if is_missing_image(&error) {
            return EngineError::NoSuchImage { reference: reference.to_owned(), source: Box::new(error) };
        }
        self.trouble(action, error)
    }
}

/// The HTTP status, where the engine answered with one.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What the engine said, where it said something.
pub(super) fn message(error: &Error) -> &str {
    match error {
        Error::DockerResponseServerError { message, .. } => message,
        Error::DockerStreamError { error } => error,
        _ => "",
    }
}

/// The name is another container's.
pub(super) fn is_name_conflict(error: &Error) -> bool {
    status(error) == Some(409) && message(error).contains("already in use")
}

/// There is no such image here or in its registry, as far as its words tell.
pub(super) fn is_missing_image(error: &Error) -> bool {
    const WORDS: [&str; 5] =
        ["No such image", "manifest unknown", "manifest for", "name unknown", "repository does not exist"];
    let answered = matches!(status(error), Some(404)) || matches!(error, Error::DockerStreamError { .. });
    let message = message(error);
    answered && !message.contains("No such container") && WORDS.iter().any(|words| message.contains(words))
}

pub(super) fn is_disk_full(message: &str) -> bool {
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Nobody listens there, or the socket may not be opened; the chain says which.
fn is_unreachable(error: &Error) -> bool {
    match error {
        Error::SocketNotFoundError(_) => true,
        Error::HyperLegacyError { err } => err.is_connect(),
        _ => false,
    }
}

/// Somebody listened, and the answer did not come or not to its end.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::HyperLegacyError { .. } | Error::IOError { .. } => true,
        Error::HyperResponseError { err } => !err.is_parse() && !err.is_user(),
        _ => false,
    }
}

/// Something that should have happened at the engine within a time did not.
#[derive(Debug, thiserror::Error)]
#[error("{what} within {seconds} s")]
pub(super) struct NotInTime {
    what: &'static str,
    seconds: u64,
}

pub(super) fn not_in_time(action: String, what: &'static str, limit: Duration) -> EngineError {
    let source: BoxError = Box::new(NotInTime { what, seconds: limit.as_secs() });
    EngineError::Request { action, source }
}

/// An answer that does not fit the question.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unexpected(pub String);

pub(super) fn unexpected(action: impl Into<String>, what: impl Into<String>) -> EngineError {
    EngineError::Request { action: action.into(), source: Box::new(Unexpected(what.into())) }
}
