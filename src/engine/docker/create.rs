//! Creates an instance's container from its definition.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkConnectRequest, NetworkDisconnectRequest,
    NetworkingConfig,
};
use serde_json::Value;

use super::DockerEngine;
use super::containers::policy_out;
use super::errors::unexpected;
use super::ours::missing_image;
use crate::engine::{ContainerState, EngineError};
use crate::model::definition::{Definition, RestartPolicy};

impl DockerEngine {
    pub(super) async fn create(&self, definition: &Definition) -> Result<(), EngineError> {
        let container = definition.container.as_str();
        self.clear_placeholder(container).await?;
        if let Some(view) = self.find(container).await? {
            if view.state == ContainerState::Created && view.started_at.is_none() {
                // Left half made, perhaps without all of its networks.
                self.remove_id(container, &view.id).await?;
            } else if view.image_id == definition.image_id {
                return Ok(());
            } else {
                return Err(EngineError::NameTaken { container: container.to_owned(), image: view.image_ref });
            }
        }
        let id = definition.image_id.as_str();
        if self.image(id).await?.is_none() {
            return Err(missing_image(id));
        }
        // People and Compose read the name that the container was created from; it counts only while it means
        // the very image.
        let named = self.image(&definition.image_ref).await;
        let by_name = named.is_ok_and(|image| image.is_some_and(|image| image.id == definition.image_id));
        let reference = if by_name { definition.image_ref.as_str() } else { id };
        self.create_on(definition, reference).await?;
        let created = self.find(container).await?;
        if created.as_ref().is_some_and(|view| view.image_id == definition.image_id) {
            return Ok(());
        }
        // The name moved to another image in between.
        if let Some(view) = created {
            self.remove_id(container, &view.id).await?;
        }
        self.create_on(definition, id).await
    }

    async fn create_on(&self, definition: &Definition, image: &str) -> Result<(), EngineError> {
        let container = definition.container.as_str();
        let action = || format!("create `{container}`");
        let host: HostConfig = typed(action, &definition.host_config)?;
        let restart = policy_out(&RestartPolicy::no()).map_err(|what| unexpected(action(), what))?;
        let mut endpoints = HashMap::new();
        for (network, endpoint) in &definition.networks {
            endpoints.insert(network.clone(), typed::<EndpointSettings>(action, endpoint)?);
        }
        // Before API 1.44 a container can be created on one network only: that of its network mode.
        let mode = host.network_mode.clone().unwrap_or_default();
        let first = if mode.is_empty() || mode == "default" { "bridge".to_owned() } else { mode };
        let own = endpoints.remove(&first);
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            host_config: Some(HostConfig { restart_policy: Some(restart), ..host }),
            networking_config: own.clone().map(|endpoint| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(first.clone(), endpoint)])),
            }),
            ..typed(action, &definition.config)?
        };
        if self.create_raw(container, body).await?.is_some() {
            return Err(unexpected(action(), "its name was taken in between"));
        }
        let mut others: Vec<_> = endpoints.into_iter().collect();
        others.sort_by(|a, b| a.0.cmp(&b.0));
        let connected_elsewhere = !others.is_empty();
        for (network, endpoint) in others {
            let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(endpoint) };
            let connected = self.docker.connect_network(&network, request).await;
            connected
                .map_err(|error| self.trouble(format!("connect `{container}` to the network `{network}`"), error))?;
        }
        if own.is_none() && connected_elsewhere {
            // The operator had disconnected it from the network that it was created on.
            let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(false) };
            let gone = self.docker.disconnect_network(&first, request).await;
            gone.map_err(|error| self.trouble(format!("disconnect `{container}` from the network `{first}`"), error))?;
        }
        Ok(())
    }
}

fn typed<T: serde::de::DeserializeOwned>(action: impl Fn() -> String, value: &Value) -> Result<T, EngineError> {
    // The text of the error may quote a value, and values of an environment are secrets.
    T::deserialize(value).map_err(|_| unexpected(action(), "its definition has a field of the wrong kind"))
}
