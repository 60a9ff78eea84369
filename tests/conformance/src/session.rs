//! C.2, C.3: proof against forgery, login and logout.

use crate::http::{Session, expect, send};
use crate::lab::Lab;
use crate::report::Report;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

pub async fn test(lab: &mut Lab, report: &mut Report) {
    if lab.since(1, 64, 0) {
        report.test("C.2", "a change without proof is refused with 401", without_proof(lab).await);
        report.test(
            "C.2",
            "a wrong version header is 400 AE-BAD-4002 with the server's version",
            wrong_version(lab).await,
        );
    } else if let Ok(reply) = form_without_proof(lab).await {
        report.observe("C.2", format!("before v1.64, a change without proof is answered {}", reply.status));
    }
    report.test("C.2", "a content type that is no form and no JSON is 400", content_type(lab).await);
    report.test("C.3", "a refused login is a redirect with error=true", refused(lab).await);
    let Some(login) = lab.options.login.clone() else {
        report.observe("C.3", "no login is given, so only what everybody sees is tested");
        return;
    };
    let session = log_in(lab, &login.user, &login.password).await;
    lab.admin = report.test("C.3", "a login is a redirect with a SESSION cookie", session);
    if lab.admin.is_none() {
        return;
    }
    report.test("C.3", "users/me knows who is logged in", who_am_i(lab).await);
    report.test(
        "C.3",
        "a logout ends one session and not the others",
        log_out(lab, &login.user, &login.password).await,
    );
    if let Ok(basic) = basic(lab, &login.user, &login.password).await {
        report.observe("H", format!("HTTP Basic in place of a session is answered {basic}"));
    }
}

async fn form_without_proof(lab: &Lab) -> Result<crate::http::Reply, String> {
    send(lab.http.bare(Method::POST, "api/v1/logout").form(&[("a", "b")])).await
}

async fn without_proof(lab: &Lab) -> Result<(), String> {
    form_without_proof(lab).await?.is_status(401)
}

async fn wrong_version(lab: &Lab) -> Result<(), String> {
    let request = lab.http.bare(Method::POST, "api/v1/logout").header("X-Appsmith-Version", "v0.0.1");
    let reply = send(request.form(&[("a", "b")])).await?;
    reply.refuses(400, "AE-BAD-4002")?;
    let server = reply.json()?["data"]["serverVersion"].clone();
    let right = server.as_str().is_some_and(|it| crate::version::Version::read(it) == Some(lab.version));
    expect(right, || format!("serverVersion is {server}"))
}

async fn content_type(lab: &Lab) -> Result<(), String> {
    let request = lab.http.request(Method::POST, "api/v1/logout", None).header(CONTENT_TYPE, "text/plain");
    send(request.body("a")).await?.is_status(400)
}

/// With an account that does not exist: five refusals a day would lock one that does.
async fn refused(lab: &Lab) -> Result<(), String> {
    let nobody = format!("{}@example.invalid", lab.name);
    let (reply, session) = lab.http.log_in(&nobody, "not-a-password").await?;
    reply.is_status(302)?;
    expect(session.is_none(), || format!("it points to {:?}", reply.location()))
}

async fn log_in(lab: &Lab, user: &str, password: &str) -> Result<Session, String> {
    let (reply, session) = lab.http.log_in(user, password).await?;
    reply.is_status(302)?;
    session.ok_or_else(|| format!("refused, or no cookie; it points to {:?}", reply.location()))
}

async fn who_am_i(lab: &Lab) -> Result<(), String> {
    let me = lab.read("api/v1/users/me").await?;
    expect(me["isAnonymous"] == false, || format!("isAnonymous is {}", me["isAnonymous"]))?;
    let user = lab.options.login.as_ref().map(|login| login.user.to_lowercase());
    expect(me["email"].as_str() == user.as_deref(), || format!("it says {}", me["email"]))
}

async fn log_out(lab: &Lab, user: &str, password: &str) -> Result<(), String> {
    let second = log_in(lab, user, password).await?;
    let answer = lab.http.post("api/v1/logout", &second, &serde_json::json!({})).await?;
    expect(answer.status < 400, || format!("logout is answered {}", answer.status))?;
    let me = lab.http.get("api/v1/users/me", Some(&second)).await?.data()?;
    expect(me["isAnonymous"] == true, || "the session is still valid".to_owned())?;
    who_am_i(lab).await
}

async fn basic(lab: &Lab, user: &str, password: &str) -> Result<&'static str, String> {
    let request = lab.http.request(Method::GET, "api/v1/users/me", None);
    let reply = send(request.basic_auth(user, Some(password))).await?;
    let known = reply.data().is_ok_and(|me| me["isAnonymous"] == false);
    Ok(if known { "as the account" } else { "as nobody" })
}
