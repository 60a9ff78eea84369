//! One session per process, made by a form login, kept and used again.
//!
//! Appsmith locks a user out for a day after five refused passwords, so a refused password is never sent twice to
//! the same container. It is sent again to another container (after a rollback the old app may well take it), and
//! a changed password file is a new password.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{ApiError, data_of};
use super::client::{Call, Client};
use crate::instance::secret::Secret;

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The e-mail address of a local user, as a form login takes it.
    pub user: String,
    /// Holds the password, with or without an end of line. Read each time it is needed.
    pub password_file: PathBuf,
}

/// A session that was refused while it was younger than this is not the reason for the refusal.
const YOUNG: Duration = Duration::from_secs(10);
const LONGEST_PASSWORD_BYTES: u64 = 4096;

/// The session of this process.
#[derive(Debug)]
pub struct Session {
    login: Login,
    /// Taken for the length of a login, so that callers in parallel log in once.
    turn: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The container that what follows is about.
    container: Option<String>,
    open: Option<Open>,
    refused: Option<Secret>,
}

#[derive(Clone, Debug)]
struct Open {
    cookie: Secret,
    since: Instant,
}

impl Session {
    /// Nothing is sent yet.
    pub fn new(login: Login) -> Self {
        Self { login, turn: Semaphore::new(1), state: Mutex::default() }
    }

    /// Says which container will be spoken to. With another one, what the last one refused is forgotten.
    pub fn meets(&self, container_id: &str) {
        let mut state = self.state();
        if state.container.as_deref() != Some(container_id) {
            state.container = Some(container_id.to_owned());
            state.refused = None;
        }
    }

    /// Logs in, whether or not there is a session: the proof that people can.
    pub async fn log_in(&self, client: &Client) -> Result<(), ApiError> {
        let held = self.state().open.as_ref().map(|open| open.since);
        self.log_in_unless(client, |open| open.since > held.unwrap_or(open.since)).await.map(|_| ())
    }

    /// Makes the call with the session, and logs in first where there is none. A session that is not taken any more
    /// is replaced, once.
    pub async fn get(&self, client: &Client, path: &str, query: &[(&str, &str)]) -> Result<Value, ApiError> {
        let open = self.log_in_unless(client, |_| true).await?;
        let answer = client.data(Call { query, session: Some(&open.cookie), ..Call::get(path) }).await;
        if !matches!(answer, Err(ApiError::Unauthorized)) || open.since.elapsed() < YOUNG {
            return answer;
        }
        tracing::debug!(user = self.login.user, "session no longer taken");
        let open = self.log_in_unless(client, |now| now.since > open.since).await?;
        client.data(Call { query, session: Some(&open.cookie), ..Call::get(path) }).await
    }

    /// The session that is open, if it will do, else a new one.
    async fn log_in_unless(&self, client: &Client, will_do: impl Fn(&Open) -> bool) -> Result<Open, ApiError> {
        let _turn = self.turn.acquire().await;
        if let Some(open) = self.state().open.clone().filter(will_do) {
            return Ok(open);
        }
        let password = self.password().await?;
        if self.state().refused.as_ref() == Some(&password) {
            return Err(self.refusal());
        }
        match self.submit(client, &password).await {
            Ok(open) => {
                let mut state = self.state();
                (state.open, state.refused) = (Some(open.clone()), None);
                tracing::debug!(user = self.login.user, "logged in");
                Ok(open)
            }
            Err(error) => {
                if matches!(error, ApiError::LoginRefused { .. }) {
                    let mut state = self.state();
                    (state.open, state.refused) = (None, Some(password));
                }
                Err(error)
            }
        }
    }

    /// A success is a redirect that points at no error, with a session that is a person's.
    async fn submit(&self, client: &Client, password: &Secret) -> Result<Open, ApiError> {
        let user = Secret::new(&self.login.user);
        let form = Some(vec![("username", &user), ("password", password)]);
        let reply = client.send(Call { form, ..Call::get("api/v1/login") }).await?;
        let location = match reply.location {
            Some(location) if matches!(reply.answer.status, 301..=303 | 307 | 308) => location,
            _ => {
                data_of(&reply.answer)?;
                return Err(ApiError::Malformed { why: format!("a login was answered by {}", reply.answer.status) });
            }
        };
        if location.contains("error=true") {
            return Err(self.refusal());
        }
        let cookie = reply.session.ok_or_else(|| ApiError::Malformed { why: "a login gave no session".into() })?;
        let me = client.data(Call { session: Some(&cookie), ..Call::get("api/v1/users/me") }).await?;
        match me.get("isAnonymous").and_then(Value::as_bool) {
            Some(true) => Err(ApiError::Malformed { why: "the session that a login gave is nobody's".into() }),
            _ => Ok(Open { cookie, since: Instant::now() }),
        }
    }

    fn refusal(&self) -> ApiError {
        ApiError::LoginRefused { user: self.login.user.clone() }
    }

    async fn password(&self) -> Result<Secret, ApiError> {
        let path = &self.login.password_file;
        let failed = |source| ApiError::NoPassword { path: path.display().to_string(), source };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let mut text = String::new();
        file.take(LONGEST_PASSWORD_BYTES).read_to_string(&mut text).await.map_err(failed)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(failed(std::io::Error::other("it is empty"))),
            password => Ok(Secret::new(password)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
