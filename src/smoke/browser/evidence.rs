//! What is kept of a look at a page, for the person who must understand a verdict. No session, no query of an
//! address and no password is in it.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

/// What was seen of a page.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// A PNG of the page when it was judged; `None` where the browser could not draw it.
    pub screenshot: Option<Vec<u8>>,
    /// What the page wrote to its console as an error, threw, or said in a dialog. Those that are allowed too.
    pub console_errors: Vec<String>,
    /// What it asked for in vain. Those that are allowed too.
    pub failed_requests: Vec<FailedRequest>,
    /// Where the page was in the end, without its query.
    pub at: Option<String>,
    /// From the first request to the verdict.
    pub took: Duration,
}

// A picture is no text.
impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("screenshot_bytes", &self.screenshot.as_ref().map(Vec::len))
            .field("console_errors", &self.console_errors)
            .field("failed_requests", &self.failed_requests)
            .field("at", &self.at)
            .field("took", &self.took)
            .finish()
    }
}

/// A request of a page that was not answered well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// Such as `GET`.
    pub method: String,
    /// The address, without query, fragment and password.
    pub url: String,
    /// What it was answered, 400 or more; `None` where there was no answer.
    pub status: Option<u16>,
    /// Why there was no answer, in the browser's words.
    pub why: String,
}

impl fmt::Display for FailedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} {} answered {status}", self.method, self.url),
            None => write!(f, "{} {} failed: {}", self.method, self.url, self.why),
        }
    }
}

/// How much of a text from a page is kept.
const TEXT_CHARS: usize = 500;

/// Takes what must not be kept out of texts.
#[derive(Clone, Default)]
pub(super) struct Cleaner {
    secrets: Vec<String>,
}

impl Cleaner {
    /// Hides these, unless they are too short to be a secret.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self { secrets: secrets.into_iter().filter(|secret| secret.len() >= 4).map(str::to_owned).collect() }
    }

    /// A text of a page: one line, cut where it is long.
    pub(super) fn text(&self, text: &str) -> String {
        let text = without_queries(&self.hidden(text));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(TEXT_CHARS) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    }

    /// An address, as far as it may be known.
    pub(super) fn url(&self, url: &str) -> String {
        let Ok(mut url) = Url::parse(url) else { return self.text(url) };
        if url.cannot_be_a_base() {
            return format!("{}:…", url.scheme());
        }
        url.set_query(None);
        url.set_fragment(None);
        // They fail only where there can be none.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        self.text(url.as_str())
    }

    fn hidden(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }
}

/// Cuts passwords, queries and fragments out of the addresses in a text.
fn without_queries(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`)".contains(c)).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        let host_end = address.find(['/', '?', '#']).unwrap_or(end);
        let host_start = address[..host_end].rfind('@').map_or(0, |sign| sign + 1);
        let query = address.find(['?', '#']).unwrap_or(end);
        clean.push_str(&address[host_start..query]);
        if query < end {
            clean.push_str("?…");
        }
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_queries_and_passwords_are_taken_out() {
        let cleaner = Cleaner::new(["s3ss10n", "1"]);
        assert_eq!(cleaner.url("http://me:pw@h:81/a/b?token=x#y"), "http://h:81/a/b");
        assert_eq!(cleaner.url("http://h/s3ss10n/1"), "http://h/…/1");
        assert_eq!(cleaner.url("data:text/plain;base64,QUJD"), "data:…");
        let text = "got s3ss10n\n  at f (http://me:pw@h/a.js?v=1:2:3) by 'https://h#x' and /p?q";
        assert_eq!(cleaner.text(text), "got … at f (http://h/a.js?…) by 'https://h?…' and /p?q");
    }

    #[test]
    fn a_long_text_is_cut() {
        let cut = Cleaner::default().text(&"é".repeat(TEXT_CHARS + 1));
        assert_eq!(cut, format!("{}…", "é".repeat(TEXT_CHARS)));
        assert_eq!(Cleaner::default().text(&"é".repeat(TEXT_CHARS)).chars().count(), TEXT_CHARS);
    }
}
