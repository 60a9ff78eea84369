//! Text that must not be seen.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A password or a session. Never shown: not by `Debug`, not in a log, not in an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// More is a mistaken path.
const LIMIT_BYTES: u64 = 64 * 1024;

/// Reads the secret in the file: all of it but the line end after it. Warns where every user may read it. Blocks.
pub fn read_secret(path: &Path) -> std::io::Result<Secret> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.mode() & 0o004 != 0 {
        tracing::warn!(path = %path.display(), "secret may be read by every user; `chmod o-r` would change that");
    }
    let mut text = String::new();
    file.take(LIMIT_BYTES + 1).read_to_string(&mut text)?;
    let length = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(length);
    match text.len() as u64 {
        0 => Err(std::io::Error::other("it should hold a secret and is empty")),
        1..=LIMIT_BYTES => Ok(Secret(text)),
        _ => Err(std::io::Error::other("it is too long for a secret")),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Hides the passwords of addresses such as `mongodb://user:password@host` in a text from outside.
pub fn mask_addresses(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>`,;".contains(c)).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(sign) => {
                masked.push('…');
                rest = &after[sign..];
            }
            None => rest = after,
        }
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(…))");
    }

    #[test]
    fn passwords_in_addresses_are_hidden_and_nothing_else() {
        let line =
            "connect mongodb://appsmith:p@ss@localhost:27017/appsmith and redis://:pw@127.0.0.1, see https://a.b/c@d";
        let masked = "connect mongodb://…@localhost:27017/appsmith and redis://…@127.0.0.1, see https://a.b/c@d";
        assert_eq!(mask_addresses(line), masked);
        assert_eq!(mask_addresses("plain é ://"), "plain é ://");
    }
}
