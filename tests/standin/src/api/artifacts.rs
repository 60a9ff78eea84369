//! Applications as files: export and import.

use super::caller::User;
use super::envelope::{Answer, ApiError, ok};
use super::look;
use super::views::Side;
use super::write;
use crate::data::database::{Collection, Database};
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::role::Role;
use crate::data::spoil;
use crate::time::Moment;
use crate::world::World;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The whole application as a file: raw JSON without an envelope, and without any credentials.
pub async fn export(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let (client, server) = world.behaviour.version.json_schemas();
    let (name, file) = look(&world, &caller, |eye| {
        let application = eye.application_for(&id, Side::Edited)?;
        let of = |collection| eye.database.matching(collection, "applicationId", text(application, "_id"));
        let page_name = |id: &str| {
            let page = eye.database.get(Collection::NewPage, id);
            page.map_or(Value::Null, |page| page["unpublishedPage"]["name"].clone())
        };
        let source = |id: &str| eye.database.get(Collection::Datasource, id);
        let listed = application["pages"].as_array().into_iter().flatten();
        let pages: Vec<Value> = listed
            .filter_map(|entry| eye.database.get(Collection::NewPage, text(entry, "id")))
            .map(|page| json!({"unpublishedPage": page["unpublishedPage"], "publishedPage": page["publishedPage"]}))
            .collect();
        let inside = |document: &Value| {
            json!({
                "pluginType": document["pluginType"], "unpublishedAction": {
                    "name": document["name"], "pageId": page_name(text(document, "pageId")), "body": document["body"],
                    "datasource": source(text(document, "datasourceId")).map(|it| it["name"].clone()),
                },
            })
        };
        let mut used: Vec<&Value> =
            of(Collection::NewAction).filter_map(|action| source(text(action, "datasourceId"))).collect();
        used.sort_by_key(|source| text(source, "_id"));
        used.dedup_by_key(|source| text(source, "_id"));
        let used = used
            .iter()
            .map(|source| json!({"name": source["name"], "pluginId": package(eye.database, text(source, "pluginId"))}));
        let actions: Vec<Value> = of(Collection::NewAction).map(inside).collect();
        let objects: Vec<Value> = of(Collection::ActionCollection).map(inside).collect();
        let view = eye.application(application);
        let file = json!({
            "artifactJsonType": "APPLICATION", "clientSchemaVersion": client, "serverSchemaVersion": server,
            "exportedApplication": {
                "name": view["name"], "slug": view["slug"], "icon": view["icon"], "color": view["color"],
                "isPublic": view["isPublic"], "applicationVersion": view["applicationVersion"],
            },
            "datasourceList": used.collect::<Vec<_>>(), "pageList": pages, "actionList": actions,
            "actionCollectionList": objects, "customJSLibList": [],
            "editModeTheme": {"name": "Default-New"}, "publishedTheme": {"name": "Default-New"},
        });
        Ok((text(application, "name").to_owned(), file))
    })?;
    let attachment = format!("attachment; filename=\"{}.json\"", name.replace(['"', '\\'], "_"));
    let head = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_DISPOSITION, attachment)];
    Ok((head, file.to_string()).into_response())
}

/// Takes a file in: as a new application, or in place of one that is not connected to Git.
pub async fn import(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(workspace): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    mut parts: Multipart,
) -> Answer {
    look(&world, &caller, |eye| eye.workspace_as(&workspace, Role::Developer).map(drop))?;
    let unreadable = || ApiError::bad_request("The file cannot be read.");
    let mut file = Value::Null;
    while let Some(part) = parts.next_field().await.map_err(|_| unreadable())? {
        if part.name() == Some("file") {
            let bytes = part.bytes().await.map_err(|_| unreadable())?;
            file = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        }
    }
    refuse_newer(&world, &file)?;
    let into = query.get("applicationId").cloned();
    if let Some(id) = &into {
        let connected = look(&world, &caller, |eye| {
            Ok(eye.application_for(id, Side::Edited)?.get("gitApplicationMetadata").is_some())
        })?;
        if connected {
            return Err(ApiError::import_into_git());
        }
    }
    let id = write(&world, |database| Ok(take_in(database, &workspace, into, &file, world.behaviour.format)))?;
    ok(look(&world, &caller, |eye| {
        let missing = unconfigured(eye.database, &id);
        Ok(json!({
            "application": eye.application(eye.application_for(&id, Side::Edited)?),
            "isPartialImport": !missing.is_empty(),
            "unConfiguredDatasourceList": missing.iter().map(|it| eye.datasource(it)).collect::<Vec<_>>(),
        }))
    })?)
}

/// The data sources of an imported application that have no credentials yet.
pub async fn unconfigured_datasources(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(_workspace): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let id = query.get("defaultApplicationId").map(String::as_str).unwrap_or_default();
    ok(look(&world, &caller, |eye| {
        eye.application_for(id, Side::Edited)?;
        Ok(unconfigured(eye.database, id).iter().map(|it| eye.datasource(it)).collect())
    })?)
}

