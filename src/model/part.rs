//! What of an instance's files a snapshot holds, as data.

use serde::{Deserialize, Serialize};
pub use tidegate_porter::protocol::Cover;

use crate::model::ids::PartName;

/// One stream of a snapshot: some files of one mount, as one tar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartPlan {
    /// Its name in the manifest and in the object's key.
    pub name: PartName,
    /// Where the mount lies in the instance's container, such as `/appsmith-stacks`.
    pub mount: String,
    /// Which files of it, relative to the mount.
    pub cover: Cover,
}

/// All that `parts` cover of the mount at `mount`.
pub fn cover_of(parts: &[PartPlan], mount: &str) -> Cover {
    let mut whole = Cover::default();
    for part in parts.iter().filter(|part| part.mount == mount) {
        whole.include.extend(part.cover.include.iter().cloned());
        whole.exclude.extend(part.cover.exclude.iter().cloned());
    }
    whole
}

/// The mounts that `parts` touch, each once, in order.
pub fn mounts_of(parts: &[PartPlan]) -> Vec<String> {
    let mut mounts: Vec<String> = Vec::new();
    for part in parts {
        if !mounts.contains(&part.mount) {
            mounts.push(part.mount.clone());
        }
    }
    mounts
}
