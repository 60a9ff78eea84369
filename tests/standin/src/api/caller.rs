//! Who sends a request.

use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::data::role::Role;
use crate::data::secret;
use crate::world::World;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;

/// Whoever it is: an account, or nobody.
#[derive(Debug, Default)]
pub struct Anyone {
    /// The account, if there is a valid session.
    pub user: Option<Value>,
    /// The session's id, valid or not.
    pub session: Option<String>,
    /// The branch that it means where an id is that of the default one: the header `branchName`.
    pub branch: Option<String>,
}

/// An account. Without one: 401 with an empty body.
#[derive(Debug)]
pub struct User(pub Anyone);

impl Anyone {
    /// The caller's role in a workspace.
    pub fn role(&self, database: &Database, workspace: &str) -> Option<Role> {
        let workspace = database.get(Collection::Workspace, workspace)?;
        Role::of_user(workspace, text(self.user.as_ref()?, "_id"))
    }

    /// Is the caller an administrator of the whole instance?
    pub fn is_super(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user["isSuperUser"] == true)
    }

    fn of(headers: &HeaderMap, world: &World) -> Self {
        let session = cookie(headers, "SESSION");
        let id = session.as_deref().and_then(|session| Some(world.redis().as_ref()?.user_of(session)?.to_owned()));
        let user = id.and_then(|id| world.mongo().as_ref()?.get(Collection::User, &id).cloned());
        let user = user.or_else(|| if world.behaviour.open.basic_auth { basic(headers, world) } else { None });
        let branch = headers.get("branchname").and_then(|value| value.to_str().ok());
        Self { user, session, branch: branch.filter(|name| !name.is_empty()).map(str::to_owned) }
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
        let anyone = Anyone::of(&parts.headers, world);
        if anyone.user.is_some() { Ok(Self(anyone)) } else { Err(StatusCode::UNAUTHORIZED) }
    }
}

/// A cookie's value.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value.to_owned())
}

/// Does the password belong to the account?
pub fn password_matches(user: &Value, password: &str) -> bool {
    let stored = text(user, "password");
    !stored.is_empty() && secret::password_hash(password, text(user, "salt")) == stored
}

/// The account of an `Authorization: Basic` header.
fn basic(headers: &HeaderMap, world: &World) -> Option<Value> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(base64(given)?).ok()?;
    let (email, password) = pair.split_once(':')?;
    let user = world.mongo().as_ref()?.matching(Collection::User, "email", email).next().cloned()?;
    password_matches(&user, password).then_some(user)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = u32::try_from(ALPHABET.iter().position(|each| *each == letter)?).ok()?;
        (bits, held) = ((bits << 6 | value) & 0xFFFF, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        assert_eq!(base64("YWRtaW5AeDpwdw==").unwrap(), b"admin@x:pw");
        assert!(base64("not base64!").is_none());
    }
}
