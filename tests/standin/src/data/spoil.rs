//! What the first start of a broken version takes away from the data, and what a noisy one adds to it.

use super::database::{Collection, Database};
use super::documents::{self, text};
use super::ids::Numbers;
use crate::behaviour::Behaviour;
use crate::broken::{Broken, Noisy, Spoil, means};
use crate::time::Moment;
use serde_json::{Value, json};

/// Applies every way of the image to the data.
pub fn spoil(database: &mut Database, behaviour: &Behaviour) {
    for way in &behaviour.broken {
        match way {
            Broken::Spoil(spoil, name) => take(database, *spoil, name),
            Broken::Noisy(Noisy::Extra) => {
                add_plugin(database);
                add_things(database, behaviour.format, &mut Numbers::random());
            }
            Broken::Noisy(Noisy::Plugin) => add_plugin(database),
            _ => {}
        }
    }
}

fn take(database: &mut Database, spoil: Spoil, name: &str) {
    let by = |database: &Database, collection, field: &str| -> Vec<String> {
        database.matching(collection, field, name).map(|document| text(document, "_id").to_owned()).collect()
    };
    match spoil {
        Spoil::LoseApp => {
            by(database, Collection::Application, "name").iter().for_each(|id| remove_application(database, id));
        }
        Spoil::LoseQuery => remove_inside(database, Collection::NewAction, name),
        Spoil::LoseJs => remove_inside(database, Collection::ActionCollection, name),
        Spoil::LosePage => {
            for page in inside(database, Collection::NewPage, name) {
                remove_page(database, &page);
            }
        }
        Spoil::EmptyPage => {
            for page in inside(database, Collection::NewPage, name) {
                database.change(Collection::NewPage, &page, |page| {
                    let layouts = page["publishedPage"]["layouts"].as_array_mut();
                    layouts.into_iter().flatten().for_each(|layout| layout["dsl"]["children"] = json!([]));
                });
            }
        }
        Spoil::LoseDatasource => database.remove(Collection::Datasource, |document| text(document, "name") == name),
        Spoil::LoseUser => {
            for user in by(database, Collection::User, "email") {
                database.remove(Collection::User, |document| text(document, "_id") == user);
            }
        }
        Spoil::LosePlugin => {
            let doomed = |plugin: &Value| text(plugin, "packageName") == name || text(plugin, "name") == name;
            database.remove(Collection::Plugin, doomed);
        }
    }
}

/// Removes an application and all that belongs to it.
pub fn remove_application(database: &mut Database, id: &str) {
    database.remove(Collection::Application, |document| text(document, "_id") == id);
    for collection in [Collection::NewPage, Collection::NewAction, Collection::ActionCollection] {
        database.remove(collection, |document| text(document, "applicationId") == id);
    }
}

/// Removes a page and all that is on it.
pub fn remove_page(database: &mut Database, id: &str) {
    let application = database.get(Collection::NewPage, id).map(|page| text(page, "applicationId").to_owned());
    database.remove(Collection::NewPage, |page| text(page, "_id") == id);
    for collection in [Collection::NewAction, Collection::ActionCollection] {
        database.remove(collection, |document| text(document, "pageId") == id);
    }
    database.change(Collection::Application, &application.unwrap_or_default(), |application| {
        if let Some(pages) = application["pages"].as_array_mut() {
            pages.retain(|page| text(page, "id") != id);
            if let Some(first) = pages.first_mut() {
                first["isDefault"] = json!(true);
            }
        }
    });
}

fn remove_inside(database: &mut Database, collection: Collection, given: &str) {
    let doomed = inside(database, collection, given);
    database.remove(collection, |document| doomed.iter().any(|id| text(document, "_id") == id));
}

/// The ids of what `NAME` or `APP/NAME` means.
fn inside(database: &Database, collection: Collection, given: &str) -> Vec<String> {
    let meant = |document: &&Value| {
        let application = database.get(Collection::Application, text(document, "applicationId"));
        let name = document.get("name").or_else(|| document.pointer("/publishedPage/name")).and_then(Value::as_str);
        means(given, application.map_or("", |application| text(application, "name")), name.unwrap_or_default())
    };
    database.all(collection).filter(meant).map(|document| text(document, "_id").to_owned()).collect()
}

