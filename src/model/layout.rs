//! Every key, name and label that Tidegate gives to something, in one place.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::ids::{ImageId, InstanceName, PartName, RunId, SnapshotId};

/// The key of an object, relative to the store's prefix. Short: some servers take no more than 130 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey(pub String);

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `repository.json`: says that a repository is there, and in which format.
pub fn repository_key() -> ObjectKey {
    ObjectKey("repository.json".into())
}

/// Written before an instance is stopped, to see that the store takes objects; what it says does not matter.
pub fn probe_key() -> ObjectKey {
    ObjectKey("probe.json".into())
}

/// Where parts lie; with a trailing `/`. Only there are uploads large enough to be left unfinished.
pub const PARTS_PREFIX: &str = "parts/";

/// A part's bytes.
pub fn part_key(snapshot: &SnapshotId, part: &PartName) -> ObjectKey {
    ObjectKey(format!("parts/{snapshot}/{part}.tar.gz"))
}

/// The container's definition of a snapshot. It holds the environment.
pub fn definition_key(snapshot: &SnapshotId) -> ObjectKey {
    ObjectKey(format!("parts/{snapshot}/definition.json"))
}

/// Where the manifests of an instance lie; with a trailing `/`.
pub fn manifest_prefix(instance: &InstanceName) -> String {
    format!("snapshots/{instance}/")
}

/// A manifest. Keys sort by sequence number.
pub fn manifest_key(instance: &InstanceName, sequence: u64, compact_time: &str, id: &SnapshotId) -> ObjectKey {
    ObjectKey(format!("snapshots/{instance}/{sequence:08}-{compact_time}-{id}.json"))
}

/// On every container and image of ours; the value says what it is for (`lock`, `holder`, `helper`, `porter`, `trial`).
pub const LABEL_ROLE: &str = "dev.tidegate.role";
/// The role of a container that only holds the name of an instance's container while there is none.
pub const ROLE_PLACEHOLDER: &str = "placeholder";
/// The run that made it.
pub const LABEL_RUN: &str = "dev.tidegate.run";
/// The instance that it concerns, for people: two configurations may each have a `staging` on one engine.
pub const LABEL_INSTANCE: &str = "dev.tidegate.instance";
/// The container that it concerns; its name is unique on an engine.
pub const LABEL_CONTAINER: &str = "dev.tidegate.container";

/// The never-started container whose name is the lock of an instance's container. Named after the *container*, so
/// that two configurations that call it differently meet at the same lock.
pub fn lock_container(container: &str) -> String {
    format!("tidegate.lock.{container}")
}

/// The never-started container through which files are read and written.
pub fn helper_container(run: &RunId, instance: &InstanceName) -> String {
    format!("tidegate.helper.{instance}.{run}")
}

/// The container that a porter job runs in.
pub fn porter_container(run: &RunId, instance: &InstanceName) -> String {
    format!("tidegate.porter.{instance}.{run}")
}

/// The never-started container that proves that an instance's container can be created.
pub fn trial_container(run: &RunId, instance: &InstanceName) -> String {
    format!("tidegate.trial.{instance}.{run}")
}

/// The container, closed to everybody, in which the archive of a hot snapshot is loaded.
pub fn loader_container(run: &RunId, instance: &InstanceName) -> String {
    format!("tidegate.loader.{instance}.{run}")
}

/// The never-started container that keeps an image from `docker image prune -a`.
pub fn holder_container(run: &RunId, instance: &InstanceName, which: &str) -> String {
    format!("tidegate.holder.{instance}.{which}.{run}")
}

/// The tag that keeps an image from `docker image prune`, for one container. An image's name allows less than a
/// container's, so other characters become `-`.
pub fn pin_tag(container: &str, image: &ImageId) -> String {
    let plain = container.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("tidegate.local/{}:{}", plain.trim_matches('-'), image.short())
}

/// The image without any file that helpers, holders of nothing and locks are created from.
pub const EMPTY_IMAGE: &str = "tidegate.local/empty:1";

/// Where the `index`-th mount lies inside a helper or porter, such as `/v0`.
pub fn helper_target(index: usize) -> String {
    format!("/v{index}")
}
