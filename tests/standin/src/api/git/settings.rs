//! What is known of a connection, and what can be set about it.

use super::ask::Ask;
use super::keys;
use super::steps;
use super::target::Target;
use crate::api::envelope::{Answer, ApiError, ok};
use crate::api::{read, write};
use crate::data::database::Collection;
use crate::data::documents::text;
use serde_json::{Value, json};

/// What is known of an application's connection.
pub async fn metadata(ask: Ask) -> Answer {
    let target = Target::of(&ask)?;
    let document = target.base_document(&ask.world)?;
    let mut metadata = document["gitApplicationMetadata"].clone();
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert("publicKey".to_owned(), document["gitAuth"]["publicKey"].clone());
        fields.insert("docUrl".to_owned(), json!(keys::DOCUMENT));
        fields.insert("gitProfiles".to_owned(), profiles(&ask)?);
        fields.entry("branchProtectionRules").or_insert_with(|| json!([]));
        fields.entry("autoCommitConfig").or_insert_with(|| json!({"enabled": true}));
        fields.retain(|_, value| !value.is_null());
    }
    ok(metadata)
}

/// The branches that nobody commits to from inside.
pub async fn protected(ask: Ask) -> Answer {
    let document = Target::of(&ask)?.base_document(&ask.world)?;
    let rules = document["gitApplicationMetadata"].get("branchProtectionRules").cloned();
    ok(rules.unwrap_or_else(|| json!([])))
}

/// Protects branches. This edition protects the default one only.
pub async fn protect(ask: Ask) -> Answer {
    let target = Target::of(&ask)?;
    let given: Vec<&str> = ask.body["branchNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if given.len() > 1 || given.iter().any(|name| *name != target.default) {
        return Err(ApiError::unsupported("Unsupported operation: only the default branch can be protected."));
    }
    let rules = json!(given);
    set(&ask, &target, "branchProtectionRules", &rules)?;
    ok(rules)
}

/// Sets a field of the connection, for all branches.
pub fn set(ask: &Ask, target: &Target, field: &str, value: &Value) -> Result<(), ApiError> {
    write(&ask.world, |database| {
        database.change(Collection::Application, &target.base, |document| {
            document["gitApplicationMetadata"][field] = value.clone();
        });
        Ok(())
    })
}

/// Who the account is in Git, for an application.
pub async fn profile(ask: Ask) -> Answer {
    ok(profiles(&ask)?.get(&ask.id).cloned().unwrap_or_else(|| json!({"useGlobalProfile": true})))
}

/// Sets that.
pub async fn set_profile(ask: Ask) -> Answer {
    complete(&ask)?;
    steps::save_profile(&ask, &ask.id, &ask.body, true)?;
    ok(profiles(&ask)?)
}

/// Who the account is in Git elsewhere. Where nobody said so, it is made of the account.
pub async fn default_profile(ask: Ask) -> Answer {
    if let Some(known) = profiles(&ask)?.get("default") {
        return ok(known.clone());
    }
    let name = Some(ask.user("name")).filter(|name| !name.is_empty()).unwrap_or(ask.email());
    let profile = json!({"authorName": name, "authorEmail": ask.email(), "useGlobalProfile": false});
    steps::save_profile(&ask, "default", &profile, false)?;
    ok(profile)
}

/// Sets that.
pub async fn set_default_profile(ask: Ask) -> Answer {
    complete(&ask)?;
    steps::save_profile(&ask, "default", &ask.body, false)?;
    ok(profiles(&ask)?)
}

fn complete(ask: &Ask) -> Result<(), ApiError> {
    let global = ask.body["useGlobalProfile"] == true;
    let missing = ["authorName", "authorEmail"].into_iter().find(|field| text(&ask.body, field).is_empty());
    match missing {
        Some(field) if !global => Err(ApiError::bad_request(&format!("Please enter a valid parameter {field}."))),
        _ => Ok(()),
    }
}

fn profiles(ask: &Ask) -> Result<Value, ApiError> {
    read(&ask.world, |database| {
        let user = database.get(Collection::User, ask.user("_id"));
        Ok(user.and_then(|user| user.get("gitProfiles")).cloned().unwrap_or_else(|| json!({})))
    })
}

/// Where clients read more.
pub async fn documents(_ask: Ask) -> Answer {
    let page = |kind: &str, page: &str| json!({"docType": kind, "docUrl": format!("https://docs.appsmith.com/advanced-concepts/version-control-with-git/{page}")});
    ok(json!([
        page("INTRODUCTION", ""),
        page("FILE_SYSTEM", "setup"),
        page("BRANCHING", "working-with-branches"),
        page("SHORT_TERM_KEY", "connecting-to-git-repository"),
    ]))
}
