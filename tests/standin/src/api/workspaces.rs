//! Workspaces. Every account sees all of them: roles are not imitated yet.

use super::caller::User;
use super::envelope::{Answer, ApiError, created, ok};
use super::{read, required, views, write};
use crate::data::database::Collection;
use crate::data::documents;
use crate::data::ids::Numbers;
use crate::world::World;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;
use std::sync::Arc;

/// All workspaces.
pub async fn home(State(world): State<Arc<World>>, _user: User) -> Answer {
    ok(read(&world, |database| Ok(database.all(Collection::Workspace).map(views::workspace).collect()))?)
}

/// One workspace.
pub async fn one(State(world): State<Arc<World>>, _user: User, Path(id): Path<String>) -> Answer {
    let missing = || ApiError::not_found("workspace", &id);
    ok(read(&world, |database| database.get(Collection::Workspace, &id).map(views::workspace).ok_or_else(missing))?)
}

/// Makes a workspace.
pub async fn create(State(world): State<Arc<World>>, _user: User, Json(body): Json<Value>) -> Answer {
    let workspace = documents::workspace(&mut Numbers::random(), required(&body, "name")?);
    let view = views::workspace(&workspace);
    write(&world, |database| {
        database.put(Collection::Workspace, workspace);
        Ok(())
    })?;
    created(view)
}
