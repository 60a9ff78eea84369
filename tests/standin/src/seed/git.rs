//! A clone in `git-storage`: a real repository, with everything in it that copying tools get wrong.
//!
//! It is written without Git, so it is the same in every image. Its remote is nowhere, and it has no deploy key.

use super::instance::Repository;
use super::make_parent;
use super::objects::{self, Entry, Tree};
use crate::data::database::Database;
use crate::failure::{Failure, Result};
use crate::git::content;
use crate::paths::Volume;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Longer than the name field of a plain tar header.
const LONG_NAME: &str = "notes/a-note-whose-name-is-longer-than-the-hundred-bytes-that-the-name-field-of-an-old-tar-header-can-hold-in-one-piece.md";
/// The moment of the only commit: [`super::instance::MADE_AT`].
const MADE_AT_SECS: u64 = 1_767_603_600;

/// Makes the clone `<workspace>/<application>/<repository>`, with the application committed as it is.
pub fn make(volume: &Volume, repository: &Repository, database: &mut Database, schemas: (u32, u32)) -> Result<()> {
    let root = volume.clone_of(&repository.workspace, &repository.application, &repository.name);
    let git = root.join(".git");
    content::name_all(database, &repository.application, &repository.application);
    let files = content::export(database, &repository.application, schemas);
    let file = |text: &str| Entry::File(text.as_bytes().to_vec(), false);
    let mut tree: Tree = files.iter().map(|(path, text)| (path.clone(), file(text))).collect();
    for (path, entry) in [
        ("README.md", file("# A seeded repository\n")),
        ("README.copy.md", file("# A seeded repository\n")),
        (LONG_NAME, file("\n")),
        ("notes/Übersicht.md", file("Überall\n")),
        ("deploy.sh", Entry::File(b"#!/bin/sh\nexit 0\n".to_vec(), true)),
        ("link", Entry::Link("../../../../../../etc/passwd".to_owned())),
    ] {
        tree.insert(path.to_owned(), entry);
    }
    for (path, entry) in &tree {
        put(&root, path, entry)?;
    }
    // One file under two names: git does not know, and tar must.
    let (name, copy) = (root.join("README.md"), root.join("README.copy.md"));
    fs::remove_file(&copy).and_then(|()| fs::hard_link(&name, &copy)).map_err(Failure::at("link", &copy))?;
    let author = "Admin <admin@standin.test>";
    let message = "System generated commit, initial commit";
    let head = objects::commit(&git.join("objects"), &tree, author, MADE_AT_SECS, message)?;
    let remote = format!("git@git.example:standin/{}.git", repository.name);
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n[remote \"origin\"]\n\turl = {remote}\n\
         \tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"production\"]\n\tremote = origin\n\
         \tmerge = refs/heads/production\n"
    );
    write(&git.join("HEAD"), b"ref: refs/heads/production\n")?;
    write(&git.join("config"), config.as_bytes())?;
    for reference in ["refs/heads/production", "refs/remotes/origin/production"] {
        write(&git.join(reference), format!("{head}\n").as_bytes())?;
    }
    for empty in ["refs/tags", "objects/pack"] {
        let path = git.join(empty);
        fs::create_dir_all(&path).map_err(Failure::at("create", &path))?;
    }
    Ok(())
}

fn put(root: &Path, path: &str, entry: &Entry) -> Result<()> {
    let path = root.join(path);
    match entry {
        Entry::Link(to) => {
            make_parent(&path)?;
            symlink(to, &path).map_err(Failure::at("link", &path))
        }
        Entry::File(bytes, runs) => {
            write(&path, bytes)?;
            let mode = if *runs { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Failure::at("protect", &path))
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_parent(path)?;
    fs::write(path, bytes).map_err(Failure::at("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::data::database::Collection;
    use crate::data::documents::text;
    use crate::git::clone::Repo;
    use crate::options::Options;
    use crate::seed;

    #[tokio::test]
    async fn a_seeded_clone_is_a_repository_that_git_finds_nothing_wrong_with() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        seed::fill(&volume, &baked, 1, None, 0, 7).unwrap();
        let database = Database::open(&volume.mongodb()).unwrap();
        let orders = database.all(Collection::Application).next().unwrap();
        let root = volume.clone_of(text(orders, "workspaceId"), text(orders, "_id"), "orders");
        let fsck = crate::git::command::git(&root, None, &["fsck", "--full", "--strict"]).await.unwrap();
        assert!(fsck.ok && !fsck.err.contains("error"), "{fsck:?}");
        let clone = Repo::open(root.clone(), None).unwrap();
        clone.check_out("production").await.unwrap();
        assert!(clone.changes().await.unwrap().is_empty());
        assert_eq!(clone.tracking("production").await.unwrap(), (0, 0));
        let files = content::export(&database, text(orders, "_id"), baked.release().unwrap().json_schemas());
        content::write(&root, &files).unwrap();
        assert!(clone.changes().await.unwrap().is_empty(), "the application is what is committed");
    }
}
