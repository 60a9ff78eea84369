//! What the events of a page add up to. Pure: fed with events, asked about the sum.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::devtools::Event;
use super::evidence::{Cleaner, FailedRequest};

/// How many troubles of one kind are kept. The first ones tell most.
const KEPT: usize = 50;

/// How many requests are followed at once.
const FOLLOWED: usize = 10_000;

/// What is known of a page by its events.
pub(super) struct Watch {
    cleaner: Cleaner,
    /// The page's main frame. What happens in frames within it counts too, but they are not the page.
    main_frame: String,
    open: BTreeMap<String, Open>,
    changed: Instant,
    /// What the page itself was answered last.
    pub(super) status: Option<u16>,
    /// Where the main frame is, uncut.
    pub(super) at: Option<String>,
    /// Console errors, exceptions and dialogs.
    pub(super) console: Vec<String>,
    pub(super) failed: Vec<FailedRequest>,
    /// The process that draws the page has died.
    pub(super) crashed: bool,
    /// The browser broke requests off because the host's network changed. That says nothing about the page.
    pub(super) disturbed: bool,
}

/// What Chromium says of every request that is under way when an address or interface of the host comes or goes. On a
/// host that runs containers that is each time one is started or stopped.
pub(super) const NETWORK_CHANGED: &str = "net::ERR_NETWORK_CHANGED";

/// A request that is not finished.
struct Open {
    method: String,
    url: String,
    /// Meant to stay open: an event stream, a WebSocket.
    stays: bool,
    /// Whether it is in the list of those that failed.
    failed: bool,
}

/// What an event asks to be done at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// A dialog is open, and the page stands still until it is closed.
    CloseDialog,
}

impl Watch {
    pub(super) fn new(main_frame: &str, cleaner: Cleaner) -> Self {
        Self {
            cleaner,
            main_frame: main_frame.to_owned(),
            open: BTreeMap::new(),
            changed: Instant::now(),
            status: None,
            at: None,
            console: Vec::new(),
            failed: Vec::new(),
            crashed: false,
            disturbed: false,
        }
    }

