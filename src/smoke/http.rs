//! A page or endpoint that must answer as expected.

use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;

use crate::model::observation::{Seen, SeenResult};
use crate::stream::BoxError;

/// A page or endpoint that must answer as expected. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Names it in verdicts; unique within an instance.
    pub name: String,
    /// Where to ask: an address, or a path on the instance's own.
    pub url: String,
    /// The status that is right, such as 200.
    pub status: u16,
    /// What the first MiB of the answer must hold.
    pub contains: Option<String>,
    /// How long the whole answer may take.
    pub limit: Duration,
}

/// How much of an answer is looked at.
const LOOKED_AT_BYTES: usize = 1024 * 1024;

/// How long a server may take to say what its clock is.
const CLOCK_LIMIT: Duration = Duration::from_secs(5);

/// A client that asks the address that it is given and no other: HTTP/1.1, no redirects, no proxy.
pub fn direct_client() -> Result<reqwest::Client, BoxError> {
    // Fails only where one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(5))
        // A kept connection may be one that a restarted app has forgotten, and that would look like a failure.
        .pool_max_idle_per_host(0)
        .build()?;
    Ok(client)
}

/// What a server's clock says, by the head of whatever it answers; `None` where it does not say.
pub async fn clock_of(url: &str) -> Option<jiff::Timestamp> {
    let client = direct_client().ok()?;
    let asked = client.head(url).timeout(CLOCK_LIMIT).send().await.ok()?;
    let date = asked.headers().get("date")?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp())
}

impl HttpCheck {
    /// The id of its result among an observation's checks.
    pub fn id(&self) -> String {
        format!("http:{}", self.name)
    }

    /// Asks once. `base` is what a path is relative to.
    pub async fn run(&self, client: &reqwest::Client, base: Option<&Url>) -> Seen {
        Seen { title: format!("http check `{}`", self.name), result: self.result(client, base).await }
    }

    async fn result(&self, client: &reqwest::Client, base: Option<&Url>) -> SeenResult {
        let url = match address(&self.url, base) {
            Ok(url) => url,
            Err(reason) => return SeenResult::Error { reason },
        };
        let found = match tokio::time::timeout(self.limit, self.ask(client, url)).await {
            Ok(found) => found,
            Err(_) => Err(format!("no whole answer within {} ms", self.limit.as_millis())),
        };
        found.map_or_else(|reason| SeenResult::Fail { reason }, |()| SeenResult::Pass)
    }

    async fn ask(&self, client: &reqwest::Client, url: Url) -> Result<(), String> {
        let mut answer = client.get(url).send().await.map_err(in_words)?;
        let status = answer.status().as_u16();
        if status != self.status {
            return Err(format!("it answered {status} instead of {}", self.status));
        }
        let Some(wanted) = &self.contains else {
            return Ok(());
        };
        let mut body = Vec::new();
        while let Some(block) = answer.chunk().await.map_err(in_words)? {
            let room = LOOKED_AT_BYTES - body.len();
            body.extend_from_slice(&block[..block.len().min(room)]);
            if body.len() == LOOKED_AT_BYTES {
                break;
            }
        }
        if holds(&body, wanted.as_bytes()) { Ok(()) } else { Err(format!("its answer does not hold `{wanted}`")) }
    }
}

/// The address that is meant by `url`: itself, or a path on `base`.
pub(super) fn address(url: &str, base: Option<&Url>) -> Result<Url, String> {
    let found = match (Url::parse(url), base) {
        (Ok(found), _) => found,
        (Err(_), Some(base)) => base.join(url).map_err(|error| format!("`{url}`: {error}"))?,
        (Err(error), None) => return Err(format!("`{url}`: {error}")),
    };
    match found.scheme() {
        "http" | "https" => Ok(found),
        other => Err(format!("`{url}`: cannot ask by `{other}`")),
    }
}

fn holds(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

/// A failed request for people: its causes in one line, without the address, which may hold a password.
pub fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn check(url: &str) -> HttpCheck {
        HttpCheck { name: "home".into(), url: url.into(), status: 200, contains: None, limit: Duration::from_secs(10) }
    }

    /// Answers every request with these bytes; with none, never.
    async fn server(answer: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut peer, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = peer.read(&mut request).await;
                let _ = peer.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    open.push(peer);
                }
            }
        });
        Url::parse(&format!("http://{address}/")).unwrap()
    }

    async fn result(check: HttpCheck, base: &Url) -> SeenResult {
        check.run(&direct_client().unwrap(), Some(base)).await.result
    }

    fn failed(result: SeenResult, why: &str) {
        let SeenResult::Fail { reason } = result else { panic!("{result:?}") };
        assert!(reason.contains(why), "{reason}");
    }

    #[tokio::test]
    async fn status_and_content_decide() {
        let base = server("HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\nhello world").await;
        assert_eq!(result(check("/x"), &base).await, SeenResult::Pass);
        assert_eq!(result(HttpCheck { contains: Some("lo wo".into()), ..check("/") }, &base).await, SeenResult::Pass);
        failed(result(HttpCheck { contains: Some("bye".into()), ..check("/") }, &base).await, "does not hold `bye`");
        failed(result(HttpCheck { status: 204, ..check("/") }, &base).await, "200 instead of 204");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_of_its_own() {
        let base =
            server("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        failed(result(check("/"), &base).await, "302 instead of 200");
    }

    #[tokio::test]
    async fn silence_is_a_failure_and_a_bad_address_an_error() {
        let base = server("").await;
        failed(result(HttpCheck { limit: Duration::from_millis(50), ..check("/") }, &base).await, "within 50 ms");
        assert!(matches!(result(check("ftp://127.0.0.1/"), &base).await, SeenResult::Error { .. }));
        let no_base = check("/x").run(&direct_client().unwrap(), None).await.result;
        assert!(matches!(no_base, SeenResult::Error { .. }));
    }
}
