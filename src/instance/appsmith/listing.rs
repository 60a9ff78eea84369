//! What the server lists: workspaces, applications, pages, queries, data sources. Reads rows, asks nothing.
//!
//! Two schemes of ids. Since about v1.50 each Git branch of an application is a document of its own: `id` is that of
//! the branch, `baseId` the one that all share. Before, there is one id, and a header says which branch is meant.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::ApiError;
use crate::instance::secret::mask_addresses;
use crate::model::observation::{GitState, Roles};

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
    /// The base id of the page that it opens with, where the list says so.
    pub first_page: Option<String>,
    /// The branch to name in calls about it, in versions whose ids do not say it.
    pub branch: Option<String>,
    /// How it is connected to Git, if it is.
    pub git: Option<GitState>,
    /// When it was last deployed, in the server's words.
    pub deployed_at: Option<String>,
}

/// A query or JS object as it was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its ids and name. The own id is the one that is executed.
    pub thing: Thing,
    /// The id of its page.
    pub page: Option<String>,
    /// The bindings that need a value.
    pub bindings: Vec<String>,
}

/// A data source with its settings, which hold no password.
#[derive(Clone, Debug, PartialEq)]
pub struct Datasource {
    /// Its ids and name.
    pub thing: Thing,
    /// The plugin that speaks to it.
    pub plugin: Option<String>,
    /// One for each environment; only the paid edition has several.
    pub storages: Vec<Storage>,
}

/// The settings of a data source in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Its own id; the oldest versions have none.
    pub id: Option<String>,
    /// Such as `unused_env`, which is all that the free edition knows.
    pub environment: Option<String>,
    /// Somebody has filled it in.
    pub is_configured: bool,
    /// Address, user and so on.
    pub configuration: Value,
}

/// A text field that is not empty.
pub fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn thing(value: &Value) -> Option<Thing> {
    let id = text(value, "id")?;
    let base_id = text(value, "baseId").unwrap_or_else(|| id.clone());
    let name = text(value, "name").unwrap_or_else(|| id.clone());
    Some(Thing { id, base_id, name })
}

/// Things of any kind; `what` names them in an error.
pub fn things(list: &Value, what: &str) -> Result<Vec<Thing>, ApiError> {
    rows(list, what)?.iter().map(|row| thing(row).ok_or_else(|| without_id(what))).collect()
}

/// The applications of a workspace, each once: of several branches that the server lists the one that all others are
/// branches of.
pub fn applications(list: &Value) -> Result<Vec<Application>, ApiError> {
    let mut found: Vec<Application> = Vec::new();
    for row in rows(list, "applications")? {
        let one = application(row).ok_or_else(|| without_id("applications"))?;
        match found.iter_mut().find(|other| other.thing.base_id == one.thing.base_id) {
            Some(other) if one.thing.id == one.thing.base_id => *other = one,
            Some(_) => {}
            None => found.push(one),
        }
    }
    Ok(found)
}

fn application(row: &Value) -> Option<Application> {
    let rights = row.get("userPermissions").and_then(Value::as_array);
    let may_edit = rights.map(|rights| rights.iter().any(|right| right.as_str() == Some("manage:applications")));
    let git = git_state(row);
    // Where there are base ids the application's own id says which branch is meant.
    let branch = if row.get("baseId").is_some() { None } else { git.as_ref().and_then(|git| git.branch.clone()) };
    Some(Application {
        thing: thing(row)?,
        may_edit,
        first_page: first_page(row),
        branch,
        git,
        deployed_at: text(row, "lastDeployedAt"),
    })
}

fn first_page(row: &Value) -> Option<String> {
    let pages = row.get("pages")?.as_array()?;
    let is_default = |page: &&Value| page.get("isDefault").and_then(Value::as_bool) == Some(true);
    let page = pages.iter().find(is_default).or_else(|| pages.first())?;
    ["baseId", "defaultPageId", "id"].iter().find_map(|key| text(page, key))
}

