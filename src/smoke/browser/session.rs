//! One browser for the checks of one look at an instance.

use std::path::PathBuf;

use futures::stream::{FuturesUnordered, StreamExt};
use reqwest::Url;

use super::check::{BrowserCheck, Viewed};
use super::error::BrowserError;
use super::find::find;
use super::page::Cookie;
use super::process::{Browser, BrowserOptions};
use crate::model::observation::{Seen, SeenResult};
use crate::smoke::album::Album;

/// Which browser, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browsing {
    /// The program; `None` is the first of the usual ones that is installed.
    pub program: Option<PathBuf>,
    /// Where profiles lie while they are used; made where it is not there, for the owner only.
    pub folder: PathBuf,
    /// See [`BrowserOptions::jit`].
    pub jit: bool,
    /// See [`BrowserOptions::memory_limit_bytes`].
    pub memory_limit_bytes: u64,
    /// See [`BrowserOptions::pages_at_once`].
    pub pages_at_once: usize,
}

impl Browsing {
    /// A browser of its own. What is found or made here is not kept, so that a browser that was installed meanwhile is
    /// found.
    ///
    /// # Errors
    /// As [`Browser::launch`]; and where there is no browser.
    pub async fn launch(&self) -> Result<Browser, BrowserError> {
        let program = find(self.program.as_deref())?;
        let folder = self.folder.clone();
        let made = tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).await;
        made.map_err(|source| BrowserError::Profile { folder: folder.clone(), source })?;
        let options = BrowserOptions {
            jit: self.jit,
            memory_limit_bytes: self.memory_limit_bytes,
            pages_at_once: self.pages_at_once,
            ..BrowserOptions::new(program, folder)
        };
        Browser::launch(&options).await
    }
}

/// How many browsers are started for one look: a page that takes its browser with it must not take the others'
/// verdicts too.
const BROWSERS: usize = 3;

/// Looks at all these pages, as many at once as the browser may have open. A browser that cannot be used is an error of
/// each check that it was needed for, and never a failure of a page. Evidence goes to `album` as it comes, so that memory
/// holds that of a few pages only.
///
/// Cancel-safe: dropped, the browser ends.
pub async fn look_through(
    browsing: &Browsing,
    checks: &[BrowserCheck],
    base: Option<&Url>,
    cookies: &[Cookie],
    album: &dyn Album,
) -> Vec<(String, Seen)> {
    let mut seen = Vec::with_capacity(checks.len());
    let mut left: Vec<&BrowserCheck> = checks.iter().collect();
    for started in 1..=BROWSERS {
        if left.is_empty() {
            break;
        }
        let (again, why) = one_browser(browsing, left, base, cookies, album, &mut seen).await;
        let Some(why) = why else { return seen };
        tracing::info!(why, left = again.len(), "browser failed");
        if started == BROWSERS || again.len() == checks.len() {
            let failed = again.into_iter().map(|check| {
                (check.id(), Seen { title: check.title(), result: SeenResult::Error { reason: why.clone() } })
            });
            seen.extend(failed);
            return seen;
        }
        left = again;
    }
    seen
}

/// Looks with one browser, until it fails: then those that have no verdict yet come back, with the reason.
async fn one_browser<'c>(
    browsing: &Browsing,
    checks: Vec<&'c BrowserCheck>,
    base: Option<&Url>,
    cookies: &[Cookie],
    album: &dyn Album,
    seen: &mut Vec<(String, Seen)>,
) -> (Vec<&'c BrowserCheck>, Option<String>) {
    let browser = match browsing.launch().await {
        Ok(browser) => browser,
        Err(error) => return (checks, Some(error.in_words())),
    };
    let look = |check: &'c BrowserCheck| {
        let (browser, lent) = (&browser, if check.logged_in { cookies } else { &[] });
        async move { (check, check.run(browser, base, lent).await) }
    };
    // Each waits for its turn at the browser.
    let mut looks: FuturesUnordered<_> = checks.into_iter().map(look).collect();
    let (mut again, mut why) = (Vec::new(), None);
    while let Some((check, looked)) = looks.next().await {
        match looked {
            Ok(Viewed { seen: found, evidence }) => {
                album.keep(&check.id(), evidence).await;
                seen.push((check.id(), found));
            }
            Err(error) => {
                why.get_or_insert_with(|| error.in_words());
                again.push(check);
            }
        }
    }
    drop(looks);
    browser.close().await;
    (again, why)
}
