//! `[smoke]` and `[[instances.<name>.checks]]`: what is checked beside what a kind brings.

use std::path::PathBuf;
use std::time::Duration;

use super::instances::Command;
use super::query::Query;
use super::section::Section;
use super::units::ByteSize;
use super::value::one_of;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// `[smoke]`: how checks are made, and what may differ.
#[derive(Clone, Debug)]
pub struct Smoke {
    /// Whether Appsmith is asked to connect to every data source: real connections to real databases.
    pub datasources: bool,
    /// With which browser pages are opened.
    pub browser: Browser,
    /// What may differ from how it was before.
    pub allow_change: Vec<AllowChange>,
}

/// `[smoke.browser]`: with which browser pages are opened.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The program; `None` is the first of the usual ones in PATH.
    pub path: Option<PathBuf>,
    /// Whether it may compile scripts while they run.
    pub jit: bool,
    /// What its processes may take together.
    pub memory_limit: ByteSize,
    /// Pages that are open at once.
    pub pages_at_once: u16,
    /// Which pages of an Appsmith are opened although no check names them.
    pub appsmith_pages: AppsmithPages,
    /// How long each of those may take.
    pub timeout: Duration,
    /// How long pictures of pages are kept.
    pub keep_pictures: Duration,
}

/// Which pages of an Appsmith are opened although no check names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppsmithPages {
    /// None.
    None,
    /// The first page of each app, as users see it.
    First,
    /// All deployed pages.
    All,
}

/// A change that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowChange {
    /// The id or the title of what may change, with `*` for any text.
    pub check: String,
    /// Why.
    pub reason: String,
}

/// One check beside those that a kind brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What a person calls it; once an instance.
    pub name: String,
    /// How long it may take as a whole.
    pub timeout: Duration,
    /// What is looked at.
    pub what: CheckKind,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// One request and what its answer must be.
    Http {
        /// On the host of the instance's `url`; starts with `/`.
        path: String,
        /// The status that is well.
        status: u16,
        /// What the body must hold, if anything.
        contains: Option<String>,
    },
    /// A port that must take connections.
    Tcp {
        /// `None` is the host of the instance's `url`.
        host: Option<String>,
        /// Its number.
        port: u16,
    },
    /// A command in the container that must end well.
    Exec {
        /// Program and arguments.
        command: Command,
        /// The exit code that is well.
        exit_code: u16,
        /// What it must say, if anything.
        contains: Option<String>,
    },
    /// A query of an Appsmith's application that must succeed.
    Query(Query),
    /// A page that must load in a browser.
    Browser {
        /// On the host of the instance's `url`; starts with `/`.
        path: String,
        /// What must be seen; `None` waits for the network to come to rest.
        selector: Option<String>,
        /// Whether it is opened as the one who logs in; `None` is: where there is a login.
        login: Option<bool>,
        /// Texts of console errors that are fine.
        allow_console: Vec<String>,
        /// Texts of addresses that may fail.
        allow_requests: Vec<String>,
    },
}

impl Smoke {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        let allow_change = section.list("allow_change", |section| {
            let check =
                section.required::<String>("check", "write the id or title of a check, `*` for any text", |check| {
                    not_all(check)
                });
            let reason = section.required::<String>("reason", "write why, for whoever reads the verdict", |_| Ok(()));
            Some(AllowChange { check: check?, reason: reason? })
        });
        Self {
            datasources: section.get("datasources", false),
            browser: section.section("browser", Browser::read),
            allow_change,
        }
    }
}

fn not_all(check: &str) -> Result<(), String> {
    if check.bytes().all(|byte| byte == b'*') {
        return Err("must not allow everything".into());
    }
    Ok(())
}

impl Browser {
    fn read(section: &mut Section<'_, '_, '_>) -> Self {
        Self {
            path: section.optional_path("path"),
            jit: section.get("jit", true),
            memory_limit: section.within("memory_limit", ByteSize(2 << 30), ByteSize(256 << 20)..=ByteSize(64 << 30)),
            pages_at_once: section.within("pages_at_once", 2, 1..=16),
            appsmith_pages: section.get("appsmith_pages", AppsmithPages::None),
            timeout: section.within("timeout", 60 * SECOND, SECOND..=600 * SECOND),
            keep_pictures: section.within("keep_pictures", 30 * DAY, SECOND..=365 * DAY),
        }
    }
}

impl Check {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Option<Self> {
        let name = section.required::<String>("name", "give the check a name", |_| Ok(()));
        let kind = section.get("type", CheckType::Http);
        let limit = match kind {
            CheckType::Http | CheckType::Tcp | CheckType::Exec => 10 * SECOND,
            CheckType::Query => 30 * SECOND,
            CheckType::Browser => 60 * SECOND,
        };
        let timeout = section.within("timeout", limit, SECOND / 10..=600 * SECOND);
        let what = match kind {
            CheckType::Http => CheckKind::Http {
                path: section.checked("path", "/".to_owned(), |text| path(text)),
                status: section.within("status", 200, 100..=599),
                contains: section.optional("contains"),
            },
            CheckType::Tcp => {
                let host = section.optional_checked("host", |text: &String| host(text));
                let port = section.required::<u16>("port", "write the number of the port", |port| {
                    if *port == 0 { Err("must be from `1` to `65535`".into()) } else { Ok(()) }
                });
                CheckKind::Tcp { host, port: port? }
            }
            CheckType::Exec => {
                let how = "write program and arguments, such as `[\"app\", \"status\"]`";
                let command = section.required::<Command>("command", how, |_| Ok(()));
                let exit_code = section.within("exit_code", 0, 0..=255);
                let contains = section.optional("contains");
                CheckKind::Exec { command: command?, exit_code, contains }
            }
            CheckType::Query => CheckKind::Query(Query::read(section)?),
            CheckType::Browser => CheckKind::Browser {
                path: section.checked("path", "/".to_owned(), |text| path(text)),
                selector: section.optional("selector"),
                login: section.optional("login"),
                allow_console: section.get("allow_console", Vec::new()),
                allow_requests: section.get("allow_requests", Vec::new()),
            },
        };
        Some(Self { name: name?, timeout, what })
    }

    pub(super) fn needs_url(&self) -> bool {
        !matches!(self.what, CheckKind::Exec { .. } | CheckKind::Tcp { host: Some(_), .. })
    }

    pub(super) fn is_query(&self) -> bool {
        matches!(self.what, CheckKind::Query(_))
    }

    /// A page that is to be opened with a session. So are queries run, without being asked for.
    pub(super) fn wants_login(&self) -> bool {
        matches!(self.what, CheckKind::Browser { login: Some(true), .. })
    }
}

fn path(path: &str) -> Result<(), String> {
    if path.starts_with('/') { Ok(()) } else { Err("must start with `/`".into()) }
}

fn host(host: &str) -> Result<(), String> {
    if !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c)) {
        Ok(())
    } else {
        Err("must be a name or an address, without a port".into())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckType {
    Http,
    Tcp,
    Exec,
    Query,
    Browser,
}

one_of!(
    CheckType,
    "a kind of check",
    "write `\"http\"`, `\"tcp\"`, `\"exec\"`, `\"query\"` or `\"browser\"`",
    "http" => CheckType::Http,
    "tcp" => CheckType::Tcp,
    "exec" => CheckType::Exec,
    "query" => CheckType::Query,
    "browser" => CheckType::Browser
);

one_of!(
    AppsmithPages,
    "a choice of pages",
    "write `\"none\"`, `\"first\"` or `\"all\"`",
    "none" => AppsmithPages::None,
    "first" => AppsmithPages::First,
    "all" => AppsmithPages::All
);
