//! Which entries a cover means, as they lie there now: as few as possible, each moved whole.

use std::os::fd::OwnedFd;

use crate::cover::{Rules, is_ours};
use crate::error::Trouble;
use crate::fs::{self, Attributes, Kind};
use crate::mounts;
use crate::path::Rel;

/// What moves and what stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Entries that move with all that is below them, sorted; none lies in another.
    pub moves: Vec<Rel>,
    /// Folders that stay, as they are now, outer ones first: the root, and those that rules speak of the inside of.
    pub kept: Vec<(Rel, Attributes)>,
    /// Symbolic links where a rule expects a folder.
    pub links: Vec<Rel>,
}

/// Looks; changes nothing.
pub(crate) fn plan(root: &OwnedFd, rules: &Rules) -> Result<Plan, Trouble> {
    let mut plan = Plan::default();
    let first = fs::walk(root, &Rel::root())?.map_err(|_| Trouble::refused("the root is not a folder"))?;
    let mut folders = vec![(first, Rel::root())];
    while let Some((folder, at)) = folders.pop() {
        plan.kept.push((at.clone(), Attributes::of(&fs::own_stat(&folder, &at)?)));
        for name in fs::names(&folder, &at)? {
            let path = at.join(&name);
            if is_ours(&path) {
                continue;
            }
            let Some(stat) = fs::look(&folder, &name, &path)? else { continue };
            match fs::kind(&stat) {
                Kind::Folder if rules.look_into(&path) => folders.push((fs::open_folder(&folder, &name, &path)?, path)),
                _ if rules.covers(&path) => plan.moves.push(path),
                Kind::Link if rules.includes_below(&path) => plan.links.push(path),
                _ => {}
            }
        }
    }
    plan.moves.sort();
    plan.kept.sort_by_key(|(path, _)| path.depth());
    Ok(plan)
}

/// Refuses where a mount of its own lies at or below something that would move: it cannot be renamed, and inside
/// a folder that is renamed it would silently travel along.
pub(crate) fn refuse_mount_points(root: &OwnedFd, rules: &Rules) -> Result<(), Trouble> {
    for mount in mounts::below(root)? {
        if rules.covers(&mount) || rules.includes_below(&mount) {
            return Err(Trouble::refused(format!(
                "`{mount}` is a mount point inside this mount and cannot be moved; it has to be left out"
            )));
        }
    }
    Ok(())
}
