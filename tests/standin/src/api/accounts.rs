//! Accounts: the first one, those that sign up, those that are invited.

use super::caller::User;
use super::envelope::{Answer, ApiError, ok};
use super::login::{header_text, open_session, redirect, set_cookie};
use super::{look, required, write};
use crate::data::database::{Collection, Database};
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::role::{self, Role};
use crate::data::secret;
use crate::envfile;
use crate::feature::Feature;
use crate::time::Moment;
use crate::world::World;
use axum::Json;
use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sign-ups that v2.5.1 allows a day and address. One counter serves: there is one client here.
const SIGN_UPS_PER_DAY: u64 = 20;

/// The welcome and the sign-up form, as far as they matter.
#[derive(Debug, Deserialize)]
pub struct Welcome {
    email: String,
    password: String,
    #[serde(default)]
    name: String,
}

impl Welcome {
    fn has_a_weak_password(&self) -> bool {
        !(8..=48).contains(&self.password.len())
    }
}

/// Makes the administrator, a first workspace and a first application. Refused as soon as there is any user.
pub async fn super_user(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Form(form): Form<Welcome>,
) -> Result<Response, ApiError> {
    needs_origin(&headers)?;
    if form.has_a_weak_password() {
        return Ok(redirect("/setup/welcome?error=Password%20length%20must%20be%20between%208%20and%2048"));
    }
    let made = write(&world, |database| {
        if database.all(Collection::User).next().is_some() {
            return Ok(None);
        }
        let mut numbers = Numbers::random();
        let name = if form.name.is_empty() { "Administrator" } else { &form.name };
        let user = documents::user(&mut numbers, &form.email.to_lowercase(), name, &form.password, true);
        put_first_application(database, &mut numbers, world.behaviour.format, &user);
        database.put(Collection::User, user.clone());
        Ok(Some(user))
    })?;
    let Some(user) = made else { return Ok(redirect("/setup/welcome?error=Signup%20is%20restricted")) };
    remember_admin(&world, text(&user, "email"));
    Ok(([set_cookie(&open_session(&world, &user)?)], redirect("/signup-success?redirectUrl=/applications"))
        .into_response())
}

fn put_first_application(database: &mut Database, numbers: &mut Numbers, format: u32, user: &Value) {
    let mut workspace = documents::workspace(numbers, &format!("{}'s apps", text(user, "name")));
    role::assign(&mut workspace, text(user, "_id"), Some(Role::Administrator));
    let id = text(&workspace, "_id");
    let mut application = documents::application(numbers, id, "My first application", format, &Moment::now().iso());
    let page = documents::page(numbers, text(&application, "_id"), "Page1", &documents::empty_dsl(format), &json!([]));
    documents::list_page(&mut application, text(&page, "_id"));
    database.put(Collection::Workspace, workspace);
    database.put(Collection::Application, application);
    database.put(Collection::NewPage, page);
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

/// Signs up, or fills in the password of an account that was invited. 302 in any case.
pub async fn sign_up(State(world): State<Arc<World>>, Form(form): Form<Welcome>) -> Result<Response, ApiError> {
    if form.has_a_weak_password() {
        return Ok(redirect("/user/signup?error=Password%20length%20must%20be%20between%208%20and%2048"));
    }
    let so_far = world.sign_ups.fetch_add(1, Ordering::SeqCst);
    if world.behaviour.version.has(Feature::SignUpLimit) && so_far >= SIGN_UPS_PER_DAY {
        return Err(ApiError::too_many("Too many sign-ups from this address. Please try again later."));
    }
    let email = form.email.to_lowercase();
    let made = write(&world, |database| {
        let known = database.matching(Collection::User, "email", &email).next().cloned();
        let mut fresh = documents::user(&mut Numbers::random(), &email, &form.name, &form.password, false);
        match known {
            Some(known) if !text(&known, "password").is_empty() => return Ok(None),
            Some(known) => fresh["_id"] = known["_id"].clone(),
            None => {}
        }
        database.put(Collection::User, fresh.clone());
        Ok(Some(fresh))
    })?;
    let Some(user) = made else {
        return Ok(redirect("/user/signup?error=There%20is%20already%20an%20account%20with%20this%20email"));
    };
    Ok(([set_cookie(&open_session(&world, &user)?)], redirect("/applications")).into_response())
}

/// Gives accounts a role in a workspace. An account that is not there yet is made, without a password.
pub async fn invite(
    State(world): State<Arc<World>>,
    User(caller): User,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Answer {
    needs_origin(&headers)?;
    let group = required(&body, "permissionGroupId")?;
    let names: Vec<String> =
        body["usernames"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_lowercase).collect();
    if names.is_empty() {
        return Err(ApiError::bad_request("Please enter a valid parameter usernames."));
    }
    let (workspace, role) = look(&world, &caller, |eye| {
        let found = eye.workspaces().find_map(|workspace| Some((workspace, Role::of_group(workspace, group)?)));
        let (workspace, role) = found.ok_or_else(|| ApiError::not_found("permission group", group))?;
        let id = text(workspace, "_id");
        eye.workspace_as(id, Role::Administrator)?;
        Ok((id.to_owned(), role))
    })?;
    write(&world, |database| {
        for name in &names {
            let known = database.matching(Collection::User, "email", name).next().cloned();
            let user = known.unwrap_or_else(|| {
                let mut invited = documents::user(&mut Numbers::random(), name, name, &secret::unguessable(), false);
                invited["password"] = json!("");
                database.put(Collection::User, invited.clone());
                invited
            });
            database.change(Collection::Workspace, &workspace, |workspace| {
                role::assign(workspace, text(&user, "_id"), Some(role));
            });
        }
        Ok(())
    })?;
    ok(names.iter().map(|name| json!({"email": name, "username": name})).collect())
}

fn needs_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = header_text(headers, "origin").is_some();
    if given { Ok(()) } else { Err(ApiError::bad_request("Origin header is missing.")) }
}
