//! Workspaces and who has which role in them.

use super::caller::User;
use super::envelope::{Answer, ApiError, created, ok};
use super::{look, required, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::role::{self, Role};
use crate::world::World;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use std::sync::Arc;

/// The workspaces in which the caller has a role.
pub async fn home(State(world): State<Arc<World>>, User(caller): User) -> Answer {
    ok(look(&world, &caller, |eye| Ok(eye.workspaces().map(|it| eye.workspace(it)).collect()))?)
}

/// One workspace.
pub async fn one(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    ok(look(&world, &caller, |eye| Ok(eye.workspace(eye.workspace_as(&id, Role::Viewer)?)))?)
}

/// Makes a workspace. Whoever makes it is its administrator.
pub async fn create(State(world): State<Arc<World>>, User(caller): User, Json(body): Json<Value>) -> Answer {
    let mut workspace = documents::workspace(&mut Numbers::random(), required(&body, "name")?);
    let id = text(&workspace, "_id").to_owned();
    let user = caller.user.as_ref().map_or("", |user| text(user, "_id"));
    role::assign(&mut workspace, user, Some(Role::Administrator));
    write(&world, |database| {
        database.put(Collection::Workspace, workspace);
        Ok(())
    })?;
    created(look(&world, &caller, |eye| Ok(eye.workspace(eye.workspace_as(&id, Role::Viewer)?)))?)
}

/// Gives a workspace another name.
pub async fn rename(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let name = required(&body, "name")?;
    look(&world, &caller, |eye| eye.workspace_as(&id, Role::Administrator).map(drop))?;
    write(&world, |database| {
        database.change(Collection::Workspace, &id, |workspace| {
            workspace["name"] = json!(name);
            workspace["slug"] = json!(documents::slug(name));
        });
        Ok(())
    })?;
    ok(look(&world, &caller, |eye| Ok(eye.workspace(eye.workspace_as(&id, Role::Viewer)?)))?)
}

/// Deletes a workspace that has no application any more.
pub async fn delete(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    let view = look(&world, &caller, |eye| Ok(eye.workspace(eye.workspace_as(&id, Role::Administrator)?)))?;
    write(&world, |database| {
        if database.matching(Collection::Application, "workspaceId", &id).next().is_some() {
            return Err(ApiError::unsupported("A workspace with applications cannot be deleted."));
        }
        database.remove(Collection::Datasource, |document| text(document, "workspaceId") == id);
        database.remove(Collection::Workspace, |document| text(document, "_id") == id);
        Ok(())
    })?;
    ok(view)
}

/// The roles that can be given. Their ids differ from workspace to workspace.
pub async fn permission_groups(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    ok(look(&world, &caller, |eye| {
        let workspace = eye.workspace_as(&id, Role::Viewer)?;
        let group = |group: &Value| {
            let (role, name) = (text(group, "role"), text(workspace, "name"));
            let description = format!("{role}s of the workspace {name}");
            json!({"id": group["id"], "name": format!("{role} - {name}"), "description": description})
        };
        Ok(workspace["permissionGroups"].as_array().into_iter().flatten().map(group).collect())
    })?)
}

/// Who has which role.
pub async fn members(State(world): State<Arc<World>>, User(caller): User, Path(id): Path<String>) -> Answer {
    ok(look(&world, &caller, |eye| {
        let workspace = eye.workspace_as(&id, Role::Developer)?;
        let member = |member: &Value| {
            let user = eye.database.get(Collection::User, text(member, "userId"))?;
            let role = text(member, "role");
            let groups = workspace["permissionGroups"].as_array()?;
            let group = groups.iter().find(|group| text(group, "role") == role)?;
            let name = format!("{role} - {}", text(workspace, "name"));
            Some(json!({
                "userId": user["_id"], "username": user["email"], "name": user["name"],
                "roles": [{"id": group["id"], "name": name, "entityType": "WORKSPACE"}],
            }))
        };
        Ok(workspace["members"].as_array().into_iter().flatten().filter_map(member).collect())
    })?)
}

/// Gives a member another role, or none.
pub async fn change_role(
    State(world): State<Arc<World>>,
    User(caller): User,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let username = required(&body, "username")?.to_lowercase();
    let (user, role) = look(&world, &caller, |eye| {
        let workspace = eye.workspace_as(&id, Role::Administrator)?;
        let role = match body.get("newPermissionGroupId").and_then(Value::as_str) {
            Some(group) => {
                let missing = || ApiError::not_found("permission group", group);
                Some(Role::of_group(workspace, group).ok_or_else(missing)?)
            }
            None => None,
        };
        let user = eye.database.matching(Collection::User, "email", &username).next();
        let user = user.map(|user| text(user, "_id")).filter(|user| Role::of_user(workspace, user).is_some());
        Ok((user.ok_or_else(|| ApiError::not_found("user", &username))?.to_owned(), role))
    })?;
    write(&world, |database| {
        database.change(Collection::Workspace, &id, |workspace| role::assign(workspace, &user, role));
        Ok(())
    })?;
    ok(json!({"userId": user, "username": username, "roles": role.map(|role| json!([{"name": role.name()}]))}))
}
