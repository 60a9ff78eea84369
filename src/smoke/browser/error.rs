//! Why a page could not be looked at. What is wrong with a page itself is a verdict, not one of these.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The browser could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// None of the usual programs is installed.
    #[error("no browser is installed: none of {} is in PATH; install `chromium`, or set `smoke.browser.path`", tried.join(", "))]
    NotInstalled {
        /// The names that were looked for.
        tried: Vec<&'static str>,
    },
    /// What the configuration names is no program.
    #[error("`{}` is not a program that can be run; correct `smoke.browser.path`, or remove it to use an installed browser", path.display())]
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

fn said_in_words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said: {said}") }
}
