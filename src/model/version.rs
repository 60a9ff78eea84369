//! Versions of the app, compared as numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A release such as `v2.5.1`; a missing place counts as 0. Anything after a `-` (`-SNAPSHOT`) is kept but not compared.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u64; 3],
    text: String,
}

/// A text without a version in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as `v2.5.1`")]
pub struct NotAVersion(pub String);

impl Version {
    /// Reads `v1.9.2`, `1.9.2`, `v2.5` or `v1.93-SNAPSHOT`.
    pub fn parse(text: &str) -> Result<Self, NotAVersion> {
        let bad = || NotAVersion(text.to_owned());
        let digits = text.strip_prefix('v').unwrap_or(text);
        let digits = digits.split('-').next().unwrap_or_default();
        let mut numbers = [0; 3];
        let places: Vec<&str> = digits.split('.').collect();
        if places.len() < 2 || places.len() > 3 {
            return Err(bad());
        }
        for (place, number) in places.iter().zip(&mut numbers) {
            *number = place.parse().map_err(|_| bad())?;
        }
        Ok(Self { numbers, text: text.to_owned() })
    }

    /// Major, minor, patch.
    pub fn numbers(&self) -> [u64; 3] {
        self.numbers
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}
impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.numbers.cmp(&other.numbers)
    }
}
impl TryFrom<String> for Version {
    type Error = NotAVersion;
    fn try_from(text: String) -> Result<Self, NotAVersion> {
        Self::parse(&text)
    }
}
impl From<Version> for String {
    fn from(version: Version) -> String {
        version.text
    }
}
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_compare_as_numbers() {
        let v = |text| Version::parse(text).unwrap();
        assert!(v("v1.9.2") < v("v1.10"));
        assert!(v("v1.10") < v("v1.96"));
        assert_eq!(v("v2.0"), v("2.0.0"));
        assert_eq!(v("v1.93-SNAPSHOT"), v("v1.93"));
        for bad in ["latest", "v2", "release", "v1.2.3.4", "v1.x"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
