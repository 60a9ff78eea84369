//! Who sends a request.

use crate::data::database::Collection;
use crate::world::World;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;

/// Whoever it is: an account, or nobody.
#[derive(Debug)]
pub struct Anyone {
    /// The account, if there is a valid session.
    pub user: Option<Value>,
    /// The session's id, valid or not.
    pub session: Option<String>,
}

/// An account. Without one: 401 with an empty body.
#[derive(Debug)]
pub struct User(pub Value);

impl Anyone {
    /// May the caller see that application?
    pub fn may_see(&self, application: &Value) -> bool {
        self.user.is_some() || application.get("isPublic").and_then(Value::as_bool) == Some(true)
    }

    fn of(headers: &HeaderMap, world: &World) -> Self {
        let session = cookie(headers, "SESSION");
        let id = session.as_deref().and_then(|session| Some(world.redis().as_ref()?.user_of(session)?.to_owned()));
        let user = id.and_then(|id| world.mongo().as_ref()?.get(Collection::User, &id).cloned());
        Self { user, session }
    }
}

impl FromRequestParts<Arc<World>> for Anyone {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, world))
    }
}

impl FromRequestParts<Arc<World>> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, StatusCode> {
        Anyone::of(&parts.headers, world).user.map(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// A cookie's value.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value.to_owned())
}
