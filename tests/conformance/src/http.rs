//! One call to the instance.

use reqwest::header::{CONTENT_TYPE, COOKIE, ETAG, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Half of the rate at which the web server begins to refuse (100 in a second), for people may work there too.
const CALLS_ARE_APART: Duration = Duration::from_millis(20);

/// Speaks to one instance. Redirects are not followed, and no proxy is asked.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
}

/// The value of a session's cookie.
#[derive(Clone, Debug)]
pub struct Session(pub String);

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(base: &str) -> Result<Self, String> {
        // Fails only where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(LIMIT);
        let client = builder.build().map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    /// A request without any proof against forgery.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{path}", self.base))
    }

    /// A request as every call of a careful client is: with proof and origin, as somebody.
    pub fn request(&self, method: Method, path: &str, session: Option<&Session>) -> RequestBuilder {
        let request = self.bare(method, path).header("X-Requested-By", "Appsmith").header(ORIGIN, &self.base);
        match session {
            Some(Session(id)) => request.header(COOKIE, format!("SESSION={id}")),
            None => request,
        }
    }

    pub async fn get(&self, path: &str, session: Option<&Session>) -> Result<Reply, String> {
        send(self.request(Method::GET, path, session)).await
    }

    pub async fn post(&self, path: &str, session: &Session, body: &Value) -> Result<Reply, String> {
        send(self.request(Method::POST, path, Some(session)).json(body)).await
    }

    pub async fn put(&self, path: &str, session: &Session, body: &Value) -> Result<Reply, String> {
        send(self.request(Method::PUT, path, Some(session)).json(body)).await
    }

    pub async fn delete(&self, path: &str, session: &Session) -> Result<Reply, String> {
        send(self.request(Method::DELETE, path, Some(session))).await
    }

    /// Logs in; `Ok(None)` if it is refused.
    pub async fn log_in(&self, user: &str, password: &str) -> Result<(Reply, Option<Session>), String> {
        let form = [("username", user), ("password", password)];
        let reply = send(self.request(Method::POST, "api/v1/login", None).form(&form)).await?;
        let refused = reply.location().is_some_and(|location| location.contains("error=true"));
        let session = if refused { None } else { reply.session() };
        Ok((reply, session))
    }
}

/// Sends it and takes in the whole answer.
pub async fn send(request: RequestBuilder) -> Result<Reply, String> {
    tokio::time::sleep(CALLS_ARE_APART).await;
    let response = request.send().await.map_err(|error| format!("no answer: {error}"))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.map_err(|error| format!("the answer breaks off: {error}"))?.to_vec();
    Ok(Reply { status, headers, body })
}

impl Reply {
    fn header(&self, name: reqwest::header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn location(&self) -> Option<&str> {
        self.header(LOCATION)
    }

    pub fn etag(&self) -> Option<&str> {
        self.header(ETAG)
    }

    pub fn is_html(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(200).collect()
    }

    pub fn session(&self) -> Option<Session> {
        let cookies = self.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ids = cookies.filter_map(|cookie| cookie.split(';').next()?.strip_prefix("SESSION="));
        ids.rfind(|id| !id.is_empty()).map(|id| Session(id.to_owned()))
    }

    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|_| format!("{} without JSON: {}", self.status, self.text()))
    }

    /// The data of a success, judged by its envelope.
    pub fn data(&self) -> Result<Value, String> {
        open(&self.json()?).map_err(|why| format!("{} {why}", self.status))
    }

    /// Expects an error with that status and code.
    pub fn refuses(&self, status: u16, code: &str) -> Result<(), String> {
        let body = self.json()?;
        let meta = &body["responseMeta"];
        let given = meta["error"]["code"].as_str().unwrap_or_default();
        expect(self.status == status && given == code, || {
            format!("{} {given:?} in place of {status} {code:?}", self.status)
        })?;
        expect(meta["status"] == status, || format!("the envelope says {}", meta["status"]))?;
        let display = body["errorDisplay"].as_str().unwrap_or_default();
        expect(display.starts_with(code), || format!("errorDisplay is {display:?}"))
    }

    pub fn is_status(&self, status: u16) -> Result<(), String> {
        expect(self.status == status, || format!("{} in place of {status}: {}", self.status, self.text()))
    }
}

/// The data of an envelope, also of one inside another.
pub fn open(envelope: &Value) -> Result<Value, String> {
    let meta = &envelope["responseMeta"];
    match meta["success"].as_bool() {
        Some(true) => Ok(envelope["data"].clone()),
        Some(false) => Err(format!("{}: {}", meta["error"]["code"], meta["error"]["message"])),
        None => Err(format!("no envelope: {}", envelope.to_string().chars().take(200).collect::<String>())),
    }
}

/// An error unless it holds.
pub fn expect(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Every one of these fields is there.
pub fn has_fields(value: &Value, fields: &[&str]) -> Result<(), String> {
    let missing: Vec<&&str> = fields.iter().filter(|field| value.get(**field).is_none()).collect();
    let there = || value.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    expect(missing.is_empty(), || format!("{missing:?} missing; there are {:?}", there()))
}

/// A list, which may be left out when it is empty.
pub fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Array(all) => Ok(all),
        Value::Null => Ok(&[]),
        other => Err(format!("no list: {}", other.to_string().chars().take(100).collect::<String>())),
    }
}

/// A field's text; empty where it is none.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// An id as the contract describes it.
pub fn is_object_id(id: &str) -> bool {
    id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Did the call reach what it asked for?
pub fn is_success(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success())
}
