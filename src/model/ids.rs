//! Names that mean one thing each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is not a name of that kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct BadName {
    /// What was given.
    pub text: String,
    /// What it should be, with the rule.
    pub what: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text`.
            pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(BadName { text, what: $what }) }
            }
            /// As it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(text)
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn word(text: &str, max: usize) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= max && text.chars().all(ok) && !text.starts_with('-') && !text.ends_with('-')
}

name!(
    /// One of the managed containers with its data and its app.
    InstanceName,
    "an instance name (lower-case letters, digits and `-`, at most 32)",
    |text| word(text, 32)
);

name!(
    /// One stream of a snapshot.
    PartName,
    "a part name (lower-case letters, digits and `-`, at most 32)",
    |text| word(text, 32)
);

name!(
    /// One execution of a workflow, such as `upgrade-20261121-101530-7f3a`. Sorts by time within a workflow.
    RunId,
    "a run id (lower-case letters, digits and `-`, at most 64)",
    |text| word(text, 64)
);

name!(
    /// What a person calls a schedule.
    ScheduleName,
    "a schedule name (lower-case letters, digits and `-`, at most 32)",
    |text| word(text, 32)
);

name!(
    /// One snapshot: eight hex digits, unique within a repository.
    SnapshotId,
    "a snapshot id (8 hex digits)",
    |text| text.len() == 8 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
);

name!(
    /// An image as the engine knows it: `sha256:` and 64 hex digits.
    ImageId,
    "an image id (`sha256:` and 64 hex digits)",
    |text| text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
);

name!(
    /// A commit: 40 hex digits.
    CommitId,
    "a commit (40 hex digits)",
    |text| text.len() == 40 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
);

impl CommitId {
    /// The first 8 hex digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl ImageId {
    /// The first 12 hex digits, as `docker images` shows them.
    pub fn short(&self) -> &str {
        &self.0[7..19]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_container_name_or_a_key_are_refused() {
        for bad in ["", "Prod", "a/b", "a.b", "-a", "a-", "ü", &"x".repeat(33)] {
            assert!(InstanceName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(InstanceName::new("production").unwrap().as_str(), "production");
        assert!(SnapshotId::new("0123abcd").is_ok());
        assert!(SnapshotId::new("0123ABCD").is_err());
    }
}