fn refuse_newer(world: &World, file: &Value) -> Result<(), ApiError> {
    if file.get("exportedApplication").is_none() {
        return Err(ApiError::bad_request("The file holds no application."));
    }
    let (client, server) = world.behaviour.version.json_schemas();
    let newer = |field: &str, own: u32| file[field].as_u64().is_some_and(|given| given > u64::from(own));
    if newer("clientSchemaVersion", client) || newer("serverSchemaVersion", server) {
        return Err(ApiError::newer_schema());
    }
    Ok(())
}

/// Makes the application with all that is in the file, and says its id.
fn take_in(database: &mut Database, workspace: &str, into: Option<String>, file: &Value, format: u32) -> String {
    let mut numbers = Numbers::random();
    let wanted = text(&file["exportedApplication"], "name").to_owned();
    let name = free_name(database, workspace, &wanted, into.as_deref());
    let mut application = documents::application(&mut numbers, workspace, &name, format, &Moment::now().iso());
    if let Some(id) = into {
        spoil::remove_application(database, &id);
        application["_id"] = json!(id);
        application["baseId"] = json!(id);
    }
    let id = text(&application, "_id").to_owned();
    let mut pages = HashMap::new();
    for given in file["pageList"].as_array().into_iter().flatten() {
        let mut page = documents::page(&mut numbers, &id, "", &Value::Null, &Value::Null);
        page["unpublishedPage"] = given["unpublishedPage"].clone();
        page["publishedPage"] = given["publishedPage"].clone();
        documents::list_page(&mut application, text(&page, "_id"));
        pages.insert(text(&page["unpublishedPage"], "name").to_owned(), page.clone());
        database.put(Collection::NewPage, page);
    }
    let mut sources = HashMap::new();
    for given in file["datasourceList"].as_array().into_iter().flatten() {
        let source = matching_source(database, &mut numbers, workspace, given);
        sources.insert(text(given, "name").to_owned(), source);
    }
    for (list, collection) in
        [("actionList", Collection::NewAction), ("actionCollectionList", Collection::ActionCollection)]
    {
        for given in file[list].as_array().into_iter().flatten().map(|each| &each["unpublishedAction"]) {
            let Some(page) = pages.get(text(given, "pageId")) else { continue };
            let (name, body) = (text(given, "name"), text(given, "body"));
            let document = match (collection, sources.get(text(given, "datasource"))) {
                (Collection::NewAction, Some(source)) => documents::action(&mut numbers, page, name, source, body),
                (Collection::NewAction, None) => documents::action(&mut numbers, page, name, &Value::Null, body),
                _ => documents::js_object(&mut numbers, page, name, body),
            };
            database.put(collection, document);
        }
    }
    database.put(Collection::Application, application);
    id
}

/// Names are free in another workspace, and otherwise get a number.
pub fn free_name(database: &Database, workspace: &str, wanted: &str, into: Option<&str>) -> String {
    let taken = |name: &str| {
        let mut others = database.matching(Collection::Application, "workspaceId", workspace);
        others.any(|other| text(other, "name") == name && Some(text(other, "_id")) != into)
    };
    let mut candidates = std::iter::once(wanted.to_owned()).chain((1..).map(|number| format!("{wanted} ({number})")));
    candidates.find(|name| !taken(name)).unwrap_or_else(|| wanted.to_owned())
}

/// The data source of the same name and plugin, or a new one without credentials.
fn matching_source(database: &mut Database, numbers: &mut Numbers, workspace: &str, given: &Value) -> Value {
    let (name, package_name) = (text(given, "name"), text(given, "pluginId"));
    let known = database
        .matching(Collection::Datasource, "workspaceId", workspace)
        .find(|it| text(it, "name") == name && package(database, text(it, "pluginId")) == package_name)
        .cloned();
    known.unwrap_or_else(|| {
        let mut fresh = documents::datasource(numbers, workspace, name, package_name, "", "");
        fresh["isConfigured"] = json!(false);
        database.put(Collection::Datasource, fresh.clone());
        fresh
    })
}

fn package(database: &Database, plugin: &str) -> String {
    database.get(Collection::Plugin, plugin).map_or("", |plugin| text(plugin, "packageName")).to_owned()
}

pub fn unconfigured<'a>(database: &'a Database, application: &str) -> Vec<&'a Value> {
    let actions = database.matching(Collection::NewAction, "applicationId", application);
    let mut sources: Vec<&Value> = actions
        .filter_map(|action| database.get(Collection::Datasource, text(action, "datasourceId")))
        .filter(|source| source["isConfigured"] != true)
        .collect();
    sources.sort_by_key(|source| text(source, "_id"));
    sources.dedup_by_key(|source| text(source, "_id"));
    sources
}
