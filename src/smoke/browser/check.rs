//! What a page must be like, and whether it is.

use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::error::BrowserError;
use super::evidence::{Cleaner, Evidence};
use super::page::{Cookie, Loaded, Page, Sight};
use super::picture::Picture;
use super::process::Browser;
use super::watch::{NETWORK_CHANGED, Watch};
use crate::model::observation::{Seen, SeenResult};
use crate::smoke::http::address;

/// A page that must load in a browser, show something, and do so without errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserCheck {
    /// Names it in verdicts; unique within an instance.
    pub name: String,
    /// What to open: an address, or a path on the instance's own. It may lead on, but not to another host.
    pub url: String,
    /// When the page is there.
    pub wait_for: WaitFor,
    /// How long that may take.
    pub limit: Duration,
    /// What it may do wrong.
    pub allow: Vec<Allow>,
    /// Whether the page gets the session of the one who looks, where there is one.
    pub logged_in: bool,
}

/// When a page is there. In any case its document must be loaded first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// An element that this CSS selector finds takes up room.
    Selector(String),
    /// For half a second nothing was asked or answered. Event streams and WebSockets may stay open.
    NetworkIdle,
}

/// What a page may do wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Console errors, exceptions and dialogs whose text holds this.
    Console(String),
    /// Failed requests whose address, without its query, holds this.
    Request(String),
}

/// What came of a look at a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewed {
    /// The verdict.
    pub seen: Seen,
    /// What it rests on.
    pub evidence: Evidence,
}

/// How long the browser may take to open an empty page.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

/// How long a page that was waited for may take to say what is seen of it, and as long again to be drawn; less where
/// the check's own limit is less.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// How often a page is looked at, at the most, while containers come and go on this host.
const LOOKS: usize = 5;

/// How many troubles a verdict names.
const NAMED: usize = 3;

impl BrowserCheck {
    /// The id of its result among an observation's checks.
    pub fn id(&self) -> String {
        format!("browser:{}", self.name)
    }

    /// What a person calls it.
    pub fn title(&self) -> String {
        format!("browser check `{}`", self.name)
    }

    /// Looks once; again where the network of this host changed meanwhile, which breaks a browser's requests off.
    /// `base` is what a path is relative to; `cookies` are lent to this page alone. Waits for its turn
    /// where the browser has enough pages open. Cancel-safe: the page is closed.
    ///
    /// # Errors
    /// Where the browser fails, not the page.
    pub async fn run(&self, browser: &Browser, base: Option<&Url>, cookies: &[Cookie]) -> Result<Viewed, BrowserError> {
        let title = self.title();
        let url = match address(&self.url, base) {
            Ok(url) => url,
            Err(reason) => {
                let seen = Seen { title, result: SeenResult::Error { reason } };
                return Ok(Viewed { seen, evidence: Evidence::default() });
            }
        };
        let closed = |_| BrowserError::Gone { why: "it was closed".to_owned() };
        let _turn = browser.pages.acquire().await.map_err(closed)?;
        let mut looks = 0;
        loop {
            looks += 1;
            match self.look(browser, &url, cookies).await {
                Ok(Look { disturbed: true, .. }) if looks < LOOKS => {
                    tracing::debug!(check = %self.name, looks, "page is looked at again, since the network changed");
                }
                Ok(Look { result, evidence, disturbed }) => {
                    let result = if disturbed && result != SeenResult::Pass { disturbed_each_time() } else { result };
                    return Ok(Viewed { seen: Seen { title, result }, evidence });
                }
                Err(error) => return Err(browser.explain(error).await),
            }
        }
    }

    async fn look(&self, browser: &Browser, url: &Url, cookies: &[Cookie]) -> Result<Look, BrowserError> {
        let page = Page::open(&browser.devtools, browser.window, url.as_str(), cookies);
        let no_page = |_| BrowserError::NoPage { after: OPEN_LIMIT };
        let mut page = tokio::time::timeout(OPEN_LIMIT, page).await.map_err(no_page)??;
        let began = Instant::now();
        let loaded = match tokio::time::timeout(self.limit, page.load(url.as_str(), &self.wait_for)).await {
            Ok(loaded) => Some(loaded?),
            Err(_) => None,
        };
        let took = began.elapsed();
        // A page whose scripts never pause answers neither; that is its own trouble, not the browser's.
        let limit = self.limit.min(LOOK_LIMIT);
        let sight = within(limit, page.sight()).await?;
        let screenshot = if sight.is_some() { within(limit, page.screenshot()).await? } else { None };
        let plain = match &screenshot {
            Some(png) => is_plain(png.clone()).await,
            None => false,
        };
        let cleaner = Cleaner::new(cookies.iter().map(|cookie| cookie.value.as_str()));
        let facts = Facts { asked: url, loaded, sight, drawn: screenshot.is_some(), plain, watch: &page.watch };
        let result = self.judge(&facts, &cleaner);
        let watch = &page.watch;
        let disturbed =
            watch.disturbed || matches!(&facts.loaded, Some(Loaded::No(why)) if why.contains(NETWORK_CHANGED));
        let evidence = Evidence {
            screenshot,
            console_errors: watch.console.clone(),
            failed_requests: watch.failed.clone(),
            at: watch.at.as_deref().map(|at| cleaner.url(at)),
            took,
        };
        tracing::debug!(check = %self.name, took_ms = took.as_millis(), passed = result == SeenResult::Pass, "page seen");
        Ok(Look { result, evidence, disturbed })
    }

