//! C.4: the first account of an empty instance, and something to look after.

use crate::http::{Http, expect, list, send, text};
use crate::{Login, Options};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The application that is made.
const APPLICATION: &str = "Acceptance";

/// Waits until the API answers. Pages and `/info` come long before.
pub async fn wait(options: &Options, limit: Duration) -> Result<(), String> {
    let http = Http::new(&options.base_url)?;
    let deadline = Instant::now() + limit;
    loop {
        let why = match http.get("api/v1/users/me", None).await.and_then(|reply| reply.data()) {
            Ok(_) => return Ok(()),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Err(format!("the API does not answer within {} s: {why}", limit.as_secs()));
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Makes the administrator if there is no user yet, then a workspace with a deployed application if there is none.
/// Says what was done. Doing it twice changes nothing more.
pub async fn set_up(options: &Options) -> Result<Vec<String>, String> {
    let login = options.login.as_ref().ok_or("the account to make is not given")?;
    let http = Http::new(&options.base_url)?;
    let mut done = Vec::new();
    let me = http.get("api/v1/users/me", None).await?.data()?;
    if me["isEmptyInstance"] == true {
        make_administrator(&http, login).await?;
        done.push(format!("made the administrator {}", login.user));
    }
    let (reply, session) = http.log_in(&login.user, &login.password).await?;
    let session = session.ok_or_else(|| format!("the login is refused: {:?}", reply.location()))?;
    let lab = crate::lab::Lab::new(options.clone())?;
    let found = lab.everything(&session).await?;
    if found.iter().any(|(_, all)| all.iter().any(|each| text(each, "name") == APPLICATION)) {
        return Ok(done);
    }
    let workspace = http.post("api/v1/workspaces", &session, &json!({"name": APPLICATION})).await?.data()?;
    let path = format!("api/v1/applications?workspaceId={}", text(&workspace, "id"));
    let body = json!({"workspaceId": workspace["id"], "name": APPLICATION});
    let application: Value = http.post(&path, &session, &body).await?.data()?;
    let id = text(&application, "id");
    http.post(&format!("api/v1/applications/publish/{id}"), &session, &json!({})).await?.data()?;
    let pages = list(&application["pages"])?.len();
    done.push(format!("made the application {APPLICATION} with {pages} page, and deployed it"));
    Ok(done)
}

async fn make_administrator(http: &Http, login: &Login) -> Result<(), String> {
    let form = [
        ("email", login.user.as_str()),
        ("password", login.password.as_str()),
        ("name", "Administrator"),
        ("proficiency", "advanced"),
        ("useCase", "other"),
        ("allowCollectingAnonymousData", "false"),
        ("signupForNewsletter", "false"),
    ];
    let reply = send(http.request(Method::POST, "api/v1/users/super", None).form(&form)).await?;
    let refused = reply.status >= 400 || reply.location().is_some_and(|location| location.contains("error="));
    expect(!refused, || format!("users/super is answered {} {:?}", reply.status, reply.location()))
}
