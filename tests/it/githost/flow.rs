//! The way of a change from staging to production, by plain calls: what the contract says in D.9, and what goes wrong.

use reqwest::Method;
use serde_json::{Value, json};

use super::standin::{Network, QUICK, Refusal, Standin};
use super::{GitHost, Right};
use crate::docker::docker_ok;

pub const GIT: &str = "git/applications";

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn code(answer: Result<Value, Refusal>) -> String {
    answer.expect_err("a refusal").code
}

/// What a connection or an import is asked with.
fn connection(url: &str) -> Value {
    let profile = json!({"authorName": "Ada", "authorEmail": "ada@example.test", "useGlobalProfile": false});
    json!({"remoteUrl": url, "gitProfile": profile})
}

/// Connects the application Returns of a stand-in to a repository of that name. Its id.
pub async fn connect(staging: &Standin, host: &GitHost) -> String {
    let (application, _) = staging.application("Returns").await;
    let id = text(&application, "id").to_owned();
    let key = staging.post(&format!("{GIT}/{id}/ssh-keypair"), Value::Null).await.unwrap();
    host.allow("returns", text(&key, "publicKey"), Right::Write);
    staging.post(&format!("{GIT}/{id}/connect"), connection(&host.inside("returns"))).await.unwrap();
    id
}

/// Imports it into a workspace of its own. Its id, and the sources that are not connected yet.
pub async fn import(production: &Standin, host: &GitHost) -> (String, Vec<Value>) {
    let workspace = production.post("workspaces", json!({"name": "From Git"})).await.unwrap();
    let key = production.get("git/artifacts/import/keys?keyType=ECDSA").await.unwrap();
    host.allow("returns", text(&key, "publicKey"), Right::Write);
    let path = format!("git/artifacts/import?workspaceId={}", text(&workspace, "id"));
    let imported = production.post(&path, connection(&host.inside("returns"))).await.unwrap();
    let missing = imported["unConfiguredDatasourceList"].as_array().unwrap().clone();
    assert_eq!(imported["isPartialImport"], !missing.is_empty());
    (text(&imported["application"], "id").to_owned(), missing)
}

/// Connects sources that an import has left without a connection.
pub async fn reconnect(production: &Standin, missing: &[Value]) {
    for source in missing {
        let storage = json!({
            "datasourceId": source["id"], "environmentId": "unused_env", "workspaceId": source["workspaceId"],
            "pluginId": source["pluginId"], "isConfigured": true, "datasourceConfiguration": {
                "endpoints": [{"host": "db.internal.example", "port": 5432}],
                "authentication": {"username": "app", "password": "secret", "databaseName": "returns"},
            },
        });
        production.put("datasources/datasource-storages", storage).await.unwrap();
    }
}

/// A host with the repository `returns`, and two instances on one network with it.
pub struct Lab {
    pub network: Network,
    pub host: GitHost,
    pub staging: Standin,
    pub production: Standin,
}

impl Lab {
    async fn start(test: &str, version: &str) -> Self {
        Self::with(test, version, [""; 2], QUICK).await
    }

    /// With what is broken of staging and of production, and their time scale.
    pub async fn with(test: &str, version: &str, [staging, production]: [&str; 2], scale: &str) -> Self {
        let network = Network::make(test).await;
        let host = GitHost::start(test, Some(&network.0)).await;
        host.repository("returns", "production").await;
        let staging = Standin::start(&format!("{test}-s"), version, 7, &network, (staging, scale)).await;
        let production = Standin::start(&format!("{test}-p"), version, 8, &network, (production, scale)).await;
        Self { network, host, staging, production }
    }