    /// For how long nothing was asked or answered; `None` while something is open that is meant to end.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let busy = self.open.values().any(|open| !open.stays);
        (!busy).then(|| self.changed.elapsed())
    }

    /// The requests that are open and meant to end, the first few of them.
    pub(super) fn still_open(&self) -> Vec<String> {
        let busy = self.open.values().filter(|open| !open.stays).take(3);
        busy.map(|open| format!("{} {}", open.method, open.url)).collect()
    }

    /// Takes an event in.
    pub(super) fn note(&mut self, event: &Event) -> Wanted {
        let it = &event.params;
        match event.method.as_str() {
            "Network.requestWillBeSent" => self.asked(it),
            "Network.responseReceived" => self.answered(it),
            "Network.loadingFinished" => self.finished(it),
            "Network.loadingFailed" => self.broke_off(it),
            "Network.webSocketCreated" => self.open(it, "WebSocket", &it["url"], true),
            "Network.webSocketFrameError" => {
                self.disturbed |= text(&it["errorMessage"]).ends_with(NETWORK_CHANGED);
                self.fail(it, None, text(&it["errorMessage"]));
            }
            "Network.webSocketClosed" => self.finished(it),
            "Page.frameNavigated" if it["frame"]["id"] == self.main_frame => {
                self.at = it["frame"]["url"].as_str().map(str::to_owned);
            }
            "Page.navigatedWithinDocument" if it["frameId"] == self.main_frame => {
                self.at = it["url"].as_str().map(str::to_owned);
            }
            "Page.javascriptDialogOpening" => {
                // A page that asks whether it may be left has done nothing wrong.
                if it["type"] != "beforeunload" {
                    self.complain(&format!("it opened a dialog ({}): {}", text(&it["type"]), text(&it["message"])));
                }
                return Wanted::CloseDialog;
            }
            "Runtime.consoleAPICalled" if it["type"] == "error" || it["type"] == "assert" => {
                let said = it["args"].as_array().into_iter().flatten().map(in_words).collect::<Vec<_>>().join(" ");
                self.complain(&said);
            }
            "Runtime.exceptionThrown" => {
                let thrown = &it["exceptionDetails"];
                let what = thrown["exception"]["description"].as_str().unwrap_or_default();
                let what = if what.is_empty() { in_words(&thrown["exception"]) } else { what.to_owned() };
                self.complain(&format!("{}: {what}", text(&thrown["text"])));
            }
            "Log.entryAdded" if it["entry"]["level"] == "error" => {
                let said = text(&it["entry"]["text"]);
                // The browser's own echo of a request that failed. The requests themselves are counted.
                let echo = ["Failed to load resource", "WebSocket connection to '"];
                if !echo.iter().any(|echo| said.starts_with(echo)) {
                    self.complain(said);
                }
            }
            "Inspector.targetCrashed" => self.crashed = true,
            _ => {}
        }
        Wanted::Nothing
    }

    fn asked(&mut self, it: &Value) {
        let url = text(&it["request"]["url"]).split(['?', '#']).next().unwrap_or_default();
        // The browser asks for an icon by itself, where the page names none, and only the first time.
        if it["type"] == "Other" && url.ends_with("/favicon.ico") {
            return;
        }
        let stays = it["type"] == "EventSource";
        self.open(it, text(&it["request"]["method"]), &it["request"]["url"], stays);
    }

    fn open(&mut self, it: &Value, method: &str, url: &Value, stays: bool) {
        self.changed = Instant::now();
        if self.open.len() < FOLLOWED {
            let open = Open { method: method.to_owned(), url: self.cleaner.url(text(url)), stays, failed: false };
            self.open.insert(text(&it["requestId"]).to_owned(), open);
        }
    }

    fn answered(&mut self, it: &Value) {
        self.changed = Instant::now();
        let status = it["response"]["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        // The page itself is judged by this alone.
        if it["type"] == "Document" && it["frameId"] == self.main_frame {
            self.status = status;
        } else if status.is_some_and(|status| status >= 400) {
            self.fail(it, status, "");
        }
    }

    fn finished(&mut self, it: &Value) {
        self.changed = Instant::now();
        self.open.remove(text(&it["requestId"]));
    }

    fn broke_off(&mut self, it: &Value) {
        self.disturbed |= it["errorText"] == NETWORK_CHANGED;
        // Given up by the page itself, which may do so, or by leaving it.
        let given_up = it["canceled"] == true;
        let main = it["type"] == "Document" && self.at.as_deref().is_none_or(|at| at == "about:blank");
        if !given_up && !main {
            let why = it["blockedReason"].as_str().map(|reason| format!("blocked ({reason})"));
            self.fail(it, None, why.as_deref().unwrap_or(text(&it["errorText"])));
        }
        self.finished(it);
    }

    fn fail(&mut self, it: &Value, status: Option<u16>, why: &str) {
        let Some(open) = self.open.get_mut(text(&it["requestId"])).filter(|open| !open.failed) else { return };
        open.failed = true;
        if self.failed.len() < KEPT {
            let (method, url) = (open.method.clone(), open.url.clone());
            self.failed.push(FailedRequest { method, url, status, why: self.cleaner.text(why) });
        }
    }

    fn complain(&mut self, what: &str) {
        if self.console.len() < KEPT {
            self.console.push(self.cleaner.text(what));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What was given to the console, as the console would show it.
fn in_words(argument: &Value) -> String {
    match (&argument["value"], &argument["description"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (Value::Null, _) => text(&argument["type"]).to_owned(),
        (value, _) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn watched(events: &[(&str, Value)]) -> Watch {
        let mut watch = Watch::new("main", Cleaner::new(["s3ss10n"]));
        for (method, params) in events {
            watch.note(&Event { method: (*method).into(), params: params.clone() });
        }
        watch
    }

    fn asks(id: &str, kind: &str) -> (&'static str, Value) {
        let request = json!({ "method": "GET", "url": format!("http://h/{id}?s3ss10n") });
        ("Network.requestWillBeSent", json!({ "requestId": id, "type": kind, "request": request }))
    }

    fn about(method: &'static str, id: &str, more: Value) -> (&'static str, Value) {
        let mut params = more;
        params["requestId"] = id.into();
        (method, params)
    }

    #[test]
    fn it_is_quiet_when_all_is_answered_that_is_meant_to_end() {
        assert!(watched(&[]).quiet_for().is_some());
        let busy = watched(&[asks("a", "Fetch")]);
        assert_eq!((busy.quiet_for(), busy.still_open()), (None, vec!["GET http://h/a".to_owned()]));
        let socket = about("Network.webSocketCreated", "w", json!({ "url": "ws://h/w" }));
        let rest = watched(&[
            asks("a", "Fetch"),
            asks("e", "EventSource"),
            socket,
            about("Network.loadingFinished", "a", json!({})),
        ]);
        assert!(rest.quiet_for().is_some() && rest.still_open().is_empty());
        let icon = watched(&[asks("favicon.ico", "Other")]);
        assert!(icon.quiet_for().is_some(), "no page asked for it");
    }

    #[test]
    fn requests_fail_by_status_and_by_breaking_off_but_not_by_being_given_up() {
        let status = |status: u16| json!({ "type": "Fetch", "response": { "status": status } });
        let watch = watched(&[
            asks("fine", "Fetch"),
            about("Network.responseReceived", "fine", status(304)),
            asks("bad", "Fetch"),
            about("Network.responseReceived", "bad", status(500)),
            about("Network.loadingFailed", "bad", json!({ "errorText": "net::ERR_ABORTED" })),
            asks("gone", "Image"),
            about("Network.loadingFailed", "gone", json!({ "errorText": "net::ERR_CONNECTION_REFUSED" })),
            asks("left", "Fetch"),
            about("Network.loadingFailed", "left", json!({ "errorText": "net::ERR_ABORTED", "canceled": true })),
            asks("csp", "Script"),
            about(
                "Network.loadingFailed",
                "csp",
                json!({ "errorText": "net::ERR_BLOCKED_BY_CSP", "blockedReason": "csp" }),
            ),
            about("Network.webSocketCreated", "ws", json!({ "url": "ws://h/ws?x" })),
            about("Network.webSocketFrameError", "ws", json!({ "errorMessage": "Error during handshake" })),
            about("Network.responseReceived", "unknown", status(500)),
        ]);
        let failed: Vec<String> = watch.failed.iter().map(ToString::to_string).collect();
        assert_eq!(
            failed,
            [
                "GET http://h/bad answered 500",
                "GET http://h/gone failed: net::ERR_CONNECTION_REFUSED",
                "GET http://h/csp failed: blocked (csp)",
                "WebSocket ws://h/ws failed: Error during handshake",
            ]
        );
    }

    #[test]
    fn the_page_itself_is_told_from_frames_in_it() {
        let document = |frame: &str, status: u16| json!({ "type": "Document", "frameId": frame, "response": { "status": status } });
        let at = |frame: &str| json!({ "frame": { "id": frame, "url": format!("http://h/{frame}") } });
        let watch = watched(&[
            asks("m", "Document"),
            about("Network.responseReceived", "m", document("main", 503)),
            asks("f", "Document"),
            about("Network.responseReceived", "f", document("inner", 404)),
            ("Page.frameNavigated", at("main")),
            ("Page.frameNavigated", at("inner")),
        ]);
        assert_eq!((watch.status, watch.at.as_deref(), watch.failed.len()), (Some(503), Some("http://h/main"), 1));
    }

    #[test]
    fn console_errors_exceptions_and_dialogs_are_kept_and_clean() {
        let error = |args: Value| ("Runtime.consoleAPICalled", json!({ "type": "error", "args": args }));
        let entry = |level: &str, text: &str| ("Log.entryAdded", json!({ "entry": { "level": level, "text": text } }));
        let mut watch = watched(&[
            error(
                json!([{ "type": "string", "value": "a s3ss10n" }, { "type": "number", "value": 1 }, { "type": "undefined" }]),
            ),
            ("Runtime.consoleAPICalled", json!({ "type": "warning", "args": [{ "value": "no" }] })),
            (
                "Runtime.exceptionThrown",
                json!({ "exceptionDetails": { "text": "Uncaught", "exception": { "description": "Error: x\n  at http://h/a?b" } } }),
            ),
            (
                "Runtime.exceptionThrown",
                json!({ "exceptionDetails": { "text": "Uncaught", "exception": { "type": "string", "value": "thrown" } } }),
            ),
            entry("error", "Failed to load resource: the server responded with a status of 500"),
            entry("error", "WebSocket connection to 'ws://h/' failed"),
            entry("error", "Refused to run"),
            entry("warning", "no"),
        ]);
        let dialog = Event {
            method: "Page.javascriptDialogOpening".into(),
            params: json!({ "type": "alert", "message": "hi" }),
        };
        assert_eq!(watch.note(&dialog), Wanted::CloseDialog);
        assert_eq!(
            watch.console,
            [
                "a … 1 undefined",
                "Uncaught: Error: x at http://h/a?…",
                "Uncaught: thrown",
                "Refused to run",
                "it opened a dialog (alert): hi",
            ]
        );
    }

    #[test]
    fn a_page_that_never_stops_complaining_costs_no_memory() {
        let mut watch = watched(&[]);
        for id in 0..FOLLOWED + 5 {
            let (method, params) = asks(&id.to_string(), "Fetch");
            watch.note(&Event { method: method.into(), params });
            watch.complain("again");
        }
        assert_eq!((watch.open.len(), watch.console.len()), (FOLLOWED, KEPT));
    }
}
