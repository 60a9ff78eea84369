//! Pages, and what is on them.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::views::{self, Side};
use super::{read, required, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::time::Moment;
use crate::world::World;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

type Words = Query<HashMap<String, String>>;

fn application_id(words: &HashMap<String, String>) -> Result<&str, ApiError> {
    words
        .get("applicationId")
        .map(String::as_str)
        .ok_or_else(|| ApiError::bad_request("Please enter a valid parameter applicationId."))
}

/// An application with its pages, as edited or as published.
pub async fn of_application(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    let side = if words.get("mode").map(String::as_str) == Some("EDIT") { Side::Edited } else { Side::Published };
    let id = application_id(&words)?;
    ok(read(&world, |database| {
        let application = views::visible(database, &caller, id)?;
        Ok(views::application_pages(database, application, side))
    })?)
}

/// A page as edited.
pub async fn edited(State(world): State<Arc<World>>, _user: User, caller: Anyone, Path(id): Path<String>) -> Answer {
    ok(read(&world, |database| Ok(views::page(views::visible_page(database, &caller, &id)?, Side::Edited)))?)
}

/// A page as published.
pub async fn published(State(world): State<Arc<World>>, caller: Anyone, Path(id): Path<String>) -> Answer {
    ok(read(&world, |database| Ok(views::page(views::visible_page(database, &caller, &id)?, Side::Published)))?)
}

/// Makes a page, as edited; it is published with its application.
pub async fn create(State(world): State<Arc<World>>, _user: User, Json(body): Json<Value>) -> Answer {
    let (name, application) = (required(&body, "name")?, required(&body, "applicationId")?);
    let dsl = body.pointer("/layouts/0/dsl").cloned().unwrap_or_else(|| documents::empty_dsl(world.behaviour.format));
    let page = documents::page(&mut Numbers::random(), application, name, &dsl, &json!([]));
    let view = views::page(&page, Side::Edited);
    write(&world, |database| {
        let now = Moment::now().iso();
        let listed = database.change(Collection::Application, application, |document| {
            documents::list_page(document, text(&page, "_id"));
            document["modifiedAt"] = json!(now);
        });
        if !listed {
            return Err(ApiError::not_found("application", application));
        }
        database.put(Collection::NewPage, page);
        Ok(())
    })?;
    created(view)
}

/// Gives a page another name.
pub async fn rename(
    State(world): State<Arc<World>>,
    _user: User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let name = required(&body, "name")?;
    change(&world, &id, |side| {
        side["name"] = json!(name);
        side["slug"] = json!(documents::slug(name));
        true
    })
}

/// Replaces the widget tree of a layout.
pub async fn set_layout(
    State(world): State<Arc<World>>,
    _user: User,
    Path((layout, page)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let Some(dsl) = body.get("dsl") else { return Err(ApiError::bad_request("Please enter a valid parameter dsl.")) };
    change(&world, &page, |side| {
        let layouts = side["layouts"].as_array_mut();
        let Some(found) = layouts.and_then(|all| all.iter_mut().find(|each| text(each, "id") == layout)) else {
            return false;
        };
        found["dsl"] = dsl.clone();
        true
    })
}

fn change(world: &World, id: &str, edit: impl FnOnce(&mut Value) -> bool) -> Answer {
    let missing = || ApiError::not_found("page", id);
    let view = write(world, |database| {
        let application = database.get(Collection::NewPage, id).map(|page| text(page, "applicationId").to_owned());
        let application = application.ok_or_else(missing)?;
        let mut done = false;
        database.change(Collection::NewPage, id, |page| done = edit(&mut page["unpublishedPage"]));
        if !done {
            return Err(missing());
        }
        let now = Moment::now().iso();
        database.change(Collection::Application, &application, |document| document["modifiedAt"] = json!(now));
        database.get(Collection::NewPage, id).map(|page| views::page(page, Side::Edited)).ok_or_else(missing)
    })?;
    ok(view)
}

/// The published queries of an application.
pub async fn actions(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    of_collection(&world, &caller, &words, Collection::NewAction, views::action)
}

/// The published JS objects of an application.
pub async fn js_objects(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    of_collection(&world, &caller, &words, Collection::ActionCollection, views::js_object)
}

fn of_collection(
    world: &World,
    caller: &Anyone,
    words: &HashMap<String, String>,
    collection: Collection,
    view: fn(&Value) -> Value,
) -> Answer {
    let id = application_id(words)?;
    ok(read(world, |database| {
        views::visible(database, caller, id)?;
        Ok(database.matching(collection, "applicationId", id).map(view).collect())
    })?)
}
