//! Git by Appsmith's REST interface.

mod scheme;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use self::scheme::{PROBE, Scheme, Verb};
use super::Appsmith;
use super::answer::{ApiError, Code, short};
use super::client::{Body, Call};
use super::listing::text;
use crate::instance::git::{Branched, GitApp, GitApps, GitFailure, Pulled, Refusal, Standing};
use crate::model::promotion::thing::printable;

/// A clone or a push may take so long. The server goes on when we give up.
const LIMIT: Duration = Duration::from_secs(300);
/// A lock that nobody gives back expires after 120 s.
const LOCK_PATIENCE: Duration = Duration::from_secs(150);
const LOCK_PAUSE: Duration = Duration::from_secs(3);
const FILES_LISTED_MAX: usize = 200;
const NAME_CHARS_MAX: usize = 200;
/// As long as Linux takes.
const PATH_CHARS_MAX: usize = 4096;

/// What is known of an instance's Git endpoints.
#[derive(Debug, Default)]
pub struct Paths {
    scheme: OnceCell<Scheme>,
}

/// One question.
struct Ask<'a> {
    verb: Verb,
    /// For messages: what it was asked to do.
    action: String,
    query: &'a [(&'a str, &'a str)],
    body: Value,
}

impl Appsmith {
    async fn scheme(&self) -> Result<Scheme, ApiError> {
        let asked = self.paths.scheme.get_or_try_init(async || match self.api.call(Call::get(PROBE)).await {
            Ok(_) => Ok(Scheme::New),
            Err(error) if error.is_missing() => Ok(Scheme::Old),
            Err(error) => Err(error),
        });
        asked.await.copied()
    }

    /// Asks, and waits for a lock that another operation has.
    async fn ask_git(&self, app: &Branched, ask: Ask<'_>) -> Result<Value, GitFailure> {
        let failed = |error| self.git_failed(&ask.action, error);
        let scheme = self.scheme().await.map_err(failed)?;
        let (method, path) = scheme.at(ask.verb, &app.id);
        let call = Call {
            query: ask.query,
            body: if ask.body.is_null() { Body::None } else { Body::Json(&ask.body) },
            method: Some(method),
            branch: app.by_name.then_some(app.branch.as_str()),
            limit: LIMIT,
            ..Call::get(&path)
        };
        let give_up = Instant::now() + LOCK_PATIENCE;
        loop {
            match self.api.call(call.clone()).await.map(|data| data.value) {
                Err(ApiError::Refused { code, message, .. })
                    if refusal(&code, &message).is_some_and(Refusal::passes) && Instant::now() < give_up =>
                {
                    tracing::debug!(app = app.name, "another git operation goes on");
                    sleep(LOCK_PAUSE).await;
                }
                answer => return answer.map_err(failed),
            }
        }
    }

    fn git_failed(&self, action: &str, error: ApiError) -> GitFailure {
        let (instance, action) = (self.options.name.clone(), action.to_owned());
        match error {
            ApiError::Refused { code, message, .. } if refusal(&code, &message).is_some() => {
                let refusal = refusal(&code, &message).unwrap_or(Refusal::Other);
                GitFailure::Refused { instance, action, refusal, said: message }
            }
            // The connection may have broken behind the request.
            ApiError::NotUp { .. } | ApiError::TooSlow { .. } => {
                GitFailure::Unanswered { instance, action, why: error.to_string() }
            }
            error => self.failed(&action, error).into(),
        }
    }
}

fn refusal(code: &Code, message: &str) -> Option<Refusal> {
    match code {
        Code::Other(code) => Refusal::read(code, message),
        _ => None,
    }
}

#[async_trait]
impl GitApps for Appsmith {
    async fn apps(&self, workspace: &str) -> Result<Vec<GitApp>, GitFailure> {
        let listed = self.api.workspaces().await.map_err(|error| self.git_failed("list its apps", error))?;
        let known: Vec<String> = listed.iter().map(|(thing, _)| format!("`{}`", thing.name)).collect();
        let wanted = listed.into_iter().find(|(thing, _)| thing.name == workspace || thing.id == workspace);
        let Some((_, apps)) = wanted else {
            return Err(GitFailure::NoWorkspace {
                instance: self.options.name.clone(),
                workspace: workspace.to_owned(),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            });
        };
        let app = |app: super::listing::Application| {
            let git = app.git.unwrap_or_default();
            GitApp {
                base_id: app.thing.base_id,
                name: printable(&app.thing.name, NAME_CHARS_MAX),
                remote: git.remote,
                default_branch: git.default_branch,
                protected: git.protected,
                deployed_at: app.deployed_at,
            }
        };
        Ok(apps.into_iter().map(app).collect())
    }

