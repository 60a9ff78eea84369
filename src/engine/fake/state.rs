//! What the engine in memory holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_porter::protocol::MARKER;

use super::faults::Call;
use super::image::{FakeContainer, FakeImage};
use crate::engine::{ContainerState, ContainerView, Labels};
use crate::model::definition::{Definition, Mount, MountSource};
use crate::model::ids::ImageId;
use crate::model::layout::{LABEL_ROLE, ROLE_PLACEHOLDER};

#[derive(Debug)]
pub(super) struct State {
    pub root: PathBuf,
    /// On this host, by id.
    pub images: BTreeMap<ImageId, FakeImage>,
    /// Names of images on this host.
    pub tags: BTreeMap<String, ImageId>,
    /// What registries have, by tag or digest.
    pub registry: BTreeMap<String, FakeImage>,
    /// Networks of this host.
    pub networks: BTreeSet<String>,
    pub containers: BTreeMap<String, Container>,
    pub calls: Vec<Call>,
    pub violations: Vec<String>,
    pub down: bool,
    /// Makes ids and times; nothing here asks a clock.
    pub ticks: u64,
}

/// A container in memory.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub id: String,
    pub definition: Definition,
    pub state: ContainerState,
    pub started_at: Option<String>,
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    pub restart_count: u64,
    pub health: Option<String>,
    pub log: Vec<String>,
    pub layer_changes: Vec<String>,
    pub stopped_by_api: bool,
}

impl State {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            registry: BTreeMap::new(),
            networks: ["bridge", "host", "none"].map(str::to_owned).into(),
            containers: BTreeMap::new(),
            calls: Vec::new(),
            violations: Vec::new(),
            down: false,
            ticks: 0,
        }
    }

    pub fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// A time that is later than all before.
    pub fn now(&mut self) -> String {
        let seconds = self.tick();
        format!("2026-01-01T{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }

    /// The folder behind a volume or bind.
    pub fn folder(&self, source: &MountSource) -> Option<PathBuf> {
        match source {
            MountSource::Volume(name) => Some(self.root.join("volumes").join(name)),
            MountSource::Bind(path) => Some(self.root.join("host").join(path.trim_start_matches('/'))),
            MountSource::Tmpfs | MountSource::Other(_) => None,
        }
    }

    /// The container of that name, unless it only holds the name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.get(name).filter(|found| !is_placeholder(&found.definition))
    }

    pub fn image(&self, reference: &str) -> Option<&FakeImage> {
        if let Some(id) = self.tags.get(reference) {
            return self.images.get(id);
        }
        let by_digest = |image: &&FakeImage| image.view.digests.iter().any(|digest| digest == reference);
        self.images
            .values()
            .find(|image| image.view.id.as_str() == reference)
            .or_else(|| self.images.values().find(by_digest))
    }

    pub fn labels_of(&self, container: &Container) -> Labels {
        let image = self.images.get(&container.definition.image_id);
        let mut labels = image.map(|image| image.view.labels.clone()).unwrap_or_default();
        labels.extend(given_labels(&container.definition));
        labels
    }

    pub fn view(&self, container: &Container) -> ContainerView {
        let Definition { container: name, image_id, image_ref, restart, mounts, .. } = container.definition.clone();
        ContainerView {
            id: container.id.clone(),
            name,
            state: container.state,
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            restart_count: container.restart_count,
            started_at: container.started_at.clone(),
            health: container.health.clone(),
            image_id,
            image_ref,
            labels: self.labels_of(container),
            restart,
            auto_remove: container.definition.host_config["AutoRemove"] == Value::Bool(true),
            mounts,
        }
    }

    /// For an image's closures.
    pub fn seen_by_image(&self, container: &Container) -> FakeContainer {
        let folders = container.definition.mounts.iter();
        let env = container.definition.config["Env"].as_array().into_iter().flatten();
        FakeContainer {
            name: container.definition.container.clone(),
            image_ref: container.definition.image_ref.clone(),
            env: env.filter_map(Value::as_str).map(str::to_owned).collect(),
            folders: folders
                .filter_map(|mount| Some((mount.destination.clone(), self.folder(&mount.source)?)))
                .collect(),
        }
    }

    /// A container that was just created: its mounts are made as the engine makes them.
    pub fn insert(&mut self, mut definition: Definition) -> std::io::Result<()> {
        let id = format!("{:064x}", self.tick());
        let mut mounts = mounts_of(&definition.host_config);
        let declared =
            self.images.get(&definition.image_id).map(|image| image.view.volumes.clone()).unwrap_or_default();
        for destination in declared {
            if mounts.iter().all(|mount| mount.destination != destination) {
                let source = MountSource::Volume(format!("anonymous-{}", self.tick()));
                mounts.push(Mount { source, destination, writable: true });
            }
        }
        for mount in &mounts {
            if let Some(folder) = self.folder(&mount.source) {
                std::fs::create_dir_all(folder)?;
            }
        }
        mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
        definition.mounts = mounts;
        let container = Container {
            id,
            state: ContainerState::Created,
            started_at: None,
            exit_code: None,
            oom_killed: false,
            restart_count: 0,
            health: None,
            log: Vec::new(),
            layer_changes: Vec::new(),
            stopped_by_api: false,
            definition,
        };
        self.containers.insert(container.definition.container.clone(), container);
        Ok(())
    }

    /// Notes what must never be, when something begins to use these mounts.
    pub fn watch(&mut self, user: &str, mounts: &[Mount], starts: bool) {
        let wanted: BTreeSet<&MountSource> = mounts.iter().map(|mount| &mount.source).collect();
        let mut found = Vec::new();
        for other in self.containers.values().filter(|other| other.definition.container != user) {
            let up =
                matches!(other.state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting);
            for mount in other.definition.mounts.iter().filter(|mount| up && wanted.contains(&mount.source)) {
                found.push(format!("`{user}` and `{}` use {} at once", other.definition.container, mount.source));
            }
        }
        for source in wanted.iter().filter(|_| starts) {
            if self.folder(source).is_some_and(|folder| folder.join(MARKER).exists()) {
                found.push(format!("`{user}` was started while {source} is being filled"));
            }
        }
        self.violations.extend(found);
    }
}

