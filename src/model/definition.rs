//! A container's definition: what it was *given*, without what it inherited from its image.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ids::ImageId;

/// Everything that is needed to create the container again on another image.
///
/// The three JSON values have the shape of Docker's `POST /containers/create` and are opaque to
/// everything but the engine. They hold the environment, and so secrets: a definition is printed
/// without them, and lies on disk only in files of mode 0600.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The container's name, without a leading `/`.
    pub container: String,
    /// The image as the operator wrote it, such as `appsmith/appsmith-ce:v2.5.1`.
    pub image_ref: String,
    /// The image that it ran on when this was read.
    pub image_id: ImageId,
    /// The restart policy that the operator gave.
    pub restart: RestartPolicy,
    /// Container configuration: environment, command, labels, ports, health check and so on.
    pub config: Value,
    /// Host configuration: binds, mounts, port bindings, limits, log options and so on, without the
    /// restart policy. Anonymous volumes are bound by name, so that they are carried along.
    pub host_config: Value,
    /// Endpoint settings by network: aliases and fixed addresses.
    pub networks: BTreeMap<String, Value>,
    /// Mounts as they were, for plans and for finding data.
    pub mounts: Vec<Mount>,
    /// Fields that were given and cannot be carried to a successor, such as `MacAddress`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

impl Definition {
    /// The same container on another image. `image_ref` is what a person reads.
    pub fn on_image(&self, image_ref: &str, image_id: &ImageId) -> Self {
        Self { image_ref: image_ref.to_owned(), image_id: image_id.clone(), ..self.clone() }
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { container, image_ref, image_id, restart, mounts, .. } = self;
        f.debug_struct("Definition")
            .field("container", container)
            .field("image_ref", image_ref)
            .field("image_id", image_id)
            .field("restart", restart)
            .field("mounts", mounts)
            .finish_non_exhaustive()
    }
}

/// Docker's restart policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    pub name: String,
    /// For `on-failure`; 0 is without limit.
    pub max_retries: i64,
}

impl RestartPolicy {
    /// Nobody starts the container but a person, or us.
    pub fn no() -> Self {
        Self { name: "no".into(), max_retries: 0 }
    }
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, inside the container.
    pub destination: String,
    /// Whether the container may write to it.
    pub writable: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "at", rename_all = "snake_case")]
pub enum MountSource {
    /// A named or anonymous volume, by name.
    Volume(String),
    /// A file or folder of the host, by path.
    Bind(String),
    /// Memory; nothing of it is kept.
    Tmpfs,
    /// A kind that Tidegate does not know, by Docker's name for it.
    Other(String),
}

impl fmt::Display for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(name) => write!(f, "volume {name}"),
            Self::Bind(path) => write!(f, "{path}"),
            Self::Tmpfs => f.write_str("tmpfs"),
            Self::Other(kind) => write!(f, "a mount of kind {kind}"),
        }
    }
}