/// Only what is no secret: keys and profiles are left alone.
fn git_state(row: &Value) -> Option<GitState> {
    let keys = ["gitArtifactMetadata", "gitApplicationMetadata"];
    let git = keys.iter().find_map(|key| row.get(*key).filter(|git| git.is_object()))?;
    let branch = text(git, "refName").or_else(|| text(git, "branchName"));
    let rules = git.get("branchProtectionRules").and_then(Value::as_array);
    let protected = rules.map(|rules| rules.iter().any(|rule| rule.as_str() == branch.as_deref() && branch.is_some()));
    let remote = text(git, "remoteUrl").map(|remote| mask_addresses(&remote));
    // A key that was made for an application does not connect it yet.
    (remote.is_some() || branch.is_some()).then(|| GitState {
        remote,
        branch,
        default_branch: text(git, "defaultBranchName"),
        protected,
    })
}

/// What versions before v1.60 or so list at once.
pub fn workspaces_of_old(data: &Value) -> Result<Vec<(Thing, Vec<Application>)>, ApiError> {
    let rows = ["workspaceApplications", "organizationApplications"].iter().find_map(|key| data.get(*key)?.as_array());
    let rows = rows.ok_or_else(|| ApiError::Malformed { why: "no list of workspaces with applications".into() })?;
    let one = |row: &Value| {
        let workspace = row.get("workspace").or_else(|| row.get("organization")).and_then(thing);
        let workspace = workspace.ok_or_else(|| without_id("workspaces"))?;
        Ok((workspace, applications(row.get("applications").unwrap_or(&Value::Null))?))
    };
    rows.iter().map(one).collect()
}

