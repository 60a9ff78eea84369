//! The documents of a seeded instance: accounts, workspaces, applications with all that is on them.

use crate::behaviour::Baked;
use crate::data::database::{Collection, Database};
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::migration;
use crate::data::role::{self, Role};
use crate::failure::Result;
use serde_json::{Value, json};

/// Who may log in to a seeded instance.
pub const ADMIN_EMAIL: &str = "admin@standin.test";
/// With which password.
pub const ADMIN_PASSWORD: &str = "standin-password";

const NAMES: [&str; 12] = [
    "Orders",
    "Inventory",
    "Customers",
    "Returns",
    "Support Desk",
    "Invoices",
    "Shipments",
    "Suppliers",
    "Refunds",
    "Price List",
    "Reports",
    "Onboarding",
];
const WORKSPACES: [&str; 2] = ["Operations", "Customer Care"];
const SOURCES: [(&str, &str); 3] =
    [("Orders DB", "postgres-plugin"), ("Events", "mongo-plugin"), ("Billing", "mysql-plugin")];
const PAGES: [&str; 4] = ["Home", "Details", "Settings", "History"];
const WIDGETS: [(&str, &str); 6] = [
    ("Table", "TABLE_WIDGET_V2"),
    ("Text", "TEXT_WIDGET"),
    ("Button", "BUTTON_WIDGET"),
    ("Input", "INPUT_WIDGET_V2"),
    ("Select", "SELECT_WIDGET"),
    ("Chart", "CHART_WIDGET"),
];
/// When all of it was made.
pub const MADE_AT: &str = "2026-01-05T09:00:00.000Z";
/// How many applications are connected to a repository.
const CONNECTED_COUNT: usize = 3;

/// What was made.
#[derive(Debug, Default)]
pub struct Made {
    /// The applications' names.
    pub names: Vec<String>,
    /// The applications that are connected to Git.
    pub repositories: Vec<Repository>,
}

/// Where one clone lies below `git-storage`.
#[derive(Debug)]
pub struct Repository {
    /// The workspace's id.
    pub workspace: String,
    /// The application's id.
    pub application: String,
    /// The repository's name.
    pub name: String,
}

/// Fills the database. Every change unit of the image counts as having run.
pub fn fill(
    database: &mut Database,
    baked: &Baked,
    apps: usize,
    pages: Option<usize>,
    key: &str,
    numbers: &mut Numbers,
) -> Result<Made> {
    migration::initialise(database, numbers);
    let behaviour = baked.in_environment(None, None)?;
    for unit in migration::pending(database, &behaviour) {
        migration::note(database, &unit, MADE_AT);
    }
    database.remove(Collection::MongockLock, |_| true);
    let admin = documents::user(numbers, ADMIN_EMAIL, "Admin", ADMIN_PASSWORD, true);
    let viewer = documents::user(numbers, "viewer@standin.test", "Viewer", "viewer-password", false);
    let accounts = [(admin, Role::Administrator), (viewer, Role::Viewer)];
    accounts.iter().for_each(|(account, _)| database.put(Collection::User, account.clone()));
    let mut made = Made::default();
    let mut workspaces = Vec::new();
    for name in WORKSPACES {
        let mut workspace = documents::workspace(numbers, name);
        accounts.iter().for_each(|(account, role)| role::assign(&mut workspace, text(account, "_id"), Some(*role)));
        let id = text(&workspace, "_id").to_owned();
        database.put(Collection::Workspace, workspace);
        let sources: Vec<Value> = SOURCES
            .iter()
            .map(|(source, package)| {
                let password = numbers.secret();
                documents::datasource(numbers, &id, source, package, &password, key)
            })
            .collect();
        sources.iter().for_each(|source| database.put(Collection::Datasource, source.clone()));
        workspaces.push((id, sources));
    }
    for index in 0..apps {
        let Some((workspace, sources)) = workspaces.get(index % workspaces.len()) else { continue };
        let name = application_name(index);
        let mut application = documents::application(numbers, workspace, &name, baked.format, MADE_AT);
        application["lastDeployedAt"] = json!(MADE_AT);
        application["isPublic"] = json!(index == 1);
        let id = text(&application, "_id").to_owned();
        for page in 0..pages.unwrap_or(2 + index % 3) {
            let page = numbered(&PAGES, page, "Page");
            let page = put_page(database, numbers, &id, &page, baked.format, sources);
            documents::list_page(&mut application, &page);
        }
        put_dangerous_query(database, numbers, &application, sources);
        if index < CONNECTED_COUNT {
            let repository =
                Repository { workspace: workspace.clone(), application: id.clone(), name: documents::slug(&name) };
            application["gitApplicationMetadata"] = git_metadata(&repository);
            made.repositories.push(repository);
        }
        database.put(Collection::Application, application);
        made.names.push(name);
    }
    Ok(made)
}

