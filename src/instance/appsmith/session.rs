//! One session per process, made by a form login, kept and used again.
//!
//! Appsmith locks a user out for a day after five refused passwords, so a refused password is never sent twice to
//! the same container. It is sent again to another container (after a rollback the old app may well take it), and
//! a changed password file is a new password. Other processes know it by a file, see [`refused`]; two that begin at the
//! same moment may both send it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{ApiError, data_of};
use super::client::{Body, Call, Client, Data};
use super::refused;
use crate::instance::EarlierRefusal;
use crate::instance::secret::Secret;
use crate::smoke::browser::Cookie;

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The e-mail address of a local user, as a form login takes it.
    pub user: String,
    /// Holds the password, with or without an end of line. Read each time it is needed.
    pub password_file: PathBuf,
    /// Where a refusal is kept for other processes; `None` keeps it in this one only.
    pub refused_file: Option<PathBuf>,
}

/// A session that was refused while it was younger than this is not the reason for the refusal.
const YOUNG: Duration = Duration::from_secs(10);
const LONGEST_PASSWORD_BYTES: u64 = 4096;

/// The session of this process.
#[derive(Debug)]
pub struct Session {
    login: Login,
    young: Duration,
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
        Self { login, young: YOUNG, turn: Semaphore::new(1), state: Mutex::default() }
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

    /// The cookie of a session that is open, as a browser takes it. It is that of [`Session::get`]: a page that logs out
    /// ends it for both.
    pub async fn lend(&self, client: &Client) -> Result<Cookie, ApiError> {
        let open = self.log_in_unless(client, |_| true).await?;
        let value = open.cookie.reveal().to_owned();
        Ok(Cookie { name: "SESSION".into(), value, domain: None, path: "/".into() })
    }

    /// Makes the call with the session, and logs in first where there is none. A session that is not taken any more
    /// is replaced, once, and the call made again: what was answered 401 was not carried out.
    pub async fn call(&self, client: &Client, call: Call<'_>) -> Result<Data, ApiError> {
        let open = self.log_in_unless(client, |_| true).await?;
        let answer = client.data(Call { session: Some(&open.cookie), ..call.clone() }).await;
        if !matches!(answer, Err(ApiError::Unauthorized)) || open.since.elapsed() < self.young {
            return answer;
        }
        tracing::debug!(user = self.login.user, "session no longer taken");
        let open = self.log_in_unless(client, |now| now.since > open.since).await?;
        client.data(Call { session: Some(&open.cookie), ..call }).await
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
        let (file, container) = (self.login.refused_file.clone(), self.state().container.clone());
        let kept = file.as_deref().zip(container.as_deref());
        if let Some((file, container)) = kept
            && let Some(at) = refused::refused_at(file, &self.login.user, container, &password).await
        {
            let earlier = Some(EarlierRefusal { at, file: file.to_owned() });
            return Err(ApiError::LoginRefused { user: self.login.user.clone(), earlier });
        }
        match self.submit(client, &password).await {
            Ok(open) => {
                if let Some((file, _)) = kept {
                    refused::forget(file).await;
                }
                let mut state = self.state();
                (state.open, state.refused) = (Some(open.clone()), None);
                tracing::debug!(user = self.login.user, "logged in");
                Ok(open)
            }
            Err(error) => {
                if matches!(error, ApiError::LoginRefused { .. }) {
                    if let Some((file, container)) = kept {
                        refused::keep(file, &self.login.user, container, &password).await;
                    }
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
        let body = Body::Form(vec![("username", &user), ("password", password)]);
        let reply = client.send(Call { body, ..Call::get("api/v1/login") }).await?;
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
        match me.value.get("isAnonymous").and_then(Value::as_bool) {
            Some(true) => Err(ApiError::Malformed { why: "the session that a login gave is nobody's".into() }),
            _ => Ok(Open { cookie, since: Instant::now() }),
        }
    }

    fn refusal(&self) -> ApiError {
        ApiError::LoginRefused { user: self.login.user.clone(), earlier: None }
    }

    async fn password(&self) -> Result<Secret, ApiError> {
        let path = &self.login.password_file;
        let failed = |source| ApiError::NoPassword { path: path.clone(), source };
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A server that counts logins and gives the session `s1`, `s2` and so on.
    #[derive(Debug, Default)]
    struct Server {
        logins: AtomicUsize,
        /// Answers of 429 that are still to be given.
        busy: AtomicUsize,
        /// Sessions below this one are not taken.
        valid_from: AtomicUsize,
        refuses: bool,
    }

    const OK: &str = r#"{"responseMeta":{"status":200,"success":true},"data":{"isAnonymous":false}}"#;

    impl Server {
        async fn start(self) -> (Arc<Self>, Client) {
            let server = Arc::new(self);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let answering = Arc::clone(&server);
            tokio::spawn(async move {
                while let Ok((peer, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&answering).serve(peer));
                }
            });
            (server, client)
        }

        async fn serve(self: Arc<Self>, mut peer: TcpStream) {
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                if peer.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let answer = self.answer(&String::from_utf8_lossy(&head));
            let _ = peer.write_all(answer.replace('\n', "\r\n").as_bytes()).await;
        }

        fn answer(&self, head: &str) -> String {
            if self.busy.load(Ordering::SeqCst) > 0 {
                self.busy.fetch_sub(1, Ordering::SeqCst);
                return "HTTP/1.1 429 Too Many Requests\nretry-after: 0\ncontent-length: 0\nconnection: close\n\n"
                    .into();
            }
            if head.starts_with("POST /api/v1/login ") {
                assert!(head.to_lowercase().contains("x-requested-by: appsmith"), "{head}");
                let session = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
                let to = if self.refuses { "/user/login?error=true" } else { "/applications" };
                return format!(
                    "HTTP/1.1 302 Found\nlocation: {to}\nset-cookie: SESSION=s{session}; Path=/\n\
                     content-length: 0\nconnection: close\n\n"
                );
            }
            let session =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("cookie: session=s")?.parse().ok());
            let valid_from = if head.contains("/users/me") { 0 } else { self.valid_from.load(Ordering::SeqCst) };
            if session.is_some_and(|session: usize| session >= valid_from) {
                let length = OK.len();
                let kind = "content-type: application/json";
                return format!("HTTP/1.1 200 OK\n{kind}\ncontent-length: {length}\nconnection: close\n\n{OK}");
            }
            "HTTP/1.1 401 Unauthorized\ncontent-length: 0\nconnection: close\n\n".into()
        }

        fn logins(&self) -> usize {
            self.logins.load(Ordering::SeqCst)
        }
    }

    /// A session whose password file lives as long as the test.
    fn session() -> (tempfile::NamedTempFile, Session) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "hunter2\r\n").unwrap();
        let login = Login { user: "a@b.test".into(), password_file: file.path().to_owned(), refused_file: None };
        (file, Session { young: Duration::ZERO, ..Session::new(login) })
    }

