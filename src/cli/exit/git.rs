//! Codes and hints of what goes wrong with Git.

use std::error::Error;

use super::{LOCKED, REFUSED, UNREACHABLE, USAGE};
use crate::instance::git::{GitFailure, Refusal};
use crate::ops::promote::PromoteError;
use crate::ops::steps::promotion::{Edited, Obstructed};
use crate::promote::GitError;

/// As [`super::code`], of one cause.
pub fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    if cause.is::<Obstructed>() || cause.is::<Edited>() {
        return Some(REFUSED);
    }
    match cause.downcast_ref::<PromoteError>() {
        Some(PromoteError::NotConfigured | PromoteError::NoApp { .. } | PromoteError::NoGit { .. }) => {
            return Some(USAGE);
        }
        Some(PromoteError::Left { .. }) => return Some(REFUSED),
        _ => {}
    }
    match cause.downcast_ref::<GitFailure>() {
        Some(GitFailure::NoWorkspace { .. }) => return Some(USAGE),
        Some(GitFailure::Refused { refusal: Refusal::Locked, .. }) => return Some(LOCKED),
        _ => {}
    }
    match cause.downcast_ref::<GitError>()? {
        GitError::Unreachable { .. }
        | GitError::TooSlow { .. }
        | GitError::Refused { .. }
        | GitError::NoLogin { .. }
        | GitError::UnknownHost { .. }
        | GitError::ChangedHost { .. } => Some(UNREACHABLE),
        _ => None,
    }
}

/// As [`super::hint`], of one cause.
pub fn hint_of(cause: &(dyn Error + 'static)) -> Option<String> {
    let some = |text: &str| Some(text.to_owned());
    if cause.is::<Obstructed>() {
        return some(
            "nothing was touched; `tidegate promote --all --dry-run` shows all apps and what stands in their way",
        );
    }
    if cause.is::<Edited>() {
        return some("commit or discard that in Appsmith, then run it again");
    }
    match cause.downcast_ref::<PromoteError>() {
        Some(PromoteError::NotConfigured) => {
            return some("write `[environments.staging]` and `[environments.production]`; the template shows how");
        }
        Some(PromoteError::NoGit { instance }) => {
            return Some(format!("write `login_user` and `login_password_file` in `[instances.{instance}]`"));
        }
        _ => {}
    }
    match cause.downcast_ref::<GitFailure>() {
        Some(GitFailure::Refused { refusal, .. }) => return some(refusal.next()),
        Some(GitFailure::Unanswered { .. }) => {
            return some("it may still be at it: run it again in a few minutes, it begins with a look");
        }
        _ => {}
    }
    match cause.downcast_ref::<GitError>()? {
        GitError::Unreachable { .. } => {
            some("look at the address and the network, then run it again: it begins with a look")
        }
        GitError::TooSlow { .. } => some("run it again; `git.timeout` says how long it may take"),
        GitError::Refused { .. } => {
            some("let that key or token in at the Git host, with write access, or name another one in `[git]`")
        }
        GitError::NoLogin { missing, .. } => Some(format!("set {missing}")),
        GitError::NoSecret { path, .. } => Some(format!("look at `{}` and its rights", path.display())),
        GitError::UnknownHost { remote, shown, .. } => {
            let host = remote.host();
            let name = host.map(|host| host.name.clone()).unwrap_or_default();
            let port = host.map(|host| host.ssh_port).filter(|port| *port != 22);
            let port = port.map_or(String::new(), |port| format!(" -p {port}"));
            Some(format!(
                "compare {} with what the host publishes; then `ssh-keyscan{port} {name} >> FILE`, a file of `git.known_hosts`",
                shown.fingerprint
            ))
        }
        GitError::ChangedHost { place, .. } => {
            Some(format!("ask who runs that host whether its key has changed; only then replace the line {place}"))
        }
        GitError::NoBranch { branch, .. } => {
            Some(format!("make `{branch}` there, or name another one in `[environments]`"))
        }
        GitError::Moved { .. } => some("somebody pushed in the meantime: run it again, it plans anew"),
        GitError::Rejected { .. } => some(
            "let Tidegate's key push to that branch at the Git host, or merge by a pull request there and run it again",
        ),
        GitError::TooLarge { .. } => some("raise `git.fetch_limit` if that repository may be so big"),
        GitError::TooMany { .. } => {
            some("that is no repository of an app; name another one, or see who has pushed that")
        }
        GitError::Others { branch, .. } => {
            Some(format!("say what of `{branch}` is to stay: revert the promotion by hand, then pull in Appsmith"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::promotion::Address;
    use crate::promote::error::HostKey;

    #[test]
    fn a_key_that_is_not_known_comes_with_what_to_compare_and_to_type() {
        let remote = Address::parse("ssh://git@127.0.0.1:2222/org/app.git").unwrap();
        let shown = HostKey { kind: "ssh-ed25519".into(), fingerprint: "SHA256:abc".into() };
        let error = GitError::UnknownHost { remote, shown: Box::new(shown), known: vec!["ssh-rsa".into()] };
        assert_eq!(
            error.to_string(),
            "the host of `ssh://git@127.0.0.1:2222/org/app.git` is not known: it shows the ssh-ed25519 key SHA256:abc; \
             known are only its keys of ssh-rsa"
        );
        assert_eq!(
            hint_of(&error).unwrap(),
            "compare SHA256:abc with what the host publishes; then `ssh-keyscan -p 2222 127.0.0.1 >> FILE`, a file of \
             `git.known_hosts`"
        );
        assert_eq!(code_of(&error), Some(UNREACHABLE));
    }
}
