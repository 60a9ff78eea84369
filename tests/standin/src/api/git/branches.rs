//! The branches of an application. Each is an application of its own in the database.

use super::ask::Ask;
use super::connect::of_branch;
use super::errors;
use super::guard::{self, locked};
use super::steps::{self, Commit};
use super::target::Target;
use crate::api::envelope::{Answer, ApiError, ok};
use crate::api::write;
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::spoil;
use crate::feature::Feature;
use crate::git::clone::{Ref, Repo};
use crate::git::names;
use crate::time::Moment;
use crate::world::World;
use serde_json::{Value, json};

/// The branches here and at the remote; those of the remote begin with `origin/`.
pub async fn list(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let prune = ask.is_set("pruneRefs") || ask.is_set("pruneBranches");
        let run = async {
            let clone = target.open(&ask.world, prune)?;
            let failed = |trouble| errors::of("branch --list", trouble);
            if prune {
                clone.fetch(true).await.map_err(failed)?;
            }
            let is_new = ask.world.behaviour.version.has(Feature::GitApplications);
            let view = |each: &Ref| {
                let mut view = json!({
                    "refType": "branch", "default": each.name == target.default, "createdFromLocal": false, "sha": each.sha,
                });
                view[if is_new && !ask.is_old { "refName" } else { "branchName" }] = json!(each.name);
                view
            };
            ok(clone.refs().await.map_err(failed)?.iter().map(view).collect())
        };
        if prune { locked(&ask.world, "fetch", &target.base, run).await } else { run.await }
    })
    .await
}

/// Makes a branch of another one, and pushes it. Changes that are not committed go along.
pub async fn create(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let parent = Target::of(&ask)?;
        only_branches(&ask)?;
        let name = ask.text(&["refName", "branchName"])?.to_owned();
        if !names::is_branch(&name) || name.starts_with("origin/") {
            return Err(ApiError::bad_request("Please enter a valid parameter refName."));
        }
        let author = steps::profile(&ask, &parent.base)?;
        let run = async {
            let (world, failed) = (&ask.world, |trouble| errors::of("create-branch", trouble));
            let clone = parent.open(world, true)?;
            clone.fetch(true).await.map_err(failed)?;
            for taken in [name.clone(), format!("origin/{name}")] {
                if clone.has(&taken).await.map_err(failed)? {
                    return Err(errors::step("checkout", &format!("{taken} already exists in {}", parent.repository)));
                }
            }
            steps::export(world, &parent, &clone).await?;
            clone.branch(&name, &parent.branch).await.map_err(failed)?;
            let made = async {
                let target = make_document(world, &parent, &name)?;
                steps::take_in(world, &target, &clone).await?;
                let message = format!("{}after creating a new branch: {name}", steps::SYSTEM);
                steps::commit(world, &target, &clone, Commit::system(&message, &author)).await?;
                Ok(target)
            };
            let target = match made.await {
                Ok(target) => target,
                Err(error) => {
                    undo(world, &parent, &clone, &name).await?;
                    return Err(error);
                }
            };
            // The parent is its last commit again.
            clone.check_out(&parent.branch).await.map_err(failed)?;
            steps::take_in(world, &parent, &clone).await?;
            ok(target.shown(&ask)?)
        };
        locked(&ask.world, "create", &parent.base, run).await
    })
    .await
}

fn only_branches(ask: &Ask) -> Result<(), ApiError> {
    match ask.body["refType"].as_str() {
        None | Some("branch") => Ok(()),
        Some(other) => Err(ApiError::unsupported(&format!("Unsupported operation: {other} is not supported."))),
    }
}

async fn undo(world: &World, parent: &Target, clone: &Repo, name: &str) -> Result<(), ApiError> {
    let failed = |trouble| errors::of("checkout", trouble);
    clone.check_out(&parent.branch).await.map_err(failed)?;
    clone.delete(name).await.map_err(failed)?;
    remove(world, parent, name)
}

