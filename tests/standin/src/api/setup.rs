//! The first account of an empty instance.

use super::envelope::ApiError;
use super::login::{header_text, open_session, redirect, set_cookie};
use super::write;
use crate::data::database::Collection;
use crate::data::documents;
use crate::data::ids::Numbers;
use crate::envfile;
use crate::time::Moment;
use crate::world::World;
use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;

/// The welcome form, as far as it matters.
#[derive(Debug, Deserialize)]
pub struct Welcome {
    email: String,
    password: String,
    #[serde(default)]
    name: String,
}

/// Makes the administrator, a first workspace and a first application. Refused as soon as there is any user.
pub async fn super_user(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Form(form): Form<Welcome>,
) -> Result<Response, ApiError> {
    if header_text(&headers, "origin").is_none() {
        return Err(ApiError::bad_request("Origin header is missing."));
    }
    if !(8..=48).contains(&form.password.len()) {
        return Ok(redirect("/setup/welcome?error=Password%20length%20must%20be%20between%208%20and%2048"));
    }
    let made = write(&world, |database| {
        if database.all(Collection::User).next().is_some() {
            return Ok(None);
        }
        let mut numbers = Numbers::random();
        let name = if form.name.is_empty() { "Administrator" } else { &form.name };
        let user = documents::user(&mut numbers, &form.email.to_lowercase(), name, &form.password, true);
        let workspace = documents::workspace(&mut numbers, &format!("{name}'s apps"));
        let now = Moment::now().iso();
        let format = world.behaviour.format;
        let id = documents::text(&workspace, "_id");
        let mut application = documents::application(&mut numbers, id, "My first application", format, &now);
        let dsl = documents::empty_dsl(format);
        let page =
            documents::page(&mut numbers, documents::text(&application, "_id"), "Page1", &dsl, &serde_json::json!([]));
        documents::list_page(&mut application, documents::text(&page, "_id"));
        database.put(Collection::User, user.clone());
        database.put(Collection::Workspace, workspace);
        database.put(Collection::Application, application);
        database.put(Collection::NewPage, page);
        Ok(Some(user))
    })?;
    let Some(user) = made else { return Ok(redirect("/setup/welcome?error=Signup%20is%20restricted")) };
    remember_admin(&world, documents::text(&user, "email"));
    Ok(([set_cookie(&open_session(&world, &user)?)], redirect("/signup-success?redirectUrl=/applications"))
        .into_response())
}

/// The real server edits `docker.env` here too.
fn remember_admin(world: &World, email: &str) {
    let path = world.volume.docker_env();
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let text = format!("{text}APPSMITH_ADMIN_EMAILS={email}\nAPPSMITH_DISABLE_TELEMETRY=true\n");
    if let Err(failure) = envfile::write_private(&path, &text) {
        world.log("backend", &format!("WARN {failure}"));
    }
}
