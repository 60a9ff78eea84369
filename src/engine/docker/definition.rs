//! Reads what a container was *given*: what inspect says, without what it inherited from its image.
//!
//! Known limit: values that the operator repeated word by word from the image are taken for inherited ones.

use std::collections::{BTreeMap, HashSet};

use bollard::models::{ContainerInspectResponse, EndpointSettings, MountPoint};
use serde_json::{Map, Value};

use super::DockerEngine;
use super::containers::{image_id, mount, policy_in};
use super::errors::unexpected;
use crate::engine::EngineError;
use crate::model::definition::{Definition, MountSource};

impl DockerEngine {
    pub(super) async fn definition(&self, container: &str) -> Result<Definition, EngineError> {
        let missing = || EngineError::NoSuchContainer { container: container.to_owned() };
        let found = self.inspect(container).await?.ok_or_else(missing)?;
        let image = found.image.clone().unwrap_or_default();
        let action = || format!("look at the image of `{container}`");
        let image =
            self.docker.inspect_image(&image).await.map_err(|error| self.image_trouble(action(), &image, error))?;
        let image = object(action, &image.config.unwrap_or_default())?;
        let id = found.id.clone().unwrap_or_default();
        let mut definition = read(container, found, &image)?;
        if self.has_given_mac(&id).await {
            definition.lost.push("MacAddress".into());
        }
        Ok(definition)
    }
}

/// The part that only looks at what was said.
fn read(
    container: &str,
    found: ContainerInspectResponse,
    image: &Map<String, Value>,
) -> Result<Definition, EngineError> {
    let action = || format!("read the definition of `{container}`");
    let id = found.id.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let settings = found.config.unwrap_or_default();
    let labels = settings.labels.as_ref();
    let refusal = if host.auto_remove == Some(true) {
        Some("it is removed as soon as it stops (`--rm`)")
    } else if host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:")) {
        Some("it uses the network of another container (`--network container:…`)")
    } else if host.volumes_from.as_ref().is_some_and(|from| !from.is_empty()) {
        Some("it takes its mounts from another container (`--volumes-from`)")
    } else if labels.is_some_and(|labels| labels.contains_key("com.docker.swarm.service.id")) {
        Some("it belongs to a swarm service, which creates it by itself")
    } else {
        None
    };
    if let Some(reason) = refusal {
        return Err(EngineError::CannotCarry { container: container.to_owned(), reason: reason.into() });
    }

    let points = found.mounts.unwrap_or_default();
    let restart = policy_in(host.restart_policy.as_ref());
    let host_networked = host.uts_mode.as_deref() == Some("host");
    let mut config = given_config(object(action, &settings)?, image, &id, host_networked);
    let mut host_config = given_host_config(object(action, &host)?);
    bind_anonymous_volumes(&mut config, &mut host_config, &points);
    let mut networks = BTreeMap::new();
    for (network, endpoint) in found.network_settings.and_then(|settings| settings.networks).unwrap_or_default() {
        networks.insert(network, Value::Object(given_endpoint(object(action, &own_part(endpoint))?, &id)));
    }
    let mut mounts: Vec<_> = points.into_iter().map(mount).collect();
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(Definition {
        container: container.to_owned(),
        image_ref: settings.image.unwrap_or_default(),
        image_id: image_id(found.image).ok_or_else(|| unexpected(action(), "it has no image id"))?,
        restart,
        config: Value::Object(config),
        host_config: Value::Object(host_config),
        networks,
        mounts,
        lost: Vec::new(),
    })
}

