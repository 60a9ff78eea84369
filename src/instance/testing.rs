//! Small stand-ins for unit tests.

use std::collections::BTreeMap;

use crate::engine::{ContainerState, ContainerView, Listing};
use crate::model::definition::{Mount, RestartPolicy};
use crate::model::ids::ImageId;
use tidegate_porter::protocol::Entry;

/// A running container with these mounts.
pub fn view_with(mounts: Vec<Mount>) -> ContainerView {
    let image_id = ImageId::new(format!("sha256:{}", "0".repeat(64))).unwrap();
    ContainerView {
        id: "c0ffee".into(),
        name: "appsmith".into(),
        state: ContainerState::Running,
        exit_code: Some(0),
        oom_killed: false,
        restart_count: 0,
        started_at: None,
        health: None,
        image_id,
        image_ref: "appsmith/appsmith-ce:v1.99".into(),
        labels: BTreeMap::new(),
        restart: RestartPolicy::no(),
        auto_remove: false,
        mounts,
    }
}

/// A listing of these folders (with a trailing `/`) and files.
pub fn listing(paths: &[&str]) -> Listing {
    let entry = |path: &&str| Entry {
        path: path.trim_end_matches('/').into(),
        folder: path.ends_with('/'),
        bytes: 1,
        files: 1,
        mount_point: false,
    };
    Listing { entries: paths.iter().map(entry).collect(), ..Listing::default() }
}
