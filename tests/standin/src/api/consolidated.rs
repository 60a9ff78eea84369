//! What a browser loads of a page, in one answer with an envelope around each part.
//!
//! The trap that this imitates: the outer answer is 200 even when parts of it failed.

use super::caller::Anyone;
use super::envelope::{Answer, ApiError, ok};
use super::views::{self, Side};
use super::{instance, login, read};
use crate::broken::Broken;
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::world::World;
use axum::extract::{Query, State};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

type Words = Query<HashMap<String, String>>;

/// The page as deployed.
pub async fn view(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    whole(&world, &caller, &words, Side::Published)
}

/// The page in the editor.
pub async fn edit(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    whole(&world, &caller, &words, Side::Edited)
}

fn whole(world: &World, caller: &Anyone, words: &HashMap<String, String>, side: Side) -> Answer {
    let profile = login::me_view(world, caller)?;
    let parts = read(world, |database| Ok(parts(world, database, caller, words, side)))?;
    let mut data = Map::new();
    data.insert("userProfile".to_owned(), ok(profile)?.into_json());
    for (name, part) in parts {
        data.insert(name.to_owned(), part.map_or_else(ApiError::into_json, |value| value.into_json()));
    }
    ok(Value::Object(data))
}

type Part = (&'static str, Answer);

fn parts(
    world: &World,
    database: &Database,
    caller: &Anyone,
    words: &HashMap<String, String>,
    side: Side,
) -> Vec<Part> {
    let page_id = words.get("defaultPageId");
    let page = page_id.and_then(|id| database.get(Collection::NewPage, id));
    let given = words.get("applicationId").map(String::as_str);
    let id = given.or_else(|| page.map(|page| text(page, "applicationId"))).unwrap_or_default();
    let application = || views::visible(database, caller, id);
    let list = |collection, view: fn(&Value) -> Value| {
        application().and_then(|_| ok(database.matching(collection, "applicationId", id).map(view).collect()))
    };
    let (actions, collections) = match side {
        Side::Published => ("publishedActions", "publishedActionCollections"),
        Side::Edited => ("unpublishedActions", "unpublishedActionCollections"),
    };
    let mut parts = vec![
        ("featureFlags", ok(instance::features_view())),
        ("organizationConfig", ok(instance::organization_view(database))),
        ("productAlert", ok(json!({}))),
        ("pages", application().and_then(|found| ok(views::application_pages(database, found, side)))),
        (actions, list(Collection::NewAction, views::action)),
        (collections, list(Collection::ActionCollection, views::js_object)),
        ("currentTheme", application().and_then(|_| ok(json!({"name": "Default-New", "displayName": "Modern"})))),
        ("themes", application().and_then(|_| ok(json!([{"name": "Default-New", "displayName": "Modern"}])))),
        ("customJSLibraries", application().and_then(|_| ok(json!([])))),
    ];
    // Without a page id the page part is missing altogether.
    if let Some(page_id) = page_id {
        let found = views::visible_page(database, caller, page_id);
        parts.push(("pageWithMigratedDsl", found.and_then(|page| migrated(world, database, page, side))));
    }
    parts
}

fn migrated(world: &World, database: &Database, page: &Value, side: Side) -> Answer {
    let application = database.get(Collection::Application, text(page, "applicationId"));
    let name = application.map(|application| text(application, "name")).unwrap_or_default();
    if world.behaviour.is(&Broken::App(name.to_owned())) {
        return Err(ApiError::broken_page(name));
    }
    ok(views::page(page, side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::data::documents;
    use crate::data::ids::Numbers;
    use crate::options::Options;
    use crate::paths::Volume;

    /// A world with the applications `Orders` and `Returns`, and their page ids.
    fn world(broken: &str) -> (tempfile::TempDir, World, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        let world = World::new(
            volume.clone(),
            baked.in_environment(None, Some(broken)).unwrap(),
            String::new(),
            Default::default(),
        );
        let mut database = Database::open(&volume.mongodb()).unwrap();
        let mut numbers = Numbers::seeded(3);
        let mut pages = Vec::new();
        for name in ["Orders", "Returns"] {
            let mut application = documents::application(&mut numbers, "w", name, 6, "now");
            let page = documents::page(&mut numbers, text(&application, "_id"), "Home", &json!({}), &json!([]));
            documents::list_page(&mut application, text(&page, "_id"));
            pages.push(text(&page, "_id").to_owned());
            database.put(Collection::Application, application);
            database.put(Collection::NewPage, page);
        }
        *world.mongo() = Some(database);
        (dir, world, pages)
    }

    fn page_part(world: &World, page: &str, user: Option<Value>) -> Value {
        let caller = Anyone { user, session: None };
        let words = HashMap::from([("defaultPageId".to_owned(), page.to_owned())]);
        let whole = whole(world, &caller, &words, Side::Published).unwrap().into_json();
        assert_eq!(whole["responseMeta"]["success"], true, "the outer answer never fails");
        whole["data"]["pageWithMigratedDsl"]["responseMeta"]["success"].clone()
    }

    #[test]
    fn a_broken_app_fails_inside_a_good_answer_and_the_others_do_not() {
        let (_dir, world, pages) = world("app:Returns");
        let user = Some(json!({"email": "a@example.test"}));
        assert_eq!(page_part(&world, &pages[0], user.clone()), true);
        assert_eq!(page_part(&world, &pages[1], user), false);
    }

    #[test]
    fn a_private_app_looks_missing_to_a_stranger() {
        let (_dir, world, pages) = world("");
        assert_eq!(page_part(&world, &pages[0], None), false);
    }
}
