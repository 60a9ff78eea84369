//! One HTTP call to an Appsmith, with a limit on everything: time, size of the answer, rate, repetition.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{Answer, ApiError, data_of};
use crate::instance::secret::Secret;
use crate::smoke::http::{direct_client, in_words};
use crate::stream::BoxError;

/// The largest answer that is read.
const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How long an ordinary call may take.
pub const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How long a call of the ready gate may take: it is soon made again.
pub const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Half of the rate at which Appsmith's web server begins to refuse (100 in a second), for people work there too.
const CALLS_ARE_APART: Duration = Duration::from_millis(20);
/// The pauses after a 429 that does not say how long to wait.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Below the base address, such as `api/v1/health`.
    pub path: &'a str,
    /// Query parameters.
    pub query: &'a [(&'a str, &'a str)],
    /// What is sent along.
    pub body: Body<'a>,
    /// Left out, GET without a body and POST with one.
    pub method: Option<Method>,
    /// The Git branch that is meant, in versions in which the branches of an application share one id.
    pub branch: Option<&'a str>,
    /// As whom.
    pub session: Option<&'a Secret>,
    /// How long it may take, without pauses for a 429.
    pub limit: Duration,
}

impl<'a> Call<'a> {
    /// An anonymous GET.
    pub fn get(path: &'a str) -> Self {
        Self { path, query: &[], body: Body::None, method: None, branch: None, session: None, limit: CALL_LIMIT }
    }
}

/// What a call sends along. Prints without its content, which may be secret.
#[derive(Clone)]
pub enum Body<'a> {
    /// Nothing: a GET.
    None,
    /// Fields of a form.
    Form(Vec<(&'static str, &'a Secret)>),
    /// Data.
    Json(&'a Value),
    /// Named parts of text.
    Parts(&'a [(String, String)]),
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Form(_) => "Form(…)",
            Self::Json(_) => "Json(…)",
            Self::Parts(_) => "Parts(…)",
        })
    }
}

impl Body<'_> {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Form(fields) => {
                let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.reveal())).collect();
                request.form(&fields)
            }
            Self::Json(value) => request.json(value),
            Self::Parts(parts) => {
                let parts = parts.iter().cloned();
                request
                    .multipart(parts.fold(reqwest::multipart::Form::new(), |form, (name, text)| form.text(name, text)))
            }
        }
    }
}

/// The data of an answer.
#[derive(Clone, Debug)]
pub struct Data {
    /// What its envelope holds.
    pub value: Value,
    /// As [`Reply::took`].
    pub took: Duration,
}

/// An answer with the headers that matter for a login.
#[derive(Debug)]
pub struct Reply {
    /// Status and body.
    pub answer: Answer,
    /// Where a redirect points.
    pub location: Option<String>,
    /// The session that it gives.
    pub session: Option<Secret>,
    /// From the first byte of the request to the last of the answer: without the wait for its turn and without pauses
    /// for a 429.
    pub took: Duration,
}

/// Speaks to one Appsmith.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    next: Mutex<Instant>,
}

