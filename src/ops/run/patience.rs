//! How long a run waits for an engine or a store that is away.

use std::time::Duration;

use crate::engine::EngineError;
use crate::instance::git::{GitFailure, Refusal};
use crate::promote::GitError;
use crate::store::StoreError;

/// How long an engine may be away before a run is given up: a restart of it takes seconds, an update of it minutes.
const ENGINE_PATIENCE: Duration = Duration::from_secs(600);
/// How long something is asked again of an engine that breaks the connection each time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a roll back waits for a Git host, or for an app that is busy with its repository or starts anew.
const GIT_PATIENCE: Duration = Duration::from_secs(600);
/// How long a roll back waits for the store.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// The engine broke the connection before it answered. Every step may be run again, so nothing is lost by asking again.
pub fn hiccup(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.filter_map(|cause| cause.downcast_ref()).any(|cause| matches!(cause, EngineError::LostAnswer { .. }))
}

/// Nothing else can be done while the engine is away; without the store an instance can at least be left running on
/// what is there.
pub fn outage(error: &(dyn std::error::Error + 'static)) -> Option<Duration> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(EngineError::Unreachable { .. }) = cause.downcast_ref() {
            return Some(ENGINE_PATIENCE);
        }
        if let Some(EngineError::LostAnswer { .. }) = cause.downcast_ref() {
            return Some(ANSWER_PATIENCE);
        }
        if let Some(StoreError::Unreachable { .. }) = cause.downcast_ref() {
            return Some(STORE_PATIENCE);
        }
        if let Some(GitError::Unreachable { .. } | GitError::TooSlow { .. }) = cause.downcast_ref() {
            return Some(GIT_PATIENCE);
        }
        let is_busy = |failure: &GitFailure| {
            matches!(
                failure,
                GitFailure::Unanswered { .. }
                    | GitFailure::Refused { refusal: Refusal::Locked | Refusal::TimedOut, .. }
            )
        };
        if cause.downcast_ref().is_some_and(is_busy) {
            return Some(GIT_PATIENCE);
        }
        next = cause.source();
    }
    None
}
