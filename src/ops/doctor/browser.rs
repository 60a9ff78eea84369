//! The browser that pages are opened in.

use std::path::Path;
use std::time::Instant;

use super::Doctor;
use crate::smoke::browser::{Browser, BrowserError, Browsing, find};

/// What it is about, in findings.
const AREA: &str = "browser";

impl Doctor {
    /// Whether a browser is there, starts and answers, as the checks would start it. It is ended again.
    pub async fn browser(&mut self, browsing: &Browsing) {
        let program = match find(browsing.program.as_deref()) {
            Ok(program) => program,
            Err(error) => return self.no_browser(&error),
        };
        let began = Instant::now();
        match browsing.launch().await {
            Ok(browser) => {
                let text = started(&program, &browser, browsing.jit, began.elapsed().as_millis());
                browser.close().await;
                self.ok(AREA, text);
            }
            Err(error) => self.no_browser(&error),
        }
    }

    fn no_browser(&mut self, error: &BrowserError) {
        self.failed(AREA, error);
        if let Some(finding) = self.findings.last_mut() {
            finding.text.insert_str(0, "pages cannot be opened: ");
        }
    }
}

fn started(program: &Path, browser: &Browser, jit: bool, millis: u128) -> String {
    let slow = if jit { "" } else { ", without its compiler for scripts" };
    format!("`{}` starts: {} ({millis} ms{slow})", program.display(), browser.version())
}
