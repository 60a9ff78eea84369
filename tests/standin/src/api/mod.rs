//! The REST interface, as far as a lifecycle tool uses it.

mod accounts;
mod applications;
mod artifacts;
mod building;
mod caller;
mod consolidated;
mod csrf;
mod datasources;
mod envelope;
mod git;
mod instance;
mod login;
mod noise;
mod pages;
mod queries;
mod views;
mod workspaces;

use crate::data::database::Database;
use crate::feature::Feature;
use crate::version::Version;
use crate::world::World;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{any, get, post, put};
use envelope::ApiError;
use serde_json::Value;
use std::sync::Arc;

/// Everything below `/api`.
pub fn router(world: &Arc<World>) -> Router {
    let v1 = Router::new()
        .route("/health", get(instance::health))
        .route("/tenants/current", get(instance::organization))
        .route("/product-alert/alert", get(instance::product_alert))
        .route("/plugins", get(instance::plugins))
        .route("/admin/env", get(instance::env))
        .route("/users", post(accounts::sign_up))
        .route("/users/me", get(login::me))
        .route("/users/features", get(instance::features))
        .route("/users/super", post(accounts::super_user))
        .route("/users/invite", post(accounts::invite))
        .route("/login", post(login::login))
        .route("/logout", post(login::logout))
        .route("/workspaces", get(workspaces::home).post(workspaces::create))
        .route("/workspaces/{id}", get(workspaces::one).put(workspaces::rename).delete(workspaces::delete))
        .route("/workspaces/{id}/permissionGroups", get(workspaces::permission_groups))
        .route("/workspaces/{id}/permissionGroup", put(workspaces::change_role))
        .route("/workspaces/{id}/members", get(workspaces::members))
        .merge(homes(world.behaviour.version))
        .route("/applications", post(applications::create))
        .route("/applications/view/{id}", get(applications::view))
        .route("/applications/publish/{id}", post(applications::publish))
        .route("/applications/export/{id}", get(artifacts::export))
        .route("/applications/import/{workspace}", post(artifacts::import))
        .route("/applications/import/{workspace}/datasources", get(artifacts::unconfigured_datasources))
        .route("/applications/{id}", get(applications::view).delete(applications::delete))
        .route("/applications/{id}/changeAccess", put(applications::change_access))
        .route("/pages", get(pages::of_application).post(pages::create))
        .route("/pages/{id}", get(pages::edited).put(pages::rename).delete(building::delete_page))
        .route("/pages/{id}/view", get(pages::published))
        .route("/layouts/{layout}/pages/{page}", put(pages::set_layout))
        .route("/actions", get(queries::edited).post(building::make_query))
        .route("/actions/{id}", put(building::change_query).delete(building::delete_query))
        .route("/actions/view", get(queries::published))
        .route("/actions/execute", post(queries::execute))
        .merge(git::router(world.behaviour.version))
        .route("/collections/actions", post(building::make_js_object))
        .route("/collections/actions/{id}", put(building::change_js_object))
        .route("/collections/actions/view", get(queries::js_objects))
        .route("/datasources", get(datasources::list).post(datasources::create))
        .route("/datasources/test", post(datasources::test))
        .route("/datasources/datasource-storages", put(datasources::set_storage))
        .route("/datasources/{id}", put(datasources::rename).delete(datasources::delete))
        .route("/datasources/{id}/structure", get(datasources::structure))
        .route("/consolidated-api/view", get(consolidated::view))
        .route("/consolidated-api/edit", get(consolidated::edit))
        .route("/{*rest}", any(no_resource))
        .layer(middleware::from_fn_with_state(Arc::clone(world), csrf::check))
        .layer(middleware::from_fn_with_state(Arc::clone(world), noise::add))
        .layer(DefaultBodyLimit::max(csrf::BODY_LIMIT_BYTES))
        .with_state(Arc::clone(world));
    Router::new().nest("/v1", v1).merge(nothing())
}

/// How a client learns what there is: two calls, or in old versions one.
fn homes(version: Version) -> Router<Arc<World>> {
    if version.has(Feature::Homes) {
        let router = Router::new().route("/workspaces/home", get(workspaces::home));
        router.route("/applications/home", get(applications::home))
    } else {
        Router::new().route("/applications/new", get(applications::all))
    }
}

/// A part of the backend that has nothing to offer.
pub fn nothing() -> Router {
    Router::new().route("/{*rest}", any(no_resource))
}

async fn no_resource() -> ApiError {
    ApiError::no_resource("path")
}

/// Looks at the database with a caller's rights.
fn look<T>(
    world: &World,
    caller: &caller::Anyone,
    look: impl FnOnce(&views::Eye<'_>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    read(world, |database| look(&views::Eye { version: world.behaviour.version, database, caller }))
}

/// Reads from the database.
fn read<T>(world: &World, look: impl FnOnce(&Database) -> Result<T, ApiError>) -> Result<T, ApiError> {
    world.mongo().as_ref().ok_or_else(ApiError::internal).and_then(look)
}

/// Changes the database. It is on disk when this returns.
fn write<T>(world: &World, edit: impl FnOnce(&mut Database) -> Result<T, ApiError>) -> Result<T, ApiError> {
    let mut guard = world.mongo();
    let database = guard.as_mut().ok_or_else(ApiError::internal)?;
    let value = edit(database)?;
    database.commit().map_err(|failure| {
        world.log("backend", &format!("ERROR {failure}"));
        ApiError::internal()
    })?;
    Ok(value)
}

/// A text field of a request body.
fn required<'a>(body: &'a Value, field: &str) -> Result<&'a str, ApiError> {
    let text = body.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| ApiError::bad_request(&format!("Please enter a valid parameter {field}.")))
}
