//! Applications.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::views::{self, Side};
use super::{read, required, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::migration;
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
    _user: User,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let Some(id) = query.get("workspaceId") else {
        return Err(ApiError::bad_request("Please enter a valid parameter workspaceId."));
    };
    ok(read(&world, |database| {
        Ok(database.matching(Collection::Application, "workspaceId", id).map(views::application).collect())
    })?)
}

/// The older form: every workspace with its applications.
pub async fn all(State(world): State<Arc<World>>, User(user): User) -> Answer {
    ok(read(&world, |database| {
        let workspaces = database.all(Collection::Workspace).map(|workspace| {
            let own = database.matching(Collection::Application, "workspaceId", text(workspace, "_id"));
            json!({"workspace": views::workspace(workspace), "applications": own.map(views::application).collect::<Vec<_>>(), "users": []})
        });
        let workspaces: Vec<Value> = workspaces.collect();
        Ok(json!({"user": {"email": user["email"], "name": user["name"]}, "workspaceApplications": workspaces}))
    })?)
}

/// Makes an application with one empty page. The workspace is in the body, in older clients in the query.
pub async fn create(
    State(world): State<Arc<World>>,
    _user: User,
    Query(query): Query<HashMap<String, String>>,
    Json(body): Json<Value>,
) -> Answer {
    let name = required(&body, "name")?;
    let workspace = match query.get("workspaceId") {
        Some(id) => id,
        None => required(&body, "workspaceId")?,
    };
    let (mut numbers, format) = (Numbers::random(), world.behaviour.format);
    let mut application = documents::application(&mut numbers, workspace, name, format, &Moment::now().iso());
    let dsl = documents::empty_dsl(format);
    let page = documents::page(&mut numbers, text(&application, "_id"), "Page1", &dsl, &json!([]));
    documents::list_page(&mut application, text(&page, "_id"));
    let view = views::application(&application);
    write(&world, |database| {
        if database.get(Collection::Workspace, workspace).is_none() {
            return Err(ApiError::not_found("workspace", workspace));
        }
        if database.matching(Collection::Application, "name", name).any(|other| text(other, "workspaceId") == workspace)
        {
            return Err(ApiError::bad_request(&format!("An application named {name} exists already.")));
        }
        database.put(Collection::Application, application);
        database.put(Collection::NewPage, page);
        Ok(())
    })?;
    created(view)
}

/// An application as its users see it: pages and all.
pub async fn view(State(world): State<Arc<World>>, caller: Anyone, Path(id): Path<String>) -> Answer {
    ok(read(&world, |database| {
        let application = views::visible(database, &caller, &id)?;
        Ok(views::application_pages(database, application, Side::Published))
    })?)
}

/// Deploys: what is edited becomes what is published.
pub async fn publish(State(world): State<Arc<World>>, _user: User, Path(id): Path<String>) -> Answer {
    write(&world, |database| {
        let now = Moment::now().iso();
        if !database.change(Collection::Application, &id, |application| application["lastDeployedAt"] = json!(now)) {
            return Err(ApiError::not_found("application", &id));
        }
        let pages: Vec<String> = database
            .matching(Collection::NewPage, "applicationId", &id)
            .map(|page| text(page, "_id").to_owned())
            .collect();
        for page in pages {
            database.change(Collection::NewPage, &page, |page| page["publishedPage"] = page["unpublishedPage"].clone());
        }
        Ok(())
    })?;
    ok(json!(true))
}

/// Deletes an application and all that belongs to it.
pub async fn delete(State(world): State<Arc<World>>, _user: User, Path(id): Path<String>) -> Answer {
    let view = write(&world, |database| {
        let application =
            database.get(Collection::Application, &id).ok_or_else(|| ApiError::not_found("application", &id))?;
        let view = views::application(application);
        migration::remove_application(database, &id);
        Ok(view)
    })?;
    ok(view)
}

/// Opens an application to everybody, or closes it.
pub async fn change_access(
    State(world): State<Arc<World>>,
    _user: User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let public = body.get("publicAccess").and_then(Value::as_bool).unwrap_or(false);
    let view = write(&world, |database| {
        database.change(Collection::Application, &id, |application| application["isPublic"] = json!(public));
        database
            .get(Collection::Application, &id)
            .map(views::application)
            .ok_or_else(|| ApiError::not_found("application", &id))
    })?;
    ok(view)
}
