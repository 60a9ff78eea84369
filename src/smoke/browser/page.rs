//! One page in a context of its own. While anything is waited for, its events are taken in; whatever becomes of the
//! wait, the page is closed when it is dropped.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::check::WaitFor;
use super::devtools::{Devtools, Event};
use super::error::BrowserError;
use super::evidence::Cleaner;
use super::watch::{Wanted, Watch};

/// A cookie that is lent to a page. Its value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    /// What it is called, such as `SESSION`.
    pub name: String,
    /// What it holds: whoever has it is logged in.
    pub value: String,
    /// The domain that gets it, with what lies below; `None` is the host of the page alone.
    pub domain: Option<String>,
    /// The path below which it is sent, such as `/`.
    pub path: String,
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// An open page.
pub(super) struct Page {
    devtools: Devtools,
    context: String,
    session: String,
    target: String,
    events: mpsc::Receiver<Event>,
    pub(super) watch: Watch,
}

/// How loading a page came out, where the browser itself did its part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// What was waited for is there.
    Whole,
    /// The browser showed no page, for this reason.
    No(String),
    /// Nobody can wait for that: the selector is none.
    NoSelector(String),
}

/// How much a person sees in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Letters of text.
    pub(super) letters: u64,
    /// Pictures, fields, buttons and the like.
    pub(super) things: u64,
}

/// How long nothing must be asked or answered for the network to be at rest.
const REST: Duration = Duration::from_millis(500);

/// How often a page is asked how it is. It is asked only while it is waited for.
const POLL: Duration = Duration::from_millis(100);

/// How long a page that has what was waited for may go on with its last requests before it is judged.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

impl Page {
    /// Opens an empty page that will send `cookies` to the host of `url`.
    pub(super) async fn open(
        devtools: &Devtools,
        window: (u32, u32),
        url: &str,
        cookies: &[Cookie],
    ) -> Result<Self, BrowserError> {
        let context = devtools.call(None, "Target.createBrowserContext", json!({ "disposeOnDetach": true })).await?;
        let context = context["browserContextId"].as_str().unwrap_or_default().to_owned();
        let cleaner = Cleaner::new(cookies.iter().map(|cookie| cookie.value.as_str()));
        let mut page = Self {
            devtools: devtools.clone(),
            context,
            session: String::new(),
            target: String::new(),
            events: mpsc::channel(1).1,
            watch: Watch::new("", cleaner.clone()),
        };
        let id = page.context.as_str();
        let no_downloads = json!({ "behavior": "deny", "browserContextId": id });
        devtools.call(None, "Browser.setDownloadBehavior", no_downloads).await?;
        let cookies: Vec<Value> = cookies.iter().map(|cookie| cookie.lent_to(url)).collect();
        if !cookies.is_empty() {
            let lent = json!({ "cookies": cookies, "browserContextId": id });
            devtools.call(None, "Storage.setCookies", lent).await?;
        }
        let target = json!({ "url": "about:blank", "browserContextId": id });
        let target = devtools.call(None, "Target.createTarget", target).await?;
        page.target = target["targetId"].as_str().unwrap_or_default().to_owned();
        let attach = json!({ "targetId": page.target, "flatten": true });
        let session = devtools.call(None, "Target.attachToTarget", attach).await?;
        page.session = session["sessionId"].as_str().unwrap_or_default().to_owned();
        page.events = devtools.follow(&page.session);
        // A page and its main frame have the same id.
        page.watch = Watch::new(&page.target, cleaner);
        let (width, height) = window;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        // No body of an answer is kept by the browser.
        let network = json!({ "maxTotalBufferSize": 0, "maxResourceBufferSize": 0 });
        for (method, params) in [
            ("Emulation.setDeviceMetricsOverride", size),
            ("Page.enable", json!({})),
            ("Inspector.enable", json!({})),
            ("Network.enable", network),
            ("Log.enable", json!({})),
            ("Runtime.enable", json!({})),
        ] {
            page.call(method, params).await?;
        }
        Ok(page)
    }

