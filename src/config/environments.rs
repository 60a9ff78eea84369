//! `[git]` and `[environments]`: the repositories of apps, and the two places between which apps are promoted.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::units::ByteSize;
use super::value::one_of;
use crate::model::ids::InstanceName;
use crate::model::promotion::{Address, InsteadOf, Style};

/// `[git]`: how Git servers are spoken to.
#[derive(Clone, Debug)]
pub struct Git {
    /// The private key for SSH; without one, the agent.
    pub key_file: Option<PathBuf>,
    /// Its passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Files of host keys; empty is OpenSSH's own two.
    pub known_hosts: Vec<PathBuf>,
    /// The user for HTTPS.
    pub user: String,
    /// The token for HTTPS.
    pub token_file: Option<PathBuf>,
    /// How long one fetch or push may take.
    pub timeout: Duration,
    /// How much one fetch may bring.
    pub fetch_limit: ByteSize,
    /// Who writes commits.
    pub author_name: String,
    /// With which address.
    pub author_email: String,
    /// How we reach what the instances reach by other addresses.
    pub instead_of: Vec<InsteadOf>,
}

/// `[environments]`: from where to where apps are promoted.
#[derive(Clone, Debug)]
pub struct Environments {
    /// Where people build.
    pub staging: Environment,
    /// Where people work.
    pub production: Environment,
    /// How branches are merged.
    pub merge: Style,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Environment {
    /// On which instance.
    pub instance: InstanceName,
    /// In which workspace, by its name or id.
    pub workspace: String,
    /// On which branch.
    pub branch: String,
}

one_of!(
    Style,
    "a way to merge",
    "write `\"ff\"`, `\"no-ff\"` or `\"ff-only\"`",
    "ff" => Style::Ff,
    "no-ff" => Style::NoFf,
    "ff-only" => Style::FfOnly
);

const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

impl Git {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        let key_file = section.optional_path("key_file");
        let passphrase_file = section.secret_file("passphrase", "passphrase_file");
        let known_hosts = section.paths("known_hosts");
        let user = section.get("user", "git".to_owned());
        let token_file = section.secret_file("token", "token_file");
        let timeout = section.within("timeout", 10 * MINUTE, MINUTE / 6..=60 * MINUTE);
        let fetch_limit = section.within("fetch_limit", ByteSize(2048 * MIB), ByteSize(MIB)..=ByteSize(1 << 40));
        let is_line = |text: &String| match text.contains(['<', '>', '\n']) || text.trim().is_empty() {
            true => Err("must be one line without `<` and `>`".to_owned()),
            false => Ok(()),
        };
        let author_name = section.checked("author_name", "Tidegate".to_owned(), is_line);
        let author_email = section.checked("author_email", "tidegate@localhost".to_owned(), is_line);
        let instead_of = section.list("instead_of", |section| {
            let prefix = section.required::<String>(
                "prefix",
                "write how the address begins, such as `\"git@github.com:\"`",
                |_| Ok(()),
            );
            let base = section.required::<String>(
                "base",
                "write what stands there instead, such as `\"https://github.com/\"`",
                |base| {
                    // What stands behind it does not matter here.
                    Address::parse(&format!("{base}org/app.git")).map(drop).map_err(|error| error.why.to_owned())
                },
            );
            Some(InsteadOf { prefix: prefix?, base: base? })
        });
        Self {
            key_file,
            passphrase_file,
            known_hosts,
            user,
            token_file,
            timeout,
            fetch_limit,
            author_name,
            author_email,
            instead_of,
        }
    }
}

impl Environments {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Option<Self> {
        let merge = section.get("merge", Style::Ff);
        let staging = section.section("staging", |section| Environment::read(section, "staging"));
        let production = section.section("production", |section| Environment::read(section, "production"));
        Some(Self { staging: staging?, production: production?, merge })
    }
}

impl Environment {
    fn read(section: &mut Section<'_, '_, '_>, name: &str) -> Option<Self> {
        let named = InstanceName::new(name).ok()?;
        let instance = section.get("instance", named);
        let write = "write the name of the workspace that holds the apps";
        let workspace = section.required::<String>("workspace", write, |_| Ok(()));
        let branch = section.checked("branch", name.to_owned(), |branch: &String| is_branch(branch));
        Some(Self { instance, workspace: workspace?, branch })
    }
}

/// Git's own rules (git-check-ref-format), but for what only odd names have.
fn is_branch(name: &str) -> Result<(), String> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let parts_ok = name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"));
    if name.contains(odd) || name.contains("..") || name.contains("@{") || name.starts_with('-') || !parts_ok {
        return Err("is no name of a branch; write one such as `\"production\"`".into());
    }
    Ok(())
}
