//! The REST interface, as far as a lifecycle tool uses it.

mod applications;
mod caller;
mod consolidated;
mod csrf;
mod datasources;
mod envelope;
mod instance;
mod login;
mod pages;
mod setup;
mod views;
mod workspaces;

use crate::data::database::Database;
use crate::world::World;
use axum::Router;
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
        .route("/users/me", get(login::me))
        .route("/users/features", get(instance::features))
        .route("/users/super", post(setup::super_user))
        .route("/login", post(login::login))
        .route("/logout", post(login::logout))
        .route("/workspaces/home", get(workspaces::home))
        .route("/workspaces", get(workspaces::home).post(workspaces::create))
        .route("/workspaces/{id}", get(workspaces::one))
        .route("/applications/home", get(applications::home))
        .route("/applications/new", get(applications::all))
        .route("/applications", post(applications::create))
        .route("/applications/view/{id}", get(applications::view))
        .route("/applications/publish/{id}", post(applications::publish))
        .route("/applications/{id}", get(applications::view).delete(applications::delete))
        .route("/applications/{id}/changeAccess", put(applications::change_access))
        .route("/pages", get(pages::of_application).post(pages::create))
        .route("/pages/{id}", get(pages::edited).put(pages::rename))
        .route("/pages/{id}/view", get(pages::published))
        .route("/layouts/{layout}/pages/{page}", put(pages::set_layout))
        .route("/actions/view", get(pages::actions))
        .route("/actions/execute", post(datasources::execute))
        .route("/collections/actions/view", get(pages::js_objects))
        .route("/datasources", get(datasources::list).post(datasources::create))
        .route("/datasources/test", post(datasources::test))
        .route("/consolidated-api/view", get(consolidated::view))
        .route("/consolidated-api/edit", get(consolidated::edit))
        .route("/{*rest}", any(no_resource))
        .layer(middleware::from_fn_with_state(Arc::clone(world), csrf::check))
        .with_state(Arc::clone(world));
    Router::new().nest("/v1", v1).merge(nothing())
}

/// A part of the backend that has nothing to offer.
pub fn nothing() -> Router {
    Router::new().route("/{*rest}", any(no_resource))
}

async fn no_resource() -> ApiError {
    ApiError::no_resource("path")
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