fn object(action: impl Fn() -> String, value: &impl serde::Serialize) -> Result<Map<String, Value>, EngineError> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(unexpected(action(), "the engine's answer is not an object")),
        Err(error) => Err(EngineError::Request { action: action(), source: Box::new(error) }),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn given_config(
    mut own: Map<String, Value>,
    image: &Map<String, Value>,
    id: &str,
    uts_host: bool,
) -> Map<String, Value> {
    let none = Value::Null;
    let inherited = |key: &str| image.get(key).unwrap_or(&none);
    own.remove("Image");
    // Without a name of its own a container is called by the beginning of its id.
    let named =
        own.get("Hostname").and_then(Value::as_str).is_some_and(|name| !name.is_empty() && !id.starts_with(name));
    if !named || uts_host {
        own.remove("Hostname");
    }
    if let (Some(Value::Array(list)), Value::Array(from)) = (own.get_mut("Env"), inherited("Env")) {
        list.retain(|entry| !from.contains(entry));
    }
    for key in ["Labels", "ExposedPorts", "Volumes", "Healthcheck"] {
        // A health check is inherited field by field, too.
        if let (Some(Value::Object(map)), Value::Object(from)) = (own.get_mut(key), inherited(key)) {
            map.retain(|name, value| from.get(name) != Some(value));
        }
    }
    for key in ["User", "WorkingDir", "StopSignal", "Shell", "OnBuild", "ArgsEscaped"] {
        if own.get(key) == Some(inherited(key)) {
            own.remove(key);
        }
    }
    let same = |a: Option<&Value>, b: &Value| a.unwrap_or(&none) == b || (a.is_none_or(is_empty) && is_empty(b));
    if same(own.get("Entrypoint"), inherited("Entrypoint")) {
        own.remove("Entrypoint");
        // A command is inherited only together with the entry point.
        if same(own.get("Cmd"), inherited("Cmd")) {
            own.remove("Cmd");
        }
    } else if own.get("Entrypoint").is_none_or(is_empty) {
        // Taken away with `--entrypoint ""`, which the engine is told in this way.
        own.insert("Entrypoint".into(), Value::Array(vec![Value::String(String::new())]));
    }
    own.retain(|_, value| !is_empty(value));
    own
}

fn given_host_config(mut own: Map<String, Value>) -> Map<String, Value> {
    for key in ["RestartPolicy", "AutoRemove", "ContainerIDFile", "ConsoleSize"] {
        own.remove(key);
    }
    // An empty list of masked paths masks nothing; none at all masks the usual ones.
    own.retain(|key, value| {
        !is_empty(value) || (value.is_array() && matches!(key.as_str(), "MaskedPaths" | "ReadonlyPaths"))
    });
    own
}

/// What was given of an endpoint, without what the engine filled in.
fn own_part(endpoint: EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        ipam_config: endpoint.ipam_config,
        links: endpoint.links,
        aliases: endpoint.aliases,
        driver_opts: endpoint.driver_opts,
        gw_priority: endpoint.gw_priority.filter(|priority| *priority != 0),
        ..Default::default()
    }
}

fn given_endpoint(mut own: Map<String, Value>, id: &str) -> Map<String, Value> {
    if let Some(Value::Array(aliases)) = own.get_mut("Aliases") {
        // The engine adds the short id.
        aliases.retain(|alias| alias.as_str().is_none_or(|alias| alias.len() != 12 || !id.starts_with(alias)));
    }
    if let Some(Value::Object(ipam)) = own.get_mut("IPAMConfig") {
        ipam.retain(|_, value| !is_empty(value));
    }
    own.retain(|_, value| !is_empty(value));
    own
}

/// Binds volumes without a name of the operator's by the name that they have, so that the data comes along.
fn bind_anonymous_volumes(config: &mut Map<String, Value>, host: &mut Map<String, Value>, points: &[MountPoint]) {
    let mut bound: HashSet<String> = HashSet::new();
    for bind in host.get("Binds").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        bound.extend(bind.split(':').nth(1).map(str::to_owned));
    }
    let mut binds = Vec::new();
    let mut volumes: Vec<(&str, &str, bool)> = points.iter().filter_map(volume_at).collect();
    volumes.sort_unstable();
    for (destination, name, writable) in volumes {
        let mounts = host.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten();
        let declared = mounts.filter_map(Value::as_object_mut).find(|mount| {
            mount
                .get("Target")
                .and_then(Value::as_str)
                .is_some_and(|target| target.trim_end_matches('/') == destination)
        });
        if let Some(declared) = declared {
            if declared.get("Source").is_none_or(is_empty) {
                declared.insert("Source".into(), Value::String(name.to_owned()));
            }
        } else if !bound.contains(destination) {
            let mode = if writable { "" } else { ":ro" };
            binds.push(Value::String(format!("{name}:{destination}{mode}")));
        }
        if let Some(Value::Object(anonymous)) = config.get_mut("Volumes") {
            anonymous.remove(destination);
        }
    }
    if config.get("Volumes").is_some_and(is_empty) {
        config.remove("Volumes");
    }
    if !binds.is_empty() {
        match host.entry("Binds").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(list) => list.extend(binds),
            other => *other = Value::Array(binds),
        }
    }
}

fn volume_at(point: &MountPoint) -> Option<(&str, &str, bool)> {
    match mount(point.clone()).source {
        MountSource::Volume(_) => {
            Some((point.destination.as_deref()?, point.name.as_deref()?, point.rw.unwrap_or(true)))
        }
        _ => None,
    }
}
