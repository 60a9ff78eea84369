//! What a test does to the engine from outside: images, volumes, containers of the operator's, and accidents.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::FakeEngine;
use super::image::{FakeImage, StartOutcome};
use super::state::Container;
use crate::engine::ContainerState;
use crate::model::definition::{Definition, Mount, MountSource, RestartPolicy};

impl FakeEngine {
    /// Puts an image on this host under a name.
    pub fn add_image(&self, reference: &str, image: FakeImage) {
        let mut state = self.state();
        state.tags.insert(reference.to_owned(), image.view.id.clone());
        state.images.insert(image.view.id.clone(), image);
    }

    /// Puts an image into a registry, to be pulled by this tag or digest. The tag may have meant another before.
    pub fn publish(&self, reference: &str, image: FakeImage) {
        self.state().registry.insert(reference.to_owned(), image);
    }

    /// The folder of a volume, made if it is missing.
    pub fn volume(&self, name: &str) -> std::io::Result<PathBuf> {
        self.source_folder(&MountSource::Volume(name.to_owned()))
    }

    /// The folder that stands for a path of the host, made if it is missing.
    pub fn host_path(&self, path: &str) -> std::io::Result<PathBuf> {
        self.source_folder(&MountSource::Bind(path.to_owned()))
    }

    fn source_folder(&self, source: &MountSource) -> std::io::Result<PathBuf> {
        let folder = self.state().folder(source).ok_or_else(|| std::io::Error::other("nothing lies behind that"))?;
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A definition as an operator would write it, for [`ContainerEngine::create`](crate::engine::ContainerEngine).
    /// `None` if there is no such image.
    pub fn define(&self, container: &str, image_ref: &str, mounts: &[Mount], restart: &str) -> Option<Definition> {
        let state = self.state();
        let image_id = state.image(image_ref)?.view.id.clone();
        let (mut binds, mut tmpfs) = (Vec::new(), serde_json::Map::new());
        for Mount { source, destination, writable } in mounts {
            let mode = if *writable { "" } else { ":ro" };
            match source {
                MountSource::Volume(at) | MountSource::Bind(at) => {
                    binds.push(json!(format!("{at}:{destination}{mode}")))
                }
                MountSource::Tmpfs | MountSource::Other(_) => {
                    tmpfs.insert(destination.clone(), json!(""));
                }
            }
        }
        Some(Definition {
            container: container.to_owned(),
            image_ref: image_ref.to_owned(),
            image_id,
            restart: RestartPolicy { name: restart.to_owned(), max_retries: 0 },
            config: json!({}),
            host_config: json!({ "Binds": binds, "Tmpfs": tmpfs }),
            networks: [("bridge".to_owned(), json!({}))].into(),
            mounts: mounts.to_vec(),
            lost: Vec::new(),
        })
    }

    /// Creates and starts a container as its operator would: with its restart policy, and without counting as a call.
    pub fn run(&self, definition: Definition) -> std::io::Result<()> {
        let name = definition.container.clone();
        self.state().insert(definition)?;
        match self.begin(&name) {
            StartOutcome::Refused(why) => Err(std::io::Error::other(why)),
            _ => Ok(()),
        }
    }

    /// Starts a container, whoever asks for it.
    pub(super) fn begin(&self, name: &str) -> StartOutcome {
        let (act, seen) = {
            let mut state = self.state();
            let Some(container) = state.container(name).cloned() else {
                return StartOutcome::Refused("no such container".into());
            };
            state.watch(name, &container.definition.mounts, true);
            let Some(image) = state.images.get(&container.definition.image_id) else {
                return StartOutcome::Refused("its image is gone".into());
            };
            (image.on_start.clone(), state.seen_by_image(&container))
        };
        // Outside of the lock: the closure may use the engine.
        let outcome = act(&seen);
        let mut state = self.state();
        let now = state.now();
        if let Some(container) = state.containers.get_mut(name) {
            container.has_begun(&outcome, now);
        }
        outcome
    }

    /// Ends a running container as a crash would; its restart policy is not followed.
    pub fn crash(&self, container: &str, exit_code: i64, oom_killed: bool) {
        if let Some(found) = self.state().containers.get_mut(container) {
            found.state = ContainerState::Exited;
            found.exit_code = Some(exit_code);
            found.oom_killed = oom_killed;
            found.health = None;
        }
    }

    /// What Docker's health check says from now on.
    pub fn set_health(&self, container: &str, health: Option<&str>) {
        if let Some(found) = self.state().containers.get_mut(container) {
            found.health = health.map(str::to_owned);
        }
    }

    /// Adds a line to a container's log.
    pub fn write_log(&self, container: &str, line: &str) {
        if let Some(found) = self.state().containers.get_mut(container) {
            found.log.push(line.to_owned());
        }
    }

    /// Pretends that files were changed in a container's writable layer.
    pub fn change_layer(&self, container: &str, paths: &[&str]) {
        if let Some(found) = self.state().containers.get_mut(container) {
            found.layer_changes = paths.iter().map(|path| (*path).to_owned()).collect();
        }
    }

    /// Whether anybody can reach the engine.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// A reboot of the host. What comes back is what Docker 20.10 was seen to start: all that has `always` or
    /// `on-failure`, also what was stopped through the API, and `unless-stopped` unless it was.
    pub fn reboot(&self) {
        let names: Vec<String> = {
            let mut state = self.state();
            let comes_back = |container: &Container| match container.definition.restart.name.as_str() {
                "always" | "on-failure" => container.started_at.is_some(),
                "unless-stopped" => container.started_at.is_some() && !container.stopped_by_api,
                _ => false,
            };
            for container in state.containers.values_mut().filter(|container| container.is_up()) {
                container.state = ContainerState::Exited;
                container.exit_code = Some(255);
            }
            state
                .containers
                .iter()
                .filter(|(_, container)| comes_back(container))
                .map(|(name, _)| name.clone())
                .collect()
        };
        for name in names {
            self.begin(&name);
        }
    }

    /// `docker system prune -a`: containers that do not run go, then images that no container is made from.
    pub fn prune_all(&self) {
        self.state().containers.retain(|_, container| container.is_up());
        self.prune_images();
    }

    /// `docker image prune -a`: images that no container is made from go, under all of their names.
    pub fn prune_images(&self) {
        let mut state = self.state();
        let used: Vec<_> = state.containers.values().map(|container| container.definition.image_id.clone()).collect();
        state.images.retain(|id, _| used.contains(id));
        let kept: Vec<_> = state.images.keys().cloned().collect();
        state.tags.retain(|_, id| kept.contains(id));
    }

    /// What must never be and was: two containers up on one volume, a start or a change while another still runs on
    /// it, a start while it is being filled.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// What `definition` would say; `None` where there is no such container. Does not count as a call.
    pub fn peek(&self, container: &str) -> Option<(ContainerState, Definition)> {
        let state = self.state();
        state.container(container).map(|found| (found.state, found.definition.clone()))
    }
}

impl Container {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting)
    }

    fn has_begun(&mut self, outcome: &StartOutcome, now: String) {
        match outcome {
            StartOutcome::Runs { health } => {
                self.state = ContainerState::Running;
                self.exit_code = None;
                self.health.clone_from(health);
            }
            StartOutcome::Ends { exit_code, log } => {
                self.log.push(log.clone());
                self.exit_code = Some(*exit_code);
                let again = match self.definition.restart.name.as_str() {
                    "always" | "unless-stopped" => true,
                    "on-failure" => *exit_code != 0,
                    _ => false,
                };
                self.restart_count += u64::from(again);
                self.state = if again { ContainerState::Restarting } else { ContainerState::Exited };
            }
            StartOutcome::Refused(_) => return,
        }
        self.oom_killed = false;
        self.stopped_by_api = false;
        self.started_at = Some(now);
    }
}

/// The part of a definition that Docker's `Binds` hold, with anonymous volumes by name.
pub(super) fn with_named_volumes(definition: &Definition) -> Definition {
    let mut named = definition.clone();
    let given = super::state::mounts_of(&definition.host_config);
    let mut binds = definition.host_config["Binds"].as_array().cloned().unwrap_or_default();
    for mount in definition.mounts.iter().filter(|mount| !given.contains(mount)) {
        if let MountSource::Volume(name) = &mount.source {
            binds.push(json!(format!("{name}:{}", mount.destination)));
        }
    }
    if let Some(host) = named.host_config.as_object_mut().filter(|_| !binds.is_empty()) {
        host.insert("Binds".into(), Value::Array(binds));
    }
    named
}
