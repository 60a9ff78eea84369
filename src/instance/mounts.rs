//! Which mount a path lies on, and the rule that no writable mount may be forgotten.

use crate::engine::ContainerView;
use crate::instance::InstanceError;
use crate::model::definition::{Mount, MountSource};
use crate::model::ids::InstanceName;

/// The mount that holds `path`: its index among `mounts`, and the rest of the path relative to it
/// (empty for the mount's root). The deepest mount wins.
pub fn locate<'a>(mounts: impl IntoIterator<Item = &'a str>, path: &str) -> Option<(usize, String)> {
    let holding = mounts.into_iter().enumerate().filter_map(|(index, mount)| Some((index, mount, below(mount, path)?)));
    holding
        .max_by_key(|(_, mount, _)| mount.trim_end_matches('/').len())
        .map(|(index, _, rest)| (index, rest.to_owned()))
}

/// `path` relative to `folder`, where it lies at or below it.
pub fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Two paths with one `/` between them; either may be empty.
pub fn join(folder: &str, rest: &str) -> String {
    match (folder.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{rest}"),
    }
}

/// Fails at the first mount that the container may write to and that is neither among `covered`
/// nor acknowledged by the operator. Memory keeps nothing, so it needs neither.
pub fn refuse_uncovered(
    instance: &InstanceName,
    view: &ContainerView,
    covered: &[String],
    acknowledged: &[String],
) -> Result<(), InstanceError> {
    let forgotten = |mount: &&Mount| {
        let known = |list: &[String]| list.iter().any(|it| same_place(it, &mount.destination));
        mount.writable && mount.source != MountSource::Tmpfs && !known(covered) && !known(acknowledged)
    };
    match view.mounts.iter().find(forgotten) {
        None => Ok(()),
        Some(mount) => Err(InstanceError::UncoveredMount {
            instance: instance.clone(),
            mount: mount.destination.clone(),
            source_text: mount.source.to_string(),
        }),
    }
}

/// Whether two paths are the same place, with or without a `/` at the end.
pub fn same_place(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::testing::view_with;

    fn mount(source: MountSource, destination: &str, writable: bool) -> Mount {
        Mount { source, destination: destination.into(), writable }
    }

    #[test]
    fn the_deepest_mount_holds_a_path() {
        let mounts = ["/appsmith-stacks", "/appsmith-stacks/data/mongodb", "/appsmith-stacks/data"];
        let found = |path| locate(mounts, path);
        assert_eq!(found("/appsmith-stacks/configuration/docker.env"), Some((0, "configuration/docker.env".into())));
        assert_eq!(found("/appsmith-stacks/data/mongodb/mongod.lock"), Some((1, "mongod.lock".into())));
        assert_eq!(found("/appsmith-stacks/data"), Some((2, String::new())));
        assert_eq!(found("/appsmith-stacks2/x"), None);
        assert_eq!(locate(["/"], "/etc/hosts"), Some((0, "etc/hosts".into())));
    }

    /// kopi-docka 7.7.0: binds were skipped in silence.
    #[test]
    fn a_writable_mount_must_be_covered_or_acknowledged() {
        let instance = InstanceName::new("staging").unwrap();
        let view = view_with(vec![
            mount(MountSource::Volume("stacks".into()), "/appsmith-stacks", true),
            mount(MountSource::Bind("/etc/ca".into()), "/ca", false),
            mount(MountSource::Tmpfs, "/tmp", true),
            mount(MountSource::Bind("/srv/files".into()), "/files", true),
        ]);
        let check =
            |acknowledged: &[String]| refuse_uncovered(&instance, &view, &["/appsmith-stacks".into()], acknowledged);
        let error = check(&[]).unwrap_err();
        assert_eq!(error.to_string(), "`staging` writes to /files (/srv/files), which no part of a snapshot covers");
        assert!(check(&["/files/".into()]).is_ok());
        assert!(check(&["/other".into()]).is_err());
    }
}
