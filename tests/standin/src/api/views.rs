//! Documents as the interface shows them, to one caller, in one version.

use super::caller::Anyone;
use super::envelope::ApiError;
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::data::role::Role;
use crate::feature::Feature;
use crate::version::Version;
use serde_json::{Map, Value, json};

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

/// Who looks at what.
#[derive(Clone, Copy, Debug)]
pub struct Eye<'a> {
    /// The release that shows it.
    pub version: Version,
    /// Where the documents are.
    pub database: &'a Database,
    /// Who asks.
    pub caller: &'a Anyone,
}

impl<'a> Eye<'a> {
    fn role(&self, workspace: &str) -> Option<Role> {
        self.caller.role(self.database, workspace)
    }

    /// The workspaces in which the caller has a role.
    pub fn workspaces(&self) -> impl Iterator<Item = &'a Value> {
        let eye = *self;
        self.database.all(Collection::Workspace).filter(move |it| eye.role(text(it, "_id")).is_some())
    }

    /// A workspace in which the caller has at least that role.
    pub fn workspace_as(&self, id: &str, least: Role) -> Result<&'a Value, ApiError> {
        let found = self.database.get(Collection::Workspace, id).filter(|_| self.role(id) >= Some(least));
        found.ok_or_else(|| ApiError::not_found("workspace", id))
    }

    /// A document by its id. An id of the default branch means the branch that the caller names, if there is that one.
    pub fn document(&self, collection: Collection, id: &str) -> Option<&'a Value> {
        let found = self.database.get(collection, id);
        let Some(branch) = self.caller.branch.as_deref() else { return found };
        let application = |document: &'a Value| match collection {
            Collection::Application => Some(document),
            _ => self.database.get(Collection::Application, text(document, "applicationId")),
        };
        let is_meant = |document: &&'a Value| {
            let application = application(document);
            let own = application.and_then(|it| it.pointer("/gitApplicationMetadata/branchName"));
            text(document, "baseId") == id && own.and_then(Value::as_str) == Some(branch)
        };
        self.database.all(collection).find(is_meant).or(found)
    }

    /// An application that the caller may see (published) or change (edited).
    pub fn application_for(&self, id: &str, side: Side) -> Result<&'a Value, ApiError> {
        let missing = || ApiError::not_found("application", id);
        let found = self.document(Collection::Application, id).ok_or_else(missing)?;
        let role = self.role(text(found, "workspaceId"));
        let allowed = match side {
            Side::Edited => role >= Some(Role::Developer),
            Side::Published => role.is_some() || found["isPublic"] == true,
        };
        if allowed { Ok(found) } else { Err(missing()) }
    }

    /// A page, by the same rule.
    pub fn page_for(&self, id: &str, side: Side) -> Result<&'a Value, ApiError> {
        let missing = || ApiError::not_found("page", id);
        let page = self.document(Collection::NewPage, id).ok_or_else(missing)?;
        self.application_for(text(page, "applicationId"), side).map(|_| page).map_err(|_| missing())
    }

    /// A data source in a workspace where the caller has at least that role.
    pub fn datasource_as(&self, id: &str, least: Role) -> Result<&'a Value, ApiError> {
        let missing = || ApiError::not_found("datasource", id);
        let found = self.database.get(Collection::Datasource, id).ok_or_else(missing)?;
        self.workspace_as(text(found, "workspaceId"), least).map(|_| found).map_err(|_| missing())
    }

    /// A workspace as shown.
    pub fn workspace(&self, document: &Value) -> Value {
        let mut rights = vec!["read:workspaces", "read:workspaceApplications"];
        if self.role(text(document, "_id")) >= Some(Role::Developer) {
            rights.extend(["create:workspaceApplications", "manage:workspaceApplications", "create:datasources"]);
        }
        if self.role(text(document, "_id")) == Some(Role::Administrator) {
            rights.extend(["manage:workspaces", "inviteUsers:workspace", "delete:workspace"]);
        }
        json!({"id": document["_id"], "name": document["name"], "slug": document["slug"], "userPermissions": rights})
    }

    /// An application as shown. Looks differ by data format: see `migration::reshape`.
    pub fn application(&self, document: &Value) -> Value {
        let look = |field: &str| document.get(field).or_else(|| document.get("presentation")?.get(field)).cloned();
        let mut rights = vec!["read:applications"];
        if self.role(text(document, "workspaceId")) >= Some(Role::Developer) {
            rights.extend(["manage:applications", "publish:applications", "export:applications"]);
            rights.extend(["delete:applications", "create:pages"]);
        }
        let mut view = json!({
            "id": document["_id"], "baseId": document["baseId"], "name": document["name"], "slug": document["slug"],
            "workspaceId": document["workspaceId"], "isPublic": document["isPublic"], "pages": document["pages"],
            "applicationVersion": document["applicationVersion"], "evaluationVersion": document["evaluationVersion"],
            "modifiedAt": document["modifiedAt"], "icon": look("icon"), "color": look("color"), "userPermissions": rights,
        });
        for optional in ["lastDeployedAt", "gitApplicationMetadata"] {
            if let (Some(fields), Some(value)) = (view.as_object_mut(), document.get(optional)) {
                fields.insert(optional.to_owned(), value.clone());
            }
        }
        for page in view["pages"].as_array_mut().into_iter().flatten() {
            *page = self.of_era(page.take());
        }
        self.of_era(view)
    }

    /// One side of a page, with its layouts.
    pub fn page(&self, document: &Value, side: Side) -> Value {
        let half = &document[side.field()];
        let rights: &[&str] = if side == Side::Edited { &["read:pages", "manage:pages"] } else { &["read:pages"] };
        self.of_era(json!({
            "id": document["_id"], "baseId": document["baseId"], "applicationId": self.shown_id(Collection::Application, &document["applicationId"]),
            "name": half["name"], "slug": half["slug"], "layouts": half["layouts"], "userPermissions": rights,
        }))
    }

    /// An application with the list of its pages.
    pub fn application_pages(&self, document: &Value, side: Side) -> Value {
        let entry = |entry: &Value| {
            let page = self.database.get(Collection::NewPage, text(entry, "id"))?;
            let half = page.get(side.field())?;
            Some(self.of_era(json!({
                "id": page["_id"], "baseId": page["baseId"], "name": half["name"], "slug": half["slug"],
                "isDefault": entry["isDefault"], "isHidden": false,
            })))
        };
        let pages: Vec<Value> = document["pages"].as_array().into_iter().flatten().filter_map(entry).collect();
        json!({"workspaceId": document["workspaceId"], "application": self.application(document), "pages": pages})
    }

    /// A query. Only the editor sees its text and its data source.
    pub fn action(&self, document: &Value, side: Side) -> Value {
        let mut view = json!({
            "id": document["_id"], "baseId": document["baseId"], "name": document["name"], "pageId": self.shown_id(Collection::NewPage, &document["pageId"]),
            "jsonPathKeys": document["jsonPathKeys"], "timeoutInMillisecond": document["timeoutInMillisecond"],
            "confirmBeforeExecute": document["confirmBeforeExecute"] == true,
        });
        if side == Side::Edited {
            let source = self.database.get(Collection::Datasource, text(document, "datasourceId"));
            let source = source.map(|it| json!({"id": it["_id"], "name": it["name"], "pluginId": it["pluginId"]}));
            let more = [
                ("applicationId", self.shown_id(Collection::Application, &document["applicationId"])),
                ("pluginId", document["pluginId"].clone()),
                ("pluginType", document["pluginType"].clone()),
                ("actionConfiguration", json!({"body": document["body"]})),
                ("datasource", source.unwrap_or_default()),
            ];
            let fields: Option<&mut Map<String, Value>> = view.as_object_mut();
            fields.into_iter().for_each(|all| all.extend(more.iter().map(|(key, it)| (key.to_string(), it.clone()))));
        }
        self.of_era(view)
    }

    /// A JS object.
    pub fn js_object(&self, document: &Value, _side: Side) -> Value {
        self.of_era(json!({
            "id": document["_id"], "baseId": document["baseId"], "name": document["name"], "pageId": self.shown_id(Collection::NewPage, &document["pageId"]),
            "applicationId": self.shown_id(Collection::Application, &document["applicationId"]), "body": document["body"],
        }))
    }

    /// A data source: never with its password.
    pub fn datasource(&self, document: &Value) -> Value {
        let configuration = json!({
            "endpoints": [{"host": document["url"], "port": 5432}],
            "authentication": {
                "authenticationType": "dbAuth", "username": document["username"], "databaseName": document["databaseName"],
            },
            "connection": {"mode": "READ_WRITE", "ssl": {"authType": "DEFAULT"}},
        });
        let mut view = json!({
            "id": document["_id"], "name": document["name"], "pluginId": document["pluginId"],
            "workspaceId": document["workspaceId"], "isValid": true,
        });
        if self.version.has(Feature::DatasourceStorages) {
            view["datasourceStorages"] = json!({"unused_env": {
                "id": document["storageId"], "environmentId": "unused_env", "isConfigured": document["isConfigured"],
                "datasourceId": document["_id"], "isValid": true, "datasourceConfiguration": configuration,
                "invalids": [], "messages": [],
            }});
        } else {
            view["isConfigured"] = document["isConfigured"].clone();
            view["datasourceConfiguration"] = configuration;
        }
        view
    }

    /// Before branches had ids of their own there was no other id than that of the default branch.
    fn of_era(&self, mut view: Value) -> Value {
        if !self.version.has(Feature::BaseIds)
            && let Some(fields) = view.as_object_mut()
            && let Some(base) = fields.remove("baseId")
        {
            fields.insert("id".to_owned(), base);
        }
        view
    }

    /// The id of something else, as releases of this age show it.
    fn shown_id(&self, collection: Collection, id: &Value) -> Value {
        let known = self.database.get(collection, id.as_str().unwrap_or_default());
        match known {
            Some(document) if !self.version.has(Feature::BaseIds) => document["baseId"].clone(),
            _ => id.clone(),
        }
    }
}
