//! The web server in front (Caddy, in the real container): pages, `/info`, limits, and the way to the API.
//!
//! ```text
//! request -> request id -> rate limit -> /info | /api/… -> 502 unless the backend is open -> api
//!                                              | /static/… 404
//!                                              | anything else: loading page or app, always 200
//! ```

mod limit;
mod request_id;

use crate::api;
use crate::failure::{Failure, Result};
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
    let limiter = Arc::new(limit::Limiter::for_settings(&world.settings(), &world.container));
    Router::new()
        .route("/info", any(info))
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
    if world.api_is_open() { next.run(request).await } else { plain(StatusCode::BAD_GATEWAY) }
}

async fn info(State(world): State<Arc<World>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], world.info.clone()).into_response()
}

async fn rts(State(world): State<Arc<World>>) -> Response {
    plain(if world.rts_up.load(Ordering::SeqCst) { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY })
}

async fn page(State(world): State<Arc<World>>) -> Response {
    let html = if world.loading_page.load(Ordering::SeqCst) { LOADING } else { APP };
    let html = html.replace("{{version}}", &world.behaviour.version.to_string());
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}