/// A plugin that came with the release.
fn add_plugin(database: &mut Database) {
    let id = "5c9f512f96c1a50004819fff";
    let plugin = json!({"_id": id, "packageName": "newcomer-plugin", "name": "Newcomer", "type": "API"});
    database.put(Collection::Plugin, plugin);
}

/// An application with a page and a query, and a page and a query on one that was there before.
fn add_things(database: &mut Database, format: u32, numbers: &mut Numbers) {
    let now = Moment::now().iso();
    let Some(workspace) = database.all(Collection::Workspace).next().map(|it| text(it, "_id").to_owned()) else {
        return;
    };
    let mut newcomer = documents::application(numbers, &workspace, "Newcomer", format, &now);
    newcomer["lastDeployedAt"] = json!(now);
    let old = database.matching(Collection::Application, "workspaceId", &workspace).next().cloned();
    let source = database.matching(Collection::Datasource, "workspaceId", &workspace).next().cloned();
    for mut application in [Some(newcomer), old].into_iter().flatten() {
        let dsl = documents::empty_dsl(format);
        let page = documents::page(numbers, text(&application, "_id"), "Newcomer", &dsl, &json!([]));
        documents::list_page(&mut application, text(&page, "_id"));
        if let Some(source) = &source {
            let query = documents::action(numbers, &page, "getNewcomer", source, "SELECT 1");
            database.put(Collection::NewAction, query);
        }
        database.put(Collection::NewPage, page);
        database.put(Collection::Application, application);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::options::Options;
    use crate::paths::Volume;
    use crate::seed;

    /// A seeded database, after the first start of a version that is broken like this.
    fn spoilt(broken: &str) -> (tempfile::TempDir, Database) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        seed::fill(&volume, &baked, 4, None, 0, 7).unwrap();
        let mut database = Database::open(&volume.mongodb()).unwrap();
        spoil(&mut database, &baked.in_environment(None, Some(broken)).unwrap());
        (dir, database)
    }

    fn count(database: &Database, collection: Collection) -> usize {
        database.all(collection).count()
    }

    #[test]
    fn each_way_takes_what_it_names_and_nothing_else() {
        use Collection::{ActionCollection, Application, Datasource, NewAction, NewPage, Plugin, User};
        let (_dir, whole) = spoilt("");
        let lost = |broken: &str, collection| count(&whole, collection) - count(&spoilt(broken).1, collection);
        assert_eq!(lost("lose-app:Returns", Application), 1);
        assert_eq!((lost("lose-page:Orders/Home", NewPage), lost("lose-page:Home", NewPage)), (1, 4));
        assert_eq!((lost("lose-query:Orders/getHome", NewAction), lost("lose-query:nothing", NewAction)), (1, 0));
        assert_eq!(lost("lose-js:Orders/HomeHelpers", ActionCollection), 1);
        assert_eq!(lost("lose-datasource:Events", Datasource), 2, "one a workspace");
        assert_eq!(lost("lose-user:viewer@standin.test", User), 1);
        assert_eq!(lost("lose-plugin:MySQL", Plugin), 1);
        let (_dir, emptied) = spoilt("empty-page:Orders/Home");
        assert_eq!(count(&emptied, NewPage), count(&whole, NewPage));
        let bare = |page: &&Value| page.pointer("/publishedPage/layouts/0/dsl/children") == Some(&json!([]));
        assert_eq!(emptied.all(NewPage).filter(bare).count(), 1);
    }

    #[test]
    fn an_application_stays_whole_when_its_first_page_goes() {
        let (_dir, database) = spoilt("lose-page:Orders/Home");
        let orders = database.matching(Collection::Application, "name", "Orders").next().unwrap();
        assert_eq!(orders["pages"][0]["isDefault"], true);
        let first = text(&orders["pages"][0], "id");
        assert!(database.get(Collection::NewPage, first).is_some());
    }

    #[test]
    fn noise_only_adds() {
        use Collection::{Application, NewAction, NewPage, Plugin};
        let (_dir, whole) = spoilt("");
        let (_dir, noisy) = spoilt("noisy-extra");
        for (collection, more) in [(Application, 1), (NewPage, 2), (NewAction, 2), (Plugin, 1)] {
            assert_eq!(count(&noisy, collection), count(&whole, collection) + more);
        }
        assert_eq!(count(&spoilt("noisy-plugin").1, Plugin), count(&whole, Plugin) + 1);
    }
}
