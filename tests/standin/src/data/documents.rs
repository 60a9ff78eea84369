//! The shapes of documents, as both the seed and the REST interface make them.

use super::database::{Collection, Database};
use super::ids::Numbers;
use super::{role, secret};
use serde_json::{Value, json};

/// Data source kinds: package name, shown name, type.
pub const PLUGINS: &[(&str, &str, &str)] = &[
    ("postgres-plugin", "PostgreSQL", "DB"),
    ("mongo-plugin", "MongoDB", "DB"),
    ("mysql-plugin", "MySQL", "DB"),
    ("restapi-plugin", "REST API", "API"),
    ("js-plugin", "JS", "JS"),
];

/// The id of a plugin: the same on every instance, so that data sources can name it.
pub fn plugin_id(package: &str) -> String {
    let number = PLUGINS.iter().position(|(name, ..)| *name == package).unwrap_or(0);
    format!("5c9f512f96c1a50004819{:03x}", 0x786 + number)
}

/// Fills the plugin collection.
pub fn put_plugins(database: &mut Database) {
    for (package, name, kind) in PLUGINS {
        let id = plugin_id(package);
        database.put(Collection::Plugin, json!({"_id": id, "packageName": package, "name": name, "type": kind}));
    }
}

/// A user who may log in.
pub fn user(numbers: &mut Numbers, email: &str, name: &str, password: &str, is_super: bool) -> Value {
    let salt = numbers.secret();
    let hash = secret::password_hash(password, &salt);
    json!({"_id": numbers.object_id(), "email": email, "name": name, "salt": salt, "password": hash, "isSuperUser": is_super})
}

/// A workspace without members.
pub fn workspace(numbers: &mut Numbers, name: &str) -> Value {
    let (id, groups) = (numbers.object_id(), role::groups(numbers));
    json!({"_id": id, "name": name, "slug": slug(name), "permissionGroups": groups, "members": []})
}

/// An application without pages, in the shape of the given data format.
pub fn application(numbers: &mut Numbers, workspace_id: &str, name: &str, format: u32, now: &str) -> Value {
    let id = numbers.object_id();
    let mut document = json!({
        "_id": id, "baseId": id, "workspaceId": workspace_id, "name": name, "slug": slug(name), "isPublic": false,
        "icon": "bag", "color": "#E3DEFF", "pages": [], "applicationVersion": 2, "evaluationVersion": 2,
        "createdAt": now, "modifiedAt": now, "format": super::marker::UNMARKED,
    });
    for step in super::marker::UNMARKED + 1..=format {
        super::migration::reshape(&mut document, step);
    }
    document
}

/// A page with one layout, both as edited and as published.
pub fn page(numbers: &mut Numbers, application_id: &str, name: &str, dsl: &Value, on_load: &Value) -> Value {
    let id = numbers.object_id();
    let layout = json!({"id": numbers.object_id(), "dsl": dsl, "layoutOnLoadActions": on_load});
    let side = json!({"name": name, "slug": slug(name), "layouts": [layout]});
    json!({"_id": id, "baseId": id, "applicationId": application_id, "unpublishedPage": side, "publishedPage": side})
}

/// Lists the page in its application; the first one is the default.
pub fn list_page(application: &mut Value, page_id: &str) {
    let Some(pages) = application.get_mut("pages").and_then(Value::as_array_mut) else { return };
    let entry = json!({"id": page_id, "baseId": page_id, "isDefault": pages.is_empty()});
    pages.push(entry);
}

/// A query on a data source. What it needs from the page stands in its text as `{{…}}`.
pub fn action(numbers: &mut Numbers, page: &Value, name: &str, datasource: &Value, body: &str) -> Value {
    let id = numbers.object_id();
    json!({
        "_id": id, "baseId": id, "name": name, "body": body, "jsonPathKeys": bindings(body), "timeoutInMillisecond": 10_000,
        "applicationId": page.get("applicationId"), "pageId": page.get("_id"), "datasourceId": datasource.get("_id"),
        "pluginId": datasource.get("pluginId"), "pluginType": "DB",
    })
}

/// The bindings in a query's text, such as `Table1.selectedRow.id`.
pub fn bindings(body: &str) -> Vec<&str> {
    body.split("{{").skip(1).filter_map(|rest| rest.split_once("}}").map(|(binding, _)| binding.trim())).collect()
}

/// A JS object.
pub fn js_object(numbers: &mut Numbers, page: &Value, name: &str, body: &str) -> Value {
    let id = numbers.object_id();
    json!({"_id": id, "baseId": id, "name": name, "body": body, "applicationId": page.get("applicationId"), "pageId": page.get("_id")})
}

/// A data source. The password is only kept encrypted.
pub fn datasource(
    numbers: &mut Numbers,
    workspace_id: &str,
    name: &str,
    package: &str,
    password: &str,
    key: &str,
) -> Value {
    json!({
        "_id": numbers.object_id(), "storageId": numbers.object_id(), "workspaceId": workspace_id, "name": name,
        "pluginId": plugin_id(package), "isConfigured": true,
        "url": format!("{}.internal.example", slug(name)), "username": "app", "databaseName": slug(name),
        "encryptedPassword": secret::encrypt(password, key),
    })
}

/// The widget tree of an empty page.
pub fn empty_dsl(format: u32) -> Value {
    json!({"widgetName": "MainContainer", "type": "CANVAS_WIDGET", "widgetId": "0", "version": 80 + format, "children": []})
}

/// A name as it appears in a URL.
pub fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// A text field of a document, or nothing.
pub fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_found_in_a_querys_text() {
        assert_eq!(bindings("WHERE a = {{ Table1.id }} AND b = {{Input1.text}}"), ["Table1.id", "Input1.text"]);
        assert!(bindings("SELECT 1").is_empty());
    }

    #[test]
    fn names_become_slugs_and_the_first_page_is_the_default() {
        assert_eq!(slug("Support Desk (old)"), "support-desk-old");
        let mut numbers = Numbers::seeded(1);
        let mut application = application(&mut numbers, "w", "Orders", 7, "2026-01-01T00:00:00.000Z");
        list_page(&mut application, "p1");
        list_page(&mut application, "p2");
        let defaults: Vec<_> =
            application["pages"].as_array().unwrap().iter().map(|page| page["isDefault"].clone()).collect();
        assert_eq!(defaults, [true, false]);
        assert_eq!(application["format"], 7);
    }
}
