//! The web server in front (Caddy, in old images nginx): pages, `/info`, limits, and the way to the API.
//!
//! ```text
//! request -> request id -> rate limit -> /info | /api/… -> 502 unless the backend is open -> api
//!                                              | /static/… the two files of the front end, else 404
//!                                              | anything else: loading page or app, always 200
//! ```

mod limit;
mod request_id;

use crate::api;
use crate::behaviour::Behaviour;
use crate::broken::Broken;
use crate::failure::{Failure, Result};
use crate::feature::Feature;
use crate::supervisor::quit::{Bell, Quit, bell};
use crate::world::World;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;

const LOADING: &str = include_str!("loading.html");
const APP: &str = include_str!("app.html");
const STYLE: &str = include_str!("app.css");
const SCRIPT: &str = include_str!("app.js");

/// A web server that runs until it is closed.
#[derive(Debug)]
pub struct Front {
    bell: Bell,
}

impl Front {
    /// Refuses new connections and ends the idle ones.
    pub fn close(self) {
        self.bell.ring();
    }
}

/// Opens the port: 80, or the container's `PORT`.
pub async fn open(world: &Arc<World>) -> Result<Front> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    let listener =
        TcpListener::bind(address).await.map_err(Failure::at("listen on", Path::new(&address.to_string())))?;
    let (bell, quit) = bell();
    tokio::spawn(serve(listener, router(world), quit));
    Ok(Front { bell })
}

async fn serve(listener: TcpListener, router: Router, quit: Quit) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let closed = async move { quit.asked().await };
    // Serving ends only by the bell: axum retries when accepting fails.
    let _ = axum::serve(listener, service).with_graceful_shutdown(closed).await;
}

/// Everything that the port answers.
pub fn router(world: &Arc<World>) -> Router {
    let backend = |router: Router| router.layer(middleware::from_fn_with_state(Arc::clone(world), only_while_open));
    let caddy = world.behaviour.version.has(Feature::Caddy);
    let limiter =
        if caddy { limit::Limiter::for_settings(&world.settings(), &world.container) } else { limit::Limiter::off() };
    let limiter = Arc::new(limiter);
    // nginx knew no /info: the page came, as for any other path.
    let router = if caddy { Router::new().route("/info", any(info)) } else { Router::new() };
    router
        .route("/static/css/app.css", any(|| async { text("text/css", STYLE) }))
        .route("/static/js/app.js", any(|| async { text("text/javascript", SCRIPT) }))
        .route("/static/{*path}", any(|| async { plain(StatusCode::NOT_FOUND) }))
        .route("/rts/{*path}", any(rts))
        .fallback(page)
        .with_state(Arc::clone(world))
        .nest("/api", backend(api::router(world)))
        .nest("/oauth2", backend(api::nothing()))
        .layer(middleware::from_fn_with_state(limiter, limit::limit))
        .layer(middleware::from_fn(request_id::mark))
}

/// An error of the web server itself: plain text, no envelope.
fn plain(status: StatusCode) -> Response {
    (status, format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())).into_response()
}

async fn only_while_open(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    if world.api_is_open() {
        next.run(request).await
    } else if world.behaviour.version.has(Feature::Caddy) {
        plain(StatusCode::BAD_GATEWAY)
    } else {
        let title = "502 Bad Gateway";
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center><hr><center>nginx</center></body>\r\n</html>\r\n"
        );
        (StatusCode::BAD_GATEWAY, text("text/html", page)).into_response()
    }
}

fn text(kind: &'static str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn info(State(world): State<Arc<World>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], world.info.clone()).into_response()
}

async fn rts(State(world): State<Arc<World>>) -> Response {
    plain(if world.rts_up.load(Ordering::SeqCst) { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY })
}

async fn page(State(world): State<Arc<World>>) -> Response {
    let html = if world.loading_page.load(Ordering::SeqCst) { LOADING.to_owned() } else { app(&world.behaviour) };
    let html = html.replace("{{version}}", &world.behaviour.version.to_string());
    text("text/html; charset=utf-8", html)
}

/// The front end's page. It may be broken although the API is well.
fn app(behaviour: &Behaviour) -> String {
    let faults = [(Broken::BlankPage, "blank-page"), (Broken::ConsoleError, "console-error")];
    let fault = faults.iter().find(|(way, _)| behaviour.is(way)).map(|(_, name)| *name);
    let consolidated = behaviour.version.has(Feature::ConsolidatedView);
    let missing = behaviour.is(&Broken::MissingAsset);
    let more = if missing { r#"<script defer src="/static/js/widgets.5f3a1c.chunk.js"></script>"# } else { "" };
    let boot = serde_json::json!({"consolidated": consolidated, "fault": fault});
    APP.replace("{{boot}}", &boot.to_string()).replace("{{more}}", more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::options::Options;
    use crate::paths::Volume;
    use std::collections::BTreeMap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// The whole answer to a GET.
    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn pages_always_answer_and_the_api_only_while_the_backend_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let behaviour = Baked::take(&mut Options::read(&[]).unwrap()).unwrap().in_environment(None, None).unwrap();
        let world = World::new(Volume::at(dir.path()), behaviour, "{\"version\":\"v1.99\"}".into(), BTreeMap::new());
        world.loading_page.store(true, Ordering::SeqCst);
        let world = Arc::new(world);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (bell, quit) = bell();
        let server = tokio::spawn(serve(listener, router(&world), quit));

        for path in ["/api/v1/health", "/api/v1/nothing", "/api/nothing", "/oauth2/x"] {
            assert!(get(address, path).await.ends_with("\r\n\r\n502 Bad Gateway"), "{path}");
        }
        assert!(get(address, "/any/page").await.contains("id=\"loading\""));
        assert!(get(address, "/info").await.ends_with("{\"version\":\"v1.99\"}"));
        assert!(get(address, "/static/gone.js").await.starts_with("HTTP/1.1 404"));
        assert!(get(address, "/static/js/app.js").await.contains("runOnLoad"));

        world.api_open.store(true, Ordering::SeqCst);
        world.loading_page.store(false, Ordering::SeqCst);
        assert!(get(address, "/api/v1/nothing").await.contains("AE-APP-4027"));
        assert!(get(address, "/api/v1/health").await.contains("AE-APP-4080"), "no database runs here");
        assert!(get(address, "/any/page").await.contains("id=\"root\""));

        bell.ring();
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[test]
    fn the_front_end_can_be_broken_while_the_api_is_well() {
        let app = |broken: &str| {
            let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
            app(&baked.in_environment(None, Some(broken)).unwrap())
        };
        assert!(app("").contains(r#""fault":null"#) && !app("").contains("chunk"));
        assert!(app("blank-page").contains(r#""fault":"blank-page""#));
        assert!(app("console-error").contains(r#""fault":"console-error""#));
        assert!(app("missing-asset").contains("chunk.js"));
    }
}
