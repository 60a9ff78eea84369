//! Release numbers. Compared by numbers, never as text.

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `v2.5.1`, `v2.5` or `v1.93-SNAPSHOT`.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix('v')?.split('.').map(|part| part.split('-').next()?.parse().ok());
        Some(Self(parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?))
    }

    /// The server's schema of exported applications, where the contract knows it.
    pub fn server_schema(self) -> Option<u64> {
        match self {
            Self(1, 20, _) => Some(7),
            Self(1, 40, _) => Some(10),
            Self(1, 50..=60, _) => Some(11),
            Self(1, 80.., _) | Self(2, 0..=4, _) => Some(12),
            Self(2, 5, _) => Some(13),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_compared() {
        assert_eq!(Version::read("v2.5.1"), Some(Version(2, 5, 1)));
        assert_eq!(Version::read("v1.93-SNAPSHOT\n"), Some(Version(1, 93, 0)));
        assert!(Version::read("v1.9.2") < Version::read("v1.10"));
        assert_eq!((Version::read("latest"), Version::read("v2")), (None, None));
        assert_eq!((Version(1, 99, 0).server_schema(), Version(1, 9, 2).server_schema()), (Some(12), None));
    }
}
