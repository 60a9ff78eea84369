//! D: Git. Without a repository only what needs none is tested; with one, the way of a change through two branches.

use crate::GitRemote;
use crate::applications::Ours;
use crate::http::{Reply, expect, has_fields, list, send, text};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;

/// The paths of this release: the newer scheme from v1.56 on.
fn path(lab: &Lab, verb: &str, id: &str) -> String {
    if lab.since(1, 56, 0) {
        format!("api/v1/git/applications/{id}/{verb}")
    } else {
        format!("api/v1/git/{verb}/app/{id}")
    }
}

fn key_path(lab: &Lab, id: &str) -> String {
    match lab.since(1, 56, 0) {
        true => format!("api/v1/git/applications/{id}/ssh-keypair?keyType=ECDSA"),
        false => format!("api/v1/applications/ssh-keypair/{id}?keyType=ECDSA"),
    }
}

fn artifact_path(lab: &Lab, rest: &str) -> String {
    if lab.since(1, 56, 0) { format!("api/v1/git/artifacts/{rest}") } else { format!("api/v1/git/{rest}") }
}

/// What can be asked without an application.
pub async fn test(lab: &Lab, report: &mut Report) {
    report.test("D.2", "the kinds of deploy keys are ECDSA and RSA", kinds(lab).await);
    let urls = lab.read(&artifact_path(lab, "doc-urls")).await.and_then(|urls| list(&urls).map(|urls| urls.len()));
    report.test("D.2", "there are links to documents", urls);
    if !lab.options.read_only {
        let profile = lab.read(&artifact_path(lab, "profile/default")).await;
        let profile = profile.and_then(|profile| has_fields(&profile, &["authorName", "authorEmail"]));
        report.test("D.2", "an account has a default profile", profile);
    }
}

async fn kinds(lab: &Lab) -> Result<(), String> {
    let kinds = lab.read(&artifact_path(lab, "protocol/key-types")).await?;
    let names: Vec<&str> = list(&kinds)?.iter().map(|kind| text(kind, "protocolName")).collect();
    let all = ["ECDSA", "RSA"].iter().all(|wanted| names.contains(wanted));
    expect(all, || format!("they are {names:?}"))
}

/// What can be asked of an application of our own. `ours` is connected to the repository, if there is one.
pub async fn test_ours(lab: &Lab, report: &mut Report, workspace: &Value, ours: &Ours) {
    report.test("D.1", "the paths of this release's scheme are there", scheme(lab, ours).await);
    let metadata = lab.http.get(&path(lab, "metadata", &ours.id), lab.admin.as_ref()).await;
    let metadata = metadata.and_then(|reply| reply.refuses(400, "AE-GIT-4031"));
    report.test("D.5", "an application that is not connected has no metadata: 400 AE-GIT-4031", metadata);
    let auto = post(lab, "auto-commit", &ours.id, &Value::Null).await.and_then(|reply| reply.data());
    match auto {
        Ok(data) => {
            report.observe("D.4", format!("auto-commit of an unconnected application: {}", data["autoCommitResponse"]))
        }
        Err(why) => report.observe("D.4", format!("auto-commit of an unconnected application: {why}")),
    }
    let ssh = "git@git.invalid:nobody/nothing.git";
    let keyless = post(lab, "connect", &ours.id, &connection(ssh)).await;
    report.test(
        "D.6",
        "a connection without a key is 400 AE-GIT-4031",
        keyless.and_then(|it| it.refuses(400, "AE-GIT-4031")),
    );
    let key = key(lab, ours).await;
    if key.as_ref().is_err_and(|why| why.contains("AE-GIT-5016")) {
        report.observe("D.6", "the instance has no Git in it, so nothing more of Git is tested");
        return;
    }
    let Some(key) = report.test("D.6", "a deploy key is made and can be read again", key) else {
        return;
    };
    let https = post(lab, "connect", &ours.id, &connection("https://git.invalid/nobody/nothing.git")).await;
    report.test("D.6", "an address that is not SSH is refused", https.and_then(|reply| refused(&reply)));
    let Some(remote) = &lab.options.git else {
        report.observe("D.6", "no repository is given, so connections, commits, merges and pulls are not tested");
        return;
    };
    if let Err(why) = connected(lab, report, ours, remote, &key).await {
        report.test::<()>("D.6", "the way of a change through two branches", Err(why));
        return;
    }
    report.test("D.6", "an application is imported from a repository", import(lab, workspace, remote).await);
    let parted = post(lab, "disconnect", &ours.id, &Value::Null).await.and_then(|reply| reply.data());
    let parted = parted.and_then(|data| {
        expect(data["gitApplicationMetadata"]["remoteUrl"].is_null(), || {
            format!("it has {}", data["gitApplicationMetadata"])
        })
    });
    report.test("D.6", "a connection can be taken away", parted);
}

