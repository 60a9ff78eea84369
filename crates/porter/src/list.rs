//! What lies at a mount. Changes nothing.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::vec::IntoIter;

use crate::cover::{Rules, is_ours};
use crate::error::Trouble;
use crate::fs::{self, Kind};
use crate::mounts;
use crate::path::{Rel, check_run};
use crate::place::{folder_path, marker, open_if_there};
use crate::protocol::{Cover, Entry, FOLDER, Listing, Stat};
use crate::purge::TRASH;

pub(crate) fn list(root: &str, cover: &Cover, wanted: &[String]) -> Result<Listing, Trouble> {
    let rules = Rules::new(cover)?;
    let root = fs::open_root(root)?;
    let (free_bytes, free_inodes) = fs::room(&root)?;
    let mut walk = Walk { rules: &rules, mounts: mounts::below(&root)?, entries: Vec::new(), linked: BTreeSet::new() };
    walk.run(&root)?;
    let mut entries = walk.entries;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut stats = Vec::new();
    for text in wanted {
        stats.extend(size(&root, text)?);
    }
    Ok(Listing { entries, stats, free_bytes, free_inodes, filling: marker(&root)?, asides: asides(&root)? })
}

/// The size of one file, if it is there.
fn size(root: &OwnedFd, text: &str) -> Result<Option<Stat>, Trouble> {
    let path = Rel::parse(text)?;
    let Some((parent, name)) = path.split() else { return Err(Trouble::refused("the root is not a file")) };
    let parent = match fs::walk(root, &parent)? {
        Ok(parent) => parent,
        Err(way) if way.link.is_some() => return Err(behind_a_link(way.link.as_ref())),
        Err(_) => return Ok(None),
    };
    let stat = fs::look(&parent, name, &path)?.filter(|stat| fs::kind(stat) != Kind::Folder);
    Ok(stat.map(|stat| Stat { path: text.to_owned(), bytes: bytes(&stat) }))
}

fn behind_a_link(link: Option<&Rel>) -> Trouble {
    let link = link.map(Rel::text).unwrap_or_default();
    Trouble::refused(format!("`{link}` is a symbolic link; what lies behind it is not part of this mount"))
}

fn bytes(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The runs that have a folder, also one that is being deleted.
fn asides(root: &OwnedFd) -> Result<Vec<String>, Trouble> {
    let Some(folder) = open_if_there(root, FOLDER.as_bytes(), &folder_path())? else { return Ok(Vec::new()) };
    let names = fs::names(&folder, &folder_path())?;
    let runs: BTreeSet<String> = names
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(|name| name.strip_prefix(TRASH).unwrap_or(name).to_owned())
        .filter(|run| check_run(run).is_ok())
        .collect();
    Ok(runs.into_iter().collect())
}

struct Walk<'a> {
    rules: &'a Rules,
    mounts: Vec<Rel>,
    entries: Vec<Entry>,
    /// Files with several names, so that their bytes count once.
    linked: BTreeSet<(u64, u64)>,
}

/// A folder that is being read; one open descriptor a level.
struct Level {
    folder: OwnedFd,
    at: Rel,
    names: IntoIter<Vec<u8>>,
    /// The entries that what is here counts for.
    owners: Vec<usize>,
    /// Whether all below here is covered, where the rules say nothing of it any more.
    uniform: Option<bool>,
}

impl Walk<'_> {
    fn run(&mut self, root: &OwnedFd) -> Result<(), Trouble> {
        let root = fs::walk(root, &Rel::root())?.map_err(|_| Trouble::refused("the root is not a folder"))?;
        let names = fs::names(&root, &Rel::root())?.into_iter();
        let mut levels = vec![Level { folder: root, at: Rel::root(), names, owners: Vec::new(), uniform: None }];
        while let Some(level) = levels.last_mut() {
            match level.names.next() {
                Some(name) => {
                    let deeper = self.visit(level, &name)?;
                    levels.extend(deeper);
                }
                None => {
                    levels.pop();
                }
            }
        }
        Ok(())
    }

    fn visit(&mut self, level: &Level, name: &[u8]) -> Result<Option<Level>, Trouble> {
        let path = level.at.join(name);
        if is_ours(&path) {
            return Ok(None);
        }
        let Some(stat) = fs::look(&level.folder, name, &path)? else { return Ok(None) };
        let folder = fs::kind(&stat) == Kind::Folder;
        let covered = level.uniform.unwrap_or_else(|| self.rules.covers(&path));
        let look_into = level.uniform.is_none() && self.rules.look_into(&path);
        if look_into && !covered && fs::kind(&stat) == Kind::Link && self.rules.includes_below(&path) {
            return Err(behind_a_link(Some(&path)));
        }
        let mount_point = self.mounts.contains(&path);
        let mut owners = level.owners.clone();
        if level.uniform.is_none() {
            owners.push(self.entries.len());
            self.entries.push(Entry { path: path.text(), folder, bytes: 0, files: 0, mount_point });
        }
        if covered && !mount_point {
            let size = if self.counts(&stat) { bytes(&stat) } else { 0 };
            for owner in &owners {
                self.entries[*owner].files += 1;
                self.entries[*owner].bytes += size;
            }
        }
        if !folder || mount_point || !(covered || look_into) {
            return Ok(None);
        }
        let deeper = match fs::open_folder(&level.folder, name, &path) {
            Ok(deeper) => deeper,
            // It vanished while an instance that runs was looked at.
            Err(_) if fs::look(&level.folder, name, &path)?.is_none() => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let names = fs::names(&deeper, &path)?.into_iter();
        let uniform = (!look_into).then_some(covered);
        Ok(Some(Level { folder: deeper, at: path, names, owners, uniform }))
    }

    /// Whether the bytes of this file are not counted yet.
    fn counts(&mut self, stat: &rustix::fs::Stat) -> bool {
        let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
        regular && (stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino)))
    }
}
