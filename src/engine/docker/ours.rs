//! Containers of our own that are never started, and the image without files that they are made from.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{CreateContainerOptionsBuilder, CreateImageOptionsBuilder};
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::time::Instant;

use super::DockerEngine;
use super::containers::LOOK_AGAIN;
use super::errors::{is_name_conflict, not_in_time, unexpected};
use crate::engine::{ContainerView, EngineError, HelperMount, ImageView, Labels};
use crate::model::definition::MountSource;
use crate::model::ids::ImageId;
use crate::model::layout::{EMPTY_IMAGE, LABEL_ROLE, helper_target};

/// What a container that is never started would run: the engine insists on something.
const NEVER_RUN: &str = "/never-started";
/// The same for a container that holds the name of one that people know.
const IN_USE: &str = "/tidegate-is-at-work-on-this-container";
/// A container that is being created is seen under its name within this time, also on a busy host.
const NAME_LIMIT: Duration = Duration::from_secs(60);

impl DockerEngine {
    /// Creates a container, or says which one has its name. That a name can be taken once only is what locks rest on.
    ///
    /// An engine reserves a name before the container can be seen under it, so a name that is taken by nobody is
    /// looked at again until somebody is there, or until it is free.
    pub(super) async fn create_raw(
        &self,
        container: &str,
        body: ContainerCreateBody,
    ) -> Result<Option<ContainerView>, EngineError> {
        let action = || format!("create `{container}`");
        let give_up = Instant::now() + NAME_LIMIT;
        let image = body.image.clone().unwrap_or_default();
        loop {
            let options = CreateContainerOptionsBuilder::default().name(container).build();
            match self.docker.create_container(Some(options), body.clone()).await {
                Ok(_) => return Ok(None),
                Err(error) if is_name_conflict(&error) => {}
                Err(error) => return Err(self.image_trouble(action(), &image, error)),
            }
            if let Some(view) = self.find(container).await? {
                return Ok(Some(view));
            }
            if Instant::now() > give_up {
                return Err(not_in_time(action(), "its name was taken and nobody appeared under it", NAME_LIMIT));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The same from the image without files, which is made first where it is missing.
    pub(super) async fn create_empty(
        &self,
        container: &str,
        host: HostConfig,
        labels: &Labels,
    ) -> Result<Option<ContainerView>, EngineError> {
        let body = never_started(EMPTY_IMAGE, host, labels);
        match self.create_raw(container, body.clone()).await {
            Err(EngineError::NoSuchImage { .. }) => {
                self.import(EMPTY_IMAGE, "empty", Bytes::from_static(&[0; 1024]), &[]).await?;
                self.create_raw(container, body).await
            }
            done => done,
        }
    }

    /// Takes a name with a container that cannot be started. What one sees who tries says who has it.
    pub(super) async fn hold_name(
        &self,
        container: &str,
        labels: &Labels,
    ) -> Result<Option<ContainerView>, EngineError> {
        let body = ContainerCreateBody {
            entrypoint: Some(vec![IN_USE.to_owned()]),
            ..never_started(EMPTY_IMAGE, HostConfig::default(), labels)
        };
        match self.create_raw(container, body.clone()).await {
            Err(EngineError::NoSuchImage { .. }) => {
                self.import(EMPTY_IMAGE, "empty", Bytes::from_static(&[0; 1024]), &[]).await?;
                self.create_raw(container, body).await
            }
            done => done,
        }
    }

    /// Keeps an image from being pruned.
    pub(super) async fn hold(&self, container: &str, image: &ImageId, labels: &Labels) -> Result<(), EngineError> {
        let held = self.image(image.as_str()).await?.ok_or_else(|| missing_image(image.as_str()))?;
        // Without this the engine would make an anonymous volume for each.
        let tmpfs = held.volumes.iter().map(|path| (path.clone(), String::new())).collect();
        let host = HostConfig { network_mode: Some("none".into()), tmpfs: Some(tmpfs), ..Default::default() };
        let mut labels = labels.clone();
        blank_inherited(&mut labels, &held);
        let body = never_started(image.as_str(), host, &labels);
        match self.create_raw(container, body).await? {
            Some(view) if view.image_id != *image => {
                Err(EngineError::NameTaken { container: container.to_owned(), image: view.image_ref })
            }
            _ => Ok(()),
        }
    }

    /// Makes an image of a tar, with our label on it.
    pub(super) async fn import(
        &self,
        tag: &str,
        role: &str,
        tar: Bytes,
        changes: &[String],
    ) -> Result<(), EngineError> {
        let (name, version) = tag.rsplit_once(':').unwrap_or((tag, "latest"));
        let mut changes = changes.to_vec();
        changes.push(format!("LABEL {LABEL_ROLE}={role}"));
        let options =
            CreateImageOptionsBuilder::default().from_src("-").repo(name).tag(version).changes(changes).build();
        let progress = self.docker.create_image(Some(options), Some(bollard::body_full(tar)), None);
        let done: Result<Vec<_>, _> = progress.try_collect().await;
        done.map(|_| ()).map_err(|error| self.trouble(format!("import the image `{tag}`"), error))
    }
}

pub(super) fn missing_image(reference: &str) -> EngineError {
    let source = Box::new(super::errors::Unexpected("it is not on this host".into()));
    EngineError::NoSuchImage { reference: reference.to_owned(), source }
}

/// Labels of an image come with every container of it. Compose takes those with its labels for its own, so they are
/// overwritten; they cannot be taken away.
fn blank_inherited(labels: &mut Labels, image: &ImageView) {
    for label in image.labels.keys().filter(|label| label.starts_with("com.docker.compose.")) {
        labels.entry(label.clone()).or_default();
    }
}

fn never_started(image: &str, host: HostConfig, labels: &Labels) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![NEVER_RUN.to_owned()]),
        labels: Some(labels.clone().into_iter().collect::<HashMap<_, _>>()),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..host }),
        ..Default::default()
    }
}

/// Mounts at `/v0`, `/v1` and so on. The content of an image is never copied into a volume by them.
pub(super) fn helper_mounts(helper: &str, mounts: &[HelperMount]) -> Result<Vec<Mount>, EngineError> {
    let mut all = Vec::new();
    for (index, HelperMount { source, writable }) in mounts.iter().enumerate() {
        let (typ, name) = match source {
            MountSource::Volume(name) => (MountType::VOLUME, name),
            MountSource::Bind(path) => (MountType::BIND, path),
            MountSource::Tmpfs | MountSource::Other(_) => {
                return Err(unexpected(
                    format!("mount {source} in `{helper}`"),
                    "only volumes and binds can be mounted",
                ));
            }
        };
        let no_copy = MountVolumeOptions { no_copy: Some(true), ..Default::default() };
        all.push(Mount {
            target: Some(helper_target(index)),
            source: Some(name.clone()),
            volume_options: (typ == MountType::VOLUME).then_some(no_copy),
            typ: Some(typ),
            read_only: Some(!writable),
            ..Default::default()
        });
    }
    Ok(all)
}
