//! Creates a container like another without touching that one, to see whether this host can.

use std::collections::HashSet;

use bollard::query_parameters::InspectNetworkOptions;
use serde_json::{Map, Value, json};

use super::DockerEngine;
use super::errors::status;
use super::ours::missing_image;
use crate::engine::{EngineError, ImageView, Labels};
use crate::model::definition::Definition;

/// Network modes that every engine has.
const BUILT_IN: [&str; 5] = ["", "default", "bridge", "host", "none"];

impl DockerEngine {
    pub(super) async fn try_out(
        &self,
        trial: &str,
        definition: &Definition,
        labels: &Labels,
    ) -> Result<Vec<String>, EngineError> {
        // Left by an earlier try.
        self.remove(trial).await?;
        let id = definition.image_id.as_str();
        let image = self.image(id).await?.ok_or_else(|| missing_image(id))?;
        self.has_networks(definition).await?;
        let wanted = like(definition, trial, labels, &image);
        let got = match self.create(&wanted).await {
            Ok(()) => self.definition(trial).await,
            Err(error) => Err(error),
        };
        self.remove(trial).await?;
        Ok(lost(&wanted, &got?))
    }

    /// An engine creates a container on a network that is not there, and only refuses to start it.
    async fn has_networks(&self, definition: &Definition) -> Result<(), EngineError> {
        let mode = definition.host_config["NetworkMode"].as_str().unwrap_or_default();
        let all = definition.networks.keys().map(String::as_str).chain([mode]);
        for network in all.filter(|network| !BUILT_IN.contains(network)) {
            match self.docker.inspect_network(network, None::<InspectNetworkOptions>).await {
                Ok(_) => {}
                Err(error) if status(&error) == Some(404) => {
                    let network = network.to_owned();
                    return Err(EngineError::NoSuchNetwork { container: definition.container.clone(), network });
                }
                Err(error) => return Err(self.trouble(format!("look at the network `{network}`"), error)),
            }
        }
        Ok(())
    }
}

/// The same under another name, known to nobody, and without a new volume for a VOLUME of the image that nothing is
/// mounted at.
fn like(definition: &Definition, trial: &str, labels: &Labels, image: &ImageView) -> Definition {
    let mut like = Definition { container: trial.to_owned(), ..definition.clone() };
    // Labels come with an image, too; those that others act on are overwritten.
    let inherited = image.labels.keys().map(|label| (label.clone(), String::new()));
    let labels: Labels = inherited.chain(labels.clone()).collect();
    set(&mut like.config, "Labels", json!(labels));
    let mounted = mounted(&like.host_config);
    let mut tmpfs = like.host_config["Tmpfs"].as_object().cloned().unwrap_or_default();
    for path in image.volumes.iter().filter(|path| !mounted.contains(*path)) {
        tmpfs.entry(path.clone()).or_insert_with(|| json!(""));
    }
    if !tmpfs.is_empty() {
        set(&mut like.host_config, "Tmpfs", Value::Object(tmpfs));
    }
    like
}

/// Where something is mounted already.
fn mounted(host: &Value) -> HashSet<String> {
    let binds = host["Binds"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let binds = binds.filter_map(|bind| bind.split(':').nth(1));
    let mounts = host["Mounts"].as_array().into_iter().flatten().filter_map(|mount| mount["Target"].as_str());
    let tmpfs = host["Tmpfs"].as_object().into_iter().flatten().map(|(path, _)| path.as_str());
    binds.chain(mounts).chain(tmpfs).map(|path| path.trim_end_matches('/').to_owned()).collect()
}

fn set(object: &mut Value, key: &str, value: Value) {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    object[key] = value;
}

/// The fields that were wanted and are not there, by name: their values may be secrets.
fn lost(wanted: &Definition, got: &Definition) -> Vec<String> {
    let mut lost = wanted.lost.clone();
    let mut compare = |part: &str, wanted: &Value, got: &Value, passed_over: &[&str]| {
        for (key, value) in wanted.as_object().into_iter().flatten() {
            if !passed_over.contains(&key.as_str()) && sorted(value) != sorted(&got[key]) {
                lost.push(format!("{part}.{key}"));
            }
        }
    };
    compare("Config", &wanted.config, &got.config, &["Labels"]);
    // A link is told with the name of the container that has it.
    compare("HostConfig", &wanted.host_config, &got.host_config, &["Links"]);
    for (network, endpoint) in &wanted.networks {
        let none = json!({});
        compare(&format!("Networks.{network}"), endpoint, got.networks.get(network).unwrap_or(&none), &["Links"]);
    }
    lost.sort();
    lost.dedup();
    lost
}

/// Lists that the engine keeps in an order of its own.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(sorted).collect();
            list.sort_by_key(ToString::to_string);
            Value::Array(list)
        }
        other => other.clone(),
    }
}