    #[tokio::test]
    async fn callers_in_parallel_log_in_once() {
        let (server, client) = Server::default().start().await;
        let (_file, session) = session();
        let calls = (0..6).map(|_| session.call(&client, Call::get("api/v1/x")));
        for answer in futures::future::join_all(calls).await {
            answer.unwrap();
        }
        assert_eq!(server.logins(), 1);
    }

    /// appsmith#19768: an update logs everybody out.
    #[tokio::test]
    async fn a_session_that_is_not_taken_any_more_is_replaced_once() {
        let (server, client) = Server::default().start().await;
        let (_file, session) = session();
        session.call(&client, Call::get("api/v1/x")).await.unwrap();
        server.valid_from.store(2, Ordering::SeqCst);
        session.call(&client, Call::get("api/v1/x")).await.unwrap();
        assert_eq!(server.logins(), 2);
        server.valid_from.store(usize::MAX, Ordering::SeqCst);
        let error = session.call(&client, Call::get("api/v1/x")).await.unwrap_err();
        assert!(matches!(error, ApiError::Unauthorized), "{error}");
        assert_eq!(server.logins(), 3);
    }

    #[tokio::test]
    async fn a_young_session_is_not_the_reason_for_a_refusal() {
        let (server, client) = Server { valid_from: usize::MAX.into(), ..Server::default() }.start().await;
        let (_file, session) = session();
        let session = Session { young: YOUNG, ..session };
        for _ in 0..3 {
            assert!(session.call(&client, Call::get("api/v1/x")).await.is_err());
        }
        assert_eq!(server.logins(), 1);
    }

    #[tokio::test]
    async fn a_refused_password_is_sent_once_to_each_container_and_a_new_one_once_more() {
        let (server, client) = Server { refuses: true, ..Server::default() }.start().await;
        let (file, session) = session();
        let refused = async || {
            for _ in 0..3 {
                let error = session.call(&client, Call::get("api/v1/x")).await.unwrap_err();
                assert!(
                    matches!(error, ApiError::LoginRefused { .. }) && !error.to_string().contains("hunter2"),
                    "{error}"
                );
                assert!(session.log_in(&client).await.is_err());
            }
            server.logins()
        };
        session.meets("c1");
        assert_eq!(refused().await, 1);
        session.meets("c1");
        assert_eq!(refused().await, 1);
        session.meets("c2");
        assert_eq!(refused().await, 2);
        std::fs::write(file.path(), "other").unwrap();
        assert_eq!(refused().await, 3);
        assert!(!format!("{session:?}").contains("other"));
    }

    #[tokio::test]
    async fn a_refused_password_is_not_sent_by_the_next_process() {
        let (server, client) = Server { refuses: true, ..Server::default() }.start().await;
        let (folder, (_file, first)) = (tempfile::tempdir().unwrap(), session());
        let refused_file = Some(folder.path().join("logins").join("staging.json"));
        let login = Login { refused_file, ..first.login.clone() };
        for process in 1..=3 {
            let session = Session::new(login.clone());
            session.meets("c1");
            let error = session.log_in(&client).await.unwrap_err();
            let ApiError::LoginRefused { earlier, .. } = error else { panic!("{error}") };
            assert_eq!((server.logins(), earlier.is_some()), (1, process > 1));
        }
    }

    #[tokio::test]
    async fn too_many_requests_are_made_again_after_a_pause() {
        let (server, client) = Server { busy: 2.into(), ..Server::default() }.start().await;
        let (_file, session) = session();
        session.call(&client, Call::get("api/v1/x")).await.unwrap();
        server.busy.store(1000, Ordering::SeqCst);
        let error = session.call(&client, Call::get("api/v1/x")).await.unwrap_err();
        assert!(matches!(error, ApiError::Throttled), "{error}");
        assert!(server.busy.load(Ordering::SeqCst) > 990, "it gives up after a few");
    }

    #[tokio::test]
    async fn a_password_that_cannot_be_read_is_named_and_nothing_is_sent() {
        let (server, client) = Server::default().start().await;
        let (file, session) = session();
        std::fs::write(file.path(), "\n").unwrap();
        let error = session.log_in(&client).await.unwrap_err();
        assert!(matches!(error, ApiError::NoPassword { .. }), "{error}");
        assert_eq!(server.logins(), 0);
    }
}
