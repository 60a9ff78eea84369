//! Who we are at a Git server, and who it must be.
//!
//! Hosts are checked strictly: an SSH key that `known_hosts` does not name is refused, a certificate is checked by
//! OpenSSL with the authorities of the system (SSL_CERT_FILE adds to them). A token goes to the host of the address only:
//! redirects are not followed.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, ErrorClass, ErrorCode, RemoteCallbacks};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::error::{GitError, HostKey};
use super::known_hosts::{self, Known};
use crate::instance::secret::{self, Secret};
use crate::model::promotion::{Address, InsteadOf};

/// How Git servers are spoken to. Secrets are read from their files each time.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The private key for SSH; without one the agent is asked.
    pub key_file: Option<PathBuf>,
    /// Holds its passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Files of host keys.
    pub known_hosts: Vec<PathBuf>,
    /// The user for HTTPS; a host that only wants a token takes any.
    pub user: String,
    /// Holds the token for HTTPS.
    pub token_file: Option<PathBuf>,
    /// Addresses by which we reach what the instances reach by others.
    pub instead_of: Vec<InsteadOf>,
}

/// How long it may take, how much may come, and whether it is still wanted.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// For all of it.
    pub limit: Duration,
    /// Of one fetch.
    pub bytes_max: u64,
    /// Stops it at the next sign of life of the server.
    pub cancel: CancellationToken,
}

