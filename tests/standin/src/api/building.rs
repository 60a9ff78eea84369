//! What a builder does to an application in the editor, beyond its pages and widgets.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::views::{Eye, Side};
use super::{look, required, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::spoil;
use crate::time::Moment;
use crate::world::World;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes a query on a page, on a data source or without one.
pub async fn make_query(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let (name, page) = (required(&body, "name")?, required(&body, "pageId")?);
    let text_of = body.pointer("/actionConfiguration/body").and_then(Value::as_str).unwrap_or_default();
    let action = look(&world, &caller, |eye| {
        let page = eye.page_for(page, Side::Edited)?;
        refuse_taken(eye, page, name, "")?;
        let source = body.pointer("/datasource/id").and_then(Value::as_str);
        let source = source.map(|id| eye.datasource_as(id, crate::data::role::Role::Developer)).transpose()?;
        let mut action = documents::action(&mut Numbers::random(), page, name, source.unwrap_or(&Value::Null), text_of);
        if source.is_none() {
            action["pluginId"] = json!(documents::plugin_id("restapi-plugin"));
            action["pluginType"] = json!("API");
        }
        Ok(action)
    })?;
    let id = text(&action, "_id").to_owned();
    put(&world, Collection::NewAction, action)?;
    created(shown(&world, &caller, Collection::NewAction, &id)?)
}

/// Changes a query: its name, its text, its limit.
pub async fn change_query(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let mut action = find(&world, &caller, Collection::NewAction, &id)?;
    if let Some(name) = body.get("name").and_then(Value::as_str) {
        look(&world, &caller, |eye| refuse_taken(eye, page_of(eye, &action)?, name, text(&action, "_id")))?;
        action["name"] = json!(name);
    }
    if let Some(text_of) = body.pointer("/actionConfiguration/body").and_then(Value::as_str) {
        action["body"] = json!(text_of);
        action["jsonPathKeys"] = json!(documents::bindings(text_of));
    }
    if let Some(limit) = body.pointer("/actionConfiguration/timeoutInMillisecond").filter(|limit| limit.is_u64()) {
        action["timeoutInMillisecond"] = limit.clone();
    }
    let id = text(&action, "_id").to_owned();
    put(&world, Collection::NewAction, action)?;
    ok(shown(&world, &caller, Collection::NewAction, &id)?)
}

/// Deletes a query.
pub async fn delete_query(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    let action = find(&world, &caller, Collection::NewAction, &id)?;
    let view = shown(&world, &caller, Collection::NewAction, text(&action, "_id"))?;
    write(&world, |database| {
        database.remove(Collection::NewAction, |each| each["_id"] == action["_id"]);
        Ok(())
    })?;
    ok(view)
}

/// Makes a JS object on a page.
pub async fn make_js_object(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let (name, page) = (required(&body, "name")?, required(&body, "pageId")?);
    let code = body.get("body").and_then(Value::as_str).unwrap_or("export default {\n}");
    let object = look(&world, &caller, |eye| {
        let page = eye.page_for(page, Side::Edited)?;
        Ok(documents::js_object(&mut Numbers::random(), page, name, code))
    })?;
    let id = text(&object, "_id").to_owned();
    put(&world, Collection::ActionCollection, object)?;
    created(shown(&world, &caller, Collection::ActionCollection, &id)?)
}

/// Changes a JS object's code.
pub async fn change_js_object(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let code = required(&body, "body")?;
    let mut object = find(&world, &caller, Collection::ActionCollection, &id)?;
    object["body"] = json!(code);
    let id = text(&object, "_id").to_owned();
    put(&world, Collection::ActionCollection, object)?;
    ok(shown(&world, &caller, Collection::ActionCollection, &id)?)
}

/// Deletes a page with all that is on it, but never the last one.
pub async fn delete_page(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    let (page, view) = look(&world, &caller, |eye| {
        let page = eye.page_for(&id, Side::Edited)?;
        Ok((page.clone(), eye.page(page, Side::Edited)))
    })?;
    write(&world, |database| {
        if database.matching(Collection::NewPage, "applicationId", text(&page, "applicationId")).count() < 2 {
            return Err(ApiError::unsupported("The only page of an application cannot be deleted."));
        }
        spoil::remove_page(database, text(&page, "_id"));
        Ok(())
    })?;
    ok(view)
}

fn page_of<'a>(eye: &Eye<'a>, document: &Value) -> Result<&'a Value, ApiError> {
    let id = text(document, "pageId");
    eye.database.get(Collection::NewPage, id).ok_or_else(|| ApiError::not_found("page", id))
}

/// Names are used once on a page.
fn refuse_taken(eye: &Eye<'_>, page: &Value, name: &str, own: &str) -> Result<(), ApiError> {
    let mut others = eye.database.matching(Collection::NewAction, "pageId", text(page, "_id"));
    let taken = others.any(|other| text(other, "name") == name && text(other, "_id") != own);
    if taken { Err(ApiError::bad_request(&format!("A query named {name} exists already."))) } else { Ok(()) }
}

/// A thing on a page that the caller may change.
fn find(world: &World, caller: &Anyone, collection: Collection, id: &str) -> Result<Value, ApiError> {
    let missing = || ApiError::not_found("action", id);
    look(world, caller, |eye| {
        let document = eye.document(collection, id).ok_or_else(missing)?;
        eye.application_for(text(document, "applicationId"), Side::Edited).map_err(|_| missing())?;
        Ok(document.clone())
    })
}

fn put(world: &World, collection: Collection, document: Value) -> Result<(), ApiError> {
    write(world, |database| {
        let now = Moment::now().iso();
        database.change(Collection::Application, text(&document, "applicationId"), |it| it["modifiedAt"] = json!(now));
        database.put(collection, document);
        Ok(())
    })
}

fn shown(world: &World, caller: &Anyone, collection: Collection, id: &str) -> Result<Value, ApiError> {
    look(world, caller, |eye| {
        let document = eye.database.get(collection, id).ok_or_else(|| ApiError::not_found("action", id))?;
        Ok(match collection {
            Collection::NewAction => eye.action(document, Side::Edited),
            _ => eye.js_object(document, Side::Edited),
        })
    })
}
