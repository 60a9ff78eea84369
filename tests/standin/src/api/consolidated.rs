//! What a browser loads of a page, in one answer with an envelope around each part.
//!
//! The trap that this imitates: the outer answer is 200 even when parts of it failed.

use super::caller::Anyone;
use super::envelope::{Answer, ApiError, ok};
use super::views::{Eye, Side};
use super::{instance, login, look, queries};
use crate::broken::Broken;
use crate::data::database::Collection;
use crate::data::documents::text;
use crate::feature::Feature;
use crate::hash::hex;
use crate::world::World;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

type Words = Query<HashMap<String, String>>;

/// The page as deployed, with an ETag: 304 where the client has it already.
pub async fn view(
    State(world): State<Arc<World>>,
    caller: Anyone,
    headers: HeaderMap,
    Query(words): Words,
) -> Result<Response, ApiError> {
    let answer = whole(&world, &caller, &words, Side::Published)?;
    let digest = Sha256::digest(answer.to_string());
    let tag = format!("\"{}\"", hex(digest.get(..16).unwrap_or_default()));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let head = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, must-revalidate".to_owned())];
    Ok(if known { (StatusCode::NOT_MODIFIED, head).into_response() } else { (head, ok(answer)?).into_response() })
}

/// The page in the editor.
pub async fn edit(State(world): State<Arc<World>>, caller: Anyone, Query(words): Words) -> Answer {
    ok(whole(&world, &caller, &words, Side::Edited)?)
}

fn whole(world: &World, caller: &Anyone, words: &HashMap<String, String>, side: Side) -> Result<Value, ApiError> {
    if !world.behaviour.version.has(Feature::ConsolidatedView) {
        return Err(ApiError::no_resource("path"));
    }
    let profile = login::me_view(world, caller)?;
    let parts = look(world, caller, |eye| Ok(parts(world, eye, words, side)))?;
    let mut data = Map::new();
    data.insert("userProfile".to_owned(), ok(profile)?.into_json());
    for (name, part) in parts {
        data.insert(name.to_owned(), part.map_or_else(ApiError::into_json, |value| value.into_json()));
    }
    Ok(Value::Object(data))
}

