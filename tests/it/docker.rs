//! Docker's own command line, for what tests set up and look at independently of Tidegate's adapter.

use std::process::Output;

use tidegate::engine::docker::{DockerEngine, DockerOptions};

/// Runs `docker` to its end.
pub async fn docker(words: &[&str]) -> Output {
    tokio::process::Command::new("docker").args(words).kill_on_drop(true).output().await.expect("docker can be run")
}

/// Runs `docker`, which must succeed, and gives its standard output.
pub async fn docker_ok(words: &[&str]) -> String {
    let output = docker(words).await;
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The engine of this host, as the product sees it.
pub fn engine() -> DockerEngine {
    DockerEngine::connect(DockerOptions::default()).expect("a Docker engine")
}

/// Asks the engine for something that its newer command lines do not offer any more.
pub async fn post(path: &str, body: serde_json::Value) {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::TokioIo;
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let socket = tokio::net::UnixStream::connect(host.strip_prefix("unix://").expect("an engine on this host")).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(path).header("host", "docker").header("content-type", "application/json");
    let body = Full::new(bytes::Bytes::from(body.to_string()));
    let answer = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
    assert!(status.is_success(), "POST {path}: {status} {}", String::from_utf8_lossy(&body));
}
