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

    /// The same image, environment and mounts under another name and with those labels alone, reached by nobody: without
    /// a network, a port or a link.
    pub fn closed(&self, container: &str, labels: &BTreeMap<String, String>) -> Self {
        let without = |value: &Value, keys: &[&str]| {
            let fields = value.as_object().into_iter().flatten().filter(|(key, _)| !keys.contains(&key.as_str()));
            fields.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>()
        };
        let mut config = without(&self.config, &["MacAddress", "ExposedPorts", "NetworkDisabled"]);
        config.insert("Labels".into(), serde_json::json!(labels));
        let given = ["PortBindings", "PublishAllPorts", "Links", "AutoRemove", "NetworkMode", "Dns", "ExtraHosts"];
        let mut host_config = without(&self.host_config, &given);
        host_config.insert("NetworkMode".into(), "none".into());
        Self {
            container: container.to_owned(),
            config: config.into(),
            host_config: host_config.into(),
            networks: BTreeMap::new(),
            ..self.clone()
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// On an empty app anybody who reaches it may make himself its administrator.
    #[test]
    fn a_closed_one_is_reached_by_nobody_and_keeps_what_it_runs_on() {
        let given = Definition {
            container: "appsmith".into(),
            image_ref: "appsmith:v2".into(),
            image_id: ImageId::new(format!("sha256:{}", "a".repeat(64))).unwrap(),
            restart: RestartPolicy { name: "always".into(), max_retries: 0 },
            config: json!({"Env": ["A=1"], "Labels": {"traefik.enable": "true"}, "ExposedPorts": {"80/tcp": {}}, "MacAddress": "02:42:ac:11:00:02"}),
            host_config: json!({
                "Binds": ["stacks:/appsmith-stacks"], "PortBindings": {"80/tcp": [{"HostPort": "80"}]}, "NetworkMode": "web",
                "PublishAllPorts": true, "Links": ["db:db"], "Memory": 1024,
            }),
            networks: [("web".to_owned(), json!({"Aliases": ["appsmith"]}))].into(),
            mounts: Vec::new(),
            lost: Vec::new(),
        };
        let closed = given.closed("loader", &[("role".to_owned(), "loader".to_owned())].into());
        assert_eq!(closed.config, json!({"Env": ["A=1"], "Labels": {"role": "loader"}}));
        let host = json!({"Binds": ["stacks:/appsmith-stacks"], "Memory": 1024, "NetworkMode": "none"});
        assert_eq!((closed.host_config, closed.networks.len()), (host, 0));
        assert_eq!((closed.container.as_str(), closed.image_id), ("loader", given.image_id));
    }
}
