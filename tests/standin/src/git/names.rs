//! Names that come from outside: addresses of repositories and names of branches.

/// What follows from a repository's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The last part of its path, without `.git`.
    pub repository: String,
    /// The form that a browser opens.
    pub browser: String,
}

impl Remote {
    /// Reads `git@host:org/name.git` or `ssh://git@host:port/org/name.git`; nothing else is SSH.
    pub fn read(url: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~/".contains(c);
        let (place, path) = match url.strip_prefix("ssh://") {
            Some(rest) => rest.split_once('/')?,
            None => url.split_once(':')?,
        };
        let (user, host) = place.split_once('@')?;
        let host = host.split(':').next()?;
        let words = [user, host, path];
        let sound = words.iter().all(|word| !word.is_empty() && !word.starts_with('-') && word.chars().all(plain));
        let path = path.strip_suffix(".git").unwrap_or(path);
        let repository = path.rsplit('/').next().filter(|name| !name.is_empty() && !name.starts_with('.'))?;
        if !sound || [user, host].iter().any(|word| word.contains('/')) || path.contains("..") {
            return None;
        }
        let browser = format!("https://{host}/{}", path.trim_start_matches('/'));
        Some(Self { repository: repository.to_owned(), browser })
    }
}

/// May a branch be called that? Stricter than git is.
pub fn is_branch(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+#@".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock");
    name.len() <= 200
        && name.chars().all(plain)
        && name.split('/').all(part)
        && !name.contains("..")
        && !name.ends_with('.')
        && !["HEAD", "@"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ssh_addresses_are_taken() {
        let remote = Remote::read("git@git.example:standin/orders.git").unwrap();
        assert_eq!(
            (remote.repository.as_str(), remote.browser.as_str()),
            ("orders", "https://git.example/standin/orders")
        );
        assert_eq!(Remote::read("ssh://git@127.0.0.1:2222/orders").unwrap().repository, "orders");
        for wrong in [
            "https://git.example/orders.git",
            "git@host:../../etc/passwd",
            "git@host:",
            "ssh://-oProxyCommand=x/orders.git",
            "git@-host:a.git",
            "git@host:a b.git",
            "ext::sh -c id",
            "/srv/orders.git",
        ] {
            assert!(Remote::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_of_branches_cannot_be_options_or_paths() {
        assert!(["staging", "feature/a-1", "v1.2"].into_iter().all(is_branch));
        let wrong = ["", "-f", "a..b", "a/", "/a", "a//b", ".a", "a.lock", "a b", "a~1", "HEAD", "a:b", "ref^"];
        assert!(!wrong.into_iter().any(is_branch));
    }
}
