//! Sessions: login, logout, and who am I.

use super::caller::{Anyone, cookie, password_matches};
use super::envelope::{ApiError, ok};
use super::read;
use crate::broken::Broken;
use crate::data::database::Collection;
use crate::data::documents::text;
use crate::data::ids;
use crate::data::role::Role;
use crate::failure::Failure;
use crate::feature::Feature;
use crate::time::Moment;
use crate::world::World;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

const THIRTY_DAYS_SECS: u32 = 30 * 24 * 3600;
const TOO_MANY: &str =
    "Your%20account%20is%20suspended%20for%2024%20hours.%20Please%20reset%20your%20password%20to%20continue";

/// The login form.
#[derive(Debug, Deserialize)]
pub struct Credentials {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Always answers 302; only the location and the cookie tell success from failure.
pub async fn login(
    State(world): State<Arc<World>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Result<Response, ApiError> {
    let today = Moment::now().date();
    let email = given.username.to_lowercase();
    let refuse = |message: &str| Ok(redirect(&format!("{}/user/login?error=true{message}", origin(&headers))));
    if with_redis(&world, |redis| Ok(redis.is_locked_out(&email, &today)))? {
        return refuse(&format!("&message={TOO_MANY}"));
    }
    let user = read(&world, |database| Ok(database.matching(Collection::User, "email", &email).next().cloned()))?;
    match user.filter(|user| password_matches(user, &given.password)) {
        Some(user) if !world.behaviour.is(&Broken::Login) => {
            with_redis(&world, |redis| redis.forgive(&email))?;
            let target = query.get("redirectUrl").cloned().or_else(|| header_text(&headers, "redirecturl"));
            let target = target.or_else(|| header_text(&headers, "referer")).unwrap_or_else(|| "/applications".into());
            Ok(([set_cookie(&open_session(&world, &user)?)], redirect(&target)).into_response())
        }
        _ => {
            with_redis(&world, |redis| redis.count_failure(&email, &today))?;
            refuse("")
        }
    }
}

/// Ends the session.
pub async fn logout(State(world): State<Arc<World>>, caller: Anyone) -> Result<Response, ApiError> {
    if let Some(session) = caller.session {
        with_redis(&world, |redis| redis.close_session(&session))?;
    }
    let gone = [(header::SET_COOKIE, "SESSION=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax".to_owned())];
    Ok((gone, ok(Value::Null)).into_response())
}

/// `users/me`, for anonymous callers too.
pub async fn me(State(world): State<Arc<World>>, headers: HeaderMap, caller: Anyone) -> Result<Response, ApiError> {
    let view = me_view(&world, &caller)?;
    let token = (world.behaviour.version.has(Feature::CsrfTokens) && cookie(&headers, "XSRF-TOKEN").is_none())
        .then(|| (header::SET_COOKIE, format!("XSRF-TOKEN={}; Path=/; SameSite=Lax", ids::uuid())));
    Ok((AppendHeaders(token), ok(view)).into_response())
}

/// The caller, as several endpoints show it.
pub fn me_view(world: &World, caller: &Anyone) -> Result<Value, ApiError> {
    let empty = read(world, |database| Ok(database.all(Collection::User).next().is_none()))?;
    Ok(match &caller.user {
        Some(user) => json!({
            "email": user["email"], "username": user["email"], "name": user["name"], "isAnonymous": false,
            "isSuperUser": user["isSuperUser"], "adminSettingsVisible": user["isSuperUser"], "isEmptyInstance": empty,
            "isConfigurable": true, "enableTelemetry": false, "emailVerified": true, "role": "developer",
            "workspaceIds": caller_workspaces(world, user)?,
        }),
        None => json!({
            "email": "anonymousUser", "username": "anonymousUser", "name": "anonymousUser", "isAnonymous": true,
            "isSuperUser": false, "adminSettingsVisible": false, "isEmptyInstance": empty,
        }),
    })
}

fn caller_workspaces(world: &World, user: &Value) -> Result<Vec<String>, ApiError> {
    read(world, |database| {
        let mine = |workspace: &&Value| Role::of_user(workspace, text(user, "_id")).is_some();
        Ok(database.all(Collection::Workspace).filter(mine).map(|it| text(it, "_id").to_owned()).collect())
    })
}

/// Opens a session and says its id.
pub fn open_session(world: &World, user: &Value) -> Result<String, ApiError> {
    let session = ids::uuid();
    with_redis(world, |redis| redis.open_session(session.clone(), text(user, "_id").to_owned()))?;
    Ok(session)
}

/// The cookie of a session.
pub fn set_cookie(session: &str) -> (header::HeaderName, String) {
    (header::SET_COOKIE, format!("SESSION={session}; Path=/; Max-Age={THIRTY_DAYS_SECS}; HttpOnly; SameSite=Lax"))
}

/// A 302.
pub fn redirect(location: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location.to_owned())]).into_response()
}

/// Where the client believes us to be.
fn origin(headers: &HeaderMap) -> String {
    let host = || header_text(headers, "host").map(|host| format!("http://{host}"));
    header_text(headers, "origin").or_else(host).unwrap_or_default()
}

/// A header as text.
pub fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn with_redis<T>(
    world: &World,
    use_it: impl FnOnce(&mut crate::data::redis::Redis) -> Result<T, Failure>,
) -> Result<T, ApiError> {
    let mut guard = world.redis();
    let redis = guard.as_mut().ok_or_else(|| ApiError::timed_out("Redis"))?;
    use_it(redis).map_err(|_| ApiError::internal())
}
