//! Git's object format, written by hand, so that an image without Git has real repositories too.

use crate::failure::{Failure, Result};
use crate::hash::hex;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a tree has under one name.
#[derive(Debug)]
pub enum Entry {
    /// A file's content, and whether it can be run.
    File(Vec<u8>, bool),
    /// Where a link leads.
    Link(String),
}

/// Files by their path.
pub type Tree = BTreeMap<String, Entry>;

/// The 20 bytes that name an object.
type Id = [u8; 20];

/// Writes a commit without parents of those files, with all that belongs to it. Gives its name.
pub fn commit(objects: &Path, tree: &Tree, author: &str, seconds: u64, message: &str) -> Result<String> {
    let root = write_tree(objects, tree, "")?;
    let who = format!("{author} {seconds} +0000");
    let text = format!("tree {}\nauthor {who}\ncommitter {who}\n\n{message}\n", hex(&root));
    Ok(hex(&write(objects, "commit", text.as_bytes())?))
}

/// Writes the tree of a folder; `prefix` is empty or ends in a slash.
fn write_tree(objects: &Path, tree: &Tree, prefix: &str) -> Result<Id> {
    let mut entries: Vec<(String, &str, Id)> = Vec::new();
    let mut folders: Vec<&str> = Vec::new();
    for (path, entry) in tree.iter().filter(|(path, _)| path.starts_with(prefix)) {
        let rest = path.get(prefix.len()..).unwrap_or_default();
        match (rest.split_once('/'), entry) {
            (Some((folder, _)), _) => folders.push(folder),
            (None, Entry::File(bytes, false)) => entries.push((rest.into(), "100644", write(objects, "blob", bytes)?)),
            (None, Entry::File(bytes, true)) => entries.push((rest.into(), "100755", write(objects, "blob", bytes)?)),
            (None, Entry::Link(to)) => entries.push((rest.into(), "120000", write(objects, "blob", to.as_bytes())?)),
        }
    }
    folders.dedup();
    for folder in folders {
        // A folder is sorted as if its name ended in a slash.
        entries.push((format!("{folder}/"), "40000", write_tree(objects, tree, &format!("{prefix}{folder}/"))?));
    }
    entries.sort();
    let mut body = Vec::new();
    for (name, mode, id) in entries {
        body.extend_from_slice(format!("{mode} {}\0", name.trim_end_matches('/')).as_bytes());
        body.extend_from_slice(&id);
    }
    write(objects, "tree", &body)
}

/// Writes a loose object; one that is there already is the same.
fn write(objects: &Path, kind: &str, body: &[u8]) -> Result<Id> {
    let head = format!("{kind} {}\0", body.len());
    let digest = Sha1::new().chain_update(head.as_bytes()).chain_update(body).finalize();
    let mut id = Id::default();
    id.copy_from_slice(&digest);
    let name = hex(&id);
    let (folder, file) = name.split_at(2);
    let folder = objects.join(folder);
    let path = folder.join(file);
    if path.exists() {
        return Ok(id);
    }
    fs::create_dir_all(&folder).map_err(Failure::at("create", &folder))?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = packed.write_all(head.as_bytes()).and_then(|()| packed.write_all(body)).and_then(|()| packed.finish());
    let written = packed.and_then(|bytes| fs::write(&path, bytes));
    written.map_err(Failure::at("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).map_err(Failure::at("protect", &path))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_git_gives() {
        let dir = tempfile::tempdir().unwrap();
        // `echo hello | git hash-object --stdin`
        let id = write(dir.path(), "blob", b"hello\n").unwrap();
        assert_eq!(hex(&id), "ce013625030ba8dba906f756967f9e9ca394464a");
        // `git mktree </dev/null`
        assert_eq!(hex(&write_tree(dir.path(), &Tree::new(), "").unwrap()), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        // `git write-tree` of `a/x`, `a.txt` and `a0`: a folder's place is that of its name with a slash.
        let file = |text: &str| Entry::File(text.into(), false);
        let tree = Tree::from([("a/x".into(), file("1")), ("a.txt".into(), file("2")), ("a0".into(), file("3"))]);
        assert_eq!(hex(&write_tree(dir.path(), &tree, "").unwrap()), "407d425ff51b4197477384afa5c4978738feb787");
    }
}