    fn judge(&self, facts: &Facts<'_>, cleaner: &Cleaner) -> SeenResult {
        if let Some(Loaded::NoSelector(selector)) = &facts.loaded {
            return SeenResult::Error { reason: format!("{selector} is no CSS selector") };
        }
        let mut troubles = self.troubles_of_the_page(facts, cleaner);
        let watch = facts.watch;
        let requests = watch.failed.iter().filter(|failed| !self.allows_request(&failed.url)).map(ToString::to_string);
        let console =
            watch.console.iter().filter(|said| !self.allows_console(said)).map(|said| format!("console: {said}"));
        troubles.extend(requests.chain(console));
        if troubles.is_empty() {
            return SeenResult::Pass;
        }
        let more = troubles.len().saturating_sub(NAMED);
        let mut reason = troubles.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
        if more > 0 {
            reason.push_str(&format!("; and {more} more"));
        }
        SeenResult::Fail { reason }
    }

    /// What is wrong with the page as a whole, worst first; more than one thing only where they are independent.
    fn troubles_of_the_page(&self, facts: &Facts<'_>, cleaner: &Cleaner) -> Vec<String> {
        let watch = facts.watch;
        if watch.crashed {
            return vec!["it crashed".to_owned()];
        }
        if let Some(Loaded::No(why)) = &facts.loaded {
            return vec![format!("it did not load: {why}")];
        }
        let at = watch.at.as_deref().and_then(|at| Url::parse(at).ok());
        if let Some(at) = at.filter(|at| at.host() != facts.asked.host() && at.scheme() != "about") {
            return vec![format!("it led to another host, {}", cleaner.url(at.as_str()))];
        }
        let mut troubles = Vec::new();
        troubles.extend(watch.status.filter(|status| *status >= 400).map(|status| format!("it answered {status}")));
        if facts.loaded.is_none() {
            troubles.push(self.missing(watch));
        }
        match facts.sight {
            None => troubles.push("it does not respond".to_owned()),
            Some(Sight { letters: 0, things: 0 }) => troubles.push("it is blank".to_owned()),
            Some(_) if facts.plain => troubles.push("it is blank: all of it has one colour".to_owned()),
            Some(_) if !facts.drawn => troubles.push("it could not be drawn".to_owned()),
            Some(_) => {}
        }
        troubles
    }

    /// What was waited for in vain.
    fn missing(&self, watch: &Watch) -> String {
        let limit = self.limit.as_millis();
        let mut missing = match &self.wait_for {
            WaitFor::Selector(selector) => format!("`{selector}` was not there within {limit} ms"),
            WaitFor::NetworkIdle => format!("its network did not come to rest within {limit} ms"),
        };
        let open = watch.still_open();
        if !open.is_empty() {
            missing.push_str(&format!(", still open: {}", open.join(", ")));
        }
        missing
    }

    fn allows_request(&self, url: &str) -> bool {
        self.allow.iter().any(|allow| matches!(allow, Allow::Request(part) if url.contains(part.as_str())))
    }

    fn allows_console(&self, said: &str) -> bool {
        self.allow.iter().any(|allow| matches!(allow, Allow::Console(part) if said.contains(part.as_str())))
    }
}

/// One look at a page.
struct Look {
    result: SeenResult,
    evidence: Evidence,
    /// The host's network changed meanwhile.
    disturbed: bool,
}

fn disturbed_each_time() -> SeenResult {
    SeenResult::Error { reason: format!("the host's network changed while it was looked at, {LOOKS} times") }
}

/// What a verdict rests on.
struct Facts<'a> {
    asked: &'a Url,
    /// `None` where the limit was over first.
    loaded: Option<Loaded>,
    sight: Option<Sight>,
    drawn: bool,
    plain: bool,
    watch: &'a Watch,
}

/// `None` where the page is too busy, or refuses.
async fn within<T>(
    limit: Duration,
    look: impl Future<Output = Result<Option<T>, BrowserError>>,
) -> Result<Option<T>, BrowserError> {
    match tokio::time::timeout(limit, look).await {
        Ok(Err(BrowserError::Refused { .. })) | Err(_) => Ok(None),
        Ok(seen) => seen,
    }
}

/// Whether it shows but one colour. A picture that cannot be read is no proof of that.
async fn is_plain(png: Vec<u8>) -> bool {
    let look = move || Picture::from_png(&png).is_ok_and(|picture| picture.is_plain());
    tokio::task::spawn_blocking(look).await.unwrap_or(false)
}