fn remove(world: &World, of: &Target, name: &str) -> Result<(), ApiError> {
    if let Some(target) = of.branch(world, name)? {
        write(world, |database| {
            spoil::remove_application(database, &target.id);
            Ok(())
        })?;
    }
    Ok(())
}

/// An application for a branch, without content yet.
fn make_document(world: &World, of: &Target, name: &str) -> Result<Target, ApiError> {
    let base = of.base_document(world)?;
    let mut git = base["gitApplicationMetadata"].clone();
    of_branch(world, &mut git, name);
    let now = Moment::now().iso();
    let format = world.behaviour.format;
    let mut document = documents::application(&mut Numbers::random(), &of.workspace, text(&base, "name"), format, &now);
    document["baseId"] = json!(of.base);
    document["isPublic"] = base["isPublic"].clone();
    document["gitApplicationMetadata"] = git;
    write(world, |database| {
        database.put(Collection::Application, document);
        Ok(())
    })?;
    of.branch(world, name)?.ok_or_else(ApiError::internal)
}

/// Goes to a branch. One of the remote gets an application here, with what is in it deployed.
pub async fn check_out(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        only_branches(&ask)?;
        let name = match ask.word("branchName") {
            Some(name) => name.to_owned(),
            None => ask.text(&["refName", "branchName"])?.to_owned(),
        };
        if !names::is_branch(&name) {
            return Err(ApiError::bad_request("Please enter a valid parameter refName."));
        }
        let Some(short) = name.strip_prefix("origin/") else {
            let known = target.branch(&ask.world, &name)?;
            return ok(known.ok_or_else(|| ApiError::not_found("branch", &name))?.shown(&ask)?);
        };
        let run = async {
            let (world, failed) = (&ask.world, |trouble| errors::of("checkout", trouble));
            let clone = target.open(world, true)?;
            clone.fetch(true).await.map_err(failed)?;
            if target.branch(world, short)?.is_some() || clone.has(short).await.map_err(failed)? {
                return Err(errors::step("checkout", &format!("{short} already exists in local")));
            }
            if !clone.has(&name).await.map_err(failed)? {
                return Err(ApiError::not_found("branch", &name));
            }
            let current = clone.head().await.map_err(failed)?;
            clone.check_out(&current).await.map_err(failed)?;
            clone.branch(short, &name).await.map_err(failed)?;
            let made = async {
                let branch = make_document(world, &target, short)?;
                steps::take_in(world, &branch, &clone).await?;
                steps::publish(world, &branch)?;
                branch.shown(&ask)
            };
            match made.await {
                Ok(shown) => ok(shown),
                Err(error) => {
                    undo(world, &target, &clone, short).await?;
                    Err(error)
                }
            }
        };
        locked(&ask.world, "checkout", &target.base, run).await
    })
    .await
}

/// Deletes a branch here; the remote keeps its own.
pub async fn delete(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let target = Target::of(&ask)?;
        let name = ask.word("refName").or(ask.word("branchName")).unwrap_or_default().to_owned();
        if !names::is_branch(&name) {
            return Err(ApiError::bad_request("Please enter a valid parameter refName."));
        }
        if name == target.default {
            return Err(errors::step("delete branch", " Cannot delete default branch"));
        }
        let run = async {
            let failed = |trouble| errors::of("delete branch", trouble);
            let clone = target.open(&ask.world, false)?;
            let doomed = target.branch(&ask.world, &name)?;
            let shown: Option<Value> = doomed.map(|doomed| doomed.shown(&ask)).transpose()?;
            clone.check_out(&target.default).await.map_err(failed)?;
            clone.delete(&name).await.map_err(failed)?;
            remove(&ask.world, &target, &name)?;
            ok(shown.unwrap_or_default())
        };
        locked(&ask.world, "delete", &target.base, run).await
    })
    .await
}