impl Client {
    /// `address` as people reach it, such as `http://127.0.0.1:8080`; it may have a path.
    pub fn new(address: &str) -> Result<Self, BoxError> {
        let mut base = Url::parse(address)?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err("an instance is reached by http or https".into());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err("a user and a password do not belong in the address".into());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { http: direct_client()?, base, next: Mutex::new(Instant::now()) })
    }

    /// The address, with a `/` at its end.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// For checks that ask other addresses, too.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Makes the call and opens the envelope.
    pub async fn data(&self, call: Call<'_>) -> Result<Data, ApiError> {
        let reply = self.send(call).await?;
        Ok(Data { value: data_of(&reply.answer)?, took: reply.took })
    }

    /// Makes the call; waits and repeats it where it was refused for the rate.
    pub async fn send(&self, call: Call<'_>) -> Result<Reply, ApiError> {
        for pause in PAUSES {
            let (reply, asked_to_wait) = self.send_once(&call).await?;
            if reply.answer.status != 429 {
                return Ok(reply);
            }
            let pause = asked_to_wait.unwrap_or(pause).min(LONGEST_PAUSE);
            tracing::debug!(path = call.path, pause_ms = pause.as_millis() as u64, "too many requests");
            sleep(pause).await;
        }
        self.send_once(&call).await.map(|(reply, _)| reply)
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<(Reply, Option<Duration>), ApiError> {
        self.pace().await;
        match timeout(call.limit, self.exchange(call)).await {
            Ok(reply) => reply,
            Err(_) => Err(ApiError::TooSlow { seconds: call.limit.as_secs() }),
        }
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<(Reply, Option<Duration>), ApiError> {
        let url = self.base.join(call.path).map_err(|error| ApiError::Malformed { why: error.to_string() })?;
        let began = Instant::now();
        let method = call.method.clone().unwrap_or(match call.body {
            Body::None => Method::GET,
            _ => Method::POST,
        });
        let mut request = self.http.request(method.clone(), url);
        if method != Method::GET {
            request = request.header(ORIGIN, self.base.origin().ascii_serialization());
        }
        request = call.body.add_to(request.query(call.query).header("X-Requested-By", "Appsmith"));
        if let Some(session) = call.session {
            // Marked, so that nothing below prints it.
            let cookie = HeaderValue::try_from(format!("SESSION={}", session.reveal())).map(|mut cookie| {
                cookie.set_sensitive(true);
                cookie
            });
            request = request
                .header(COOKIE, cookie.map_err(|_| ApiError::Malformed { why: "its session is no text".into() })?);
        }
        if let Some(branch) = call.branch {
            let branch = HeaderValue::from_bytes(branch.as_bytes());
            request = request.header(
                "branchName",
                branch.map_err(|_| ApiError::Malformed { why: "a branch's name is no text".into() })?,
            );
        }
        let unreachable = |error| ApiError::NotUp { why: in_words(error) };
        let mut response = request.send().await.map_err(unreachable)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(block) = response.chunk().await.map_err(unreachable)? {
            if body.len() + block.len() > BODY_LIMIT_BYTES {
                return Err(ApiError::TooLarge { limit_bytes: BODY_LIMIT_BYTES });
            }
            body.extend_from_slice(&block);
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let json = text(CONTENT_TYPE)
            .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim_end().ends_with("json"));
        let pause = text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let location = text(LOCATION).map(str::to_owned);
        let session = session_in(&headers);
        let reply = Reply { answer: Answer { status, json, body }, location, session, took: began.elapsed() };
        Ok((reply, pause))
    }

    /// Waits for this call's turn.
    async fn pace(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + CALLS_ARE_APART;
            turn
        };
        sleep_until(turn).await;
    }
}

fn session_in(headers: &HeaderMap) -> Option<Secret> {
    let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut sessions = cookies.filter_map(|cookie| cookie.split(';').next()?.trim().strip_prefix("SESSION="));
    sessions.rfind(|session| !session.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn an_address_needs_a_scheme_and_no_password() {
        assert_eq!(Client::new("http://127.0.0.1:8080").unwrap().base().as_str(), "http://127.0.0.1:8080/");
        assert_eq!(
            Client::new("https://a.b/apps").unwrap().base().join("info").unwrap().as_str(),
            "https://a.b/apps/info"
        );
        for bad in ["127.0.0.1:8080", "ftp://a.b", "http://u:p@a.b", ""] {
            assert!(Client::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_session_is_found_among_cookies() {
        let mut headers = HeaderMap::new();
        assert!(session_in(&headers).is_none());
        for cookie in ["XSRF-TOKEN=x; Path=/", "SESSION=; Max-Age=0", "SESSION=abc-1; Path=/; HttpOnly"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        assert_eq!(session_in(&headers).unwrap().reveal(), "abc-1");
        assert!(!format!("{:?}", session_in(&headers)).contains("abc"));
    }

    #[test]
    fn what_is_sent_is_not_printed() {
        let password = Secret::new("hunter2");
        let parts = [("k0".to_owned(), "hunter2".to_owned())];
        let json = serde_json::json!({"a": "hunter2"});
        for body in [Body::Form(vec![("password", &password)]), Body::Parts(&parts), Body::Json(&json)] {
            let call = Call { body, session: Some(&password), ..Call::get("x") };
            assert!(!format!("{call:?}").contains("hunter2"), "{call:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_keep_their_distance() {
        let client = Client::new("http://127.0.0.1:1").unwrap();
        let begin = Instant::now();
        for _ in 0..11 {
            client.pace().await;
        }
        assert_eq!(begin.elapsed(), CALLS_ARE_APART * 10);
    }
}
