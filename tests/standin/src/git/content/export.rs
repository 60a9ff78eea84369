//! Documents to files.

use super::{Files, file_name, pretty, widgets};
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use serde_json::{Value, json};

/// The collections of an application's things.
const THINGS: [Collection; 3] = [Collection::NewPage, Collection::NewAction, Collection::ActionCollection];

/// Gives everything in an application a `gitSyncId` that has none yet. `base` is the default branch's application.
pub fn name_all(database: &mut Database, base: &str, application: &str) {
    for collection in THINGS {
        let nameless = database
            .matching(collection, "applicationId", application)
            .filter(|document| text(document, "gitSyncId").is_empty())
            .map(|document| text(document, "_id").to_owned());
        for id in nameless.collect::<Vec<_>>() {
            database.change(collection, &id, |document| document["gitSyncId"] = json!(format!("{base}_{id}")));
        }
    }
}

/// The application's files. `schemas` are the client's and the server's of this release.
pub fn export(database: &Database, application: &str, schemas: (u32, u32)) -> Files {
    let mut files = Files::new();
    let Some(document) = database.get(Collection::Application, application) else { return files };
    let mut put = |path: &str, value: Value| {
        files.insert(path.to_owned(), pretty(&value));
    };
    put(
        "metadata.json",
        json!({
            "artifactJsonType": "APPLICATION", "clientSchemaVersion": schemas.0, "fileFormatVersion": 5,
            "serverSchemaVersion": schemas.1,
        }),
    );
    put("theme.json", json!({"displayName": "Modern", "isSystemTheme": true, "name": "Default-New"}));
    let look = |field: &str| document.get(field).or_else(|| document.get("presentation")?.get(field)).cloned();
    let mut listed = Vec::new();
    for entry in document["pages"].as_array().into_iter().flatten() {
        if let Some(page) = database.get(Collection::NewPage, text(entry, "id")) {
            listed.push((page, entry["isDefault"] == true));
        }
    }
    let pages: Vec<Value> =
        listed.iter().map(|(page, default)| json!({"id": page_name(page), "isDefault": default})).collect();
    put(
        "application.json",
        json!({
            "applicationVersion": document["applicationVersion"], "evaluationVersion": document["evaluationVersion"],
            "icon": look("icon"), "color": look("color"), "pages": pages, "appIsExample": false, "viewMode": false,
        }),
    );
    for (page, _) in listed {
        put_page(database, page, &mut files);
    }
    files
}

fn page_name(page: &Value) -> &str {
    page.pointer("/unpublishedPage/name").and_then(Value::as_str).unwrap_or_default()
}

fn put_page(database: &Database, page: &Value, files: &mut Files) {
    let name = page_name(page);
    let folder = format!("pages/{}", file_name(name));
    let mut side = page["unpublishedPage"].clone();
    for layout in side["layouts"].as_array_mut().into_iter().flatten() {
        layout["dsl"] = widgets::split(&layout["dsl"], &format!("{folder}/widgets"), files);
        // Ids differ from branch to branch.
        layout["id"] = json!(name);
        let groups = layout["layoutOnLoadActions"].as_array_mut().into_iter().flatten();
        for run in groups.flat_map(|group| group.as_array_mut().into_iter().flatten()) {
            run["id"] = json!(format!("{name}_{}", text(run, "name")));
        }
    }
    let whole = json!({"gitSyncId": page["gitSyncId"], "unpublishedPage": side});
    files.insert(format!("{folder}/{}.json", file_name(name)), pretty(&whole));
    let id = text(page, "_id");
    for action in database.matching(Collection::NewAction, "pageId", id) {
        put_action(database, name, &folder, action, files);
    }
    for object in database.matching(Collection::ActionCollection, "pageId", id) {
        let own = text(object, "name");
        let folder = format!("{folder}/jsobjects/{}", file_name(own));
        files.insert(format!("{folder}/{}.js", file_name(own)), text(object, "body").to_owned());
        let metadata = json!({
            "gitSyncId": object["gitSyncId"], "id": format!("{name}_{own}"),
            "unpublishedCollection": {"name": own, "pageId": name, "pluginId": "js-plugin", "pluginType": "JS", "variables": []},
        });
        files.insert(format!("{folder}/metadata.json"), pretty(&metadata));
    }
}

fn put_action(database: &Database, page: &str, folder: &str, action: &Value, files: &mut Files) {
    let name = text(action, "name");
    let folder = format!("{folder}/queries/{}", file_name(name));
    files.insert(format!("{folder}/{}.txt", file_name(name)), text(action, "body").to_owned());
    let package = |plugin: &str| database.get(Collection::Plugin, plugin).map_or("", |it| text(it, "packageName"));
    let source = database.get(Collection::Datasource, text(action, "datasourceId"));
    let plugin = package(text(action, "pluginId"));
    let metadata = json!({
        "gitSyncId": action["gitSyncId"], "id": format!("{page}_{name}"), "pluginId": plugin,
        "pluginType": action["pluginType"], "unpublishedAction": {
            "actionConfiguration": {"timeoutInMillisecond": action["timeoutInMillisecond"]},
            "confirmBeforeExecute": action["confirmBeforeExecute"] == true,
            "datasource": source.map(|source| json!({"name": source["name"], "pluginId": plugin})),
            "name": name, "pageId": page,
        },
    });
    files.insert(format!("{folder}/metadata.json"), pretty(&metadata));
    if let Some(source) = source {
        let name = text(source, "name");
        // Never with where it is or who logs in there: that is of the instance.
        let whole = json!({
            "datasourceConfiguration": {}, "name": name, "pluginId": package(text(source, "pluginId")),
        });
        files.insert(format!("datasources/{}.json", file_name(name)), pretty(&whole));
    }
}
