//! Appsmith version numbers. What changed with which is in [`crate::feature`].

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
    /// That release.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
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
}
