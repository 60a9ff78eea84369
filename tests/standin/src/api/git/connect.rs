//! Connecting an application to an empty repository, and parting the two.

use super::ask::Ask;
use super::errors;
use super::guard::{self, locked};
use super::steps::{self, Commit};
use super::target::{Target, branches, key_file};
use crate::api::envelope::{Answer, ApiError, ok};
use crate::api::views::Side;
use crate::api::{look, read, write};
use crate::data::database::Collection;
use crate::data::documents::text;
use crate::data::spoil;
use crate::feature::Feature;
use crate::git::clone::Repo;
use crate::git::keys::KeyFile;
use crate::git::names::Remote;
use crate::world::World;
use serde_json::{Value, json};
use std::path::PathBuf;

const README: &str = "# Made by Appsmith\n\nThis repository holds an application. Its files are written by the product; \
                      change them with care.\n";

/// Connects an application, by the key that was made for it, to an empty repository.
pub async fn connect(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        origin(&ask)?;
        let document = look(&ask.world, &ask.caller, |eye| eye.application_for(&ask.id, Side::Edited).cloned())?;
        let base = text(&document, "_id").to_owned();
        if document.pointer("/gitApplicationMetadata/remoteUrl").is_some() {
            return Err(errors::incomplete("the application is connected to a repository already"));
        }
        locked(&ask.world, "connect", &base, run(&ask, &document)).await
    })
    .await
}

/// Requests from nowhere are refused.
pub fn origin(ask: &Ask) -> Result<(), ApiError> {
    if ask.has_origin { Ok(()) } else { Err(ApiError::bad_request("Please enter a valid parameter origin.")) }
}

async fn run(ask: &Ask, document: &Value) -> Answer {
    let world = &ask.world;
    let (base, workspace) = (text(document, "_id"), text(document, "workspaceId"));
    let (url, remote) = remote(ask)?;
    let key = key_file(world, &document["gitAuth"])?;
    let author = steps::take_profile(ask, base)?;
    steps::refuse_private(world, None)?;
    let clone = clone(world, workspace, base, &url, &remote, key).await?;
    let connected = async {
        if !clone.is_empty().await.map_err(|trouble| errors::of("connect", trouble))? {
            return Err(errors::coded("AE-GIT-4033", "The remote repository is not empty. Please create a new one."));
        }
        let branch = clone.head().await.map_err(|trouble| errors::of("connect", trouble))?;
        let metadata = metadata(world, &url, &remote, base, &branch);
        write(world, |database| {
            database.change(Collection::Application, base, |document| document["gitApplicationMetadata"] = metadata);
            Ok(())
        })?;
        let target = Target::of(ask)?;
        let readme = clone.root().join("README.md");
        tokio::fs::write(&readme, README).await.map_err(|error| errors::coded("AE-GIT-5013", error.to_string()))?;
        let message = format!("{}initial commit", steps::SYSTEM);
        steps::commit(world, &target, &clone, Commit::system(&message, &author)).await?;
        target.shown(ask)
    };
    match connected.await {
        Ok(shown) => ok(shown),
        Err(error) => {
            write(world, |database| {
                let before = document.get("gitApplicationMetadata").cloned().unwrap_or_default();
                database.change(Collection::Application, base, |document| document["gitApplicationMetadata"] = before);
                Ok(())
            })?;
            remove_clone(clone.root().to_owned()).await;
            Err(error)
        }
    }
}

/// The address that a request names.
pub fn remote(ask: &Ask) -> Result<(String, Remote), ApiError> {
    let url = ask.text(&["remoteUrl"])?;
    let unfit =
        || errors::coded("AE-GIT-4050", "The remote URL is not an SSH URL. Please use the SSH URL of the repository.");
    Ok((url.to_owned(), Remote::read(url).ok_or_else(unfit)?))
}

/// Clones a repository to where it belongs.
pub async fn clone(
    world: &World,
    workspace: &str,
    base: &str,
    url: &str,
    remote: &Remote,
    key: KeyFile,
) -> Result<Repo, ApiError> {
    let root = world.volume.clone_of(workspace, base, &remote.repository);
    remove_clone(root.clone()).await;
    match Repo::make(url, &root, key).await {
        Ok(clone) => Ok(clone),
        Err(trouble) => {
            remove_clone(root).await;
            Err(errors::of("clone", trouble))
        }
    }
}

/// What is kept of a connection in an application of one branch.
pub fn metadata(world: &World, url: &str, remote: &Remote, base: &str, branch: &str) -> Value {
    let mut metadata = json!({
        "branchName": branch, "defaultBranchName": branch, "remoteUrl": url, "repoName": remote.repository,
        "browserSupportedRemoteUrl": remote.browser, "isRepoPrivate": true, "defaultApplicationId": base,
        "branchProtectionRules": [], "isAutoDeploymentEnabled": false,
    });
    of_branch(world, &mut metadata, branch);
    metadata
}

/// Names a branch as releases of this age do.
pub fn of_branch(world: &World, metadata: &mut Value, branch: &str) {
    metadata["branchName"] = json!(branch);
    if world.behaviour.version.has(Feature::GitApplications) {
        metadata["refName"] = json!(branch);
        metadata["refType"] = json!("branch");
        metadata["defaultArtifactId"] = metadata["defaultApplicationId"].clone();
    }
}

/// Deletes a clone with the folder around it, if that has no other.
pub async fn remove_clone(root: PathBuf) {
    let _ = tokio::fs::remove_dir_all(&root).await;
    if let Some(folder) = root.parent() {
        let _ = tokio::fs::remove_dir(folder).await;
    }
}

/// Parts an application from its repository: the other branches and the clone are gone, the remote stays.
pub async fn disconnect(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let run = async {
            remove_branches(&ask.world, &target.base)?;
            write(&ask.world, |database| {
                database.change(Collection::Application, &target.base, |document| {
                    if let Some(fields) = document.as_object_mut() {
                        fields.remove("gitApplicationMetadata");
                        fields.remove("gitAuth");
                    }
                });
                Ok(())
            })?;
            remove_clone(ask.world.volume.clone_of(&target.workspace, &target.base, &target.repository)).await;
            ok(super::target::shown(&ask, &target.base)?)
        };
        locked(&ask.world, "disconnect", &target.base, run).await
    })
    .await
}

fn remove_branches(world: &World, base: &str) -> Result<(), ApiError> {
    write(world, |database| {
        let others: Vec<String> =
            branches(database, base).map(|document| text(document, "_id").to_owned()).filter(|id| id != base).collect();
        others.iter().for_each(|id| spoil::remove_application(database, id));
        Ok(())
    })
}

/// What else goes when an application is deleted: the other branches and the clone of a default branch's one.
pub async fn remove_connected(world: &World, document: &Value) -> Result<(), ApiError> {
    let (id, git) = (text(document, "_id"), &document["gitApplicationMetadata"]);
    if text(git, "defaultApplicationId") != id || text(git, "repoName").is_empty() {
        return Ok(());
    }
    remove_branches(world, id)?;
    let root = world.volume.clone_of(text(document, "workspaceId"), id, text(git, "repoName"));
    let known = read(world, |database| Ok(database.get(Collection::Application, id).is_some()))?;
    if !known {
        remove_clone(root).await;
    }
    Ok(())
}