async fn scheme(lab: &Lab, ours: &Ours) -> Result<(), String> {
    let admin = lab.admin()?;
    let new = lab.http.get(&format!("api/v1/git/applications/{}/metadata", ours.id), Some(admin)).await?;
    if !lab.since(1, 56, 0) {
        return expect(new.status == 404, || format!("the newer scheme answers {} before v1.56", new.status));
    }
    expect(new.status != 404, || "the newer scheme is not there".to_owned())
}

async fn post(lab: &Lab, verb: &str, id: &str, body: &Value) -> Result<Reply, String> {
    lab.http.post(&path(lab, verb, id), lab.admin()?, body).await
}

fn refused(reply: &Reply) -> Result<(), String> {
    let error = reply.json()?["responseMeta"]["error"]["code"].as_str().unwrap_or_default().to_owned();
    expect(reply.status == 400 && error.starts_with("AE-GIT-40"), || format!("{} {error:?}", reply.status))
}

fn connection(url: &str) -> Value {
    let profile =
        json!({"authorName": "Conformance", "authorEmail": "conformance@example.invalid", "useGlobalProfile": false});
    json!({"remoteUrl": url, "gitProfile": profile})
}

async fn key(lab: &Lab, ours: &Ours) -> Result<String, String> {
    let made = lab.http.post(&key_path(lab, &ours.id), lab.admin()?, &json!({})).await?.data()?;
    has_fields(&made, &["publicKey", "docUrl"])?;
    let public = text(&made, "publicKey").to_owned();
    expect(public.starts_with("ecdsa-sha2-nistp256 "), || format!("it is {public}"))?;
    let read = lab.read(key_path(lab, &ours.id).split('?').next().unwrap_or_default()).await?;
    expect(read["publicKey"] == public.as_str(), || "another key is read".to_owned())?;
    expect(!read.to_string().contains("PRIVATE"), || "the private half is shown".to_owned())?;
    Ok(public)
}

/// Lets a key in at the host, by the caller's own program.
async fn allow(program: &Path, key: &str) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    let done = command.arg(key).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let done = done.map_err(|error| format!("{}: {error}", program.display()))?;
    expect(done.status.success(), || format!("{}: {}", program.display(), String::from_utf8_lossy(&done.stderr)))
}

/// Connects, makes a branch, changes and commits it, merges it, and pulls.
async fn connected(lab: &Lab, report: &mut Report, ours: &Ours, remote: &GitRemote, key: &str) -> Result<(), String> {
    let is_new = lab.since(1, 56, 0);
    let refused = post(lab, "connect", &ours.id, &connection(&remote.url)).await?.refuses(400, "AE-GIT-4032");
    report.test("D.5", "a key that the host does not know is 400 AE-GIT-4032", refused);
    allow(&remote.allow, key).await?;
    let made = post(lab, "connect", &ours.id, &connection(&remote.url)).await?.data()?;
    has_fields(&made["gitApplicationMetadata"], &["branchName", "defaultBranchName", "remoteUrl", "repoName"])?;
    let default = text(&made["gitApplicationMetadata"], "defaultBranchName").to_owned();
    report.test("D.6", "connecting commits, pushes, and makes the pushed branch the default one", Ok(()));
    let metadata = lab.read(&path(lab, "metadata", &ours.id)).await?;
    let fields = ["branchName", "defaultBranchName", "remoteUrl", "repoName", "defaultApplicationId", "publicKey"];
    report.test("D.4", "metadata has the fields that are used", has_fields(&metadata, &fields));

    let branch = if is_new {
        post(lab, "create-ref", &ours.id, &json!({"refName": "staging", "refType": "branch"})).await?.data()?
    } else {
        post(lab, "create-branch", &ours.id, &json!({"branchName": "staging"})).await?.data()?
    };
    let id = text(&branch, "id").to_owned();
    let own =
        expect((id != ours.id) == lab.since(1, 50, 0), || format!("its id is {id}, the default branch's {}", ours.id));
    report.test("D.1", "a branch has an id of its own since v1.50", own);
    let twice = if is_new {
        post(lab, "create-ref", &ours.id, &json!({"refName": "staging"})).await?
    } else {
        post(lab, "create-branch", &ours.id, &json!({"branchName": "staging"})).await?
    };
    report.test("D.6", "a branch that is there already is 400 AE-GIT-4044", twice.refuses(400, "AE-GIT-4044"));
    let names = if is_new { "refs?refType=branch&pruneRefs=true" } else { "branch" };
    let refs = match is_new {
        true => lab.read(&path(lab, names, &ours.id)).await?,
        false => lab.read(&format!("{}?pruneBranches=true", path(lab, names, &ours.id))).await?,
    };
    let name = |each: &Value| [text(each, "refName"), text(each, "branchName")].concat();
    let marked = list(&refs)?.iter().any(|each| name(each) == default && each["default"] == true);
    let both = marked && list(&refs)?.iter().any(|each| name(each) == "staging");
    report.test("D.4", "branches are listed, the default one is marked", expect(both, || format!("they are {refs}")));

    let clean = at_branch(lab, Method::GET, "status", &id, &Value::Null).await?;
    has_fields(&clean, &["isClean", "modified", "aheadCount", "behindCount"])?;
    report.test("D.4", "a new branch is clean", expect(clean["isClean"] == true, || format!("{clean}")));
    add_page(lab, &id).await?;
    let dirty = at_branch(lab, Method::GET, "status", &id, &Value::Null).await?;
    report.test("D.6", "status tells what is not committed", expect(dirty["isClean"] == false, || format!("{dirty}")));
    let unclean = merge(lab, "merge", ours, &default).await?;
    report.test(
        "D.5",
        "a merge of what is not committed is refused by one of two codes",
        expect(
            [(400, "AE-GIT-4044"), (406, "AE-GIT-4037")]
                .iter()
                .any(|(status, code)| unclean.refuses(*status, code).is_ok()),
            || unclean.text(),
        ),
    );
    let commit = if is_new { json!({"message": "a page"}) } else { json!({"commitMessage": "a page", "doPush": true}) };
    let said = at_branch(lab, Method::POST, "commit", &id, &commit).await?;
    let said = said.as_str().unwrap_or_default().to_owned();
    report.test(
        "D.4",
        "a commit says so in words",
        expect(said.contains("Commit Result"), || format!("it says {said:?}")),
    );

    let plan = merge(lab, "merge/status", ours, &default).await?.data()?;
    let fits = expect(plan["isMergeAble"] == true && plan["status"].is_string(), || format!("{plan}"));
    report.test("D.4", "a merge can be asked for before", fits);
    merge(lab, "merge", ours, &default).await?.data()?;
    let pages = lab.read(&format!("api/v1/pages?applicationId={}&mode=PUBLISHED", ours.id)).await?;
    let count = list(&pages["pages"])?.len();
    report.test(
        "D.6",
        "a merge is imported and deployed",
        expect(count == 2, || format!("{count} pages are deployed")),
    );
    let pulled = lab.read(&path(lab, "pull", &ours.id)).await?;
    let artifact = ["artifact", "application"].iter().any(|field| pulled[*field]["id"] == ours.id.as_str());
    let whole = expect(artifact && pulled["mergeStatus"]["status"].is_string(), || format!("{pulled}"));
    report.test("D.4", "a pull answers with the application and what was merged", whole);
    Ok(())
}