type Part = (&'static str, Answer);

fn parts(world: &World, eye: &Eye<'_>, words: &HashMap<String, String>, side: Side) -> Vec<Part> {
    let page_id = words.get("defaultPageId");
    let page = page_id.and_then(|id| eye.document(Collection::NewPage, id));
    let given = words.get("applicationId").map(String::as_str);
    let id = given.or_else(|| page.map(|page| text(page, "applicationId"))).unwrap_or_default();
    let application = || eye.application_for(id, side);
    let list = |collection| queries::list(eye, collection, id, side).and_then(ok);
    let (actions, collections) = match side {
        Side::Published => ("publishedActions", "publishedActionCollections"),
        Side::Edited => ("unpublishedActions", "unpublishedActionCollections"),
    };
    let named = eye.version.has(Feature::Organization);
    let organization = if named { "organizationConfig" } else { "tenantConfig" };
    let mut parts = vec![
        ("featureFlags", ok(instance::features_view())),
        (organization, ok(instance::organization_view(eye))),
        ("productAlert", ok(json!({}))),
        ("pages", application().and_then(|found| ok(eye.application_pages(found, side)))),
        (actions, list(Collection::NewAction)),
        (collections, list(Collection::ActionCollection)),
        ("currentTheme", application().and_then(|_| ok(json!({"name": "Default-New", "displayName": "Modern"})))),
        ("themes", application().and_then(|_| ok(json!([{"name": "Default-New", "displayName": "Modern"}])))),
        ("customJSLibraries", application().and_then(|_| ok(json!([])))),
    ];
    if side == Side::Edited {
        parts.push(("plugins", ok(instance::plugins_view(eye))));
        let sources = application().and_then(|found| {
            let workspace = text(found, "workspaceId");
            let all = eye.database.matching(Collection::Datasource, "workspaceId", workspace);
            ok(all.map(|it| eye.datasource(it)).collect())
        });
        parts.push(("datasources", sources));
    }
    // Without a page id the page part is missing altogether.
    if let Some(page_id) = page_id {
        let found = eye.page_for(page_id, side);
        parts.push((
            "pageWithMigratedDsl",
            found.and_then(|page| broken_page(world, eye, page, side).and_then(|()| ok(eye.page(page, side)))),
        ));
    }
    parts
}

/// Refuses the pages of an application that is broken on this side.
pub fn broken_page(world: &World, eye: &Eye<'_>, page: &Value, side: Side) -> Result<(), ApiError> {
    let application = eye.database.get(Collection::Application, text(page, "applicationId"));
    let name = application.map(|application| text(application, "name")).unwrap_or_default();
    let way = match side {
        Side::Published => Broken::App(name.to_owned()),
        Side::Edited => Broken::Edit(name.to_owned()),
    };
    if world.behaviour.is(&way) { Err(ApiError::broken_page(name)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::data::database::Database;
    use crate::data::documents;
    use crate::data::ids::Numbers;
    use crate::data::role::{self, Role};
    use crate::options::Options;
    use crate::paths::Volume;

    /// A world with the applications `Orders` and `Returns`, their page ids, and an editor.
    fn world(broken: &str) -> (tempfile::TempDir, World, Vec<String>, Anyone) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        let behaviour = baked.in_environment(None, Some(broken)).unwrap();
        let world = World::new(volume.clone(), behaviour, String::new(), Default::default());
        let mut database = Database::open(&volume.mongodb()).unwrap();
        let mut numbers = Numbers::seeded(3);
        let mut workspace = documents::workspace(&mut numbers, "Team");
        role::assign(&mut workspace, "editor", Some(Role::Developer));
        let mut pages = Vec::new();
        for name in ["Orders", "Returns"] {
            let mut application = documents::application(&mut numbers, text(&workspace, "_id"), name, 6, "now");
            let page = documents::page(&mut numbers, text(&application, "_id"), "Home", &json!({}), &json!([]));
            documents::list_page(&mut application, text(&page, "_id"));
            pages.push(text(&page, "_id").to_owned());
            database.put(Collection::Application, application);
            database.put(Collection::NewPage, page);
        }
        database.put(Collection::Workspace, workspace);
        *world.mongo() = Some(database);
        (dir, world, pages, Anyone { user: Some(json!({"_id": "editor"})), session: None, branch: None })
    }

    fn page_part(world: &World, page: &str, caller: &Anyone, side: Side) -> Value {
        let words = HashMap::from([("defaultPageId".to_owned(), page.to_owned())]);
        let whole = whole(world, caller, &words, side).unwrap();
        whole["pageWithMigratedDsl"]["responseMeta"]["success"].clone()
    }

    #[test]
    fn a_broken_app_fails_inside_a_good_answer_and_the_others_do_not() {
        let (_dir, world, pages, editor) = world("app:Returns,edit:Orders");
        assert_eq!(page_part(&world, &pages[0], &editor, Side::Published), true);
        assert_eq!(page_part(&world, &pages[1], &editor, Side::Published), false);
        assert_eq!(page_part(&world, &pages[0], &editor, Side::Edited), false);
        assert_eq!(page_part(&world, &pages[1], &editor, Side::Edited), true);
    }

    #[test]
    fn a_private_app_looks_missing_to_a_stranger_and_its_editor_to_a_viewer() {
        let (_dir, world, pages, _) = world("");
        assert_eq!(page_part(&world, &pages[0], &Anyone::default(), Side::Published), false);
        let id = world.mongo().as_ref().unwrap().all(Collection::Workspace).next().map(|it| text(it, "_id").to_owned());
        world.mongo().as_mut().unwrap().change(Collection::Workspace, &id.unwrap(), |workspace| {
            role::assign(workspace, "viewer", Some(Role::Viewer));
        });
        let viewer = Anyone { user: Some(json!({"_id": "viewer"})), session: None, branch: None };
        assert_eq!(page_part(&world, &pages[0], &viewer, Side::Published), true);
        assert_eq!(page_part(&world, &pages[0], &viewer, Side::Edited), false);
    }
}
