//! The CSRF rule: a request that changes something must prove that a script of ours, or no browser, sent it.

use super::envelope::ApiError;
use crate::feature::Feature;
use crate::version::Version;
use crate::world::World;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The largest body that is taken.
pub const BODY_LIMIT_BYTES: usize = 150 << 20;

/// What the rule says of a request's head.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Let it through.
    Pass,
    /// Only with this token in the body's `_csrf` field.
    NeedsField(String),
    /// No proof: 401.
    Refuse,
    /// A content type that is not taken: 400.
    BadType,
    /// The version header names another version: 400.
    WrongVersion,
}

/// Applies the rule to every request.
pub async fn check(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let version = world.behaviour.version;
    match judge(request.method(), request.uri().path(), request.headers(), version) {
        Verdict::Pass => next.run(request).await,
        Verdict::Refuse => StatusCode::UNAUTHORIZED.into_response(),
        Verdict::BadType => ApiError::bad_request("The content type is not supported.").into_response(),
        Verdict::WrongVersion => ApiError::version_mismatch(&version.to_string()).into_response(),
        Verdict::NeedsField(token) => {
            let (head, body) = request.into_parts();
            let Ok(bytes) = to_bytes(body, BODY_LIMIT_BYTES).await else {
                return ApiError::bad_request("The body cannot be read.").into_response();
            };
            let field = format!("_csrf={token}");
            if String::from_utf8_lossy(&bytes).split('&').any(|pair| pair == field) {
                next.run(Request::from_parts(head, Body::from(bytes))).await
            } else {
                StatusCode::UNAUTHORIZED.into_response()
            }
        }
    }
}

fn judge(method: &Method, path: &str, headers: &HeaderMap, version: Version) -> Verdict {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Verdict::Pass;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE.as_str());
    let is_json = kind.starts_with("application/json");
    let is_form = kind.starts_with("application/x-www-form-urlencoded");
    if !kind.is_empty() && !is_json && !is_form && !kind.starts_with("multipart/form-data") {
        return Verdict::BadType;
    }
    if text("x-requested-by") == "Appsmith" || is_json {
        return Verdict::Pass;
    }
    if !version.has(Feature::CsrfTokens) {
        let open = path.ends_with("/login") || path.ends_with("/users") || path.ends_with("/users/super");
        return if open { Verdict::Pass } else { Verdict::Refuse };
    }
    let claimed = text("x-appsmith-version");
    if !claimed.is_empty() {
        return if claimed == version.to_string() { Verdict::Pass } else { Verdict::WrongVersion };
    }
    match super::caller::cookie(headers, "XSRF-TOKEN") {
        Some(token) if text("x-xsrf-token") == token => Verdict::Pass,
        Some(token) if is_form => Verdict::NeedsField(token),
        _ => Verdict::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn verdict(method: &Method, path: &str, given: &[(&'static str, &'static str)], version: &str) -> Verdict {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        judge(method, path, &given.iter().map(pair).collect(), version.parse().unwrap())
    }

    #[test]
    fn reading_is_free_and_changing_needs_proof() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(verdict(&Method::GET, "/x", &[], "v2.0"), Verdict::Pass);
        assert_eq!(verdict(&Method::POST, "/v1/login", &[form], "v2.0"), Verdict::Refuse);
        assert_eq!(verdict(&Method::POST, "/v1/login", &[form, ("x-requested-by", "Appsmith")], "v2.0"), Verdict::Pass);
        assert_eq!(verdict(&Method::POST, "/x", &[("content-type", "application/json")], "v2.0"), Verdict::Pass);
        assert_eq!(verdict(&Method::POST, "/x", &[("content-type", "text/plain")], "v2.0"), Verdict::BadType);
        assert_eq!(verdict(&Method::DELETE, "/x", &[], "v2.0"), Verdict::Refuse);
    }

    #[test]
    fn a_version_header_must_be_right_and_a_token_must_match() {
        assert_eq!(verdict(&Method::POST, "/x", &[("x-appsmith-version", "v2.0")], "v2.0"), Verdict::Pass);
        assert_eq!(verdict(&Method::POST, "/x", &[("x-appsmith-version", "v1.99")], "v2.0"), Verdict::WrongVersion);
        let cookie = ("cookie", "a=b; XSRF-TOKEN=t1");
        assert_eq!(verdict(&Method::POST, "/x", &[cookie, ("x-xsrf-token", "t1")], "v2.0"), Verdict::Pass);
        assert_eq!(verdict(&Method::POST, "/x", &[cookie, ("x-xsrf-token", "t2")], "v2.0"), Verdict::Refuse);
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(verdict(&Method::POST, "/x", &[cookie, form], "v2.0"), Verdict::NeedsField("t1".into()));
    }

    #[test]
    fn before_tokens_login_was_exempt() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(verdict(&Method::POST, "/v1/login", &[form], "v1.63"), Verdict::Pass);
        assert_eq!(verdict(&Method::POST, "/v1/logout", &[form], "v1.63"), Verdict::Refuse);
    }
}
