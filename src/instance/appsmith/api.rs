//! The endpoints that are used, with what differs between versions.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{ApiError, data_of};
use super::client::{Body, Call, Client, Data, LOOK_LIMIT};
use super::listing::{self, Action, Application, Datasource, Storage, Thing, text};
use super::session::{Login, Session};
use crate::model::observation::Roles;
use crate::model::version::Version;
use crate::smoke::browser::Cookie;

/// One Appsmith, spoken to as one user.
#[derive(Debug)]
pub struct Api {
    client: Client,
    session: Option<Session>,
}

/// What the instance says about itself without a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Stable per database.
    pub instance_id: Option<String>,
    /// It still migrates, by its own word.
    pub migrating: bool,
}

/// A page as a browser loads it.
#[derive(Debug)]
pub struct View {
    /// Its parts: name, and what its own envelope says.
    pub parts: Vec<(String, Result<Value, ApiError>)>,
    /// How long the server took.
    pub took: Duration,
}

impl View {
    /// The data of a part that is well.
    pub fn part(&self, wanted: &str) -> Option<&Value> {
        self.parts.iter().find(|(name, _)| name == wanted).and_then(|(_, part)| part.as_ref().ok())
    }
}

impl Api {
    /// Nothing is sent yet.
    pub fn new(client: Client, login: Option<Login>) -> Self {
        Self { client, session: login.map(Session::new) }
    }

    /// For checks that ask other addresses, too.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether there is a login to try.
    pub fn has_login(&self) -> bool {
        self.session.is_some()
    }

    /// See [`Session::meets`].
    pub fn meets(&self, container_id: &str) {
        if let Some(session) = &self.session {
            session.meets(container_id);
        }
    }

    /// Logs in anew, to see that it works.
    pub async fn log_in(&self) -> Result<(), ApiError> {
        match &self.session {
            Some(session) => session.log_in(&self.client).await,
            None => Ok(()),
        }
    }

    /// The session's cookie, for a browser; `None` without a login.
    pub async fn lend_session(&self) -> Result<Option<Cookie>, ApiError> {
        match &self.session {
            Some(session) => session.lend(&self.client).await.map(Some),
            None => Ok(None),
        }
    }

    /// The version of the *image*, which says nothing about the backend. `None` from versions that have none.
    pub async fn info(&self) -> Result<Option<Version>, ApiError> {
        let reply = self.client.send(Call { limit: LOOK_LIMIT, ..Call::get("info") }).await?;
        if !(200..300).contains(&reply.answer.status) {
            data_of(&reply.answer)?;
        }
        // Older versions answer with the app's page here, as for every path that they do not know.
        let info: Value = serde_json::from_slice(&reply.answer.body).unwrap_or_default();
        let text = info.get("version").and_then(Value::as_str);
        text.map(|text| Version::parse(text).map_err(|error| ApiError::Malformed { why: error.to_string() }))
            .transpose()
    }

    /// Whether the backend, its MongoDB and its Redis answer.
    pub async fn health(&self) -> Result<(), ApiError> {
        self.look("api/v1/health").await.map(drop)
    }

    /// What the instance says about itself.
    pub async fn tenant(&self) -> Result<Tenant, ApiError> {
        let data = self.look("api/v1/tenants/current").await?;
        let settings = ["organizationConfiguration", "tenantConfiguration"].iter().find_map(|key| data.get(*key));
        let status = settings.and_then(|settings| settings.get("migrationStatus")).and_then(Value::as_str);
        Ok(Tenant { instance_id: text(&data, "instanceId"), migrating: status == Some("IN_PROGRESS") })
    }

    async fn look(&self, path: &str) -> Result<Value, ApiError> {
        Ok(self.client.data(Call { limit: LOOK_LIMIT, ..Call::get(path) }).await?.value)
    }

    /// The workspaces that the user sees, each with its applications.
    pub async fn workspaces(&self) -> Result<Vec<(Thing, Vec<Application>)>, ApiError> {
        let listed = match self.get("api/v1/workspaces/home", &[]).await {
            // Older versions answer with everything at once.
            Err(error) if error.is_missing() => {
                return listing::workspaces_of_old(&self.get("api/v1/applications/new", &[]).await?);
            }
            listed => listed?,
        };
        let mut workspaces = Vec::new();
        for workspace in listing::things(&listed, "workspaces")? {
            let query = [("workspaceId", workspace.id.as_str())];
            let data = self.get("api/v1/applications/home", &query).await?;
            workspaces.push((workspace, listing::applications(&data)?));
        }
        Ok(workspaces)
    }

    /// The data sources of a workspace.
    pub async fn datasources(&self, workspace: &str) -> Result<Vec<Datasource>, ApiError> {
        listing::datasources(&self.get("api/v1/datasources", &[("workspaceId", workspace)]).await?)
    }

    /// The members of a workspace by role; `None` where the user may not see them.
    pub async fn members(&self, workspace: &Thing) -> Result<Option<Roles>, ApiError> {
        let path = format!("api/v1/workspaces/{}/members", workspace.id);
        let listed = allowed(self.get(&path, &[]).await)?;
        listed.map(|listed| listing::members(&listed, &workspace.name)).transpose()
    }

    /// The plugins, package to name; `None` where the user may not see them. Every workspace has the same.
    pub async fn plugins(
        &self,
        workspace: &str,
    ) -> Result<Option<std::collections::BTreeMap<String, String>>, ApiError> {
        let listed = allowed(self.get("api/v1/plugins", &[("workspaceId", workspace)]).await)?;
        listed.map(|listed| listing::plugins(&listed)).transpose()
    }

