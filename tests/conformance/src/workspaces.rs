//! C.6: workspaces and roles.

use crate::applications::Ours;
use crate::http::{Session, expect, has_fields, is_object_id, list, send, text};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "conformance-Viewer-1";

pub async fn test(lab: &Lab, report: &mut Report) {
    let name = if lab.since(1, 10, 0) {
        "workspaces/home and applications/home list what the user sees"
    } else {
        "applications/new lists workspaces with their applications"
    };
    let section = if lab.since(1, 10, 0) { "C.6" } else { "C.7" };
    report.test(section, name, listed(lab).await);
    report.test("C.6", "permission groups are named by role and workspace", groups(lab).await);
    report.test("C.6", "members have userId, username and roles", members(lab).await);
}

/// A workspace of our own.
pub async fn make(lab: &Lab, report: &mut Report) -> Option<Value> {
    let made = async {
        let reply = lab.http.post("api/v1/workspaces", lab.admin()?, &json!({"name": lab.name})).await?;
        let workspace = reply.data()?;
        has_fields(&workspace, &["id", "name"])?;
        let found = lab.everything(lab.admin()?).await?;
        let listed = found.iter().any(|(each, _)| each["id"] == workspace["id"]);
        expect(listed, || "it is not listed".to_owned()).map(|()| workspace)
    };
    report.test("C.6", "a workspace that is made is listed", made.await)
}

/// What was made is gone.
pub async fn test_gone(lab: &Lab, report: &mut Report, workspace: &Value) {
    let gone = async {
        let found = lab.everything(lab.admin()?).await?;
        let listed = found.iter().any(|(each, _)| each["id"] == workspace["id"]);
        expect(!listed, || "it is still listed; please remove it by hand".to_owned())
    };
    report.test("C.6", "the workspace of this test is gone", gone.await);
}

/// An account with the role App Viewer sees what is deployed, and no editor.
pub async fn test_roles(lab: &Lab, report: &mut Report, workspace: &Value, ours: &Ours) {
    if !lab.options.may_make_accounts {
        report.observe("C.6", "no account may be made, so roles are not tested");
        return;
    }
    let email = format!("{}@example.com", lab.name);
    let invited = invite(lab, workspace, &email).await;
    if report.test("C.6", "an invitation gives a role to an account that is not there yet", invited).is_none() {
        return;
    }
    let Some(viewer) = report.test("C.4", "who was invited can sign up", sign_up(lab, &email).await) else { return };
    report.test("C.6", "a viewer has no right to edit", viewer_rights(lab, &viewer, ours).await);
    let env = lab.http.get("api/v1/admin/env", Some(&viewer)).await.and_then(|reply| reply.refuses(403, "AE-ACL-4003"));
    report.test("C.1", "who is no administrator of the instance gets 403 AE-ACL-4003", env);
    let path = format!("api/v1/pages?applicationId={}&mode=EDIT", ours.id);
    let editor = lab.http.get(&path, Some(&viewer)).await.and_then(|reply| reply.refuses(404, "AE-ACL-4004"));
    report.test("C.6", "to a viewer the editor's pages look missing", editor);
    report.test(
        "C.6",
        "a member whose role is taken sees nothing any more",
        take_role(lab, workspace, &email, &viewer, ours).await,
    );
}

async fn listed(lab: &Lab) -> Result<(), String> {
    let found = lab.everything(lab.admin()?).await?;
    expect(!found.is_empty(), || "there is no workspace".to_owned())?;
    for (workspace, applications) in &found {
        has_fields(workspace, &["id", "name", "slug", "userPermissions"])?;
        for application in applications {
            has_fields(application, &["id", "name", "workspaceId", "pages", "userPermissions"])?;
            expect(is_object_id(text(application, "id")), || format!("{} is no id", application["id"]))?;
            if lab.since(1, 60, 0) {
                has_fields(application, &["baseId"])?;
            }
        }
    }
    Ok(())
}

async fn groups(lab: &Lab) -> Result<(), String> {
    let (workspace, _) = first(lab).await?;
    let groups = lab.read(&format!("api/v1/workspaces/{}/permissionGroups", text(&workspace, "id"))).await?;
    for role in ["Administrator", "Developer", "App Viewer"] {
        let wanted = format!("{role} - ");
        let there = list(&groups)?.iter().any(|group| text(group, "name").starts_with(&wanted));
        expect(there, || format!("none begins with {wanted:?} in {groups}"))?;
    }
    Ok(())
}

async fn members(lab: &Lab) -> Result<(), String> {
    let (workspace, _) = first(lab).await?;
    let members = lab.read(&format!("api/v1/workspaces/{}/members", text(&workspace, "id"))).await?;
    expect(!list(&members)?.is_empty(), || "there are none".to_owned())?;
    list(&members)?.iter().try_for_each(|member| has_fields(member, &["userId", "username", "roles"]))
}

/// A workspace that the administrator may manage.
async fn first(lab: &Lab) -> Result<(Value, Vec<Value>), String> {
    let manages = |workspace: &Value| workspace["userPermissions"].to_string().contains("manage:workspaces");
    let mut found = lab.everything(lab.admin()?).await?.into_iter();
    found.find(|(workspace, _)| manages(workspace)).ok_or_else(|| "there is no workspace to manage".to_owned())
}

async fn invite(lab: &Lab, workspace: &Value, email: &str) -> Result<(), String> {
    let groups = lab.read(&format!("api/v1/workspaces/{}/permissionGroups", text(workspace, "id"))).await?;
    let viewer = list(&groups)?.iter().find(|group| text(group, "name").starts_with("App Viewer"));
    let group = viewer.map(|group| group["id"].clone()).ok_or("there is no group of viewers")?;
    let body = json!({"usernames": [email], "permissionGroupId": group});
    lab.http.post("api/v1/users/invite", lab.admin()?, &body).await?.data().map(drop)
}

async fn sign_up(lab: &Lab, email: &str) -> Result<Session, String> {
    let form = [("email", email), ("password", PASSWORD), ("name", "Conformance")];
    let reply = send(lab.http.request(Method::POST, "api/v1/users", None).form(&form)).await?;
    expect(reply.status < 400, || format!("sign-up is answered {}: {}", reply.status, reply.text()))?;
    let (reply, session) = lab.http.log_in(email, PASSWORD).await?;
    session.ok_or_else(|| format!("the login is refused: {:?}", reply.location()))
}

async fn viewer_rights(lab: &Lab, viewer: &Session, ours: &Ours) -> Result<(), String> {
    let found = lab.everything(viewer).await?;
    let mut all = found.iter().flat_map(|(_, applications)| applications);
    let seen = all.find(|each| text(each, "id") == ours.id).ok_or("the application is not listed")?;
    let rights = seen["userPermissions"].to_string();
    expect(rights.contains("read:applications"), || format!("rights are {rights}"))?;
    expect(!rights.contains("manage:applications"), || format!("rights are {rights}"))
}

async fn take_role(lab: &Lab, workspace: &Value, email: &str, viewer: &Session, ours: &Ours) -> Result<(), String> {
    let path = format!("api/v1/workspaces/{}/permissionGroup", text(workspace, "id"));
    let body = json!({"username": email, "newPermissionGroupId": null});
    lab.http.put(&path, lab.admin()?, &body).await?.data()?;
    let path = format!("api/v1/applications/view/{}", ours.id);
    lab.http.get(&path, Some(viewer)).await?.refuses(404, "AE-ACL-4004")
}
