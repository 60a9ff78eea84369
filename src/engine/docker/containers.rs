//! Finding, starting, stopping and removing containers.

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, ContainerUpdateBody, MountPoint};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures::StreamExt;
use tokio::time::Instant;

use super::DockerEngine;
use super::errors::{message, not_in_time, status, unexpected};
use crate::engine::{ContainerState, ContainerView, EngineError, Labels};
use crate::model::definition::{Mount, MountSource, RestartPolicy};
use crate::model::ids::ImageId;
use crate::model::layout::{LABEL_ROLE, ROLE_PLACEHOLDER};

/// How long the engine may take to be done with a container that it is removing.
const REMOVAL_LIMIT: Duration = Duration::from_secs(120);
/// How long a log may take.
const LOG_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at something that the engine is doing.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What is kept of a container's output.
pub(super) const KEPT_OUTPUT_BYTES: usize = 256 * 1024;

impl DockerEngine {
    /// What the engine says of a container of exactly that name. One that only holds the name is none.
    pub(super) async fn inspect(&self, container: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        Ok(self.inspect_any(container).await?.filter(|found| !is_placeholder(found)))
    }

    /// The same, also of one that only holds the name. The engine would also answer for the beginning of an id.
    async fn inspect_any(&self, container: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        if !is_container_name(container) {
            return Ok(None);
        }
        match self.docker.inspect_container(container, None::<InspectContainerOptions>).await {
            Ok(found) if found.name.as_deref().is_some_and(|name| name.trim_start_matches('/') == container) => {
                Ok(Some(found))
            }
            Ok(_) => Ok(None),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.trouble(format!("look at `{container}`"), error)),
        }
    }

    /// The id of the container of exactly that name, for the request that follows.
    pub(super) async fn id_of(&self, container: &str) -> Result<Option<String>, EngineError> {
        Ok(self.inspect(container).await?.and_then(|found| found.id))
    }

    pub(super) async fn needed_id_of(&self, container: &str) -> Result<String, EngineError> {
        let missing = || EngineError::NoSuchContainer { container: container.to_owned() };
        self.id_of(container).await?.ok_or_else(missing)
    }

    pub(super) async fn find(&self, container: &str) -> Result<Option<ContainerView>, EngineError> {
        match self.inspect(container).await? {
            Some(found) => view(found).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn start(&self, container: &str) -> Result<(), EngineError> {
        let id = self.needed_id_of(container).await?;
        let options = None::<bollard::query_parameters::StartContainerOptions>;
        let started = self.docker.start_container(&id, options).await;
        started.map_err(|error| self.container_trouble(format!("start `{container}`"), container, error))
    }

    pub(super) async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let Some(id) = self.id_of(container).await? else { return Ok(()) };
        let seconds = i32::try_from(grace.as_secs_f64().ceil() as u64).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        match self.patient(grace).stop_container(&id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) => Err(self.trouble(format!("stop `{container}`"), error)),
        }
    }

    pub(super) async fn remove(&self, container: &str) -> Result<(), EngineError> {
        match self.inspect_any(container).await?.and_then(|found| found.id) {
            Some(id) => self.remove_id(container, &id).await,
            None => Ok(()),
        }
    }

    pub(super) async fn vacate(&self, container: &str, labels: &Labels) -> Result<(), EngineError> {
        let found = self.inspect_any(container).await?;
        if found.as_ref().is_some_and(is_placeholder) {
            return Ok(());
        }
        if let Some(id) = found.and_then(|found| found.id) {
            self.remove_id(container, &id).await?;
        }
        match self.hold_name(container, labels).await? {
            None => Ok(()),
            Some(other) => Err(EngineError::NameTaken { container: container.to_owned(), image: other.image_ref }),
        }
    }

    /// Gives a name that is only held free again.
    pub(super) async fn clear_placeholder(&self, container: &str) -> Result<(), EngineError> {
        match self.inspect_any(container).await?.filter(is_placeholder).and_then(|found| found.id) {
            Some(id) => self.remove_id(container, &id).await,
            None => Ok(()),
        }
    }

    /// Removes one container, its volumes never, and waits until its name is free.
    pub(super) async fn remove_id(&self, container: &str, id: &str) -> Result<(), EngineError> {
        let action = || format!("remove `{container}`");
        let options = RemoveContainerOptionsBuilder::default().v(false).force(false).build();
        match self.docker.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) if message(&error).contains("already in progress") => {
                let give_up = Instant::now() + REMOVAL_LIMIT;
                while self.id_of(container).await?.as_deref() == Some(id) {
                    if Instant::now() > give_up {
                        return Err(not_in_time(action(), "the engine did not finish removing it", REMOVAL_LIMIT));
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Ok(())
            }
            Err(error) => Err(self.trouble(action(), error)),
        }
    }

    pub(super) async fn set_restart_policy(&self, container: &str, policy: &RestartPolicy) -> Result<(), EngineError> {
        let action = || format!("set the restart policy of `{container}`");
        let id = self.needed_id_of(container).await?;
        let restart_policy = Some(policy_out(policy).map_err(|what| unexpected(action(), what))?);
        let update = ContainerUpdateBody { restart_policy, ..Default::default() };
        let updated = self.docker.update_container(&id, update).await;
        updated.map_err(|error| self.container_trouble(action(), container, error))
    }

    pub(super) async fn logs(&self, container: &str, lines: u32) -> Result<String, EngineError> {
        let id = self.needed_id_of(container).await?;
        let tail = lines.to_string();
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail).build();
        let mut output = self.docker.logs(&id, Some(options));
        let action = || format!("read the log of `{container}`");
        let mut text = Tail::new(KEPT_OUTPUT_BYTES);
        let reading = async {
            while let Some(frame) = output.next().await {
                let frame = frame.map_err(|error| self.container_trouble(action(), container, error))?;
                text.push(&LogOutput::into_bytes(frame));
            }
            Ok(())
        };
        match tokio::time::timeout(LOG_LIMIT, reading).await {
            Ok(read) => read.map(|()| text.into_text()),
            Err(_) => Err(not_in_time(action(), "the engine did not finish sending it", LOG_LIMIT)),
        }
    }

    pub(super) async fn layer_changes(&self, container: &str) -> Result<Vec<String>, EngineError> {
        let id = self.needed_id_of(container).await?;
        let action = || format!("compare the files of `{container}` with its image");
        let changes = self.docker.container_changes(&id).await;
        let changes = changes.map_err(|error| self.container_trouble(action(), container, error))?;
        let mut paths: Vec<String> = changes.unwrap_or_default().into_iter().map(|change| change.path).collect();
        paths.sort();
        Ok(paths)
    }

    pub(super) async fn labelled(&self, labels: &Labels) -> Result<Vec<ContainerView>, EngineError> {
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|error| self.trouble("list the containers".into(), error))?;
        let mut views = Vec::new();
        for summary in listed {
            let names = summary.names.unwrap_or_default();
            // A container that others link to has more names, with a `/` in them.
            let own = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
            let Some(name) = own else { continue };
            // One that was removed since is no container any more.
            views.extend(self.find(name).await?);
        }
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }
}

