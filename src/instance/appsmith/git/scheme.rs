//! Where Git's endpoints are. Two schemes: that of v1.56 and later, and the one before, which went on beside it.

use reqwest::Method;

/// Which paths an instance knows. Decided by asking once, not by its version: nobody wrote down when the old ones go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `/api/v1/git/applications/{id}/…`
    New,
    /// `/api/v1/git/<verb>/app/{id}`
    Old,
}

/// What can be asked about an app on a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// How it stands; fetches.
    Status,
    /// Brings the remote's commits.
    Pull,
    /// Back to the last commit.
    Discard,
    /// Commits and pushes.
    Commit,
    /// The app on another branch.
    Checkout,
}

/// What is the same without any app: answers where the scheme is known.
pub const PROBE: &str = "api/v1/git/artifacts/protocol/key-types";

impl Scheme {
    /// How to ask: the method and the path. Parameters of the query are the caller's.
    pub fn at(self, verb: Verb, id: &str) -> (Method, String) {
        let (method, new, old) = match verb {
            Verb::Status => (Method::GET, "status", "status"),
            Verb::Pull => (Method::GET, "pull", "pull"),
            Verb::Discard => (Method::PUT, "discard", "discard"),
            Verb::Commit => (Method::POST, "commit", "commit"),
            Verb::Checkout if self == Self::Old => (Method::GET, "", "checkout-branch"),
            Verb::Checkout => (Method::POST, "checkout-ref", ""),
        };
        match self {
            Self::New => (method, format!("api/v1/git/applications/{id}/{new}")),
            Self::Old => (method, format!("api/v1/git/{old}/app/{id}")),
        }
    }
}