/// Queries or JS objects.
pub fn actions(list: &Value, what: &str) -> Result<Vec<Action>, ApiError> {
    let action = |row: &Value| {
        let bindings = row.get("jsonPathKeys").and_then(Value::as_array).into_iter().flatten();
        Some(Action {
            thing: thing(row)?,
            page: text(row, "pageId"),
            bindings: bindings.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    };
    rows(list, what)?.iter().map(|row| action(row).ok_or_else(|| without_id(what))).collect()
}

/// The data sources of a workspace.
pub fn datasources(list: &Value) -> Result<Vec<Datasource>, ApiError> {
    let storage = |row: &Value, id| Storage {
        id,
        environment: text(row, "environmentId"),
        is_configured: row.get("isConfigured").and_then(Value::as_bool).unwrap_or(false),
        configuration: row.get("datasourceConfiguration").cloned().unwrap_or_default(),
    };
    let one = |row: &Value| {
        let storages = match row.get("datasourceStorages").and_then(Value::as_object) {
            Some(storages) => storages.values().map(|row| storage(row, text(row, "id"))).collect(),
            // In early v1.9.x the settings are the data source's own.
            None => vec![storage(row, None)],
        };
        Some(Datasource { thing: thing(row)?, plugin: text(row, "pluginId"), storages })
    };
    rows(list, "data sources")?.iter().map(|row| one(row).ok_or_else(|| without_id("data sources"))).collect()
}

/// The members of a workspace, by role. A role's name ends in the workspace's, which is cut off.
pub fn members(list: &Value, workspace: &str) -> Result<Roles, ApiError> {
    let mut found = Roles::new();
    for row in rows(list, "members")? {
        let Some(user) = text(row, "username").or_else(|| text(row, "name")) else { continue };
        let roles =
            row.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(|role| text(role, "name"));
        // Older versions know one role a user.
        let roles: Vec<String> = roles.chain(text(row, "permissionGroupName")).collect();
        for role in roles {
            let role = role.strip_suffix(&format!(" - {workspace}")).unwrap_or(&role).to_owned();
            found.entry(role).or_default().insert(user.clone());
        }
    }
    Ok(found)
}

/// The plugins: package to name. Their ids differ between instances.
pub fn plugins(list: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let named = rows(list, "plugins")?.iter().filter_map(|row| {
        let package = text(row, "packageName")?;
        Some((package.clone(), text(row, "name").unwrap_or(package)))
    });
    Ok(named.collect())
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
            let thing = Thing { id: "a2".into(), base_id: "a1".into(), name: "Shop".into() };
            let shop = Application {
                thing,
                may_edit: Some(false),
                first_page: None,
                branch: None,
                git: None,
                deployed_at: None,
            };
            assert_eq!(*applications, [shop]);
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

    #[test]
    fn branches_of_one_application_are_one_application() {
        let row = |id: &str, name: &str| json!({"id": id, "baseId": "a1", "name": name});
        for order in [["a1", "a2"], ["a2", "a1"]] {
            let listed = applications(&json!([row(order[0], order[0]), row(order[1], order[1])])).unwrap();
            assert_eq!((listed.len(), listed[0].thing.id.as_str()), (1, "a1"));
        }
    }

    #[test]
    fn git_is_read_without_what_is_secret_and_the_branch_is_named_where_ids_do_not_say_it() {
        let git = json!({
            "remoteUrl": "https://user:hunter2@git.example/shop.git", "branchName": "main", "defaultBranchName": "main",
            "branchProtectionRules": ["main"], "gitAuth": {"privateKey": "hunter2"},
        });
        let old = applications(&json!([{"id": "a", "gitApplicationMetadata": git.clone()}])).unwrap().remove(0);
        let state = old.git.clone().unwrap();
        assert!(!format!("{old:?}").contains("hunter2"), "{old:?}");
        assert_eq!((state.protected, old.branch.as_deref()), (Some(true), Some("main")));
        let new = applications(&json!([{"id": "a", "baseId": "a", "gitArtifactMetadata": git}])).unwrap().remove(0);
        assert_eq!((new.branch, new.git.as_ref()), (None, Some(&state)));
        let only_a_key = json!([{"id": "a", "gitApplicationMetadata": {"defaultApplicationId": "a"}}]);
        assert_eq!(applications(&only_a_key).unwrap()[0].git, None);
    }

    #[test]
    fn the_page_that_opens_first_is_known_by_its_base_id() {
        let first = |pages: Value| applications(&json!([{"id": "a", "pages": pages}])).unwrap().remove(0).first_page;
        assert_eq!(
            first(json!([{"id": "p1"}, {"id": "p2", "baseId": "b2", "isDefault": true}])).as_deref(),
            Some("b2")
        );
        assert_eq!(first(json!([{"id": "p1", "defaultPageId": "d1"}])).as_deref(), Some("d1"));
        assert_eq!(first(json!([])), None);
    }

    #[test]
    fn roles_lose_the_name_of_their_workspace() {
        let role = |name: &str| json!([{"id": "r", "name": name}]);
        let listed = json!([
            {"username": "a@b.test", "roles": role("Administrator - Team")},
            {"name": "Group", "roles": role("App Viewer - Team")},
            {"username": "old@b.test", "permissionGroupName": "Developer - Team"},
            {"roles": role("Developer - Team")},
        ]);
        let members = members(&listed, "Team").unwrap();
        let flat: Vec<String> = members
            .iter()
            .map(|(role, users)| format!("{role}: {}", users.iter().cloned().collect::<String>()))
            .collect();
        assert_eq!(flat, ["Administrator: a@b.test", "App Viewer: Group", "Developer: old@b.test"]);
    }

    #[test]
    fn settings_of_data_sources_are_found_in_both_places() {
        let settings = json!({"endpoints": [{"host": "db"}]});
        let new = json!([{"id": "d", "datasourceStorages": {"unused_env": {
            "id": "s", "environmentId": "unused_env", "isConfigured": true, "datasourceConfiguration": settings}}}]);
        let old = json!([{"id": "d", "isConfigured": true, "datasourceConfiguration": settings}]);
        for (list, id) in [(new, Some("s")), (old, None)] {
            let found = datasources(&list).unwrap();
            let storage = &found[0].storages[0];
            assert_eq!((storage.id.as_deref(), storage.is_configured, &storage.configuration), (id, true, &settings));
        }
    }
}