/// Whether it only holds a name, see [`DockerEngine::vacate`].
fn is_placeholder(found: &ContainerInspectResponse) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.is_some_and(|labels| labels.get(LABEL_ROLE).is_some_and(|role| role == ROLE_PLACEHOLDER))
}

impl DockerEngine {
    pub(super) async fn writers_of(&self, source: &MountSource) -> Result<Vec<String>, EngineError> {
        let listed = self.docker.list_containers(Some(ListContainersOptionsBuilder::default().build())).await;
        let listed = listed.map_err(|error| self.trouble(format!("list who uses {source}"), error))?;
        let mut writers = Vec::new();
        for summary in listed {
            let ours = summary.labels.is_some_and(|labels| labels.contains_key(LABEL_ROLE));
            let mut mounts = summary.mounts.unwrap_or_default().into_iter().map(mount);
            if !ours && mounts.any(|mount| mount.writable && overlap(&mount.source, source)) {
                let names = summary.names.unwrap_or_default();
                let own = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
                writers.push(own.map_or_else(|| summary.id.unwrap_or_default(), str::to_owned));
            }
        }
        writers.sort();
        Ok(writers)
    }
}

/// The same volume, or folders of the host of which one lies in the other.
fn overlap(one: &MountSource, other: &MountSource) -> bool {
    match (one, other) {
        (MountSource::Bind(one), MountSource::Bind(other)) => {
            let (one, other) = (std::path::Path::new(one), std::path::Path::new(other));
            one.starts_with(other) || other.starts_with(one)
        }
        _ => one == other,
    }
}

