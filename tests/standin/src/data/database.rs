//! Collections of JSON documents, kept in memory while mongod runs and written through on each change.

use super::file;
use crate::failure::{Failure, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The collections, in the order that numbers their files. Names are Appsmith's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::enum_variant_names, reason = "`actionCollection` is Appsmith's name")]
pub enum Collection {
    /// Instance-wide values: `instanceId`, versions.
    Config,
    /// Accounts.
    User,
    /// Workspaces.
    Workspace,
    /// Applications.
    Application,
    /// Pages with their layouts.
    NewPage,
    /// Queries and API calls.
    NewAction,
    /// JS objects.
    ActionCollection,
    /// Data sources with encrypted credentials.
    Datasource,
    /// What kinds of data source there are.
    Plugin,
    /// Which change units ran. Only grows.
    MongockChangeLog,
    /// Held while change units run.
    MongockLock,
    /// Keys that an account made to import applications with.
    GitDeployKeys,
}

impl Collection {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Config,
        Self::User,
        Self::Workspace,
        Self::Application,
        Self::NewPage,
        Self::NewAction,
        Self::ActionCollection,
        Self::Datasource,
        Self::Plugin,
        Self::MongockChangeLog,
        Self::MongockLock,
        Self::GitDeployKeys,
    ];

    /// The name inside the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::User => "user",
            Self::Workspace => "workspace",
            Self::Application => "application",
            Self::NewPage => "newPage",
            Self::NewAction => "newAction",
            Self::ActionCollection => "actionCollection",
            Self::Datasource => "datasource",
            Self::Plugin => "plugin",
            Self::MongockChangeLog => "mongockChangeLog",
            Self::MongockLock => "mongockLock",
            Self::GitDeployKeys => "gitDeployKeys",
        }
    }

    /// The file that holds it.
    pub fn file_name(self) -> String {
        let number = Self::ALL.iter().position(|each| *each == self).unwrap_or(0);
        format!("collection-{number}-{}.wt", self.name())
    }
}

/// The documents of one database directory.
#[derive(Debug)]
pub struct Database {
    directory: PathBuf,
    collections: BTreeMap<Collection, BTreeMap<String, Value>>,
    changed: BTreeSet<Collection>,
}

impl Database {
    /// Loads what the directory holds. Other files in it (bulk data) are left alone.
    pub fn open(directory: &Path) -> Result<Self> {
        let mut collections = BTreeMap::new();
        for collection in Collection::ALL {
            let path = directory.join(collection.file_name());
            let mut documents = BTreeMap::new();
            for line in file::text(&path)?.unwrap_or_default().lines() {
                let document: Value =
                    serde_json::from_str(line).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
                documents.insert(id_of(&document), document);
            }
            collections.insert(collection, documents);
        }
        Ok(Self { directory: directory.to_owned(), collections, changed: BTreeSet::new() })
    }

    /// Every document of a collection, by id.
    pub fn all(&self, collection: Collection) -> impl Iterator<Item = &Value> {
        self.collections.get(&collection).into_iter().flat_map(BTreeMap::values)
    }

