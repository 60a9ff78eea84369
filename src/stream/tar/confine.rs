//! Whether the entries of a part lie where the part may write.
//!
//! What is in a bucket may have been replaced. An archive that is put back must not reach what its part does not cover:
//! that was not set aside, so no undo would bring it back.

use std::collections::HashSet;
use std::hash::BuildHasher;

use tidegate_porter::protocol::{FOLDER, MARKER};

use super::header::Kind;
use super::parse::Entry;
use super::shown;
use crate::model::part::Cover;
use crate::stream::StreamError;

/// No instance has so many; each one costs memory.
const SYMLINKS_MAX: usize = 1 << 22;

/// The places of one part, and the links that were seen in its archive.
pub(super) struct Confined {
    include: Vec<Path>,
    exclude: Vec<Path>,
    /// Hashes of their paths: small, and with keys of this process, so that nobody can make two meet.
    symlinks: HashSet<u64>,
    keys: std::hash::RandomState,
}

type Path = Vec<Vec<u8>>;

impl Confined {
    /// To what `cover` says.
    pub fn to(cover: &Cover) -> Self {
        let paths = |texts: &[String]| texts.iter().map(|text| parts_of(text.as_bytes())).collect::<Vec<_>>();
        // The root itself cannot be left out: nothing would remain.
        let exclude = paths(&cover.exclude).into_iter().filter(|path| !path.is_empty()).collect();
        Self { include: paths(&cover.include), exclude, symlinks: HashSet::new(), keys: Default::default() }
    }

    /// Fails where the entry, or the file that it is a hard link to, lies somewhere else, or where writing it would
    /// follow a symbolic link that came before.
    pub fn judge(&mut self, entry: &Entry) -> Result<(), StreamError> {
        let refused = |reason| Err(StreamError::UnsupportedEntry { entry: shown(&entry.name), reason });
        let path = parts_of(&entry.name);
        if !self.covers(&path) {
            return refused("it lies outside of what its part covers");
        }
        if self.is_below_a_symlink(&path) {
            return refused("it lies below a symbolic link");
        }
        if entry.kind == Kind::HardLink {
            let target = parts_of(&entry.link);
            if !self.covers(&target) || self.is_below_a_symlink(&target) {
                return refused("it is a hard link to something outside of what its part covers");
            }
        }
        if entry.kind == Kind::Symlink {
            // Another part may have its files below that place, and would follow it.
            if self.exclude.iter().any(|excluded| excluded.starts_with(&path)) {
                return refused("it is a symbolic link on the way to what belongs to another part");
            }
            if self.symlinks.len() == SYMLINKS_MAX {
                return refused("there are too many symbolic links");
            }
            self.symlinks.insert(self.keys.hash_one(path.as_slice()));
        }
        Ok(())
    }

    fn covers(&self, path: &Path) -> bool {
        let ours = path.first().is_some_and(|first| first == FOLDER.as_bytes() || first == MARKER.as_bytes());
        let below = |roots: &[Path]| roots.iter().any(|root| path.starts_with(root));
        !ours && below(&self.include) && !below(&self.exclude)
    }

    fn is_below_a_symlink(&self, path: &Path) -> bool {
        !self.symlinks.is_empty()
            && (1..path.len()).any(|length| self.symlinks.contains(&self.keys.hash_one(&path[..length])))
    }
}

/// The components of a path, without empty ones and `.`.
pub(super) fn parts_of(path: &[u8]) -> Path {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec).collect()
}
