//! Why a page could not be looked at. What is wrong with a page itself is a verdict, not one of these.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::chain::chain;

/// The browser could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// None of the usual programs is installed.
    #[error("no browser is installed: none of {} is in PATH", tried.join(", "))]
    NotInstalled {
        /// The names that were looked for.
        tried: Vec<&'static str>,
    },
    /// What the configuration names is no program.
    #[error("`{}` is not a program that can be run", path.display())]
    NotAProgram {
        /// What the configuration names.
        path: PathBuf,
    },
    /// The folder for its profile could not be made.
    #[error("cannot make a folder for the browser's profile in `{}`", folder.display())]
    Profile {
        /// Where it was to lie.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start the browser `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It started, but never came to answer.
    #[error("the browser `{}` did not come up: {why}{}", program.display(), said_in_words(said))]
    NotUp {
        /// The program.
        program: PathBuf,
        /// What happened instead.
        why: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// It ended while it was needed.
    #[error("the browser is gone: {why}")]
    Gone {
        /// What became of it.
        why: String,
    },
    /// It does not do what it was asked to.
    #[error("the browser refuses `{method}`: {message}")]
    Refused {
        /// The method of the DevTools protocol.
        method: &'static str,
        /// What it said.
        message: String,
    },
    /// It runs, but opens no page.
    #[error("the browser did not open a page within {} s", after.as_secs())]
    NoPage {
        /// How long was waited.
        after: Duration,
    },
}

impl BrowserError {
    /// What a person can do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        let rooms = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        match self {
            Self::NotInstalled { .. } => Some("install one (`apt install chromium`), or set `smoke.browser.path`"),
            Self::NotAProgram { .. } => {
                Some("correct `smoke.browser.path`, or remove it to use the browser that is installed")
            }
            Self::Profile { source, .. } if rooms.contains(&source.kind()) => {
                Some("make room on the disk of `state_dir`")
            }
            Self::Profile { .. } => Some("may this user write there? it is a folder of `state_dir`"),
            Self::Start { .. } => {
                Some("may this user run it? try it by hand with `--version`; `smoke.browser.path` names another")
            }
            Self::NotUp { .. } => Some(
                "try it by hand with `--headless --dump-dom about:blank`; where memory must not be writable and executable \
                 (systemd's MemoryDenyWriteExecute), `smoke.browser.jit = false` is needed",
            ),
            Self::Gone { .. } => Some(
                "look for the kernel's out-of-memory killer in `dmesg`; raise `smoke.browser.memory_limit`, or lower \
                 `smoke.browser.pages_at_once`",
            ),
            Self::NoPage { .. } => Some("this host is too busy, or lower `smoke.browser.pages_at_once`"),
            Self::Refused { .. } => None,
        }
    }

    /// The error with its causes and what to do about it, in one line; for verdicts, which have room for no more.
    pub fn in_words(&self) -> String {
        let error = chain(self);
        self.remedy().map_or(error.clone(), |remedy| format!("{error}; {remedy}"))
    }
}

fn said_in_words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said: {said}") }
}
