//! What is true of the instance as a whole.

use super::caller::{Anyone, User};
use super::envelope::{Answer, ApiError, ok};
use super::look;
use super::views::Eye;
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::feature::Feature;
use crate::world::World;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// Do Redis and the database answer?
pub async fn health(State(world): State<Arc<World>>) -> Answer {
    if !world.behaviour.version.has(Feature::HealthEndpoint) {
        return Err(ApiError::no_resource("path"));
    }
    if world.redis().is_none() {
        return Err(ApiError::timed_out("Redis"));
    }
    if world.mongo().is_none() {
        return Err(ApiError::timed_out("Mongo"));
    }
    ok(json!("All systems are up"))
}

/// `tenants/current`.
pub async fn organization(State(world): State<Arc<World>>, caller: Anyone) -> Answer {
    ok(look(&world, &caller, |eye| Ok(organization_view(eye)))?)
}

/// The organization, as several endpoints show it.
pub fn organization_view(eye: &Eye<'_>) -> Value {
    let named = eye.version.has(Feature::Organization);
    let configuration = if named { "organizationConfiguration" } else { "tenantConfiguration" };
    json!({
        "id": config(eye.database, "organization"),
        "instanceId": config(eye.database, "instance-id"),
        configuration: {
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
pub async fn plugins(State(world): State<Arc<World>>, User(caller): User) -> Answer {
    ok(look(&world, &caller, |eye| Ok(plugins_view(eye)))?)
}

/// The plugins, as several endpoints show them.
pub fn plugins_view(eye: &Eye<'_>) -> Value {
    let view = |plugin: &Value| {
        json!({
            "id": text(plugin, "_id"), "packageName": plugin["packageName"], "name": plugin["name"],
            "type": plugin["type"], "version": "1.0.0",
        })
    };
    eye.database.all(Collection::Plugin).map(view).collect()
}

/// A white-listed part of `docker.env`, for administrators of the instance.
pub async fn env(State(world): State<Arc<World>>, User(caller): User) -> Answer {
    const SHOWN: [&str; 5] = [
        "APPSMITH_MAIL_ENABLED",
        "APPSMITH_MAIL_FROM",
        "APPSMITH_ADMIN_EMAILS",
        "APPSMITH_CUSTOM_DOMAIN",
        "APPSMITH_DISABLE_TELEMETRY",
    ];
    if !caller.is_super() {
        return Err(ApiError::forbidden());
    }
    let settings = world.settings();
    let shown = SHOWN.iter().map(|name| (name.to_string(), json!(settings.get(name).unwrap_or_default())));
    ok(Value::Object(shown.collect()))
}