    /// Goes to `url` and waits for the page, for as long as it takes: the limit is the caller's. Cancel-safe.
    pub(super) async fn load(&mut self, url: &str, wait_for: &WaitFor) -> Result<Loaded, BrowserError> {
        let gone_to = self.call("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = gone_to["errorText"].as_str().filter(|error| !error.is_empty()) {
            let why = if gone_to["isDownload"] == true { "it is a download, not a page" } else { error };
            return Ok(Loaded::No(why.to_owned()));
        }
        let selector = match wait_for {
            WaitFor::Selector(selector) => Value::from(selector.as_str()),
            WaitFor::NetworkIdle => Value::Null,
        };
        let question = format!("({})({selector})", include_str!("ready.js"));
        while !self.watch.crashed {
            match self.ask(&question).await?.as_ref().and_then(Value::as_str) {
                Some("ready") if matches!(wait_for, WaitFor::Selector(_)) || self.at_rest() => {
                    self.settle().await;
                    return Ok(Loaded::Whole);
                }
                Some("no selector") => return Ok(Loaded::NoSelector(selector.to_string())),
                // Not yet, or on its way from one document to the next.
                _ => self.follow_for(POLL).await?,
            }
        }
        Ok(Loaded::Whole)
    }

    /// What a person sees; `None` where the page cannot say.
    pub(super) async fn sight(&mut self) -> Result<Option<Sight>, BrowserError> {
        let seen = self.ask(concat!("(", include_str!("sight.js"), ")()")).await?;
        let count = |seen: &Value, what: &str| seen[what].as_u64();
        Ok(seen.and_then(|seen| Some(Sight { letters: count(&seen, "letters")?, things: count(&seen, "things")? })))
    }

    /// A picture of the window, as PNG.
    pub(super) async fn screenshot(&mut self) -> Result<Option<Vec<u8>>, BrowserError> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        Ok(shot["data"].as_str().and_then(|data| base64::engine::general_purpose::STANDARD.decode(data).ok()))
    }

    fn at_rest(&self) -> bool {
        self.watch.quiet_for().is_some_and(|quiet| quiet >= REST)
    }

    async fn settle(&mut self) {
        let settled = async {
            while !self.at_rest() {
                if self.follow_for(POLL).await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(SETTLE_LIMIT, settled).await;
    }

    /// Evaluates an expression; `None` where the page cannot answer now.
    async fn ask(&mut self, expression: &str) -> Result<Option<Value>, BrowserError> {
        let asked = json!({ "expression": expression, "returnByValue": true });
        match self.call("Runtime.evaluate", asked).await {
            Ok(answer) => Ok(Some(answer["result"]["value"].clone())),
            Err(BrowserError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls a method on the page, and takes in what happens meanwhile.
    async fn call(&mut self, method: &'static str, params: Value) -> Result<Value, BrowserError> {
        let devtools = self.devtools.clone();
        let session = self.session.clone();
        let call = devtools.call(Some(&session), method, params);
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.take_in(&event),
                answer = &mut call => return answer,
            }
        }
    }

    /// Takes in what happens in the next while.
    async fn follow_for(&mut self, time: Duration) -> Result<(), BrowserError> {
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.take_in(&event),
                    None if self.devtools.ended() => {
                        return Err(BrowserError::Gone { why: "it ended while a page loaded".to_owned() });
                    }
                    // So many that they could not be followed, or the page is closed.
                    None => {
                        let message = "the page's events are lost".to_owned();
                        return Err(BrowserError::Refused { method: "Runtime.enable", message });
                    }
                },
                () = &mut over => return Ok(()),
            }
        }
    }

    fn take_in(&mut self, event: &Event) {
        match self.watch.note(event) {
            Wanted::Nothing => {}
            Wanted::CloseDialog => {
                let session = Some(self.session.as_str());
                self.devtools.tell(session, "Page.handleJavaScriptDialog", json!({ "accept": false }));
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.devtools.leave(&self.session);
        self.devtools.tell(None, "Target.disposeBrowserContext", json!({ "browserContextId": self.context }));
    }
}

impl Cookie {
    fn lent_to(&self, url: &str) -> Value {
        let mut cookie = json!({ "name": self.name, "value": self.value, "path": self.path, "httpOnly": true });
        match &self.domain {
            Some(domain) => cookie["domain"] = domain.as_str().into(),
            None => cookie["url"] = url.into(),
        }
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_does_not_show_its_value() {
        let cookie = Cookie { name: "SESSION".into(), value: "s3ss10n".into(), domain: None, path: "/".into() };
        assert_eq!(format!("{cookie:?}"), "Cookie { name: \"SESSION\", domain: None, .. }");
    }
}
