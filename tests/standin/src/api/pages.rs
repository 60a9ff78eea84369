//! Pages, and what is on them.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::views::{Eye, Side};
use super::{look, required, write};
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

/// The application that a request is about.
pub fn application_id(words: &HashMap<String, String>) -> Result<&str, ApiError> {
    words
        .get("applicationId")
        .map(String::as_str)
        .ok_or_else(|| ApiError::bad_request("Please enter a valid parameter applicationId."))
}

/// An application with its pages, as edited or as published.
pub async fn of_application(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    let side = if words.get("mode").map(String::as_str) == Some("EDIT") { Side::Edited } else { Side::Published };
    let id = application_id(&words)?;
    ok(look(&world, &caller, |eye| Ok(eye.application_pages(eye.application_for(id, side)?, side)))?)
}

/// A page as edited.
pub async fn edited(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    ok(look(&world, &caller, |eye| Ok(eye.page(eye.page_for(&id, Side::Edited)?, Side::Edited)))?)
}

/// A page as published.
pub async fn published(State(world): State<Arc<World>>, caller: Anyone, Path(id): Path<String>) -> Answer {
    let broken = |eye: &Eye<'_>, page: &Value| super::consolidated::broken_page(&world, eye, page, Side::Published);
    ok(look(&world, &caller, |eye| {
        let page = eye.page_for(&id, Side::Published)?;
        broken(eye, page)?;
        Ok(eye.page(page, Side::Published))
    })?)
}

/// Makes a page, as edited; it is published with its application.
pub async fn create(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let (name, application) = (required(&body, "name")?, required(&body, "applicationId")?);
    let dsl = body.pointer("/layouts/0/dsl").cloned().unwrap_or_else(|| documents::empty_dsl(world.behaviour.format));
    let application =
        look(&world, &caller, |eye| Ok(text(eye.application_for(application, Side::Edited)?, "_id").to_owned()))?;
    let page = documents::page(&mut Numbers::random(), &application, name, &dsl, &json!([]));
    let id = text(&page, "_id").to_owned();
    write(&world, |database| {
        let now = Moment::now().iso();
        database.change(Collection::Application, &application, |document| {
            documents::list_page(document, text(&page, "_id"));
            document["modifiedAt"] = json!(now);
        });
        database.put(Collection::NewPage, page);
        Ok(())
    })?;
    created(look(&world, &caller, |eye| Ok(eye.page(eye.page_for(&id, Side::Edited)?, Side::Edited)))?)
}

/// Gives a page another name.
pub async fn rename(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let name = required(&body, "name")?;
    change(&world, &caller, &id, |side| {
        side["name"] = json!(name);
        side["slug"] = json!(documents::slug(name));
        true
    })
}

/// Replaces the widget tree of a layout.
pub async fn set_layout(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path((layout, page)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let Some(dsl) = body.get("dsl") else { return Err(ApiError::bad_request("Please enter a valid parameter dsl.")) };
    change(&world, &caller, &page, |side| {
        let layouts = side["layouts"].as_array_mut();
        let Some(found) = layouts.and_then(|all| all.iter_mut().find(|each| text(each, "id") == layout)) else {
            return false;
        };
        found["dsl"] = dsl.clone();
        true
    })
}

fn change(world: &World, caller: &Anyone, id: &str, edit: impl FnOnce(&mut Value) -> bool) -> Answer {
    let (id, application) = look(world, caller, |eye| {
        let page = eye.page_for(id, Side::Edited)?;
        Ok((text(page, "_id").to_owned(), text(page, "applicationId").to_owned()))
    })?;
    let id = id.as_str();
    write(world, |database| {
        let mut done = false;
        database.change(Collection::NewPage, id, |page| done = edit(&mut page["unpublishedPage"]));
        if !done {
            return Err(ApiError::not_found("page", id));
        }
        let now = Moment::now().iso();
        database.change(Collection::Application, &application, |document| document["modifiedAt"] = json!(now));
        Ok(())
    })?;
    ok(look(world, caller, |eye| Ok(eye.page(eye.page_for(id, Side::Edited)?, Side::Edited)))?)
}
