//! What is true of the instance as a whole.

use super::caller::User;
use super::envelope::{Answer, ApiError, ok};
use super::read;
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::world::World;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// Do Redis and the database answer?
pub async fn health(State(world): State<Arc<World>>) -> Answer {
    if world.redis().is_none() {
        return Err(ApiError::timed_out("Redis"));
    }
    if world.mongo().is_none() {
        return Err(ApiError::timed_out("Mongo"));
    }
    ok(json!("All systems are up"))
}

/// `tenants/current`.
pub async fn organization(State(world): State<Arc<World>>) -> Answer {
    ok(read(&world, |database| Ok(organization_view(database)))?)
}

/// The organization, as several endpoints show it.
pub fn organization_view(database: &Database) -> Value {
    json!({
        "id": config(database, "organization"),
        "instanceId": config(database, "instance-id"),
        "organizationConfiguration": {
            "migrationStatus": "COMPLETED",
            "isFormLoginEnabled": true,
            "license": {"active": true, "plan": "FREE"},
        },
        "userPermissions": [],
    })
}

fn config(database: &Database, name: &str) -> String {
    let value = database.get(Collection::Config, name).and_then(|document| document.pointer("/config/value"));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Feature flags.
pub async fn features() -> Answer {
    ok(features_view())
}

/// The flags, as several endpoints show them.
pub fn features_view() -> Value {
    json!({"release_git_api_contracts_enabled": false, "release_git_autocommit_feature_enabled": true})
}

/// There is never an alert.
pub async fn product_alert() -> Answer {
    ok(json!({}))
}

/// The kinds of data source.
pub async fn plugins(State(world): State<Arc<World>>, _user: User) -> Answer {
    let view = |plugin: &Value| json!({"id": text(plugin, "_id"), "packageName": plugin["packageName"], "name": plugin["name"], "type": plugin["type"]});
    ok(read(&world, |database| Ok(database.all(Collection::Plugin).map(view).collect()))?)
}