/// A call about the branch `staging`: by its id, in old releases by the default one's and a header.
async fn at_branch(lab: &Lab, method: Method, verb: &str, id: &str, body: &Value) -> Result<Value, String> {
    let mut request = lab.http.request(method, &path(lab, verb, id), Some(lab.admin()?));
    if !lab.since(1, 50, 0) {
        request = request.header("branchName", "staging");
    }
    send(if body.is_null() { request } else { request.json(body) }).await?.data()
}

async fn add_page(lab: &Lab, id: &str) -> Result<(), String> {
    let dsl = json!({"widgetName": "MainContainer", "type": "CANVAS_WIDGET", "widgetId": "0", "children": []});
    let body = json!({"name": "Second", "applicationId": id, "layouts": [{"dsl": dsl}]});
    let mut request = lab.http.request(Method::POST, "api/v1/pages", Some(lab.admin()?)).json(&body);
    if !lab.since(1, 50, 0) {
        request = request.header("branchName", "staging");
    }
    send(request).await?.data().map(drop)
}

async fn merge(lab: &Lab, verb: &str, ours: &Ours, default: &str) -> Result<Reply, String> {
    post(lab, verb, &ours.id, &json!({"sourceBranch": "staging", "destinationBranch": default})).await
}

async fn import(lab: &Lab, workspace: &Value, remote: &GitRemote) -> Result<(), String> {
    let id = text(workspace, "id");
    let way = match lab.since(1, 56, 0) {
        true => format!("api/v1/git/artifacts/import?workspaceId={id}"),
        false => format!("api/v1/git/import/{id}"),
    };
    let key = lab.read(&artifact_path(lab, "import/keys")).await?;
    allow(&remote.allow, text(&key, "publicKey")).await?;
    let data = lab.http.post(&way, lab.admin()?, &connection(&remote.url)).await?.data()?;
    has_fields(&data, &["application", "isPartialImport"])?;
    has_fields(&data["application"]["gitApplicationMetadata"], &["defaultBranchName", "remoteUrl"])?;
    let metadata = &data["application"]["gitApplicationMetadata"];
    expect(metadata["branchName"] == metadata["defaultBranchName"], || format!("{metadata}"))?;
    let pages =
        lab.read(&format!("api/v1/pages?applicationId={}&mode=PUBLISHED", text(&data["application"], "id"))).await?;
    expect(list(&pages["pages"])?.len() == 2, || format!("its pages are {}", pages["pages"]))
}