    /// The pages of an application, as they were deployed (`PUBLISHED`) or as they are edited (`EDIT`).
    pub async fn pages(&self, app: &Application, mode: &str) -> Result<Vec<Thing>, ApiError> {
        let query = [("applicationId", app.thing.id.as_str()), ("mode", mode)];
        pages_in(&self.of_app(app, "api/v1/pages", &query).await?.value)
    }

    /// A deployed page with everything that a browser loads for it. An answer without error says only that there
    /// are parts; each has an envelope of its own. [Missing](ApiError::is_missing) before v1.9.58.
    pub async fn view(&self, app: &Application, page_base_id: &str) -> Result<View, ApiError> {
        self.consolidated(app, "api/v1/consolidated-api/view", Some(page_base_id)).await
    }

    /// The same for an application in the editor: every page of it, its queries and data sources.
    pub async fn editor(&self, app: &Application) -> Result<View, ApiError> {
        self.consolidated(app, "api/v1/consolidated-api/edit", app.first_page.as_deref()).await
    }

    async fn consolidated(&self, app: &Application, path: &str, page: Option<&str>) -> Result<View, ApiError> {
        let mut query = vec![("applicationId", app.thing.base_id.as_str())];
        query.extend(page.map(|page| ("defaultPageId", page)));
        let data = self.of_app(app, path, &query).await?;
        let Value::Object(parts) = data.value else {
            return Err(ApiError::Malformed { why: "a page without parts".into() });
        };
        let present = parts.into_iter().filter(|(name, part)| !part.is_null() && !FOREIGN.contains(&name.as_str()));
        let parts = present.map(|(name, part)| (name, super::answer::open(part, 200))).collect();
        Ok(View { parts, took: data.took })
    }

    /// A deployed page alone, as versions before the consolidated view have it.
    pub async fn page_alone(&self, app: &Application, page: &Thing) -> Result<View, ApiError> {
        let data = self.of_app(app, &format!("api/v1/pages/{}/view", page.id), &[]).await?;
        Ok(View { parts: vec![(PAGE_PART.into(), Ok(data.value))], took: data.took })
    }

    /// The queries of an application as deployed, for such versions.
    pub async fn queries(&self, app: &Application) -> Result<Vec<Action>, ApiError> {
        let query = [("applicationId", app.thing.id.as_str())];
        listing::actions(&self.of_app(app, "api/v1/actions/view", &query).await?.value, "queries")
    }

    /// The JS objects of an application as deployed, for such versions.
    pub async fn js_objects(&self, app: &Application) -> Result<Vec<Action>, ApiError> {
        let query = [("applicationId", app.thing.id.as_str())];
        listing::actions(&self.of_app(app, "api/v1/collections/actions/view", &query).await?.value, "JS objects")
    }

    /// Runs a deployed query. The answer is no error also where the query failed. After a time-out it may still run.
    pub async fn execute(&self, parts: &[(String, String)], limit: Duration) -> Result<Data, ApiError> {
        self.call(Call { body: Body::Parts(parts), limit, ..Call::get("api/v1/actions/execute") }).await
    }

    /// Lets the server connect to a data source with what it has stored of it: no secret is sent. The answer says
    /// `success`. After three failures on a host within 5 s the server refuses tests there for 5 minutes.
    pub async fn test(
        &self,
        workspace: &str,
        datasource: &Datasource,
        storage: &Storage,
        limit: Duration,
    ) -> Result<Data, ApiError> {
        let body = json!({
            "id": storage.id.as_ref().unwrap_or(&datasource.thing.id),
            "datasourceId": datasource.thing.id,
            "name": datasource.thing.name,
            "environmentId": storage.environment,
            "workspaceId": workspace,
            "pluginId": datasource.plugin,
            "isConfigured": true,
            "datasourceConfiguration": storage.configuration,
        });
        self.call(Call { body: Body::Json(&body), limit, ..Call::get("api/v1/datasources/test") }).await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ApiError> {
        Ok(self.call(Call { query, ..Call::get(path) }).await?.value)
    }

    async fn of_app(&self, app: &Application, path: &str, query: &[(&str, &str)]) -> Result<Data, ApiError> {
        self.call(Call { query, branch: app.branch.as_deref(), ..Call::get(path) }).await
    }

    /// Makes a call as the user, where there is a login.
    pub async fn call(&self, call: Call<'_>) -> Result<Data, ApiError> {
        match &self.session {
            Some(session) => session.call(&self.client, call).await,
            None => self.client.data(call).await,
        }
    }
}

/// The pages in an answer that lists them.
pub fn pages_in(data: &Value) -> Result<Vec<Thing>, ApiError> {
    listing::things(data.get("pages").unwrap_or(&Value::Null), "pages")
}

fn allowed(listed: Result<Value, ApiError>) -> Result<Option<Value>, ApiError> {
    match listed {
        Err(error) if error.is_no_right() => Ok(None),
        listed => listed.map(Some),
    }
}

/// The part of a page view that is the page itself.
pub const PAGE_PART: &str = "pageWithMigratedDsl";
/// Parts that come from the vendor's servers, and fail without the Internet: news, and data sources to try out.
const FOREIGN: [&str; 2] = ["productAlert", "mockDatasources"];
