//! The endpoints that are used, with what differs between versions.

use std::time::Duration;

use serde_json::Value;

use super::answer::{ApiError, data_of};
use super::client::{Call, Client, LOOK_LIMIT};
use super::session::{Login, Session};
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

/// Something with an id and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// As the server calls it.
    pub id: String,
    /// The id that stays the same on every Git branch.
    pub base_id: String,
    /// As people call it.
    pub name: String,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its ids and name.
    pub thing: Thing,
    /// This user may edit it; `None` where the server does not say.
    pub may_edit: Option<bool>,
}

/// The parts of a page as a browser loads it: name, and what its own envelope says.
pub type PageParts = Vec<(String, Result<Value, ApiError>)>;

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
        self.client.data(Call { limit: LOOK_LIMIT, ..Call::get(path) }).await
    }

    /// The workspaces that the user sees, each with its applications.
    pub async fn workspaces(&self) -> Result<Vec<(Thing, Vec<Application>)>, ApiError> {
        let listed = match self.get("api/v1/workspaces/home", &[]).await {
            // Older versions answer with everything at once.
            Err(error) if error.is_missing() => {
                return workspaces_of_old(&self.get("api/v1/applications/new", &[]).await?);
            }
            listed => listed?,
        };
        let mut workspaces = Vec::new();
        for workspace in things(&listed, "workspaces")? {
            let query = [("workspaceId", workspace.id.as_str())];
            let data = self.get("api/v1/applications/home", &query).await?;
            workspaces.push((workspace, applications(&data)?));
        }
        Ok(workspaces)
    }

    /// The data sources of a workspace.
    pub async fn datasources(&self, workspace: &str) -> Result<Vec<Thing>, ApiError> {
        things(&self.get("api/v1/datasources", &[("workspaceId", workspace)]).await?, "data sources")
    }

    /// The pages of an application, as they were deployed (`PUBLISHED`) or as they are edited (`EDIT`).
    pub async fn pages(&self, application: &str, mode: &str) -> Result<Vec<Thing>, ApiError> {
        let data = self.get("api/v1/pages", &[("applicationId", application), ("mode", mode)]).await?;
        things(data.get("pages").unwrap_or(&Value::Null), "pages")
    }

    /// A deployed page with everything that a browser loads for it. An answer without error says only that there
    /// are parts; each has an envelope of its own.
    pub async fn page_view(&self, application: &Thing, page: &Thing) -> Result<PageParts, ApiError> {
        let query = [("applicationId", application.base_id.as_str()), ("defaultPageId", page.base_id.as_str())];
        let data = match self.get("api/v1/consolidated-api/view", &query).await {
            // Before v1.9.58 the parts were fetched one by one.
            Err(error) if error.is_missing() => {
                let page = self.get(&format!("api/v1/pages/{}/view", page.id), &[]).await;
                return Ok(vec![(PAGE_PART.into(), page)]);
            }
            data => data?,
        };
        let parts = data.as_object().ok_or_else(|| ApiError::Malformed { why: "a page without parts".into() })?;
        let present = parts.iter().filter(|(name, part)| !part.is_null() && name.as_str() != ADVERTISING);
        Ok(present.map(|(name, part)| (name.clone(), super::answer::open(part.clone(), 200))).collect())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ApiError> {
        match &self.session {
            Some(session) => session.get(&self.client, path, query).await,
            None => self.client.data(Call { query, limit: Duration::from_secs(30), ..Call::get(path) }).await,
        }
    }
}

/// The part of a page view that is the page itself.
pub const PAGE_PART: &str = "pageWithMigratedDsl";
/// The part of a page view that is news from the vendor, and fails without the Internet.
const ADVERTISING: &str = "productAlert";

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn thing(value: &Value) -> Option<Thing> {
    let id = text(value, "id")?;
    let base_id = text(value, "baseId").unwrap_or_else(|| id.clone());
    let name = text(value, "name").unwrap_or_else(|| id.clone());
    Some(Thing { id, base_id, name })
}

fn things(list: &Value, what: &str) -> Result<Vec<Thing>, ApiError> {
    rows(list, what)?.iter().map(|row| thing(row).ok_or_else(|| without_id(what))).collect()
}

fn applications(list: &Value) -> Result<Vec<Application>, ApiError> {
    let application = |row: &Value| {
        let rights = row.get("userPermissions").and_then(Value::as_array);
        let may_edit = rights.map(|rights| rights.iter().any(|right| right.as_str() == Some("manage:applications")));
        Ok(Application { thing: thing(row).ok_or_else(|| without_id("applications"))?, may_edit })
    };
    rows(list, "applications")?.iter().map(application).collect()
}

fn workspaces_of_old(data: &Value) -> Result<Vec<(Thing, Vec<Application>)>, ApiError> {
    let rows = ["workspaceApplications", "organizationApplications"].iter().find_map(|key| data.get(*key)?.as_array());
    let rows = rows.ok_or_else(|| ApiError::Malformed { why: "no list of workspaces with applications".into() })?;
    let one = |row: &Value| {
        let workspace = row.get("workspace").or_else(|| row.get("organization")).and_then(thing);
        let workspace = workspace.ok_or_else(|| without_id("workspaces"))?;
        Ok((workspace, applications(row.get("applications").unwrap_or(&Value::Null))?))
    };
    rows.iter().map(one).collect()
}

/// No list at all is an empty one: null fields are left out.
fn rows<'a>(list: &'a Value, what: &str) -> Result<&'a [Value], ApiError> {
    match list {
        Value::Null => Ok(&[]),
        Value::Array(rows) => Ok(rows),
        _ => Err(ApiError::Malformed { why: format!("the {what} are no list") }),
    }
}

fn without_id(what: &str) -> ApiError {
    ApiError::Malformed { why: format!("something without an id among the {what}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn older_versions_list_everything_at_once() {
        let app = json!({"id": "a2", "baseId": "a1", "name": "Shop", "userPermissions": ["read:applications"]});
        for (rows, of) in [("workspaceApplications", "workspace"), ("organizationApplications", "organization")] {
            let listed =
                workspaces_of_old(&json!({rows: [{of: {"id": "w", "name": "Team"}, "applications": [app]}]})).unwrap();
            let (workspace, applications) = &listed[0];
            assert_eq!((workspace.id.as_str(), workspace.name.as_str()), ("w", "Team"));
            let shop = Thing { id: "a2".into(), base_id: "a1".into(), name: "Shop".into() };
            assert_eq!(*applications, [Application { thing: shop, may_edit: Some(false) }]);
        }
        assert!(workspaces_of_old(&json!({})).is_err());
    }

    #[test]
    fn a_missing_list_is_empty_and_a_thing_without_an_id_is_an_error() {
        assert_eq!(things(&Value::Null, "pages").unwrap(), []);
        let nameless = things(&json!([{"id": "p"}]), "pages").unwrap();
        assert_eq!((nameless[0].base_id.as_str(), nameless[0].name.as_str()), ("p", "p"));
        assert!(things(&json!([{"name": "x"}]), "pages").is_err());
        assert!(things(&json!({}), "pages").is_err());
    }
}
