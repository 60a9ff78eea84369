//! Applications.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::views::Side;
use super::{look, required, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::role::Role;
use crate::data::spoil;
use crate::time::Moment;
use crate::world::World;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The applications of one workspace.
pub async fn home(
    State(world): State<Arc<World>>,
    User(caller): User,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let Some(id) = query.get("workspaceId") else {
        return Err(ApiError::bad_request("Please enter a valid parameter workspaceId."));
    };
    ok(look(&world, &caller, |eye| {
        eye.workspace_as(id, Role::Viewer)?;
        let own = eye.database.matching(Collection::Application, "workspaceId", id).filter(|it| is_listed(it));
        Ok(own.map(|it| eye.application(it)).collect())
    })?)
}

/// Of the branches of an application only the default one is listed.
fn is_listed(document: &Value) -> bool {
    document["baseId"] == document["_id"]
}

/// The older form: every workspace with its applications.
pub async fn all(State(world): State<Arc<World>>, User(caller): User) -> Answer {
    ok(look(&world, &caller, |eye| {
        let workspaces = eye.workspaces().map(|workspace| {
            let own = eye.database.matching(Collection::Application, "workspaceId", text(workspace, "_id"));
            let own: Vec<Value> = own.filter(|it| is_listed(it)).map(|it| eye.application(it)).collect();
            json!({"workspace": eye.workspace(workspace), "applications": own, "users": []})
        });
        let workspaces: Vec<Value> = workspaces.collect();
        let user = caller.user.as_ref().map(|user| json!({"email": user["email"], "name": user["name"]}));
        Ok(json!({"user": user, "workspaceApplications": workspaces}))
    })?)
}

/// Makes an application with one empty page. The workspace is in the body, in older clients in the query.
pub async fn create(
    State(world): State<Arc<World>>,
    User(caller): User,
    Query(query): Query<HashMap<String, String>>,
    Json(body): Json<Value>,
) -> Answer {
    let name = required(&body, "name")?;
    let workspace = match query.get("workspaceId") {
        Some(id) => id,
        None => required(&body, "workspaceId")?,
    };
    look(&world, &caller, |eye| eye.workspace_as(workspace, Role::Developer).map(drop))?;
    let (mut numbers, format) = (Numbers::random(), world.behaviour.format);
    let mut application = documents::application(&mut numbers, workspace, name, format, &Moment::now().iso());
    let dsl = documents::empty_dsl(format);
    let page = documents::page(&mut numbers, text(&application, "_id"), "Page1", &dsl, &json!([]));
    documents::list_page(&mut application, text(&page, "_id"));
    let id = text(&application, "_id").to_owned();
    write(&world, |database| {
        if database.matching(Collection::Application, "name", name).any(|other| text(other, "workspaceId") == workspace)
        {
            return Err(ApiError::bad_request(&format!("An application named {name} exists already.")));
        }
        database.put(Collection::Application, application);
        database.put(Collection::NewPage, page);
        Ok(())
    })?;
    created(look(&world, &caller, |eye| Ok(eye.application(eye.application_for(&id, Side::Edited)?)))?)
}

/// An application as its users see it: pages and all.
pub async fn view(State(world): State<Arc<World>>, caller: Anyone, Path(id): Path<String>) -> Answer {
    ok(look(&world, &caller, |eye| {
        Ok(eye.application_pages(eye.application_for(&id, Side::Published)?, Side::Published))
    })?)
}

/// Deploys: what is edited becomes what is published.
pub async fn publish(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    let id = look(&world, &caller, |eye| Ok(text(eye.application_for(&id, Side::Edited)?, "_id").to_owned()))?;
    write(&world, |database| {
        database.publish(&id, &Moment::now().iso());
        Ok(())
    })?;
    ok(json!(true))
}

/// Deletes an application and all that belongs to it.
pub async fn delete(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    let document = look(&world, &caller, |eye| eye.application_for(&id, Side::Edited).cloned())?;
    let view = look(&world, &caller, |eye| Ok(eye.application(&document)))?;
    write(&world, |database| {
        spoil::remove_application(database, text(&document, "_id"));
        Ok(())
    })?;
    super::git::remove_connected(&world, &document).await?;
    ok(view)
}

/// Opens an application to everybody, or closes it.
pub async fn change_access(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let public = body.get("publicAccess").and_then(Value::as_bool).unwrap_or(false);
    look(&world, &caller, |eye| eye.application_for(&id, Side::Edited).map(drop))?;
    write(&world, |database| {
        database.change(Collection::Application, &id, |application| application["isPublic"] = json!(public));
        Ok(())
    })?;
    ok(look(&world, &caller, |eye| Ok(eye.application(eye.application_for(&id, Side::Edited)?)))?)
}
