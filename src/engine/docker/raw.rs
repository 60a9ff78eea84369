//! What bollard's models leave out of an answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::DockerEngine;
use crate::stream::BoxError;

/// An API that engines from 19.03 to 28 speak, in which inspect tells a `--mac-address` from one that the engine made up.
const WITH_MAC: &str = "v1.40";
const LIMIT: Duration = Duration::from_secs(20);

impl DockerEngine {
    /// Whether the container was given a MAC address.
    ///
    /// bollard follows a newer API, in which the container's configuration has no such field
    /// (`API v1.44: Config.MacAddress is deprecated`, Docker's API version history). So an older one is asked. Where it cannot be asked, over TCP or of a newer engine, the answer is no.
    pub(super) async fn has_given_mac(&self, id: &str) -> bool {
        let Some(socket) = self.address.strip_prefix("unix://") else { return false };
        let asked = tokio::time::timeout(LIMIT, get(socket, format!("/{WITH_MAC}/containers/{id}/json"))).await;
        let found = asked.ok().and_then(Result::ok).unwrap_or_default();
        found["Config"]["MacAddress"].as_str().is_some_and(|mac| !mac.is_empty())
    }
}

async fn get(socket: &str, path: String) -> Result<Value, BoxError> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let request = Request::get(path).header("host", "docker").body(Empty::<Bytes>::new())?;
    let asked = async {
        let answer = sender.send_request(request).await?;
        Ok::<Bytes, BoxError>(answer.into_body().collect().await?.to_bytes())
    };
    // The connection moves only while it is polled, and ends with the answer.
    tokio::select! {
        body = asked => Ok(serde_json::from_slice(&body?)?),
        ended = connection => Err(ended.err().map_or_else(|| "the engine ended the connection".into(), BoxError::from)),
    }
}
