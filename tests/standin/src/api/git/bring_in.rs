//! Importing an application out of a repository.

use super::ask::Ask;
use super::connect::{clone, metadata, origin, remote, remove_clone};
use super::errors;
use super::guard::{self, locked};
use super::steps;
use super::target::{Target, key_file, shown};
use crate::api::artifacts::{free_name, unconfigured};
use crate::api::envelope::{Answer, ApiError, ok};
use crate::api::{look, read, write};
use crate::data::database::Collection;
use crate::data::documents::{self, text};
use crate::data::ids::Numbers;
use crate::data::role::Role;
use crate::data::spoil;
use crate::time::Moment;
use serde_json::{Value, json};

/// Makes an application of a repository's default branch, by the key that the account fetched before.
pub async fn import(ask: Ask) -> Answer {
    guard::answer(ask, async |ask: Ask| {
        origin(&ask)?;
        let workspace = ask.word("workspaceId").unwrap_or(&ask.id).to_owned();
        look(&ask.world, &ask.caller, |eye| eye.workspace_as(&workspace, Role::Developer).map(drop))?;
        let (mut numbers, format) = (Numbers::random(), ask.world.behaviour.format);
        let now = Moment::now().iso();
        let document = documents::application(&mut numbers, &workspace, "", format, &now);
        let base = text(&document, "_id").to_owned();
        locked(&ask.world, "import", &base, run(&ask, document)).await
    })
    .await
}

async fn run(ask: &Ask, mut document: Value) -> Answer {
    let world = &ask.world;
    let (base, workspace) = (text(&document, "_id").to_owned(), text(&document, "workspaceId").to_owned());
    let (url, remote) = remote(ask)?;
    let auth =
        read(world, |database| Ok(database.matching(Collection::GitDeployKeys, "email", ask.email()).next().cloned()))?;
    let missing = || errors::incomplete("Unable to find the SSH key of this account. Please fetch the key first");
    let auth = auth.ok_or_else(missing)?;
    steps::take_profile(ask, &base)?;
    steps::refuse_private(world, None)?;
    let key = key_file(world, &auth)?;
    let clone = clone(world, &workspace, &base, &url, &remote, key).await?;
    let imported = async {
        if clone.is_empty().await.map_err(|trouble| errors::of("import", trouble))? {
            return Err(errors::step("import", "Cannot import from an empty repository"));
        }
        let branch = clone.head().await.map_err(|trouble| errors::of("import", trouble))?;
        let name = read(world, |database| Ok(free_name(database, &workspace, &remote.repository, None)))?;
        document["name"] = json!(name);
        document["slug"] = json!(documents::slug(&name));
        document["gitApplicationMetadata"] = metadata(world, &url, &remote, &base, &branch);
        document["gitAuth"] = json!({
            "publicKey": auth["publicKey"], "encryptedPrivateKey": auth["encryptedPrivateKey"],
            "keyType": auth["keyType"], "docUrl": auth["docUrl"],
        });
        let target = write(world, |database| {
            database.put(Collection::Application, document);
            Ok(())
        })
        .and_then(|()| Target::of_base(world, &base))?;
        steps::take_in(world, &target, &clone).await?;
        steps::publish(world, &target)
    };
    if let Err(error) = imported.await {
        write(world, |database| {
            spoil::remove_application(database, &base);
            Ok(())
        })?;
        remove_clone(clone.root().to_owned()).await;
        return Err(error);
    }
    // The key is the application's from now on; the next import has another.
    write(world, |database| {
        database.remove(Collection::GitDeployKeys, |key| key["_id"] == auth["_id"]);
        Ok(())
    })?;
    answer(ask, &base)
}

fn answer(ask: &Ask, base: &str) -> Result<crate::api::envelope::Envelope, ApiError> {
    let application = shown(ask, base)?;
    ok(look(&ask.world, &ask.caller, |eye| {
        let missing = unconfigured(eye.database, base);
        let sources: Vec<Value> = missing.iter().map(|it| eye.datasource(it)).collect();
        Ok(json!({
            "application": application, "isPartialImport": !sources.is_empty(), "unConfiguredDatasourceList": sources,
        }))
    })?)
}
