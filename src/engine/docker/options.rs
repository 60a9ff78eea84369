//! How the engine is reached, and which engine it is.

use std::path::PathBuf;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use super::DockerEngine;
use crate::engine::{EngineError, EngineInfo};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// For everything that the engine answers at once.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);

/// How to reach the engine.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// `unix:///path`, `tcp://host:port` or `https://host:port`; else `DOCKER_HOST`; else the usual socket. With
    /// `DOCKER_TLS_VERIFY`, `tcp://` speaks TLS with the certificates in `DOCKER_CERT_PATH`.
    pub host: Option<String>,
    /// The porter's program.
    pub porter: PorterSource,
    /// A porter that did not end within this time is killed. Its job may be asked again.
    pub porter_limit: Duration,
    /// A pull of which nothing came for this long is given up.
    pub pull_stall: Duration,
    /// An upload of which the engine took nothing for this long is given up. Longer than any source of it may be silent.
    pub upload_stall: Duration,
}

impl Default for DockerOptions {
    fn default() -> Self {
        Self {
            host: None,
            porter: PorterSource::default(),
            porter_limit: Duration::from_secs(3600),
            pull_stall: Duration::from_secs(300),
            upload_stall: Duration::from_secs(900),
        }
    }
}

/// Where the porter's program is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PorterSource {
    /// `TIDEGATE_PORTER`, or `tidegate-porter-static` or `tidegate-porter` beside our own program.
    #[default]
    Beside,
    /// This file.
    File(PathBuf),
}

impl DockerEngine {
    /// Prepares to speak to an engine; whether it answers is for `probe` to say. Does not block.
    pub fn connect(options: DockerOptions) -> Result<Self, EngineError> {
        let host = options.host.clone().or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()));
        let address = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let docker = Docker::connect_with_host(&address).map(|docker| docker.with_timeout(REQUEST_LIMIT));
        match docker {
            Ok(docker) => Ok(Self { docker, address, options }),
            Err(source) => Err(EngineError::Unreachable { address, source: Box::new(source) }),
        }
    }

    /// For requests that answer only after `limit` at the most.
    pub(super) fn patient(&self, limit: Duration) -> Docker {
        self.docker.clone().with_timeout(limit.saturating_add(REQUEST_LIMIT))
    }

    pub(super) async fn probe(&self) -> Result<EngineInfo, EngineError> {
        let action = || "ask the engine for its version".to_owned();
        let version = self.docker.version().await.map_err(|error| self.trouble(action(), error))?;
        let info = self.docker.info().await.map_err(|error| self.trouble(action(), error))?;
        Ok(EngineInfo {
            version: version.version.or(info.server_version).unwrap_or_default(),
            api_version: version.api_version.unwrap_or_else(|| API_DEFAULT_VERSION.to_string()),
            id: info.id.unwrap_or_default(),
            architecture: info.architecture.or(version.arch).unwrap_or_default(),
        })
    }
}
