//! Where a repository is, in the forms that Git takes.

use std::fmt;

use url::Url;

/// A repository's address, checked: SSH, HTTPS, or a folder of this host. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    host: Option<Host>,
}

/// Who answers there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name or address.
    pub name: String,
    /// Where it listens for SSH; 0 for HTTPS, whose certificates know no ports.
    pub ssh_port: u16,
}

/// It is no address that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of a repository: {why}")]
pub struct BadAddress {
    /// What was given, without a password.
    pub text: String,
    /// What to write instead.
    pub why: &'static str,
}

/// `git@github.com:` for what begins with `https://github.com/`: Git's `url.<base>.insteadOf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsteadOf {
    /// How the address begins.
    pub prefix: String,
    /// What stands there instead.
    pub base: String,
}

impl Address {
    /// Reads `git@host:path`, `ssh://`, `https://`, `file://` or an absolute path. Plain `http` and `git` are refused:
    /// they prove nothing of who answers.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = |text: &str, why| Err(BadAddress { text: text.to_owned(), why });
        if text.chars().any(|c| c.is_control() || c == ' ') || text.starts_with('-') {
            return bad("…", "it has characters that no address has");
        }
        if text.starts_with('/') {
            return Ok(Self { text: text.to_owned(), host: None });
        }
        let Some((scheme, _)) = text.split_once("://") else { return Self::scp(text) };
        let Ok(url) = Url::parse(text) else { return bad("…", "write ssh://git@host/path.git") };
        if url.password().is_some() {
            return bad("…", "a password does not belong in it; name a file with a token in `git.token_file`");
        }
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let ssh_port = match scheme {
            "file" => return Ok(Self { text: text.to_owned(), host: None }),
            "ssh" => url.port().unwrap_or(22),
            "https" => 0,
            _ => return bad(text, "only ssh and https are used"),
        };
        if name.is_empty() || url.path().len() < 2 {
            return bad(text, "it needs a host and a path");
        }
        Ok(Self { text: text.to_owned(), host: Some(Host { name, ssh_port }) })
    }

    fn scp(text: &str) -> Result<Self, BadAddress> {
        let bad = BadAddress { text: text.to_owned(), why: "write git@host:path.git, ssh://… or https://…" };
        let Some((login, path)) = text.split_once(':') else { return Err(bad) };
        let name = login.rsplit_once('@').map_or(login, |(_, host)| host);
        if name.is_empty() || name.contains('/') || path.is_empty() {
            return Err(bad);
        }
        Ok(Self { text: text.to_owned(), host: Some(Host { name: name.to_owned(), ssh_port: 22 }) })
    }

    /// With its beginning replaced by the longest prefix that fits, as Git does it.
    pub fn instead(&self, rules: &[InsteadOf]) -> Result<Self, BadAddress> {
        let fits = rules.iter().filter(|rule| self.text.starts_with(&rule.prefix));
        match fits.max_by_key(|rule| rule.prefix.len()) {
            Some(rule) => Self::parse(&format!("{}{}", rule.base, &self.text[rule.prefix.len()..])),
            None => Ok(self.clone()),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who answers; `None` for a folder of this host.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_git_are_taken_and_nothing_else() {
        let host = |text: &str| Address::parse(text).unwrap().host().map(|host| (host.name.clone(), host.ssh_port));
        assert_eq!(host("git@github.com:org/app.git"), Some(("github.com".into(), 22)));
        assert_eq!(host("ssh://git@git.example:2222/org/app.git"), Some(("git.example".into(), 2222)));
        assert_eq!(host("ssh://git@[::1]:2222/app.git"), Some(("::1".into(), 2222)));
        assert_eq!(host("https://git.example/org/app.git"), Some(("git.example".into(), 0)));
        assert_eq!(host("/srv/git/app.git"), None);
        assert_eq!(host("file:///srv/git/app.git"), None);
        let refused = [
            "",
            "app",
            "http://a.b/c",
            "git://a.b/c",
            "https://u:hunter2@a.b/c",
            "ext::sh -c x",
            "--upload-pack=x:y",
            "ssh://host",
            "host:",
            "a b:c",
            "a\n:c",
        ];
        for bad in refused {
            let error = Address::parse(bad).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_longest_prefix_is_replaced() {
        let rule = |prefix: &str, base: &str| InsteadOf { prefix: prefix.into(), base: base.into() };
        let rules = [rule("git@a:", "https://a/"), rule("git@a:org/", "ssh://git@127.0.0.1:2222/org/")];
        let told = |text: &str| Address::parse(text).unwrap().instead(&rules).unwrap().as_str().to_owned();
        assert_eq!(told("git@a:org/app.git"), "ssh://git@127.0.0.1:2222/org/app.git");
        assert_eq!(told("git@a:other/app.git"), "https://a/other/app.git");
        assert_eq!(told("git@b:org/app.git"), "git@b:org/app.git");
    }
}
