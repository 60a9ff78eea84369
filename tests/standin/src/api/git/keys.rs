//! Deploy keys: of an application, and of an account that is about to import one.

use super::ask::Ask;
use super::errors;
use super::guard;
use super::target::branches;
use crate::api;
use crate::api::envelope::{Answer, ApiError, created, ok};
use crate::api::views::Side;
use crate::api::{look, write};
use crate::data::database::Collection;
use crate::data::documents::text;
use crate::data::ids::Numbers;
use crate::data::secret;
use crate::git::keys;
use crate::world::World;
use serde_json::{Value, json};

/// Where a client reads how to add a key.
pub const DOCUMENT: &str =
    "https://docs.appsmith.com/advanced-concepts/version-control-with-git/connecting-to-git-repository";

/// Makes the application's key. An older one is replaced.
pub async fn make(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let base = base(&ask)?;
        let before = api::read(&ask.world, |database| Ok(database.get(Collection::Application, &base).cloned()))?;
        let again = before.is_some_and(|document| document["gitAuth"].is_object());
        let auth = fresh(&ask.world, &ask).await?;
        let answer = json!({"publicKey": auth["publicKey"], "docUrl": DOCUMENT, "isRegeneratedKey": again});
        write(&ask.world, |database| {
            database.change(Collection::Application, &base, |document| {
                document["gitAuth"] = auth;
                if document.get("gitApplicationMetadata").is_none() {
                    document["gitApplicationMetadata"] =
                        json!({"defaultApplicationId": base, "defaultArtifactId": base});
                }
            });
            Ok(())
        })?;
        created(answer)
    })
    .await
}

/// The public half of the application's key.
pub async fn read(ask: Ask) -> Answer {
    let base = base(&ask)?;
    let auth = api::read(&ask.world, |database| {
        Ok(database.get(Collection::Application, &base).map_or(Value::Null, |document| document["gitAuth"].clone()))
    })?;
    if !auth.is_object() {
        return Err(errors::incomplete("Can't find valid SSH key. Please configure the application with git"));
    }
    created(json!({"publicKey": auth["publicKey"], "docUrl": DOCUMENT, "isRegeneratedKey": false}))
}

/// The key of the account, for the next import. It is made once, and used up by that.
pub async fn for_import(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        let known = api::read(&ask.world, |database| {
            Ok(database.matching(Collection::GitDeployKeys, "email", ask.email()).next().cloned())
        })?;
        let auth = match known {
            Some(known)
                if ask.word("keyType").is_none_or(|kind| kind.eq_ignore_ascii_case(text(&known, "keyType"))) =>
            {
                known
            }
            _ => {
                let mut auth = fresh(&ask.world, &ask).await?;
                auth["_id"] = json!(Numbers::random().object_id());
                auth["email"] = json!(ask.email());
                write(&ask.world, |database| {
                    database.remove(Collection::GitDeployKeys, |other| text(other, "email") == ask.email());
                    database.put(Collection::GitDeployKeys, auth.clone());
                    Ok(())
                })?;
                auth
            }
        };
        ok(json!({"publicKey": auth["publicKey"], "docUrl": DOCUMENT, "isRegeneratedKey": false}))
    })
    .await
}

/// The kinds of keys there are.
pub async fn kinds(_ask: Ask) -> Answer {
    let kind = |(name, bits, default): &(&str, u32, bool)| json!({"protocolName": name, "keySize": bits, "isDefault": default, "platFormSupported": ""});
    ok(keys::KINDS.iter().map(kind).collect())
}

/// A new key as it is stored.
async fn fresh(world: &World, ask: &Ask) -> Result<Value, ApiError> {
    let kind = ask.word("keyType").unwrap_or("ECDSA").to_uppercase();
    if !keys::KINDS.iter().any(|(name, ..)| *name == kind) {
        return Err(ApiError::bad_request("Please enter a valid parameter keyType."));
    }
    let pair = keys::make(&kind).await.map_err(|trouble| errors::of("ssh-keygen", trouble))?;
    let sealed = secret::encrypt(&pair.private, &world.settings().encryption_key());
    Ok(json!({"publicKey": pair.public, "encryptedPrivateKey": sealed, "keyType": kind, "docUrl": DOCUMENT}))
}

/// The default branch's application of the one that is asked for; itself, before it is connected.
fn base(ask: &Ask) -> Result<String, ApiError> {
    look(&ask.world, &ask.caller, |eye| {
        let document = eye.application_for(&ask.id, Side::Edited)?;
        let base = document.pointer("/gitApplicationMetadata/defaultApplicationId").and_then(Value::as_str);
        let base = base.filter(|base| branches(eye.database, base).next().is_some());
        Ok(base.unwrap_or(text(document, "_id")).to_owned())
    })
}