    /// Documents whose field holds that text.
    pub fn matching<'a>(
        &'a self,
        collection: Collection,
        field: &'a str,
        text: &'a str,
    ) -> impl Iterator<Item = &'a Value> {
        self.all(collection).filter(move |document| document.get(field).and_then(Value::as_str) == Some(text))
    }

    /// One document by id.
    pub fn get(&self, collection: Collection, id: &str) -> Option<&Value> {
        self.collections.get(&collection)?.get(id)
    }

    /// Inserts or replaces a document; it has its id in `_id`.
    pub fn put(&mut self, collection: Collection, document: Value) {
        self.collections.entry(collection).or_default().insert(id_of(&document), document);
        self.changed.insert(collection);
    }

    /// Changes a document in place. False if there is none.
    pub fn change(&mut self, collection: Collection, id: &str, edit: impl FnOnce(&mut Value)) -> bool {
        let Some(document) = self.collections.get_mut(&collection).and_then(|all| all.get_mut(id)) else {
            return false;
        };
        edit(document);
        self.changed.insert(collection);
        true
    }

    /// Deploys an application: what is edited becomes what is published.
    pub fn publish(&mut self, application: &str, now: &str) {
        self.change(Collection::Application, application, |document| document["lastDeployedAt"] = now.into());
        let own = self.matching(Collection::NewPage, "applicationId", application);
        for page in own.map(id_of).collect::<Vec<_>>() {
            self.change(Collection::NewPage, &page, |page| page["publishedPage"] = page["unpublishedPage"].clone());
        }
    }

    /// Removes the documents for which `doomed` says so.
    pub fn remove(&mut self, collection: Collection, doomed: impl Fn(&Value) -> bool) {
        let Some(all) = self.collections.get_mut(&collection) else { return };
        let before = all.len();
        all.retain(|_, document| !doomed(document));
        if all.len() != before {
            self.changed.insert(collection);
        }
    }

    /// All collections that hold something, as `mongodump` sees them.
    pub fn dump(&self) -> BTreeMap<String, Vec<Value>> {
        let full = self.collections.iter().filter(|(_, documents)| !documents.is_empty());
        full.map(|(collection, documents)| (collection.name().to_owned(), documents.values().cloned().collect()))
            .collect()
    }

    /// As `mongorestore --drop`: what is named is replaced, and what is not named stays.
    pub fn load(&mut self, documents: BTreeMap<String, Vec<Value>>) -> Result<()> {
        for (name, documents) in documents {
            let known = Collection::ALL.into_iter().find(|collection| collection.name() == name);
            let collection = known.ok_or_else(|| Failure::new(format!("the stand-in has no collection {name}")))?;
            let documents = documents.into_iter().map(|document| (id_of(&document), document)).collect();
            self.collections.insert(collection, documents);
            self.changed.insert(collection);
        }
        self.commit()
    }

    /// Writes the collections that changed.
    pub fn commit(&mut self) -> Result<()> {
        fs::create_dir_all(&self.directory).map_err(Failure::at("create", &self.directory))?;
        while let Some(collection) = self.changed.pop_first() {
            let mut text = String::new();
            for document in self.all(collection) {
                text.push_str(&document.to_string());
                text.push('\n');
            }
            file::replace(&self.directory.join(collection.file_name()), text.as_bytes())?;
        }
        Ok(())
    }
}

fn id_of(document: &Value) -> String {
    document.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_committed_comes_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("collection-0--4871205163408276563.wt"), [0u8, 159, 1]).unwrap();
        let mut database = Database::open(dir.path()).unwrap();
        database.put(Collection::User, json!({"_id": "1", "email": "a@example.test"}));
        database.commit().unwrap();
        database.put(Collection::User, json!({"_id": "2", "email": "b@example.test"}));

        let again = Database::open(dir.path()).unwrap();
        assert_eq!(again.all(Collection::User).count(), 1);
        assert!(again.get(Collection::User, "1").is_some());
        assert!(dir.path().join("collection-1-user.wt").exists());
    }

    #[test]
    fn loading_replaces_what_is_named_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path()).unwrap();
        database.put(Collection::User, json!({"_id": "1"}));
        let old = database.dump();
        database.put(Collection::User, json!({"_id": "2"}));
        database.put(Collection::Plugin, json!({"_id": "newer"}));
        database.load(old).unwrap();
        let again = Database::open(dir.path()).unwrap();
        assert_eq!((again.all(Collection::User).count(), again.all(Collection::Plugin).count()), (1, 1));
        assert!(database.load([("nothing".to_owned(), Vec::new())].into()).is_err());
    }

    #[test]
    fn an_untouched_collection_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path()).unwrap();
        database.remove(Collection::User, |_| true);
        assert!(!database.change(Collection::User, "1", |_| {}));
        database.commit().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
