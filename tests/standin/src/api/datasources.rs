//! Data sources. Nothing is ever connected to: what counts is whether the credentials can be read.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::{look, required, write};
use crate::broken::Broken;
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::role::Role;
use crate::data::secret;
use crate::feature::Feature;
use crate::world::World;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

const UNKNOWN_HOST: &str = "java.net.UnknownHostException: Name or service not known";
const BAD_PADDING: &str =
    "Given final block not properly padded. Such issues can arise if a bad key is used during decryption.";

/// The data sources of a workspace.
pub async fn list(
    State(world): State<Arc<World>>,
    User(caller): User,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let Some(id) = query.get("workspaceId") else {
        return Err(ApiError::bad_request("Please enter a valid parameter workspaceId."));
    };
    ok(look(&world, &caller, |eye| {
        // A viewer has no right to any: an empty list.
        let may = eye.workspace_as(id, Role::Developer).is_ok();
        let all = eye.database.matching(Collection::Datasource, "workspaceId", id).filter(|_| may);
        Ok(all.map(|it| eye.datasource(it)).collect())
    })?)
}

/// Makes a data source.
pub async fn create(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let (name, workspace) = (required(&body, "name")?, required(&body, "workspaceId")?);
    look(&world, &caller, |eye| eye.workspace_as(workspace, Role::Developer).map(drop))?;
    let given = configuration(&body);
    let password = given.pointer("/authentication/password").and_then(Value::as_str).unwrap_or_default();
    let key = world.settings().encryption_key();
    let mut datasource =
        documents::datasource(&mut Numbers::random(), workspace, name, "postgres-plugin", password, &key);
    if let Some(plugin) = body.get("pluginId").filter(|id| id.is_string()) {
        datasource["pluginId"] = plugin.clone();
    }
    take_settings(&mut datasource, given);
    let id = text(&datasource, "_id").to_owned();
    write(&world, |database| {
        let mut others = database.matching(Collection::Datasource, "workspaceId", workspace);
        if others.any(|other| text(other, "name") == name) {
            return Err(ApiError::bad_request(&format!("A data source named {name} exists already.")));
        }
        drop(others);
        database.put(Collection::Datasource, datasource);
        Ok(())
    })?;
    created(shown(&world, &caller, &id)?)
}

/// Gives a data source another name.
pub async fn rename(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let name = required(&body, "name")?;
    look(&world, &caller, |eye| eye.datasource_as(&id, Role::Developer).map(drop))?;
    write(&world, |database| {
        database.change(Collection::Datasource, &id, |datasource| datasource["name"] = json!(name));
        Ok(())
    })?;
    ok(shown(&world, &caller, &id)?)
}

/// Deletes a data source that no query uses.
pub async fn delete(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    look(&world, &caller, |eye| eye.datasource_as(&id, Role::Developer).map(drop))?;
    let view = shown(&world, &caller, &id)?;
    write(&world, |database| {
        if database.matching(Collection::NewAction, "datasourceId", &id).next().is_some() {
            return Err(ApiError::unsupported("This data source is used by queries."));
        }
        database.remove(Collection::Datasource, |document| text(document, "_id") == id);
        Ok(())
    })?;
    ok(view)
}

/// Connects a data source: its settings and its credentials.
pub async fn set_storage(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let id = required(&body, "datasourceId")?;
    let given = &body["datasourceConfiguration"];
    let password = given.pointer("/authentication/password").and_then(Value::as_str);
    let before = look(&world, &caller, |eye| eye.datasource_as(id, Role::Developer).cloned())?;
    let mut after = before.clone();
    take_settings(&mut after, given);
    if after != before && password.is_none() && world.behaviour.version.has(Feature::CredentialsAnew) {
        return Err(ApiError::bad_request("Changed connection settings need the credentials again."));
    }
    let key = world.settings().encryption_key();
    write(&world, |database| {
        database.change(Collection::Datasource, id, |datasource| {
            *datasource = after;
            if let Some(password) = password {
                datasource["encryptedPassword"] = json!(secret::encrypt(password, &key));
            }
            datasource["isConfigured"] = json!(body["isConfigured"] == true);
        });
        Ok(())
    })?;
    ok(shown(&world, &caller, id)?)
}

/// Tests a data source; secrets that are left out are those that are stored.
pub async fn test(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let id = body.get("datasourceId").or_else(|| body.get("id")).and_then(Value::as_str).unwrap_or_default();
    let stored = look(&world, &caller, |eye| eye.datasource_as(id, Role::Developer).cloned())?;
    let (host, now) = (text(&stored, "url"), Instant::now());
    if world.connections.blocks(host, now) {
        return Err(ApiError::too_many("Too many failed requests were made to this data source."));
    }
    let fresh = configuration(&body).pointer("/authentication/password").is_some_and(Value::is_string);
    let success = is_reachable(&world, &stored) && (fresh || is_readable(&world, &stored));
    if !success {
        world.connections.count_failure(host, now, world.behaviour.pace);
    }
    let why = if is_there(&stored) { BAD_PADDING } else { UNKNOWN_HOST };
    let invalids: &[&str] = if success { &[] } else { &[why] };
    ok(json!({"success": success, "invalids": invalids, "messages": []}))
}

/// The tables behind a data source.
pub async fn structure(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    let stored = look(&world, &caller, |eye| eye.datasource_as(&id, Role::Developer).cloned())?;
    if !is_readable(&world, &stored) {
        return ok(json!({"tables": [], "error": {"message": BAD_PADDING}}));
    }
    let column = |name: &str, kind: &str| json!({"name": name, "type": kind, "isAutogenerated": name == "id"});
    let name = format!("public.{}", text(&stored, "databaseName"));
    ok(json!({"tables": [{
        "name": name, "type": "TABLE", "columns": [column("id", "int4"), column("name", "text")],
        "keys": [{"name": "pk", "type": "primary key", "columnNames": ["id"]}], "templates": [],
    }]}))
}

/// Can the stored credentials be used?
pub fn is_readable(world: &World, stored: &Value) -> bool {
    let key = world.settings().encryption_key();
    is_reachable(world, stored) && secret::decrypt(text(stored, "encryptedPassword"), &key).is_some()
}

/// No resolver knows a host below `.invalid`.
fn is_there(stored: &Value) -> bool {
    stored["isConfigured"] == true && !text(stored, "url").ends_with(".invalid")
}

fn is_reachable(world: &World, stored: &Value) -> bool {
    is_there(stored) && !world.behaviour.is(&Broken::Datasource(text(stored, "name").to_owned()))
}

/// The configuration inside a body: of a storage, of a data source with storages, of an old data source.
fn configuration(body: &Value) -> &Value {
    let inside = body.pointer("/datasourceStorages/unused_env/datasourceConfiguration");
    inside.unwrap_or(&body["datasourceConfiguration"])
}

fn take_settings(datasource: &mut Value, given: &Value) {
    let fields = [
        ("/authentication/username", "username"),
        ("/authentication/databaseName", "databaseName"),
        ("/endpoints/0/host", "url"),
    ];
    for (from, to) in fields {
        if let Some(value) = given.pointer(from).filter(|value| value.is_string()) {
            datasource[to] = value.clone();
        }
    }
}

fn shown(world: &World, caller: &Anyone, id: &str) -> Result<Value, ApiError> {
    look(world, caller, |eye| Ok(eye.datasource(eye.datasource_as(id, Role::Developer)?)))
}