    pub async fn remove(self) {
        self.staging.remove().await;
        self.production.remove().await;
        self.host.remove().await;
        self.network.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_from_staging_to_production_and_back() {
    let lab = Lab::start("flow", "v1.99").await;
    let Lab { host, staging, production, .. } = &lab;
    let (application, _) = staging.application("Returns").await;
    let base = text(&application, "id").to_owned();
    let connecting = format!("{GIT}/{base}/connect");
    let wanted = connection(&host.inside("returns"));

    // 1, 2: a key, a connection.
    assert_eq!(code(staging.post(&connecting, wanted.clone()).await), "AE-GIT-4031");
    let key = staging.post(&format!("{GIT}/{base}/ssh-keypair?keyType=ECDSA"), Value::Null).await.unwrap();
    assert!(text(&key, "publicKey").starts_with("ecdsa-sha2-nistp256 "), "{key}");
    assert_eq!(staging.get(&format!("{GIT}/{base}/ssh-keypair")).await.unwrap()["publicKey"], key["publicKey"]);
    let https = connection("https://git.example/returns.git");
    assert_eq!(code(staging.post(&connecting, https).await), "AE-GIT-4050");
    assert_eq!(code(staging.post(&connecting, wanted.clone()).await), "AE-GIT-4032");
    host.allow("returns", text(&key, "publicKey"), Right::Read);
    let read_only = staging.post(&connecting, wanted.clone()).await.unwrap_err();
    assert!(["AE-GIT-4032", "AE-GIT-4044"].contains(&read_only.code.as_str()), "{read_only:?}");
    let after = staging.get(&format!("{GIT}/{base}/metadata")).await;
    assert_eq!(code(after), "AE-GIT-4031", "a connection that fails leaves none");
    host.allow_nobody();
    host.allow("returns", text(&key, "publicKey"), Right::Write);
    let connected = staging.post(&connecting, wanted.clone()).await.unwrap();
    assert_eq!(connected["gitApplicationMetadata"]["branchName"], "production");
    assert!(!connected.to_string().contains("rivateKey"), "{connected}");
    let metadata = staging.get(&format!("{GIT}/{base}/metadata")).await.unwrap();
    assert_eq!((text(&metadata, "defaultBranchName"), text(&metadata, "repoName")), ("production", "returns"));
    let schema: Value = serde_json::from_str(&host.file("returns", "production", "metadata.json").await).unwrap();
    assert_eq!((&schema["serverSchemaVersion"], &schema["fileFormatVersion"]), (&json!(12), &json!(5)));
    let (other, _) = production.application("Returns").await;
    let other = text(&other, "id").to_owned();
    let key = production.post(&format!("{GIT}/{other}/ssh-keypair"), Value::Null).await.unwrap();
    host.allow("returns", text(&key, "publicKey"), Right::Write);
    assert_eq!(code(production.post(&format!("{GIT}/{other}/connect"), wanted.clone()).await), "AE-GIT-4033");

    // 3: a branch for staging, with an application of its own.
    let creating = format!("{GIT}/{base}/create-ref");
    let made = staging.post(&creating, json!({"refName": "staging", "refType": "branch"})).await.unwrap();
    let branched = text(&made, "id").to_owned();
    assert_ne!(branched, base);
    let again = staging.post(&creating, json!({"refName": "staging"})).await.unwrap_err();
    assert!(again.code == "AE-GIT-4044" && again.message.contains("already exists"), "{again:?}");
    let refs = staging.get(&format!("{GIT}/{base}/refs?refType=branch&pruneRefs=true")).await.unwrap();
    let names: Vec<&str> = refs.as_array().unwrap().iter().map(|each| text(each, "refName")).collect();
    assert_eq!(names, ["production", "staging", "origin/production", "origin/staging"]);
    assert_eq!(host.head("returns", "staging").await, host.head("returns", "production").await);

    // 4, 5, 6: the import and the connections of its sources.
    let wrong = "git/artifacts/import?workspaceId=0123456789abcdef01234567";
    assert_eq!(production.post(wrong, wanted.clone()).await.unwrap_err().status, 404);
    let (imported, missing) = import(production, host).await;
    assert!(!missing.is_empty());
    reconnect(production, &missing).await;
    let left =
        format!("applications/import/{}/datasources?defaultApplicationId={imported}", text(&missing[0], "workspaceId"));
    assert_eq!(production.get(&left).await.unwrap(), json!([]));
    let status = production.get(&format!("{GIT}/{imported}/status?compareRemote=true")).await.unwrap();
    assert_eq!((&status["isClean"], &status["behindCount"]), (&json!(true), &json!(0)));

    // 7: work on staging.
    let before = production.deployed(&imported, None).await;
    staging.edit(&branched, None, "made on staging").await;
    let page = staging.first_page(&branched, None).await;
    let query = json!({"name": "newQuery", "pageId": page, "actionConfiguration": {"body": "SELECT 2"}});
    staging.post("actions", query).await.unwrap();
    let status = staging.get(&format!("{GIT}/{branched}/status?compareRemote=true")).await.unwrap();
    assert_eq!((status["modified"].as_array().unwrap().len(), &status["queriesAdded"]), (1, &json!(["Home/newQuery"])));
    let refused = staging.post(&format!("{GIT}/{base}/merge/status"), sides()).await.unwrap_err();
    assert!(refused.code == "AE-GIT-4044" && refused.message.contains("git status failed"), "{refused:?}");
    let said = staging.post(&format!("{GIT}/{branched}/commit"), json!({"message": "a new text"})).await.unwrap();
    assert!(said.as_str().unwrap().contains("Committed successfully!"), "{said}");
    assert_eq!(staging.deployed(&branched, None).await, "made on staging");
    assert_eq!(staging.deployed(&base, None).await, before, "the default branch is as it was");
    let status = staging.get(&format!("{GIT}/{branched}/status?compareRemote=true")).await.unwrap();
    assert_eq!((&status["isClean"], &status["aheadCount"]), (&json!(true), &json!(0)), "{status}");

    // 8, 9: a merge.
    let plan = staging.post(&format!("{GIT}/{branched}/merge/status"), sides()).await.unwrap();
    assert_eq!((&plan["isMergeAble"], &plan["status"]), (&json!(true), &json!("FAST_FORWARD")));
    staging.post(&format!("{GIT}/{branched}/merge"), sides()).await.unwrap();
    assert_eq!(host.head("returns", "production").await, host.head("returns", "staging").await);
    assert_eq!(staging.deployed(&base, None).await, "made on staging");

    // 10: the pull.
    let fetched = production.get(&format!("{GIT}/{imported}/fetch/remote")).await.unwrap();
    assert_eq!(fetched["behindCount"], 1);
    let pulled = production.get(&format!("{GIT}/{imported}/pull")).await.unwrap();
    assert_eq!(pulled["mergeStatus"]["status"], "1 commits merged from origin/production");
    assert_eq!(pulled["artifact"]["id"], imported.as_str());
    assert_eq!(production.deployed(&imported, None).await, "made on staging");
    let actions = production.get(&format!("actions/view?applicationId={imported}")).await.unwrap();
    assert!(actions.as_array().unwrap().iter().any(|action| action["name"] == "newQuery"));
    let again = production.get(&format!("{GIT}/{imported}/pull")).await.unwrap();
    assert!(text(&again["mergeStatus"], "status").starts_with("Nothing to fetch"), "{again}");

    // 11: back.
    host.revert("returns", "production").await;
    production.get(&format!("{GIT}/{imported}/pull")).await.unwrap();
    assert_eq!(production.deployed(&imported, None).await, before);
    let view = production.get(&format!("applications/view/{imported}")).await.unwrap();
    assert!(view["application"]["lastDeployedAt"].is_string());
    lab.remove().await;
}

fn sides() -> Value {
    json!({"sourceBranch": "staging", "destinationBranch": "production"})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_a_pull_is_told_and_what_is_deployed_stays() {
    let lab = Lab::start("stops", "v2.4.2").await;
    let Lab { host, staging, production, .. } = &lab;
    let base = connect(staging, host).await;
    let (imported, _) = import(production, host).await;
    let pull = format!("{GIT}/{imported}/pull");
    let before = production.deployed(&imported, None).await;

    // Local changes of production.
    production.edit(&imported, None, "made on production").await;
    let refused = production.get(&pull).await.unwrap_err();
    assert!(refused.code == "AE-GIT-4044" && refused.message.contains("uncommitted changes"), "{refused:?}");
    production.put(&format!("{GIT}/{imported}/discard"), Value::Null).await.unwrap();
    assert_eq!(production.deployed(&imported, None).await, before);

    // A conflict: both sides committed the same widget.
    staging.edit(&base, None, "made on staging").await;
    staging.post(&format!("{GIT}/{base}/commit"), json!({"message": "theirs"})).await.unwrap();
    production.edit(&imported, None, "made on production").await;
    let behind = production.post(&format!("{GIT}/{imported}/commit"), json!({"message": "ours"})).await.unwrap_err();
    assert!(behind.code == "AE-GIT-4044" && behind.message.contains("behind the remote"), "{behind:?}");
    assert_eq!(code(production.get(&pull).await), "AE-GIT-4047");
    let old = production.call(Method::GET, &format!("git/pull/app/{imported}"), None, Value::Null).await;
    assert_eq!(code(old), "AE-GIT-4047", "the older paths are there as well");
    let gone = production.post(&format!("{GIT}/{imported}/disconnect"), Value::Null).await.unwrap();
    assert!(gone.get("gitApplicationMetadata").is_none());
    production.call(Method::DELETE, &format!("applications/{imported}"), None, Value::Null).await.unwrap();

    // A production branch that is protected: in Appsmith, then at the host. The pull fails, and is deployed.
    let (imported, _) = import(production, host).await;
    let pull = format!("{GIT}/{imported}/pull");
    let protected = format!("{GIT}/{imported}/protected-branches");
    assert_eq!(code(production.post(&protected, json!({"branchNames": ["other"]})).await), "AE-APP-4007");
    production.post(&protected, json!({"branchNames": ["production"]})).await.unwrap();
    staging.edit(&base, None, "second").await;
    staging.post(&format!("{GIT}/{base}/commit"), json!({"message": "second"})).await.unwrap();
    let refused = production.get(&pull).await.unwrap_err();
    assert!(refused.message.contains("Cannot commit to protected branch production"), "{refused:?}");
    assert_eq!(production.deployed(&imported, None).await, "second");
    production.post(&protected, json!({"branchNames": []})).await.unwrap();

    // What the host's rules forbid is taken back here: the same commit can be tried again.
    host.protect("returns", &["production"]);
    staging.edit(&base, None, "third").await;
    let committing = format!("{GIT}/{base}/commit");
    let declined = staging.post(&committing, json!({"message": "third"})).await.unwrap_err();
    assert!(declined.code == "AE-GIT-4044" && declined.message.contains("pre-receive hook declined"), "{declined:?}");
    let status = staging.get(&format!("{GIT}/{base}/status")).await.unwrap();
    assert_eq!((&status["isClean"], &status["aheadCount"]), (&json!(false), &json!(0)), "{status}");
    host.protect("returns", &[]);
    staging.post(&committing, json!({"message": "third"})).await.unwrap();

    // A clone that is lost, as after a restore without git-storage.
    docker_ok(&["exec", &staging.name, "rm", "-rf", "/appsmith-stacks/git-storage"]).await;
    assert_eq!(code(staging.get(&format!("{GIT}/{base}/status")).await), "AE-GIT-4051");
    lab.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_wants_a_commit_and_keeps_an_older_production_from_pulling() {
    let lab = Lab::start("schema", "v2.4.2").await;
    let Lab { network, host, staging, production } = lab;
    let base = connect(&staging, &host).await;
    let (imported, _) = import(&production, &host).await;
    let auto = format!("{GIT}/{base}/auto-commit");
    assert_eq!(staging.post(&auto, Value::Null).await.unwrap()["autoCommitResponse"], "IDLE");

    let staging = staging.upgrade("v2.5.0", "").await;
    let status = staging.get(&format!("{GIT}/{base}/status")).await.unwrap();
    assert_eq!(status["modified"], json!(["metadata.json"]), "nobody changed anything");
    let refused = staging.get(&format!("{GIT}/{base}/pull")).await.unwrap_err();
    assert!(refused.message.contains("uncommitted changes"), "{refused:?}");
    let toggle = format!("{auto}/toggle");
    assert_eq!(staging.call(Method::PATCH, &toggle, None, Value::Null).await.unwrap(), false);
    assert_eq!(staging.post(&auto, Value::Null).await.unwrap()["autoCommitResponse"], "IDLE", "it is switched off");
    assert_eq!(staging.call(Method::PATCH, &toggle, None, Value::Null).await.unwrap(), true);
    // What people changed meanwhile is none of its business.
    staging.edit(&base, None, "not committed").await;
    assert_eq!(staging.post(&auto, Value::Null).await.unwrap()["autoCommitResponse"], "PUBLISHED");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while staging.get(&format!("{auto}/progress")).await.unwrap()["autoCommitResponse"] != "IDLE" {
        assert!(tokio::time::Instant::now() < deadline, "the commit does not end");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(host.file("returns", "production", "metadata.json").await.contains("\"serverSchemaVersion\": 13"));
    let status = staging.get(&format!("{GIT}/{base}/status")).await.unwrap();
    assert_eq!((status["modified"].as_array().unwrap().len(), &status["behindCount"]), (1, &json!(0)), "{status}");
    assert!(!status["modified"].to_string().contains("metadata.json"), "{status}");

    assert_eq!(code(production.get(&format!("{GIT}/{imported}/pull")).await), "AE-JSN-4045");
    let production = production.upgrade("v2.5.0", "").await;
    production.put(&format!("{GIT}/{imported}/discard"), Value::Null).await.unwrap();
    production.get(&format!("{GIT}/{imported}/pull")).await.unwrap();
    Lab { network, host, staging, production }.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_release_takes_the_default_id_and_the_name_of_the_branch() {
    let lab = Lab::start("old", "v1.40").await;
    let Lab { host, staging, production, .. } = &lab;
    let (application, _) = staging.application("Returns").await;
    let id = text(&application, "id").to_owned();
    assert_eq!(staging.get(&format!("{GIT}/{id}/metadata")).await.unwrap_err().status, 404, "there is no newer scheme");
    let key = staging.post(&format!("applications/ssh-keypair/{id}"), Value::Null).await.unwrap();
    host.allow("returns", text(&key, "publicKey"), Right::Write);
    staging.post(&format!("git/connect/app/{id}"), connection(&host.inside("returns"))).await.unwrap();
    let made = staging.post(&format!("git/create-branch/app/{id}"), json!({"branchName": "staging"})).await.unwrap();
    assert_eq!((text(&made, "id"), &made["gitApplicationMetadata"]["branchName"]), (id.as_str(), &json!("staging")));
    let branch = Some("staging");
    staging.edit(&id, branch, "made on staging").await;
    let status = staging.call(Method::GET, &format!("git/status/app/{id}"), branch, Value::Null).await.unwrap();
    assert_eq!(status["isClean"], false);
    let commit = json!({"commitMessage": "a new text", "doPush": true});
    staging.call(Method::POST, &format!("git/commit/app/{id}"), branch, commit).await.unwrap();
    assert_eq!(staging.deployed(&id, branch).await, "made on staging");
    assert_ne!(staging.deployed(&id, None).await, "made on staging");

    let workspace = production.post("workspaces", json!({"name": "From Git"})).await.unwrap();
    let key = production.get("git/import/keys").await.unwrap();
    host.allow("returns", text(&key, "publicKey"), Right::Write);
    let path = format!("git/import/{}", text(&workspace, "id"));
    let imported = production.post(&path, connection(&host.inside("returns"))).await.unwrap();
    let theirs = text(&imported["application"], "id").to_owned();

    staging.edit(&id, None, "not committed").await;
    let merging = format!("git/merge/app/{id}");
    assert_eq!(code(staging.post(&merging, sides()).await), "AE-GIT-4037", "the older service tells it by its code");
    staging.put(&format!("git/discard/app/{id}"), Value::Null).await.unwrap();
    staging.post(&merging, sides()).await.unwrap();
    let pulled = production.get(&format!("git/pull/app/{theirs}")).await.unwrap();
    assert_eq!(pulled["application"]["id"], theirs.as_str());
    assert_eq!(production.deployed(&theirs, None).await, "made on staging");
    let path = format!("git/checkout-branch/app/{theirs}?branchName=origin%2Fstaging");
    let checked = production.get(&path).await.unwrap();
    assert_eq!(checked["gitApplicationMetadata"]["branchName"], "staging");
    lab.remove().await;
}