fn application_name(index: usize) -> String {
    numbered(&NAMES, index, "Application")
}

/// The names in turn, from the second round on with its number.
fn numbered(names: &[&str], index: usize, without: &str) -> String {
    let name = names.get(index % names.len()).unwrap_or(&without);
    match index / names.len() {
        0 => (*name).to_owned(),
        round => format!("{name} {}", round + 1),
    }
}

/// A page with widgets, a query that reads and runs on load, one that writes, and a JS object. Says its id.
fn put_page(
    database: &mut Database,
    numbers: &mut Numbers,
    application: &str,
    name: &str,
    format: u32,
    sources: &[Value],
) -> String {
    let mut dsl = documents::empty_dsl(format);
    let widgets: Vec<Value> = (1..=4 + numbers.below(5)).map(|number| widget(numbers, number)).collect();
    dsl["children"] = json!(widgets);
    let mut page = documents::page(numbers, application, name, &dsl, &json!([]));
    let table = documents::slug(name);
    let texts = [
        ("get", format!("SELECT * FROM {table} WHERE id > {} LIMIT 10", numbers.below(1000))),
        ("update", format!("UPDATE {table} SET name = {{{{Input1.text}}}} WHERE id = {{{{Table1.selectedRow.id}}}}")),
    ];
    for (verb, body) in texts {
        let Some(source) = numbers.pick(sources).cloned() else { continue };
        let action = documents::action(numbers, &page, &format!("{verb}{name}"), &source, &body);
        if verb == "get" {
            run_on_load(&mut page, &action);
        }
        database.put(Collection::NewAction, action);
    }
    let body =
        format!("export default {{\n  limit: {},\n  refresh() {{ return get{name}.run() }}\n}}", numbers.below(100));
    let object = documents::js_object(numbers, &page, &format!("{name}Helpers"), &body);
    database.put(Collection::ActionCollection, object);
    let id = text(&page, "_id").to_owned();
    database.put(Collection::NewPage, page);
    id
}

fn run_on_load(page: &mut Value, action: &Value) {
    let entry = json!({
        "id": action["_id"], "name": action["name"], "pluginType": "DB", "jsonPathKeys": [],
        "timeoutInMillisecond": action["timeoutInMillisecond"], "confirmBeforeExecute": false,
    });
    for side in ["unpublishedPage", "publishedPage"] {
        page[side]["layouts"][0]["layoutOnLoadActions"] = json!([[entry]]);
    }
}

/// On the first page, `delete_<thing>`: it needs no value from the page, and must never be run by a checker.
fn put_dangerous_query(database: &mut Database, numbers: &mut Numbers, application: &Value, sources: &[Value]) {
    let page = database.get(Collection::NewPage, text(&application["pages"][0], "id")).cloned();
    let (Some(page), Some(source)) = (page, sources.first()) else { return };
    let table = text(application, "slug").replace('-', "_");
    let name = format!("delete_{}", table.trim_end_matches('s'));
    let mut action = documents::action(numbers, &page, &name, source, &format!("DELETE FROM {table}"));
    action["confirmBeforeExecute"] = json!(true);
    database.put(Collection::NewAction, action);
}

fn widget(numbers: &mut Numbers, number: u64) -> Value {
    let (name, kind) = numbers.pick(&WIDGETS).copied().unwrap_or(("Text", "TEXT_WIDGET"));
    let top = number * 6;
    json!({
        "widgetName": format!("{name}{number}"), "type": kind, "widgetId": numbers.object_id(), "text": format!("{name} number {number}"),
        "topRow": top, "bottomRow": top + 5, "leftColumn": 0, "rightColumn": 32 + numbers.below(32), "parentId": "0", "children": [],
    })
}

fn git_metadata(repository: &Repository) -> Value {
    json!({
        "branchName": "production", "refName": "production", "refType": "branch", "defaultBranchName": "production",
        "repoName": repository.name,
        "remoteUrl": format!("git@git.example:standin/{}.git", repository.name),
        "defaultApplicationId": repository.application, "defaultArtifactId": repository.application,
    })
}
