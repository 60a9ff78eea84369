//! One request, whichever scheme of paths it came by.

use crate::api::caller::{Anyone, User};
use crate::api::csrf::BODY_LIMIT_BYTES;
use crate::api::envelope::ApiError;
use crate::world::World;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What somebody with an account asks for.
#[derive(Debug)]
pub struct Ask {
    /// Where.
    pub world: Arc<World>,
    /// Who.
    pub caller: Anyone,
    /// The id in the path: of an application, in one place of a workspace. Empty where the path has none.
    pub id: String,
    /// The body, or null.
    pub body: Value,
    /// It came by the older paths.
    pub is_old: bool,
    /// It has an `Origin`.
    pub has_origin: bool,
    query: HashMap<String, String>,
}

impl FromRequest<Arc<World>> for Ask {
    type Rejection = Response;

    async fn from_request(request: Request, world: &Arc<World>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let User(caller) = User::from_request_parts(&mut parts, world).await.map_err(IntoResponse::into_response)?;
        let path = Path::<HashMap<String, String>>::from_request_parts(&mut parts, world).await;
        let query = Query::<HashMap<String, String>>::from_request_parts(&mut parts, world).await;
        let bytes = to_bytes(body, BODY_LIMIT_BYTES).await.unwrap_or_default();
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(|_| ApiError::malformed().into_response())?,
        };
        let place = parts.uri.path();
        let is_new = place.contains("/git/applications/") || place.contains("/git/artifacts/");
        Ok(Self {
            world: Arc::clone(world),
            caller,
            id: path.map(|Path(mut found)| found.remove("id").unwrap_or_default()).unwrap_or_default(),
            body,
            is_old: !is_new,
            has_origin: parts.headers.contains_key(header::ORIGIN),
            query: query.map(|Query(found)| found).unwrap_or_default(),
        })
    }
}

impl Ask {
    /// A word of the query.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|word| !word.is_empty())
    }

    /// Is that word of the query `true`?
    pub fn is_set(&self, name: &str) -> bool {
        self.word(name) == Some("true")
    }

    /// A text of the body, under the first of these names that is there.
    pub fn text(&self, names: &[&str]) -> Result<&str, ApiError> {
        let found = names.iter().find_map(|name| self.body.get(*name).and_then(Value::as_str));
        let missing = || ApiError::bad_request(&format!("Please enter a valid parameter {}.", names.join(" or ")));
        found.filter(|text| !text.is_empty()).ok_or_else(missing)
    }

    /// The mail address of who asks.
    pub fn email(&self) -> &str {
        self.user("email")
    }

    /// A text of the account that asks.
    pub fn user(&self, field: &str) -> &str {
        self.caller.user.as_ref().and_then(|user| user[field].as_str()).unwrap_or_default()
    }
}
