//! Stands before the Docker engine, counts what is asked to change, and lets one such request go wrong.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The engine never sees it; the answer is an error.
    Refuse,
    /// The engine does it; there is no answer.
    LoseAnswer,
    /// The engine begins it; [`EngineProxy::held`] ends at once, and the answer is not passed on.
    Hold,
}

#[derive(Debug, Default)]
struct State {
    changes: Vec<String>,
    fault: Option<(usize, Fault)>,
    refused: Option<(&'static str, usize)>,
}

/// Ended when dropped.
pub struct EngineProxy {
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    holds: watch::Sender<bool>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl EngineProxy {
    /// Before the engine of `DOCKER_HOST`.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let holds = watch::Sender::new(false);
        let (shared, sender) = (state.clone(), holds.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    Ok((client, _)) = listener.accept() => {
                        tokio::spawn(serve(client, shared.clone(), sender.clone()));
                    }
                }
            }
        });
        Self { folder, state, holds, _stop: stop }
    }

    /// For `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// Counts from the beginning, with that fault at the change of that number.
    pub fn reset(&self, fault: Option<(usize, Fault)>) {
        *self.state.lock().unwrap() = State { changes: Vec::new(), fault, refused: None };
        self.holds.send_replace(false);
    }

    /// Waits until the change that is to be held has been sent to the engine.
    pub async fn held(&self) {
        self.holds.subscribe().wait_for(|holds| *holds).await.unwrap();
    }

    /// Refuses one change whose path ends so, after that many have passed.
    pub fn refuse(&self, path: &'static str, pass: usize) {
        self.state.lock().unwrap().refused = Some((path, pass));
    }

    /// The changes that were asked for since, as paths.
    pub fn changes(&self) -> Vec<String> {
        self.state.lock().unwrap().changes.clone()
    }
}

async fn serve(client: UnixStream, state: Arc<Mutex<State>>, holds: watch::Sender<bool>) {
    let service = hyper::service::service_fn(move |request| forward(request, state.clone(), holds.clone()));
    // An error here is the lost answer: the connection breaks.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades()
        .await;
}

/// The fault that this request is to meet.
fn fault_of(request: &Request<Incoming>, state: &Mutex<State>) -> Option<Fault> {
    // Waiting for a container to end and attaching to a command change nothing.
    let is_quiet = request.uri().path().ends_with("/wait") || request.uri().path().ends_with("/attach");
    if matches!(*request.method(), Method::GET | Method::HEAD) || is_quiet {
        return None;
    }
    let mut state = state.lock().unwrap();
    let number = state.changes.len();
    state.changes.push(request.uri().path().to_owned());
    if let Some((path, pass)) = state.refused.filter(|(path, _)| request.uri().path().ends_with(path)) {
        state.refused = pass.checked_sub(1).map(|pass| (path, pass));
        if pass == 0 {
            return Some(Fault::Refuse);
        }
    }
    state.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault)
}

async fn forward(
    mut request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    holds: watch::Sender<bool>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let fault = fault_of(&request, &state);
    if fault == Some(Fault::Refuse) {
        println!("refused: {} {}", request.method(), request.uri());
        let text =
            Full::new(Bytes::from_static(b"{\"message\":\"injected\"}")).map_err(|never: Infallible| match never {});
        let answer = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
        return Ok(answer.header(header::CONTENT_TYPE, "application/json").body(text.boxed())?);
    }
    let engine = UnixStream::connect(engine_socket()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(engine)).await?;
    tokio::spawn(connection.with_upgrades());
    let what = format!("{} {}", request.method(), request.uri());
    let upgrade = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let answer = sender.send_request(request);
    if fault == Some(Fault::Hold) {
        println!("held: {what}");
        holds.send_replace(true);
        let _ = answer.await;
        return std::future::pending().await;
    }
    let mut answer = answer.await?;
    if fault == Some(Fault::LoseAnswer) {
        println!("answer lost: {what}");
        // The body too, so that the engine is done with it.
        let _ = answer.into_body().collect().await;
        return Err("the answer is lost".into());
    }
    if let (Some(upgrade), StatusCode::SWITCHING_PROTOCOLS) = (upgrade, answer.status()) {
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            if let (Ok(ours), Ok(theirs)) = tokio::join!(upgrade, theirs) {
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
            }
        });
    }
    Ok(answer.map(|body| body.map_err(Into::into).boxed()))
}

fn engine_socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    host.strip_prefix("unix://").expect("an engine on this host").to_owned()
}
