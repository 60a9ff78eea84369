//! OpenSSH's `known_hosts` (sshd(8)): which key a host is known by. libgit2 looks at the user's own file only, and a
//! daemon has none.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::model::promotion::Host;

/// More is no file of host keys.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the files say about a host's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// This is its key.
    Yes,
    /// Nothing is known of it.
    No,
    /// Only keys of other kinds are known, such as `ssh-ed25519`.
    OtherKinds(Vec<String>),
    /// It is known by another key of this kind: a new server, or somebody in between.
    Changed {
        /// Where that is written: file and line.
        place: String,
    },
    /// The key was withdrawn.
    Revoked {
        /// Where that is written.
        place: String,
    },
}

/// Looks the key up, with all files as one. Files that are not there say nothing. `kind` and `key` as SSH names and sends
/// them. Blocks.
///
/// # Errors
/// A file that is there cannot be read.
pub fn look_up(files: &[impl AsRef<Path>], host: &Host, kind: &str, key: &[u8]) -> std::io::Result<Known> {
    let mut texts = Vec::new();
    for file in files.iter().map(AsRef::as_ref) {
        match std::fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(std::io::Error::other("it is too big for a file of host keys"));
            }
            _ => {}
        }
        let bytes = std::fs::read(file)?;
        texts.push((file.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(judge(&texts, host, kind, key))
}

fn judge(files: &[(String, String)], host: &Host, kind: &str, key: &[u8]) -> Known {
    let name = match host.ssh_port {
        22 => host.name.to_lowercase(),
        port => format!("[{}]:{port}", host.name.to_lowercase()),
    };
    let key = STANDARD.encode(key);
    let (mut found, mut changed, mut kinds) = (false, None, Vec::new());
    for (file, text) in files {
        for (index, line) in text.lines().enumerate() {
            let Some(line) = Line::read(line).filter(|line| line.is_for(&name)) else { continue };
            let place = || format!("{file}:{}", index + 1);
            match line.marker {
                Some("@revoked") if line.key == key => return Known::Revoked { place: place() },
                // Certificates of hosts are not supported.
                Some(_) => {}
                None if line.kind != kind => kinds.push(line.kind.to_owned()),
                None if line.key == key => found = true,
                None => changed = changed.or_else(|| Some(place())),
            }
        }
    }
    match changed {
        _ if found => Known::Yes,
        Some(place) => Known::Changed { place },
        None if kinds.is_empty() => Known::No,
        None => Known::OtherKinds(kinds),
    }
}

struct Line<'a> {
    marker: Option<&'a str>,
    hosts: &'a str,
    kind: &'a str,
    key: &'a str,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let hosts = words.next().filter(|hosts| !hosts.starts_with('#'))?;
        Some(Self { marker, hosts, kind: words.next()?, key: words.next()? })
    }

    fn is_for(&self, name: &str) -> bool {
        if self.hosts.starts_with('|') {
            return is_hash_of(self.hosts, name).unwrap_or(false);
        }
        let (not, yes): (Vec<&str>, Vec<&str>) = self.hosts.split(',').partition(|pattern| pattern.starts_with('!'));
        yes.iter().any(|pattern| fits(pattern, name)) && !not.iter().any(|pattern| fits(&pattern[1..], name))
    }
}

/// `|1|salt|HMAC-SHA1(salt, name)`.
fn is_hash_of(hosts: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hosts.strip_prefix("|1|")?.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

/// `*` stands for any text, `?` for one character; letters count without case.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.to_lowercase().chars().collect(), name.chars().collect());
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, from)) = star else { return false };
                star = Some((star_at, from + 1));
                (at, seen) = (star_at + 1, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"the key";

    fn told(text: &str, name: &str, port: u16) -> Known {
        let key = STANDARD.encode(KEY);
        let text = text.replace("KEY", &key).replace("OTHER", &STANDARD.encode(b"another"));
        judge(&[("k".into(), text)], &Host { name: name.into(), ssh_port: port }, "ssh-ed25519", KEY)
    }

    #[test]
    fn a_host_is_known_by_its_name_its_port_or_a_pattern() {
        let line = "# a comment\n\n!bad.example,*.example,git.? ssh-ed25519 KEY note\n[127.0.0.1]:2222 ssh-ed25519 KEY";
        for (name, port) in [("git.example", 22), ("GIT.Example", 22), ("git.x", 22), ("127.0.0.1", 2222)] {
            assert_eq!(told(line, name, port), Known::Yes, "{name} {port}");
        }
        for (name, port) in [("bad.example", 22), ("git.example", 2222), ("127.0.0.1", 22), ("git.xy", 22)] {
            assert_eq!(told(line, name, port), Known::No, "{name} {port}");
        }
    }

    #[test]
    fn a_hashed_name_is_found() {
        let salt = b"0123456789abcdefghij";
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
        let hash = STANDARD.encode(hmac::sign(&key, b"git.example"));
        let line = format!("|1|{}|{hash} ssh-ed25519 KEY", STANDARD.encode(salt));
        assert_eq!(told(&line, "git.example", 22), Known::Yes);
        assert_eq!(told(&line, "git2.example", 22), Known::No);
        assert_eq!(told("|1|?|? ssh-ed25519 KEY", "git.example", 22), Known::No);
    }

    #[test]
    fn a_changed_and_a_withdrawn_key_are_told_apart_from_an_unknown_one() {
        let place = |line| format!("k:{line}");
        assert_eq!(told("h ssh-ed25519 OTHER", "h", 22), Known::Changed { place: place(1) });
        assert_eq!(told("h ssh-ed25519 OTHER\nh ssh-ed25519 KEY", "h", 22), Known::Yes);
        assert_eq!(told("h ssh-rsa OTHER", "h", 22), Known::OtherKinds(vec!["ssh-rsa".into()]));
        let revoked = "h ssh-ed25519 KEY\n@revoked * ssh-ed25519 KEY";
        assert_eq!(told(revoked, "h", 22), Known::Revoked { place: place(2) });
        assert_eq!(told("@cert-authority * ssh-ed25519 KEY", "h", 22), Known::No);
    }
}
