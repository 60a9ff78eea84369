//! Appsmith version numbers, and what the contract says changed with which.

use std::fmt;
use std::str::FromStr;

/// A release such as `v1.99` or `v2.5.1`. Compared by numbers, never as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The supervisor program `mcp` exists.
    pub fn has_mcp(self) -> bool {
        self >= Self::new(2, 0, 0)
    }

    /// A Redis password is made, and filled into a `docker.env` that lacks one.
    pub fn has_redis_password(self) -> bool {
        self >= Self::new(1, 97, 0)
    }

    /// `docker.env` is parsed as data; shell expressions in it stop the start.
    pub fn parses_env_strictly(self) -> bool {
        self >= Self::new(2, 5, 1)
    }

    /// A non-GET request with a JSON content type needs no further CSRF proof.
    pub fn checks_csrf_tokens(self) -> bool {
        self >= Self::new(1, 64, 0)
    }

    /// The data format (the embedded database's compatibility version) that this release writes.
    pub fn data_format(self) -> u32 {
        if self >= Self::new(2, 2, 0) {
            7
        } else if self >= Self::new(1, 96, 0) {
            6
        } else {
            5
        }
    }

    /// The oldest data format that this release can read and migrate.
    pub fn reads_from(self) -> u32 {
        if self >= Self::new(2, 0, 0) { 6 } else { 5 }
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no version such as v1.99 or v2.5.1");
        let numbers = text.strip_prefix('v').ok_or_else(wrong)?;
        let mut parts = [0u32; 3];
        let mut given = 0;
        for part in numbers.split('.') {
            let digits = part.split('-').next().unwrap_or_default();
            *parts.get_mut(given).ok_or_else(wrong)? = digits.parse().map_err(|_| wrong())?;
            given += 1;
        }
        if given < 2 {
            return Err(wrong());
        }
        let [major, minor, patch] = parts;
        Ok(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)?;
        if self.patch > 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_decide_not_text() {
        assert!(version("v1.9.2") < version("v1.10"));
        assert!(version("v1.10") < version("v1.96"));
        assert_eq!(version("v2.5.1").to_string(), "v2.5.1");
        assert_eq!(version("v1.93-SNAPSHOT").to_string(), "v1.93");
        assert!("latest".parse::<Version>().is_err());
        assert!("1.99".parse::<Version>().is_err());
    }

    #[test]
    fn the_checkpoint_rule_follows_from_the_formats() {
        let skipped = version("v1.90").data_format() < version("v2.0").reads_from();
        let through = version("v1.99").data_format() < version("v2.0").reads_from();
        assert!(skipped && !through);
        assert_eq!(version("v2.1").data_format(), 6, "2.0 and 2.1 can still go back to 1.99");
        assert_eq!(version("v2.2").data_format(), 7);
    }
}