/// Docker's own rule; anything else is no container's name and must not get into a path.
fn is_container_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// The end of an output.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    most: usize,
}

impl Tail {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        // Cut in large steps, so that each byte is moved about once.
        if self.bytes.len() > 2 * self.most {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.bytes.drain(..self.bytes.len().saturating_sub(self.most));
    }

    pub(super) fn into_text(mut self) -> String {
        self.cut();
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// An inspected container in our words.
pub(super) fn view(found: ContainerInspectResponse) -> Result<ContainerView, EngineError> {
    let name = found.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    let strange = |what: &str| unexpected(format!("understand the container `{name}`"), what);
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let is = state.status.map(|status| status.to_string()).unwrap_or_default();
    let is = container_state(&is).ok_or_else(|| strange(&format!("its state is `{is}`")))?;
    let started_at = state.started_at.filter(|time| !time.is_empty() && !time.starts_with("0001-"));
    let ended = matches!(is, ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting);
    let health = state.health.and_then(|health| health.status).map(|status| status.to_string());
    let mut mounts: Vec<Mount> = found.mounts.unwrap_or_default().into_iter().map(mount).collect();
    for target in host.tmpfs.unwrap_or_default().into_keys() {
        mounts.push(Mount { source: MountSource::Tmpfs, destination: target, writable: true });
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(ContainerView {
        id: found.id.ok_or_else(|| strange("it has no id"))?,
        state: is,
        exit_code: state.exit_code.filter(|_| ended && started_at.is_some()),
        oom_killed: state.oom_killed.unwrap_or(false),
        restart_count: found.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        started_at,
        health: health.filter(|status| !status.is_empty() && status != "none"),
        image_id: image_id(found.image).ok_or_else(|| strange("it has no image id"))?,
        image_ref: config.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        restart: policy_in(host.restart_policy.as_ref()),
        auto_remove: host.auto_remove.unwrap_or(false),
        mounts,
        name,
    })
}

fn container_state(text: &str) -> Option<ContainerState> {
    Some(match text {
        "created" => ContainerState::Created,
        // Newer engines say so while a stop is under way.
        "running" | "stopping" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "removing" => ContainerState::Removing,
        "exited" => ContainerState::Exited,
        "dead" => ContainerState::Dead,
        _ => return None,
    })
}

pub(super) fn image_id(text: Option<String>) -> Option<ImageId> {
    ImageId::new(text?).ok()
}

pub(super) fn mount(point: MountPoint) -> Mount {
    let kind = point.typ.map(|kind| kind.to_string()).unwrap_or_default();
    let source = match kind.as_str() {
        "volume" => MountSource::Volume(point.name.unwrap_or_default()),
        "bind" => MountSource::Bind(point.source.unwrap_or_default()),
        "tmpfs" => MountSource::Tmpfs,
        _ => MountSource::Other(kind),
    };
    Mount { source, destination: point.destination.unwrap_or_default(), writable: point.rw.unwrap_or(true) }
}

pub(super) fn policy_in(policy: Option<&bollard::models::RestartPolicy>) -> RestartPolicy {
    let name = policy.and_then(|policy| policy.name).map(|name| name.to_string()).filter(|name| !name.is_empty());
    RestartPolicy {
        name: name.unwrap_or_else(|| "no".into()),
        max_retries: policy.and_then(|policy| policy.maximum_retry_count).unwrap_or(0),
    }
}

pub(super) fn policy_out(policy: &RestartPolicy) -> Result<bollard::models::RestartPolicy, String> {
    let name = policy.name.parse().map_err(|_| format!("`{}` is not a restart policy", policy.name))?;
    Ok(bollard::models::RestartPolicy { name: Some(name), maximum_retry_count: Some(policy.max_retries) })
}
