//! Paths below a mount's root: bytes, as file names are, joined by `/`. The empty path is the root.

use std::fmt;

use crate::error::Trouble;

/// A path below a mount's root, without `.`, `..`, empty components or a leading `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rel(Vec<u8>);

impl Rel {
    /// The mount's root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path of a request.
    pub fn parse(text: &str) -> Result<Self, Trouble> {
        Self::from_bytes(text.as_bytes().to_vec())
            .ok_or_else(|| Trouble::refused(format!("`{text}` is not a path below the mount's root")))
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let fine = |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0);
        (bytes.is_empty() || bytes.split(|byte| *byte == b'/').all(fine)).then_some(Self(bytes))
    }

    /// The names from the root to this.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// A name in this folder. `name` comes from a directory listing or a constant.
    pub fn join(&self, name: &[u8]) -> Self {
        let mut bytes = self.0.clone();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(bytes)
    }

    /// The folder that holds it, and its name there; `None` for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::root(), &self.0[..]),
        })
    }

    /// It is `other`, or lies below it.
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        self == other || self.is_below(other)
    }

    /// It lies below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        if other.0.is_empty() {
            return !self.0.is_empty();
        }
        self.0.len() > other.0.len() && self.0.starts_with(&other.0) && self.0[other.0.len()] == b'/'
    }

    /// How many names it has.
    pub fn depth(&self) -> usize {
        self.parts().count()
    }

    /// For the journal: ASCII, with everything else as `%` and two hex digits.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for byte in &self.0 {
            if byte.is_ascii_graphic() && *byte != b'%' || *byte == b' ' {
                text.push(char::from(*byte));
            } else {
                text.push_str(&format!("%{byte:02x}"));
            }
        }
        text
    }

    /// What `encode` wrote; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            if *first != b'%' {
                bytes.push(*first);
                rest = tail;
                continue;
            }
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        }
        Self::from_bytes(bytes)
    }

    /// For an answer: bytes that are not UTF-8 are shown as `\u{fffd}`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Display for Rel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { "" })?;
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A run names a folder, so it is a plain word.
pub(crate) fn check_run(run: &str) -> Result<(), Trouble> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if run.is_empty() || run.len() > 64 || !run.chars().all(word) {
        return Err(Trouble::refused(format!("`{run}` is not the id of a run")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for bad in ["/etc", "..", "a/../b", "a//b", "a/", "./a", "a\0b"] {
            assert!(Rel::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "..", "a/b", "A", ".drop-x", &"x".repeat(65)] {
            assert!(check_run(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_name_survives_the_journal() {
        let name = Rel::root().join(b"a%\xff\n\"\xc3\xa9 z").join(b"b");
        assert_eq!(Rel::decode(&name.encode()), Some(name.clone()));
        assert!(name.encode().is_ascii());
        assert_eq!(Rel::decode("%2e%2e/x"), None);
        assert_eq!(Rel::decode("%zz"), None);
    }

    #[test]
    fn below_means_below_and_not_a_longer_name() {
        let path = |text| Rel::parse(text).unwrap();
        assert!(path("a/b").is_below(&path("a")));
        assert!(!path("ab").is_below(&path("a")));
        assert!(path("a").is_below(&Rel::root()));
        assert!(!Rel::root().is_below(&Rel::root()));
    }
}
