//! Data sources, and queries on them. Nothing is ever connected to: what counts is whether the credentials can be read.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, created, ok};
use super::{read, required, views, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::secret;
use crate::world::World;
use axum::Json;
use axum::extract::{Multipart, Query, State};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The data sources of a workspace.
pub async fn list(
    State(world): State<Arc<World>>,
    _user: User,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let Some(id) = query.get("workspaceId") else {
        return Err(ApiError::bad_request("Please enter a valid parameter workspaceId."));
    };
    ok(read(&world, |database| {
        Ok(database.matching(Collection::Datasource, "workspaceId", id).map(views::datasource).collect())
    })?)
}

/// Makes a data source.
pub async fn create(State(world): State<Arc<World>>, _user: User, Json(body): Json<Value>) -> Answer {
    let (name, workspace) = (required(&body, "name")?, required(&body, "workspaceId")?);
    let password = body.pointer("/datasourceStorages/unused_env/datasourceConfiguration/authentication/password");
    let password = password.and_then(Value::as_str).unwrap_or_default();
    let key = world.settings().encryption_key();
    let mut datasource =
        documents::datasource(&mut Numbers::random(), workspace, name, "postgres-plugin", password, &key);
    if let Some(plugin) = body.get("pluginId").filter(|id| id.is_string()) {
        datasource["pluginId"] = plugin.clone();
    }
    let view = views::datasource(&datasource);
    write(&world, |database| {
        database.put(Collection::Datasource, datasource);
        Ok(())
    })?;
    created(view)
}

/// Tests a stored data source: it fails if its credentials were encrypted with another key.
pub async fn test(State(world): State<Arc<World>>, _user: User, Json(body): Json<Value>) -> Answer {
    let id = body.get("datasourceId").or_else(|| body.get("id")).and_then(Value::as_str).unwrap_or_default();
    let readable = readable(&world, id)?;
    let invalids: &[&str] = if readable {
        &[]
    } else {
        &["Given final block not properly padded. Such issues can arise if a bad key is used during decryption."]
    };
    ok(json!({"success": readable, "invalids": invalids, "messages": []}))
}

/// Runs a query: 200 in any case; `isExecutionSuccess` tells.
pub async fn execute(State(world): State<Arc<World>>, caller: Anyone, mut parts: Multipart) -> Answer {
    let mut request = Value::Null;
    while let Some(part) = parts.next_field().await.map_err(|_| ApiError::bad_request("The form cannot be read."))? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|_| ApiError::bad_request("The form cannot be read."))?;
        let parameter = name.strip_prefix('k').is_some_and(|rest| rest.parse::<u32>().is_ok());
        match name.as_str() {
            "executeActionDTO" => request = serde_json::from_slice(&bytes).unwrap_or_default(),
            "parameterMap" => {}
            _ if parameter || name.starts_with("blob:") => {}
            other => return Err(ApiError::bad_request(&format!("Unexpected part {other}."))),
        }
    }
    let id = required(&request, "actionId")?;
    let action = read(&world, |database| {
        let missing = || ApiError::not_found("action", id);
        let action = database.get(Collection::NewAction, id).ok_or_else(missing)?;
        views::visible(database, &caller, text(action, "applicationId")).map_err(|_| missing())?;
        Ok(action.clone())
    })?;
    if readable(&world, text(&action, "datasourceId"))? {
        let row = json!({"query": action["name"], "rows": 3});
        return ok(
            json!({"isExecutionSuccess": true, "statusCode": "200 OK", "body": [row], "dataTypes": [{"dataType": "JSON"}]}),
        );
    }
    ok(json!({
        "isExecutionSuccess": false, "statusCode": "PE-DSE-4000", "title": "Datasource configuration is invalid",
        "body": "the credentials of the data source cannot be decrypted", "errorType": "DATASOURCE_CONFIGURATION_ERROR",
    }))
}

fn readable(world: &World, id: &str) -> Result<bool, ApiError> {
    let key = world.settings().encryption_key();
    read(world, |database| {
        let datasource =
            database.get(Collection::Datasource, id).ok_or_else(|| ApiError::not_found("datasource", id))?;
        Ok(secret::decrypt(text(datasource, "encryptedPassword"), &key).is_some())
    })
}
