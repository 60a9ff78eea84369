//! The same repositories over HTTPS: `git http-backend` as a CGI program behind a small TLS server on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::store::tls;

const BACKEND: &str = "/usr/lib/git-core/git-http-backend";

/// A running server. It ends with its test.
#[derive(Debug)]
pub struct Https {
    endpoint: String,
    certificates: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Https {
    /// Serves the repositories of a folder to whoever has the token, as a password (Basic) or as it is (Bearer).
    pub(super) async fn start(repositories: &Path, token: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let served =
            Served { repositories: repositories.to_owned(), token: token.to_owned(), asked: Arc::clone(&asked) };
        let served = Arc::new(served);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(|request| served.answer(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A client that goes away in the middle is its own affair.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let certificates = tempfile::tempdir().unwrap();
        let endpoint = tls::before(address, certificates.path()).await;
        Self { endpoint, certificates, asked }
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.endpoint)
    }

    /// The certificate of the authority that a client must trust.
    pub fn ca_file(&self) -> PathBuf {
        self.certificates.path().join("ca.pem")
    }

    /// Every request that was let in, as method and path.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Served {
    repositories: PathBuf,
    token: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn knows(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let basic = given.strip_prefix("Basic ").and_then(|text| {
            let pair = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
            Some(String::from_utf8(pair).ok()?.split_once(':')?.1 == self.token)
        });
        basic.unwrap_or_else(|| given.strip_prefix("Bearer ") == Some(&self.token))
    }

    async fn answer(&self, request: Request<Incoming>) -> std::io::Result<Response<Full<Bytes>>> {
        if !self.knows(&request) {
            let answer = Response::builder().status(StatusCode::UNAUTHORIZED);
            let answer = answer.header(WWW_AUTHENTICATE, "Basic realm=\"git\"").body(Full::default());
            return answer.map_err(std::io::Error::other);
        }
        self.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
        let text =
            |name| request.headers().get(&name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let mut backend = tokio::process::Command::new(BACKEND);
        backend
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_HTTP_EXPORT_ALL", "1");
        backend.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        backend.env("GIT_PROJECT_ROOT", &self.repositories).env("PATH_INFO", request.uri().path());
        backend.env("QUERY_STRING", request.uri().query().unwrap_or_default());
        backend
            .env("REQUEST_METHOD", request.method().as_str())
            .env("REMOTE_USER", "token")
            .env("REMOTE_ADDR", "127.0.0.1");
        backend.env("CONTENT_TYPE", text(CONTENT_TYPE)).env("HTTP_CONTENT_ENCODING", text(CONTENT_ENCODING));
        let protocol = request.headers().get("git-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default();
        backend.env("GIT_PROTOCOL", protocol);
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        backend.env("CONTENT_LENGTH", body.len().to_string());
        let mut running = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut input = running.stdin.take().ok_or_else(|| std::io::Error::other("no stdin"))?;
        let feed = async move {
            // It stops reading where it refuses.
            let _ = input.write_all(&body).await;
        };
        let (output, ()) = tokio::join!(running.wait_with_output(), feed);
        answer_of(&output?.stdout)
    }
}

/// A CGI program's output as an answer.
fn answer_of(output: &[u8]) -> std::io::Result<Response<Full<Bytes>>> {
    let end =
        output.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| std::io::Error::other("no head"))?;
    let (head, body) = output.split_at(end);
    let mut answer = Response::builder();
    for line in String::from_utf8_lossy(head).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => answer = answer.status(status.get(..3).unwrap_or("500")),
            Some((name, value)) => answer = answer.header(name, value),
            None => {}
        }
    }
    answer.body(Full::new(Bytes::copy_from_slice(body.get(4..).unwrap_or_default()))).map_err(std::io::Error::other)
}