/// One conversation with a server: answers its questions, and remembers why it was ended.
pub(super) struct Session<'a> {
    access: &'a Access,
    remote: &'a Address,
    bounds: &'a Bounds,
    ends: Instant,
    reason: RefCell<Option<GitError>>,
    offered: Cell<bool>,
    rejected: RefCell<Option<(String, String)>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(access: &'a Access, remote: &'a Address, bounds: &'a Bounds) -> Self {
        let ends = Instant::now() + bounds.limit;
        let (reason, rejected) = (RefCell::default(), RefCell::default());
        Self { access, remote, bounds, ends, reason, offered: Cell::default(), rejected }
    }

    pub(super) fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|url, user, allowed| {
            self.same_host(url)?;
            self.answer(user, allowed)
        });
        callbacks.certificate_check(|cert, _| self.check(cert));
        callbacks.transfer_progress(|progress| self.goes_on(progress.received_bytes() as u64));
        callbacks.sideband_progress(|_| self.goes_on(0));
        callbacks.push_update_reference(|reference, status| {
            if let Some(status) = status {
                *self.rejected.borrow_mut() = Some((reference.to_owned(), status.to_owned()));
            }
            Ok(())
        });
        callbacks
    }

    /// What the server did not take, although the push itself went through: reference and reason.
    pub(super) fn rejected(&self) -> Option<(String, String)> {
        self.rejected.borrow_mut().take()
    }

    /// What ended it, where we did; else what libgit2 says.
    pub(super) fn reason(&self, action: &'static str, error: git2::Error) -> GitError {
        if let Some(reason) = self.reason.borrow_mut().take() {
            return reason;
        }
        let remote = self.remote.clone();
        let is_late = error.code() == ErrorCode::Timeout || Instant::now() >= self.ends;
        match (error.code(), error.class()) {
            _ if is_late => GitError::TooSlow { remote, seconds: self.bounds.limit.as_secs() },
            (ErrorCode::Auth, _) => GitError::Refused { remote, tried: self.tried() },
            // A server says nothing of a repository that we may not see.
            (_, ErrorClass::Net | ErrorClass::Ssh | ErrorClass::Http | ErrorClass::Os | ErrorClass::Ssl) => {
                GitError::Unreachable { remote, source: in_words(&error).into() }
            }
            _ => GitError::Git { action, remote, source: in_words(&error).into() },
        }
    }

    fn tried(&self) -> String {
        match (self.remote.host().map(|host| host.ssh_port), &self.access.key_file, &self.access.token_file) {
            (Some(0), _, Some(file)) => format!("the token in `{}`", file.display()),
            (Some(0), ..) => "no token".into(),
            (_, Some(file), _) => format!("the key `{}`", file.display()),
            _ => "the keys of the SSH agent".into(),
        }
    }

    fn goes_on(&self, received_bytes: u64) -> bool {
        let remote = || self.remote.clone();
        let reason = if self.bounds.cancel.is_cancelled() {
            GitError::Cancelled { remote: remote() }
        } else if Instant::now() >= self.ends {
            GitError::TooSlow { remote: remote(), seconds: self.bounds.limit.as_secs() }
        } else if received_bytes > self.bounds.bytes_max {
            GitError::TooLarge { remote: remote(), limit_bytes: self.bounds.bytes_max }
        } else {
            return true;
        };
        self.end(reason);
        false
    }

    /// Nothing is shown to a host that the address does not name, whoever sent us there.
    fn same_host(&self, url: &str) -> Result<(), git2::Error> {
        let asks = Address::parse(url).ok();
        let host = |address: &Address| address.host().cloned();
        if asks.as_ref().and_then(host) == host(self.remote) {
            return Ok(());
        }
        let source = "it sends us to another host, which gets no key and no token".into();
        Err(self.end(GitError::Unreachable { remote: self.remote.clone(), source }))
    }

    /// libgit2 asks again as long as the server refuses; one try is all there is.
    fn answer(&self, user: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
        let user = user.unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        if self.offered.replace(true) {
            return Err(self.end(GitError::Refused { remote: self.remote.clone(), tried: self.tried() }));
        }
        let none = |missing| GitError::NoLogin { remote: self.remote.clone(), missing };
        if allowed.contains(CredentialType::SSH_KEY) {
            let Some(key) = &self.access.key_file else {
                return Cred::ssh_key_from_agent(user).map_err(|_| self.end(none("`git.key_file`, or an SSH agent")));
            };
            // libssh2 says nothing of a key that is not there.
            let missing = std::fs::File::open(key).err();
            if let Some(source) = missing {
                return Err(self.end(GitError::NoSecret { path: key.clone(), source }));
            }
            let passphrase = self.access.passphrase_file.as_deref().map(read_secret).transpose();
            let passphrase = passphrase.map_err(|error| self.end(error))?;
            return Cred::ssh_key(user, None, key, passphrase.as_ref().map(Secret::reveal));
        }
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT)
            && self.remote.host().is_some_and(|it| it.ssh_port == 0)
        {
            let Some(file) = &self.access.token_file else { return Err(self.end(none("`git.token_file`"))) };
            let token = read_secret(file).map_err(|error| self.end(error))?;
            return Cred::userpass_plaintext(&self.access.user, token.reveal());
        }
        Err(self.end(none("`git.key_file` for SSH, `git.token_file` for HTTPS")))
    }

    fn check(&self, cert: &Cert<'_>) -> Result<CertificateCheckStatus, git2::Error> {
        let Some(host_key) = cert.as_hostkey() else {
            // OpenSSL has looked at it; it decides.
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let unknown = |shown, known| GitError::UnknownHost { remote: self.remote.clone(), shown, known };
        let (Some(kind), Some(key), Some(host)) = (host_key.hostkey_type(), host_key.hostkey(), self.remote.host())
        else {
            let shown = HostKey { kind: "unnamed".into(), fingerprint: "of an unknown kind".into() };
            return Err(self.end(unknown(Box::new(shown), Vec::new())));
        };
        let kind = kind.name();
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)));
        let shown = Box::new(HostKey { kind: kind.to_owned(), fingerprint });
        let found = known_hosts::look_up(&self.access.known_hosts, host, kind, key).map_err(|source| {
            let path = self.access.known_hosts.first().cloned().unwrap_or_default();
            self.end(GitError::NoSecret { path, source })
        })?;
        Err(self.end(match found {
            Known::Yes => return Ok(CertificateCheckStatus::CertificateOk),
            Known::No => unknown(shown, Vec::new()),
            Known::OtherKinds(known) => unknown(shown, known),
            Known::Changed { place } | Known::Revoked { place } => {
                GitError::ChangedHost { remote: self.remote.clone(), shown, place }
            }
        }))
    }

    /// The first reason is the one that counts.
    fn end(&self, reason: GitError) -> git2::Error {
        self.reason.borrow_mut().get_or_insert(reason);
        git2::Error::from_str("ended by Tidegate")
    }
}

/// libgit2's words, without the line ends that servers send along.
pub(super) fn in_words(error: &git2::Error) -> String {
    error.message().trim().replace(char::is_control, " ")
}

fn read_secret(path: &Path) -> Result<Secret, GitError> {
    secret::read_secret(path).map_err(|source| GitError::NoSecret { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_gets_nothing() {
        let told = |url: &str| {
            let remote = Address::parse("https://git.example/org/app.git").unwrap();
            let bounds = Bounds { limit: Duration::from_secs(1), bytes_max: 1, cancel: CancellationToken::new() };
            let access = Access::default();
            Session::new(&access, &remote, &bounds).same_host(url).is_ok()
        };
        assert!(told("https://git.example/org/app.git"));
        assert!(told("https://git.example:8443/elsewhere"));
        for other in
            ["https://evil.example/org/app.git", "http://git.example/org/app.git", "ssh://git@git.example/x", ""]
        {
            assert!(!told(other), "{other}");
        }
    }
}
