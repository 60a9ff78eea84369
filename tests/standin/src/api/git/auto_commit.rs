//! Commits that the backend makes by itself: those that an upgrade needs, when an application is opened in the editor.

use super::ask::Ask;
use super::errors;
use super::guard::{detached, locked};
use super::settings;
use super::steps;
use super::target::Target;
use crate::api::envelope::{Answer, ApiError, ok};
use crate::feature::Feature;
use crate::git::clone::{Author, Push, Repo};
use crate::git::{Trouble, content};
use crate::world::{World, lock};
use serde_json::{Value, json};
use std::sync::Arc;

/// Begins such a commit, if there is anything for it to do. It goes on after the answer.
pub async fn start(ask: Ask) -> Answer {
    let target = match Target::of(&ask) {
        Ok(target) => target,
        Err(error) if error.code() == "AE-GIT-4031" => return state("NON_GIT_APP", None),
        Err(error) => return Err(error),
    };
    let world = &ask.world;
    if let Some((branch, percent)) = running(world, &target) {
        return state(if branch == target.branch { "IN_PROGRESS" } else { "LOCKED" }, Some((branch, percent)));
    }
    let is_there = world.behaviour.version.has(Feature::GitAutoCommit);
    if !is_there || !is_enabled(world, &target)? || target.is_protected(world)? || !is_required(world, &target).await? {
        return state("IDLE", None);
    }
    lock(&world.auto_commits).insert(target.base.clone(), (target.branch.clone(), 10));
    let begun = (target.branch.clone(), 10);
    let (inner, whole) = (Arc::clone(world), Arc::clone(world));
    tokio::spawn(async move {
        let base = target.base.clone();
        let run = async move { locked(&inner, "auto-commit", &target.base, commit(&inner, &target)).await };
        // A failure is in the log, and the commit is required as before.
        let _ = detached(&whole, run).await;
        lock(&whole.auto_commits).remove(&base);
    });
    state("PUBLISHED", Some(begun))
}

/// How far such a commit is.
pub async fn progress(ask: Ask) -> Answer {
    let target = Target::of(&ask)?;
    match running(&ask.world, &target) {
        Some(running) => state("IN_PROGRESS", Some(running)),
        None => state("IDLE", None),
    }
}

/// Switches such commits off, or on again. Says what it is now.
pub async fn toggle(ask: Ask) -> Answer {
    let target = Target::of(&ask)?;
    let enabled = !is_enabled(&ask.world, &target)?;
    settings::set(&ask, &target, "autoCommitConfig", &json!({"enabled": enabled}))?;
    ok(json!(enabled))
}

fn state(state: &str, running: Option<(String, u8)>) -> Answer {
    let (branch, percent) = running.unzip();
    ok(json!({"autoCommitResponse": state, "progress": percent.unwrap_or(0), "branchName": branch}))
}

fn running(world: &World, target: &Target) -> Option<(String, u8)> {
    lock(&world.auto_commits).get(&target.base).cloned()
}

fn is_enabled(world: &World, target: &Target) -> Result<bool, ApiError> {
    let document = target.base_document(world)?;
    Ok(document.pointer("/gitApplicationMetadata/autoCommitConfig/enabled") != Some(&Value::Bool(false)))
}

/// Was the branch last committed by a release with older schemas?
async fn is_required(world: &World, target: &Target) -> Result<bool, ApiError> {
    let clone = target.open(world, false)?;
    let failed = |trouble| errors::of("status", trouble);
    let metadata = match clone.file_of(&target.branch, "metadata.json").await {
        // Whoever opens the editor of an image without Git is not to be bothered.
        Ok(None) | Err(Trouble::NoGit) => return Ok(false),
        other => other.map_err(failed)?.unwrap_or_default(),
    };
    let (client, server) = world.behaviour.version.json_schemas();
    let committed = content::schemas_of(&metadata).map_err(failed)?;
    Ok(committed.0 < u64::from(client) || committed.1 < u64::from(server))
}

/// Commits what the release changes in the last commit, and nothing that people changed since.
async fn commit(world: &World, target: &Target) -> Result<(), ApiError> {
    let failed = |trouble| errors::of("auto-commit", trouble);
    let clone = target.open(world, true)?;
    clone.fetch(false).await.map_err(failed)?;
    clone.check_out(&target.branch).await.map_err(failed)?;
    let (_, behind) = clone.tracking(&target.branch).await.map_err(failed)?;
    if behind > 0 {
        return Err(errors::step("auto-commit", "the remote is ahead"));
    }
    lock(&world.auto_commits).insert(target.base.clone(), (target.branch.clone(), 50));
    raise(world, &clone).await?;
    let author = Author { name: "appsmith-bot".to_owned(), email: "bot@appsmith.com".to_owned() };
    let message = format!("{}to support new features in Appsmith {}", steps::SYSTEM, world.behaviour.version);
    if clone.commit(&message, &author, false, false).await.map_err(failed)? {
        lock(&world.auto_commits).insert(target.base.clone(), (target.branch.clone(), 70));
        let pushed = clone.push(&target.branch).await;
        if !matches!(pushed, Ok(Push::Done)) {
            clone.reset("HEAD~1").await.map_err(failed)?;
            return Err(errors::step("auto-commit", "the push was refused"));
        }
    }
    Ok(())
}

/// Writes the schemas of this release into the working tree.
async fn raise(world: &World, clone: &Repo) -> Result<(), ApiError> {
    let path = clone.root().join("metadata.json");
    let failed = |error: std::io::Error| errors::coded("AE-GIT-5013", error.to_string());
    let text = tokio::fs::read_to_string(&path).await.map_err(failed)?;
    let mut metadata: Value =
        serde_json::from_str(&text).map_err(|error| errors::step("auto-commit", &error.to_string()))?;
    let (client, server) = world.behaviour.version.json_schemas();
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("clientSchemaVersion".to_owned(), json!(client));
        fields.insert("serverSchemaVersion".to_owned(), json!(server));
    }
    tokio::fs::write(&path, content::pretty(&metadata)).await.map_err(failed)
}