    async fn on_branch(&self, app: &GitApp, branch: &str) -> Result<Branched, GitFailure> {
        let whole = |id: String, by_name| Branched {
            id,
            base_id: app.base_id.clone(),
            name: app.name.clone(),
            branch: branch.to_owned(),
            by_name,
            deployed_at: None,
        };
        let base = whole(app.base_id.clone(), false);
        let action = format!("look at `{branch}` of `{}`", app.name);
        let scheme = self.scheme().await.map_err(|error| self.git_failed(&action, error))?;
        let check_out = async |name: &str| {
            let body = json!({"refName": name, "refType": "branch"});
            let (query, body) = match scheme {
                Scheme::New => (vec![], body),
                Scheme::Old => (vec![("branchName", name)], Value::Null),
            };
            self.ask_git(&base, Ask { verb: Verb::Checkout, action: action.clone(), query: &query, body }).await
        };
        let found = match check_out(branch).await {
            // The instance does not have it yet.
            Err(GitFailure::Refused { refusal: Refusal::OnlyRemote | Refusal::Failed, .. }) => {
                check_out(&format!("origin/{branch}")).await?
            }
            Err(GitFailure::Instance(_)) => check_out(&format!("origin/{branch}")).await?,
            found => found?,
        };
        let id = text(&found, "id")
            .ok_or_else(|| self.git_failed(&action, ApiError::Malformed { why: "an app without an id".into() }))?;
        let by_name = found.get("baseId").is_none();
        Ok(Branched { deployed_at: text(&found, "lastDeployedAt"), ..whole(id, by_name) })
    }

    async fn standing(&self, app: &Branched) -> Result<Standing, GitFailure> {
        let action = format!("say how `{}` stands on `{}`", app.name, app.branch);
        let query = [("compareRemote", "true")];
        let data = self.ask_git(app, Ask { verb: Verb::Status, action, query: &query, body: Value::Null }).await?;
        Ok(standing(&data))
    }

    async fn pull(&self, app: &Branched) -> Result<Pulled, GitFailure> {
        let action = format!("pull `{}` of `{}`", app.branch, app.name);
        let data = self.ask_git(app, Ask { verb: Verb::Pull, action, query: &[], body: Value::Null }).await?;
        let said = data.get("mergeStatus").and_then(|merge| text(merge, "status")).unwrap_or_default();
        Ok(Pulled { said: short(&said) })
    }

    async fn discard(&self, app: &Branched) -> Result<(), GitFailure> {
        let action = format!("discard the changes on `{}` of `{}`", app.branch, app.name);
        self.ask_git(app, Ask { verb: Verb::Discard, action, query: &[], body: json!({}) }).await.map(drop)
    }

    async fn commit(&self, app: &Branched, message: &str) -> Result<(), GitFailure> {
        let action = format!("commit `{}` on `{}`", app.name, app.branch);
        let scheme = self.scheme().await.map_err(|error| self.git_failed(&action, error))?;
        let body = match scheme {
            Scheme::New => json!({"message": message, "isAmendCommit": false}),
            Scheme::Old => json!({"commitMessage": message, "doPush": true}),
        };
        self.ask_git(app, Ask { verb: Verb::Commit, action, query: &[], body }).await.map(drop)
    }
}

/// Versions differ in which lists they have; files are named once.
fn standing(data: &Value) -> Standing {
    let mut modified = std::collections::BTreeSet::new();
    for list in ["modified", "added", "removed", "conflicting"] {
        let names = data.get(list).and_then(Value::as_array).into_iter().flatten();
        modified
            .extend(names.filter_map(Value::as_str).take(FILES_LISTED_MAX).map(|name| printable(name, PATH_CHARS_MAX)));
    }
    // Old versions say only that it is not clean.
    if modified.is_empty() && data.get("isClean").and_then(Value::as_bool) == Some(false) {
        modified.insert("(it does not say which)".into());
    }
    let count = |key: &str| data.get(key).and_then(Value::as_u64).unwrap_or(0);
    Standing {
        modified: modified.into_iter().collect(),
        ahead: count("aheadCount"),
        behind: count("behindCount"),
        migration: text(data, "migrationMessage").map(|text| printable(&text, NAME_CHARS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_has_its_paths() {
        let told = |scheme: Scheme, verb| {
            let (method, path) = scheme.at(verb, "a1");
            format!("{method} {path}")
        };
        let paths: Vec<String> = [Verb::Status, Verb::Pull, Verb::Discard, Verb::Commit, Verb::Checkout]
            .iter()
            .flat_map(|verb| [told(Scheme::New, *verb), told(Scheme::Old, *verb)])
            .collect();
        assert_eq!(
            paths,
            [
                "GET api/v1/git/applications/a1/status",
                "GET api/v1/git/status/app/a1",
                "GET api/v1/git/applications/a1/pull",
                "GET api/v1/git/pull/app/a1",
                "PUT api/v1/git/applications/a1/discard",
                "PUT api/v1/git/discard/app/a1",
                "POST api/v1/git/applications/a1/commit",
                "POST api/v1/git/commit/app/a1",
                "POST api/v1/git/applications/a1/checkout-ref",
                "GET api/v1/git/checkout-branch/app/a1",
            ]
        );
    }

    #[test]
    fn a_status_is_read_whatever_lists_it_has() {
        let told = standing(&json!({
            "modified": ["metadata.json", "pages/Home/Home.json"], "added": ["theme.json"], "isClean": false,
            "aheadCount": 1, "behindCount": 2, "migrationMessage": "Appsmith changed the format",
        }));
        assert_eq!(told.modified, ["metadata.json", "pages/Home/Home.json", "theme.json"]);
        assert_eq!((told.ahead, told.behind, told.is_clean()), (1, 2, false));
        assert!(standing(&json!({"isClean": true})).is_clean());
        assert!(!standing(&json!({"isClean": false})).is_clean());
    }
}
