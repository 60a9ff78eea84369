//! C.1, C.4, C.5: the envelope, and what is true of the instance as a whole.

use crate::http::{expect, has_fields, is_object_id, list, text};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use serde_json::Value;

pub async fn test_anonymous(lab: &Lab, report: &mut Report) {
    report.test("C.1", "a success has an envelope without an error", envelope(lab).await);
    let reply = lab.http.get("api/v1/no/such/thing", None).await;
    if let Ok(reply) = reply {
        report.observe("C.1", format!("an unknown path is answered {} without a login", reply.status));
    }
    report.test("C.1", "without a login: 401 with an empty body", no_login(lab).await);
    report.test("C.5", "users/me is open, and says anonymous and whether there are users", anonymous(lab).await);
    report.test("C.5", "tenants/current is open, with instanceId and migrationStatus", organization(lab).await);
    let flags = lab.http.get("api/v1/users/features", None).await.and_then(|reply| reply.data());
    let flags = flags.and_then(|flags| expect(flags.is_object(), || format!("they are {flags}")));
    report.test("C.5", "feature flags are a map", flags);
    if !lab.options.read_only {
        report.test("C.4", "users/super is refused where there are users", second_super(lab).await);
    }
}

pub async fn test_logged_in(lab: &Lab, report: &mut Report) {
    let me = lab.read("api/v1/users/me").await;
    let me = me.and_then(|me| {
        has_fields(&me, &["email", "username", "name", "isAnonymous", "isSuperUser", "isEmptyInstance"]).map(|()| me)
    });
    let me = report.test("C.5", "users/me has the fields that are used", me);
    report.test("C.5", "plugins have id, packageName, name and type", plugins(lab).await);
    let is_super = me.is_some_and(|me| me["isSuperUser"] == true);
    report.test("C.5", "admin/env is for administrators of the instance", admin_env(lab, is_super).await);
    let missing = match lab.admin() {
        Ok(admin) => lab.http.get("api/v1/applications/view/0123456789abcdef01234567", Some(admin)).await,
        Err(why) => Err(why),
    };
    let missing = missing.and_then(|reply| reply.refuses(404, "AE-ACL-4004"));
    report.test("C.1", "what is missing is 404 AE-ACL-4004, as what is forbidden", missing);
}

async fn envelope(lab: &Lab) -> Result<(), String> {
    let reply = lab.http.get("api/v1/users/me", None).await?;
    reply.is_status(200)?;
    let body = reply.json()?;
    expect(body["responseMeta"]["success"] == true, || format!("responseMeta is {}", body["responseMeta"]))?;
    expect(body["responseMeta"]["status"].is_u64(), || "responseMeta has no status".to_owned())?;
    expect(body["responseMeta"].get("error").is_none(), || "a success has an error".to_owned())
}

async fn no_login(lab: &Lab) -> Result<(), String> {
    let reply = lab.http.get("api/v1/workspaces", None).await?;
    reply.is_status(401)?;
    expect(reply.body.is_empty(), || format!("its body is {:?}", reply.text()))
}

async fn anonymous(lab: &Lab) -> Result<(), String> {
    let me = lab.http.get("api/v1/users/me", None).await?.data()?;
    expect(me["isAnonymous"] == true, || format!("isAnonymous is {}", me["isAnonymous"]))?;
    expect(me["isEmptyInstance"] == false, || "the instance has no user yet; use --set-up before".to_owned())
}

async fn organization(lab: &Lab) -> Result<(), String> {
    let data = lab.http.get("api/v1/tenants/current", None).await?.data()?;
    has_fields(&data, &["id", "instanceId"])?;
    expect(!text(&data, "instanceId").is_empty(), || "instanceId is empty".to_owned())?;
    let configuration = ["organizationConfiguration", "tenantConfiguration"].iter().find_map(|key| data.get(*key));
    let configuration = configuration.ok_or("neither organizationConfiguration nor tenantConfiguration")?;
    let status = configuration.get("migrationStatus").and_then(Value::as_str);
    expect(status != Some("IN_PROGRESS"), || "a migration is in progress".to_owned())
}

async fn second_super(lab: &Lab) -> Result<(), String> {
    let email = format!("{}@example.invalid", lab.name);
    let form = [("email", email.as_str()), ("password", "not-to-be-used-1"), ("name", "Nobody")];
    let reply = crate::http::send(lab.http.request(Method::POST, "api/v1/users/super", None).form(&form)).await?;
    let refused = reply.status >= 400 || reply.location().is_some_and(|location| location.contains("error="));
    expect(refused, || format!("it is answered {} {:?}", reply.status, reply.location()))?;
    expect(reply.session().is_none(), || "it gives a session".to_owned())
}

async fn plugins(lab: &Lab) -> Result<(), String> {
    let everything = lab.everything(lab.admin()?).await?;
    let (workspace, _) = everything.first().ok_or("there is no workspace")?;
    let plugins = lab.read(&format!("api/v1/plugins?workspaceId={}", text(workspace, "id"))).await?;
    expect(!list(&plugins)?.is_empty(), || "there are none".to_owned())?;
    for plugin in list(&plugins)? {
        has_fields(plugin, &["id", "packageName", "name", "type"])?;
        expect(is_object_id(text(plugin, "id")), || format!("{} is no id", plugin["id"]))?;
    }
    Ok(())
}

async fn admin_env(lab: &Lab, is_super: bool) -> Result<(), String> {
    let reply = lab.http.get("api/v1/admin/env", Some(lab.admin()?)).await?;
    if is_super {
        let data = reply.data()?;
        return expect(data.is_object(), || format!("it is {data}"));
    }
    reply.refuses(403, "AE-ACL-4003")
}
