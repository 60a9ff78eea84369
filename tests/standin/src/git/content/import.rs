//! Files to documents: what a pull, a check-out, a discard and an import do.

use super::{Files, widgets};
use crate::data::database::{Collection, Database};
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::git::{Result, Trouble};
use crate::time::Moment;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The client's and the server's schema that a repository's content has.
pub fn schemas_of(metadata: &str) -> Result<(u64, u64)> {
    let metadata = parse("metadata.json", metadata)?;
    let number = |field: &str| metadata[field].as_u64().unwrap_or(0);
    Ok((number("clientSchemaVersion"), number("serverSchemaVersion")))
}

fn parse(path: &str, content: &str) -> Result<Value> {
    let value: Value =
        serde_json::from_str(content).map_err(|error| Trouble::Content(format!("{path} cannot be read: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(Trouble::Content(format!("{path} holds no object"))) }
}

/// Makes the application what the files say, as edited. What the files do not have is gone afterwards.
///
/// Nothing is changed if a file cannot be read, or a data source of the same name has another plugin.
pub fn import(database: &mut Database, application: &str, files: &Files) -> Result<()> {
    let missing = || Trouble::Content("there is no application in the repository".to_owned());
    let whole = parse("application.json", files.get("application.json").ok_or_else(missing)?)?;
    let content = Content::read(files)?;
    let document = database.get(Collection::Application, application).cloned().ok_or_else(missing)?;
    let workspace = text(&document, "workspaceId").to_owned();
    refuse_other_plugins(database, &workspace, &content.sources)?;

    let mut take = Take { base: text(&document, "baseId").to_owned(), application, numbers: Numbers::random() };
    let mut sources = BTreeMap::new();
    for given in &content.sources {
        let source = take.source(database, &workspace, given);
        sources.insert(text(given, "name").to_owned(), source);
    }
    let mut pages = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for given in &content.pages {
        let page = take.page(database, given);
        kept.insert(text(&page, "_id").to_owned());
        pages.insert(text(&given["unpublishedPage"], "name").to_owned(), page);
    }
    let mut actions = Vec::new();
    for (given, body) in &content.actions {
        let inner = &given["unpublishedAction"];
        let Some(page) = pages.get(text(inner, "pageId")) else { continue };
        let source = sources.get(text(&inner["datasource"], "name")).unwrap_or(&Value::Null);
        let action = take.action(database, page, given, source, body);
        kept.insert(text(&action, "_id").to_owned());
        actions.push(action);
    }
    for (given, body) in &content.objects {
        let Some(page) = pages.get(text(&given["unpublishedCollection"], "pageId")) else { continue };
        kept.insert(take.object(database, page, given, body));
    }
    for collection in [Collection::NewPage, Collection::NewAction, Collection::ActionCollection] {
        database.remove(collection, |document| {
            text(document, "applicationId") == application && !kept.contains(text(document, "_id"))
        });
    }
    for page in pages.into_values() {
        database.put(Collection::NewPage, name_runs(page, &actions));
    }
    let listed = listed(database, application, &whole);
    let now = Moment::now().iso();
    database.change(Collection::Application, application, |document| {
        document["pages"] = listed;
        document["modifiedAt"] = json!(now);
        for field in ["icon", "color"] {
            let place =
                if document.get("presentation").is_some() { &mut document["presentation"] } else { &mut *document };
            place[field] = whole[field].clone();
        }
    });
    Ok(())
}

/// The parsed files.
struct Content {
    sources: Vec<Value>,
    pages: Vec<Value>,
    actions: Vec<(Value, String)>,
    objects: Vec<(Value, String)>,
}

impl Content {
    fn read(files: &Files) -> Result<Self> {
        let mut content = Self { sources: Vec::new(), pages: Vec::new(), actions: Vec::new(), objects: Vec::new() };
        let mut trees: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (path, file) in files {
            let parts: Vec<&str> = path.split('/').collect();
            let beside = |kind: &str, name: &str| {
                let name = format!("{}{name}.{kind}", path.trim_end_matches("metadata.json"));
                files.get(&name).cloned().unwrap_or_default()
            };
            match parts.as_slice() {
                ["datasources", _] => content.sources.push(parse(path, file)?),
                ["pages", _, "queries", name, "metadata.json"] => {
                    content.actions.push((parse(path, file)?, beside("txt", name)));
                }
                ["pages", _, "jsobjects", name, "metadata.json"] => {
                    content.objects.push((parse(path, file)?, beside("js", name)));
                }
                ["pages", page, "widgets", .., last] if last.ends_with(".json") => {
                    trees.entry(page).or_default().push(parse(path, file)?);
                }
                ["pages", page, last] if last.strip_suffix(".json") == Some(*page) => {
                    let mut whole = parse(path, file)?;
                    whole["folder"] = json!(page);
                    content.pages.push(whole);
                }
                _ => {}
            }
        }
        for page in &mut content.pages {
            let own = trees.remove(text(page, "folder")).unwrap_or_default();
            if let Some(dsl) = page.pointer_mut("/unpublishedPage/layouts/0/dsl").filter(|dsl| dsl.is_object()) {
                *dsl = widgets::join(dsl, own);
            }
        }
        Ok(content)
    }
}

fn refuse_other_plugins(database: &Database, workspace: &str, sources: &[Value]) -> Result<()> {
    for given in sources {
        let name = text(given, "name");
        let mut known = database.matching(Collection::Datasource, "workspaceId", workspace);
        let other = known.find(|it| text(it, "name") == name && text(it, "pluginId") != plugin_of(given));
        if other.is_some() {
            return Err(Trouble::Content(format!("Datasource already exists with the same name: {name}")));
        }
    }
    Ok(())
}

fn plugin_of(given: &Value) -> String {
    documents::plugin_id(text(given, "pluginId"))
}

/// Takes things in, each in place of the one with the same `gitSyncId`.
struct Take<'a> {
    base: String,
    application: &'a str,
    numbers: Numbers,
}

impl Take<'_> {
    /// The ids of a thing that was here before, or new ones. On another branch the base id is that of the default one.
    fn identify(&self, database: &Database, collection: Collection, given: &Value, fresh: &mut Value) {
        let sync = text(given, "gitSyncId");
        let known = |application: &str| {
            let mut all = database.all(collection).filter(|document| text(document, "applicationId") == application);
            all.find(|document| !sync.is_empty() && text(document, "gitSyncId") == sync)
        };
        if let Some(before) = known(self.application) {
            fresh["_id"] = before["_id"].clone();
            fresh["baseId"] = before["baseId"].clone();
        } else if let Some(default) = known(&self.base) {
            fresh["baseId"] = default["baseId"].clone();
        }
        fresh["gitSyncId"] = given["gitSyncId"].clone();
    }

    fn source(&mut self, database: &mut Database, workspace: &str, given: &Value) -> Value {
        let name = text(given, "name");
        let known =
            database.matching(Collection::Datasource, "workspaceId", workspace).find(|it| text(it, "name") == name);
        if let Some(known) = known {
            return known.clone();
        }
        let mut fresh = documents::datasource(&mut self.numbers, workspace, name, text(given, "pluginId"), "", "");
        fresh["isConfigured"] = json!(false);
        database.put(Collection::Datasource, fresh.clone());
        fresh
    }

    fn page(&mut self, database: &mut Database, given: &Value) -> Value {
        let mut page = documents::page(&mut self.numbers, self.application, "", &Value::Null, &Value::Null);
        self.identify(database, Collection::NewPage, given, &mut page);
        let before = database.get(Collection::NewPage, text(&page, "_id"));
        let layout = before.unwrap_or(&page).pointer("/unpublishedPage/layouts/0/id").cloned().unwrap_or_default();
        let published = before.map_or(Value::Null, |before| before["publishedPage"].clone());
        page["unpublishedPage"] = given["unpublishedPage"].clone();
        if let Some(id) = page.pointer_mut("/unpublishedPage/layouts/0/id") {
            *id = layout;
        }
        page["publishedPage"] = published;
        page
    }

    fn action(&mut self, database: &mut Database, page: &Value, given: &Value, source: &Value, body: &str) -> Value {
        let inner = &given["unpublishedAction"];
        let mut action = documents::action(&mut self.numbers, page, text(inner, "name"), source, body);
        self.identify(database, Collection::NewAction, given, &mut action);
        let limit = &inner["actionConfiguration"]["timeoutInMillisecond"];
        if limit.is_u64() {
            action["timeoutInMillisecond"] = limit.clone();
        }
        if inner["confirmBeforeExecute"] == true {
            action["confirmBeforeExecute"] = json!(true);
        }
        if source.is_null() {
            action["pluginId"] = json!(plugin_of(given));
        }
        action["pluginType"] = given["pluginType"].clone();
        database.put(Collection::NewAction, action.clone());
        action
    }

    fn object(&mut self, database: &mut Database, page: &Value, given: &Value, body: &str) -> String {
        let name = text(&given["unpublishedCollection"], "name");
        let mut object = documents::js_object(&mut self.numbers, page, name, body);
        self.identify(database, Collection::ActionCollection, given, &mut object);
        let id = text(&object, "_id").to_owned();
        database.put(Collection::ActionCollection, object);
        id
    }
}

/// What runs on load is named in the files, and has an id here.
fn name_runs(mut page: Value, actions: &[Value]) -> Value {
    let id = text(&page, "_id").to_owned();
    let groups = page.pointer_mut("/unpublishedPage/layouts/0/layoutOnLoadActions").and_then(Value::as_array_mut);
    for group in groups.into_iter().flatten() {
        let Some(runs) = group.as_array_mut() else { continue };
        for run in runs.iter_mut() {
            let mut own = actions.iter().filter(|action| text(action, "pageId") == id);
            let action = own.find(|action| text(action, "name") == text(run, "name"));
            run["id"] = action.map_or(Value::Null, |action| action["_id"].clone());
        }
        runs.retain(|run| !run["id"].is_null());
    }
    page
}

/// The pages in the order of the file; those that it forgets come last.
fn listed(database: &Database, application: &str, whole: &Value) -> Value {
    let order: Vec<&str> = whole["pages"].as_array().into_iter().flatten().map(|page| text(page, "id")).collect();
    let default = whole["pages"].as_array().into_iter().flatten().find(|page| page["isDefault"] == true);
    let default = default.map(|page| text(page, "id")).or(order.first().copied()).unwrap_or_default();
    let name = |page: &Value| page["unpublishedPage"]["name"].as_str().unwrap_or_default().to_owned();
    let mut pages: Vec<&Value> = database.matching(Collection::NewPage, "applicationId", application).collect();
    pages.sort_by_key(|page| (order.iter().position(|each| *each == name(page)).unwrap_or(order.len()), name(page)));
    let entry =
        |page: &&Value| json!({"id": page["_id"], "baseId": page["baseId"], "isDefault": name(page) == default});
    pages.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{export, name_all};
    use super::*;
    use crate::behaviour::Baked;
    use crate::options::Options;
    use crate::paths::Volume;
    use crate::seed;

    const SCHEMAS: (u32, u32) = (2, 12);

    /// A seeded database, and the id of Orders in it.
    fn seeded() -> (tempfile::TempDir, Database, String) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        seed::fill(&volume, &baked, 4, None, 0, 7).unwrap();
        let mut database = Database::open(&volume.mongodb()).unwrap();
        let id = text(database.matching(Collection::Application, "name", "Orders").next().unwrap(), "_id").to_owned();
        name_all(&mut database, &id, &id);
        (dir, database, id)
    }

    fn branch_of(database: &mut Database, base: &str, workspace: &str) -> String {
        let mut branch = documents::application(&mut Numbers::seeded(9), workspace, "Orders", 6, "now");
        branch["baseId"] = json!(base);
        let id = text(&branch, "_id").to_owned();
        database.put(Collection::Application, branch);
        id
    }

    #[test]
    fn an_application_comes_back_from_its_files_byte_for_byte_and_keeps_its_ids() {
        let (_dir, mut database, id) = seeded();
        let files = export(&database, &id, SCHEMAS);
        for wanted in ["metadata.json", "pages/Home/Home.json", "datasources/Orders DB.json"] {
            assert!(files.contains_key(wanted), "{wanted} is missing in {:?}", files.keys());
        }
        assert!(files.values().all(|text| !text.contains("internal.example")), "where a source is, is not told");
        let ids = |database: &Database| -> Vec<String> {
            database
                .matching(Collection::NewAction, "applicationId", &id)
                .map(|it| text(it, "_id").to_owned())
                .collect()
        };
        let before = ids(&database);
        import(&mut database, &id, &files).unwrap();
        assert_eq!(export(&database, &id, SCHEMAS), files);
        assert_eq!(ids(&database), before);
    }

    #[test]
    fn a_branch_has_ids_of_its_own_and_the_base_ids_of_the_default_one() {
        let (_dir, mut database, id) = seeded();
        let files = export(&database, &id, SCHEMAS);
        let workspace = text(database.get(Collection::Application, &id).unwrap(), "workspaceId").to_owned();
        let branch = branch_of(&mut database, &id, &workspace);
        import(&mut database, &branch, &files).unwrap();
        assert_eq!(export(&database, &branch, SCHEMAS), files, "the same content on both branches");
        let page = database.matching(Collection::NewPage, "applicationId", &branch).next().unwrap();
        assert_ne!(page["_id"], page["baseId"]);
        assert_eq!(text(database.get(Collection::NewPage, text(page, "baseId")).unwrap(), "applicationId"), id);
        let run = &page["unpublishedPage"]["layouts"][0]["layoutOnLoadActions"][0][0];
        let action = database.get(Collection::NewAction, text(run, "id")).unwrap();
        assert_eq!(text(action, "applicationId"), branch);
    }

    #[test]
    fn one_changed_widget_is_one_changed_file_and_what_is_not_in_the_files_goes() {
        let (_dir, mut database, id) = seeded();
        let before = export(&database, &id, SCHEMAS);
        let page = text(&database.get(Collection::Application, &id).unwrap()["pages"][0], "id").to_owned();
        database.change(Collection::NewPage, &page, |page| {
            page["unpublishedPage"]["layouts"][0]["dsl"]["children"][0]["text"] = json!("another");
        });
        let after = export(&database, &id, SCHEMAS);
        let changed: Vec<&String> = after.keys().filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(matches!(changed.as_slice(), [one] if one.starts_with("pages/Home/widgets/")), "{changed:?}");
        let fewer: Files = before.into_iter().filter(|(path, _)| !path.contains("/getHome/")).collect();
        import(&mut database, &id, &fewer).unwrap();
        assert!(database.matching(Collection::NewAction, "name", "getHome").all(|it| text(it, "applicationId") != id));
        let page = database.get(Collection::NewPage, &page).unwrap();
        assert_eq!(page["unpublishedPage"]["layouts"][0]["layoutOnLoadActions"], json!([[]]));
    }

    #[test]
    fn unreadable_content_and_another_plugin_change_nothing() {
        let (_dir, mut database, id) = seeded();
        let files = export(&database, &id, SCHEMAS);
        let before = database.dump();
        let with = |path: &str, text: &str| {
            let mut files = files.clone();
            files.insert(path.to_owned(), text.to_owned());
            files
        };
        let other = r#"{"name":"Orders DB","pluginId":"mysql-plugin"}"#;
        for wrong in
            [with("pages/Home/Home.json", "<<<<<<< HEAD"), with("datasources/Orders DB.json", other), Files::new()]
        {
            assert!(import(&mut database, &id, &wrong).is_err());
        }
        assert_eq!(database.dump(), before);
        assert_eq!(schemas_of(files.get("metadata.json").unwrap()).unwrap(), (2, 12));
    }
}
