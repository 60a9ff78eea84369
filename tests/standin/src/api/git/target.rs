//! What an operation is about: one branch of one connected application.

use super::ask::Ask;
use super::errors;
use crate::api::envelope::ApiError;
use crate::api::views::{Eye, Side};
use crate::api::{look, read};
use crate::data::database::{Collection, Database};
use crate::data::documents::text;
use crate::data::secret;
use crate::git::clone::Repo;
use crate::git::keys::KeyFile;
use crate::world::World;
use serde_json::Value;

/// One branch's application.
#[derive(Clone, Debug)]
pub struct Target {
    /// The workspace's id.
    pub workspace: String,
    /// The id of the default branch's application: what all branches share is kept there.
    pub base: String,
    /// The id of this branch's application.
    pub id: String,
    /// The branch.
    pub branch: String,
    /// The default branch.
    pub default: String,
    /// The repository's name.
    pub repository: String,
}

impl Target {
    /// The branch that a request means. An application without a connection is not configured.
    pub fn of(ask: &Ask) -> Result<Self, ApiError> {
        let document = look(&ask.world, &ask.caller, |eye| eye.application_for(&ask.id, Side::Edited).cloned())?;
        Self::read(&document).ok_or_else(|| errors::incomplete("the application is not connected to a repository"))
    }

    /// The default branch, by the id of its application.
    pub fn of_base(world: &World, base: &str) -> Result<Self, ApiError> {
        read(world, |database| {
            let found = database.get(Collection::Application, base).and_then(Self::read);
            found.ok_or_else(|| ApiError::not_found("application", base))
        })
    }

    /// Another branch of the same application that has a document.
    pub fn branch(&self, world: &World, name: &str) -> Result<Option<Self>, ApiError> {
        read(world, |database| {
            Ok(branches(database, &self.base).find(|document| branch_of(document) == name).and_then(Self::read))
        })
    }

    fn read(document: &Value) -> Option<Self> {
        let git = document.get("gitApplicationMetadata").filter(|git| git["remoteUrl"].is_string())?;
        Some(Self {
            workspace: text(document, "workspaceId").to_owned(),
            base: text(git, "defaultApplicationId").to_owned(),
            id: text(document, "_id").to_owned(),
            branch: text(git, "branchName").to_owned(),
            default: text(git, "defaultBranchName").to_owned(),
            repository: text(git, "repoName").to_owned(),
        })
    }

    /// The default branch's application.
    pub fn base_document(&self, world: &World) -> Result<Value, ApiError> {
        let missing = || ApiError::not_found("application", &self.base);
        read(world, |database| database.get(Collection::Application, &self.base).cloned().ok_or_else(missing))
    }

    /// Is the branch protected in Appsmith?
    pub fn is_protected(&self, world: &World) -> Result<bool, ApiError> {
        let document = self.base_document(world)?;
        let rules = document["gitApplicationMetadata"]["branchProtectionRules"].as_array().cloned();
        Ok(rules.into_iter().flatten().any(|rule| rule == self.branch.as_str()))
    }

    /// The clone, with its key where there is one. A key that cannot be decrypted gives no access.
    pub fn open(&self, world: &World, needs_remote: bool) -> Result<Repo, ApiError> {
        let document = self.base_document(world)?;
        let key = match key_file(world, &document["gitAuth"]) {
            Ok(key) => Some(key),
            Err(error) if needs_remote => return Err(error),
            Err(_) => None,
        };
        let root = world.volume.clone_of(&self.workspace, &self.base, &self.repository);
        Repo::open(root, key).map_err(|trouble| errors::of("status", trouble))
    }

    /// The branch's application as its editors see it.
    pub fn shown(&self, ask: &Ask) -> Result<Value, ApiError> {
        shown(ask, &self.id)
    }
}

/// The documents of an application's branches.
pub fn branches<'a>(database: &'a Database, base: &'a str) -> impl Iterator<Item = &'a Value> {
    database.all(Collection::Application).filter(move |document| {
        document.pointer("/gitApplicationMetadata/defaultApplicationId").is_some_and(|id| id == base)
    })
}

/// The branch that a document is of; empty if it is not connected.
pub fn branch_of(document: &Value) -> &str {
    document.pointer("/gitApplicationMetadata/branchName").and_then(Value::as_str).unwrap_or_default()
}

/// An application as its editors see it, by its own id.
pub fn shown(ask: &Ask, id: &str) -> Result<Value, ApiError> {
    look(&ask.world, &ask.caller, |eye: &Eye<'_>| {
        let document = eye.database.get(Collection::Application, id);
        document.map(|document| eye.application(document)).ok_or_else(|| ApiError::not_found("application", id))
    })
}

/// The private half of a stored key, as a file.
pub fn key_file(world: &World, auth: &Value) -> Result<KeyFile, ApiError> {
    let sealed = auth["encryptedPrivateKey"].as_str();
    let sealed = sealed.ok_or_else(|| errors::incomplete("the application has no SSH key"))?;
    let key = world.settings().encryption_key();
    let plain = secret::decrypt(sealed, &key).ok_or_else(|| errors::access("The stored key cannot be decrypted."))?;
    KeyFile::write(&plain).map_err(|trouble| errors::of("connect", trouble))
}
