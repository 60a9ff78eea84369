//! Every answer carries a request id.

use crate::data::ids;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

/// Answers with the client's `X-Request-Id` if that is a version 4 UUID, else with a mark, else with a fresh one.
pub async fn mark(request: Request, next: Next) -> Response {
    let id = match request.headers().get("x-request-id") {
        Some(given) => match given.to_str() {
            Ok(text) if ids::is_uuid4(text) => text.to_owned(),
            _ => "invalid_request_id".to_owned(),
        },
        None => ids::uuid(),
    };
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-appsmith-request-id", value);
    }
    response
}
