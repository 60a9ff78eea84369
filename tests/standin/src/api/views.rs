//! Documents as the interface shows them, and the lookups that several endpoints share.

use super::caller::Anyone;
use super::envelope::ApiError;
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use serde_json::{Value, json};

/// Which side of a page: as edited or as published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As the editor has it.
    Edited,
    /// As users see it.
    Published,
}

impl Side {
    /// The field of a page document.
    pub fn field(self) -> &'static str {
        match self {
            Self::Edited => "unpublishedPage",
            Self::Published => "publishedPage",
        }
    }
}

/// A workspace.
pub fn workspace(document: &Value) -> Value {
    json!({
        "id": document["_id"], "name": document["name"], "slug": document["slug"],
        "userPermissions": ["read:workspaces", "manage:workspaces", "create:workspaceApplications"],
    })
}

/// An application. Looks differ by data format: see `migration::reshape`.
pub fn application(document: &Value) -> Value {
    let look = |field: &str| document.get(field).or_else(|| document.get("presentation")?.get(field)).cloned();
    let mut view = json!({
        "id": document["_id"], "baseId": document["baseId"], "name": document["name"], "slug": document["slug"],
        "workspaceId": document["workspaceId"], "isPublic": document["isPublic"], "pages": document["pages"],
        "applicationVersion": document["applicationVersion"], "evaluationVersion": document["evaluationVersion"],
        "modifiedAt": document["modifiedAt"], "icon": look("icon"), "color": look("color"),
        "userPermissions": ["read:applications", "manage:applications", "publish:applications", "delete:applications"],
    });
    for optional in ["lastDeployedAt", "gitApplicationMetadata"] {
        if let (Some(fields), Some(value)) = (view.as_object_mut(), document.get(optional)) {
            fields.insert(optional.to_owned(), value.clone());
        }
    }
    view
}

/// One side of a page, with its layouts.
pub fn page(document: &Value, side: Side) -> Value {
    let half = &document[side.field()];
    json!({
        "id": document["_id"], "baseId": document["baseId"], "applicationId": document["applicationId"],
        "name": half["name"], "slug": half["slug"], "layouts": half["layouts"], "userPermissions": ["read:pages", "manage:pages"],
    })
}

/// An application with the list of its pages.
pub fn application_pages(database: &Database, document: &Value, side: Side) -> Value {
    let entry = |entry: &Value| {
        let page = database.get(Collection::NewPage, text(entry, "id"))?;
        let half = page.get(side.field())?;
        Some(json!({
            "id": page["_id"], "baseId": page["baseId"], "name": half["name"], "slug": half["slug"],
            "isDefault": entry["isDefault"], "isHidden": false,
        }))
    };
    let pages: Vec<Value> = document["pages"].as_array().into_iter().flatten().filter_map(entry).collect();
    json!({"workspaceId": document["workspaceId"], "application": application(document), "pages": pages})
}

/// A query.
pub fn action(document: &Value) -> Value {
    json!({
        "id": document["_id"], "baseId": document["baseId"], "name": document["name"], "pageId": document["pageId"],
        "jsonPathKeys": document["jsonPathKeys"], "timeoutInMillisecond": document["timeoutInMillisecond"],
        "confirmBeforeExecute": false,
    })
}

/// A JS object.
pub fn js_object(document: &Value) -> Value {
    json!({
        "id": document["_id"], "baseId": document["baseId"], "name": document["name"], "pageId": document["pageId"],
        "applicationId": document["applicationId"], "body": document["body"],
    })
}

/// A data source: never with its password.
pub fn datasource(document: &Value) -> Value {
    let configuration = json!({
        "endpoints": [{"host": document["url"], "port": 5432}],
        "authentication": {
            "authenticationType": "dbAuth", "username": document["username"], "databaseName": document["databaseName"],
        },
        "connection": {"mode": "READ_WRITE", "ssl": {"authType": "DEFAULT"}},
    });
    let storage = json!({
        "id": document["storageId"], "environmentId": "unused_env", "isConfigured": document["isConfigured"],
        "isValid": true, "datasourceConfiguration": configuration, "invalids": [], "messages": [],
    });
    json!({
        "id": document["_id"], "name": document["name"], "pluginId": document["pluginId"],
        "workspaceId": document["workspaceId"], "datasourceStorages": {"unused_env": storage}, "isValid": true,
    })
}

/// An application that the caller may see.
pub fn visible<'a>(database: &'a Database, caller: &Anyone, id: &str) -> Result<&'a Value, ApiError> {
    let found = database.get(Collection::Application, id).filter(|application| caller.may_see(application));
    found.ok_or_else(|| ApiError::not_found("application", id))
}

/// A page of an application that the caller may see.
pub fn visible_page<'a>(database: &'a Database, caller: &Anyone, id: &str) -> Result<&'a Value, ApiError> {
    let missing = || ApiError::not_found("page", id);
    let page = database.get(Collection::NewPage, id).ok_or_else(missing)?;
    visible(database, caller, text(page, "applicationId")).map(|_| page).map_err(|_| missing())
}