pub(super) fn given_labels(definition: &Definition) -> Labels {
    let labels = definition.config["Labels"].as_object().into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// The mounts that a host configuration asks for: `Binds`, `Mounts` and `Tmpfs`, as Docker writes them.
pub(super) fn mounts_of(host_config: &Value) -> Vec<Mount> {
    let mut mounts = Vec::new();
    let list = |key: &str| host_config[key].as_array().cloned().unwrap_or_default();
    for bind in list("Binds").iter().filter_map(Value::as_str) {
        let mut fields = bind.split(':');
        let (Some(source), Some(destination)) = (fields.next(), fields.next()) else { continue };
        let source = if source.starts_with('/') {
            MountSource::Bind(source.to_owned())
        } else {
            MountSource::Volume(source.to_owned())
        };
        let writable = fields.next().is_none_or(|modes| modes.split(',').all(|mode| mode != "ro"));
        mounts.push(Mount { source, destination: destination.to_owned(), writable });
    }
    for mount in list("Mounts") {
        let text = |key: &str| mount[key].as_str().unwrap_or_default().to_owned();
        let source = match text("Type").as_str() {
            "volume" => MountSource::Volume(text("Source")),
            "bind" => MountSource::Bind(text("Source")),
            "tmpfs" => MountSource::Tmpfs,
            other => MountSource::Other(other.to_owned()),
        };
        mounts.push(Mount { source, destination: text("Target"), writable: mount["ReadOnly"] != Value::Bool(true) });
    }
    for destination in host_config["Tmpfs"].as_object().into_iter().flatten().map(|(at, _)| at.clone()) {
        mounts.push(Mount { source: MountSource::Tmpfs, destination, writable: true });
    }
    mounts
}

/// Whether it only holds a name.
pub(super) fn is_placeholder(definition: &Definition) -> bool {
    given_labels(definition).get(LABEL_ROLE).is_some_and(|role| role == ROLE_PLACEHOLDER)
}
