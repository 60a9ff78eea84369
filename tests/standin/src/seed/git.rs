//! A clone in `git-storage`, with everything in it that copying tools get wrong.
//!
//! The files have the shape of a repository, not its meaning: no Git reads them yet.

use super::instance::Repository;
use super::make_parent;
use crate::data::ids::Numbers;
use crate::failure::{Failure, Result};
use crate::hash::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Loose objects in each clone.
const OBJECT_COUNT: usize = 120;
/// Longer than the name field of a plain tar header.
const LONG_NAME: &str = "a-widget-whose-name-is-longer-than-the-hundred-bytes-that-the-name-field-of-an-old-tar-header-can-hold-in-one-piece.json";

/// Makes the clone `<workspace>/<application>/<repository>`.
pub fn make(storage: &Path, repository: &Repository, numbers: &mut Numbers) -> Result<()> {
    let root = storage.join(&repository.workspace).join(&repository.application).join(&repository.name);
    let git = root.join(".git");
    let head = hex(&Sha256::digest(numbers.object_id())).get(..40).unwrap_or_default().to_owned();
    let remote = format!("[remote \"origin\"]\n\turl = git@git.example:standin/{}.git\n", repository.name);
    write(&git.join("HEAD"), b"ref: refs/heads/production\n")?;
    write(&git.join("config"), remote.as_bytes())?;
    write(&git.join("refs/heads/production"), format!("{head}\n").as_bytes())?;
    write(&git.join("refs/remotes/origin/production"), format!("{head}\n").as_bytes())?;
    for _ in 0..OBJECT_COUNT {
        put_object(&git, numbers)?;
    }
    for empty in ["refs/tags", "objects/pack"] {
        let path = git.join(empty);
        fs::create_dir_all(&path).map_err(Failure::at("create", &path))?;
    }
    let metadata =
        br#"{"artifactJsonType":"APPLICATION","clientSchemaVersion":2,"fileFormatVersion":5,"serverSchemaVersion":12}"#;
    write(&root.join("metadata.json"), metadata)?;
    write(&root.join("application.json"), format!("{{\"name\":\"{}\"}}\n", repository.name).as_bytes())?;
    for page in ["Home", "Details", "Übersicht"] {
        let folder = root.join("pages").join(page);
        write(
            &folder.join(format!("{page}.json")),
            format!("{{\"page\":\"{page}\",\"id\":\"{}\"}}\n", numbers.object_id()).as_bytes(),
        )?;
        write(&folder.join(format!("queries/get{page}/get{page}.txt")), b"SELECT 1\n")?;
    }
    write(&root.join("pages/Home/widgets").join(LONG_NAME), b"{}\n")?;
    let script = root.join("deploy.sh");
    write(&script, b"#!/bin/sh\nexit 0\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(Failure::at("protect", &script))?;
    let link = root.join("link");
    symlink("../../../../../../etc/passwd", &link).map_err(Failure::at("link", &link))?;
    let hard = root.join("README.copy.md");
    write(&root.join("README.md"), b"# A seeded repository\n")?;
    fs::hard_link(root.join("README.md"), &hard).map_err(Failure::at("link", &hard))
}

/// A loose object: named by a digest, and as incompressible as a deflated one.
fn put_object(git: &Path, numbers: &mut Numbers) -> Result<()> {
    let words = 8 + numbers.below(120);
    let body: Vec<u8> = (0..words).flat_map(|_| numbers.next().to_le_bytes()).collect();
    let name = hex(&Sha256::digest(&body));
    let (folder, file) = (name.get(..2).unwrap_or_default(), name.get(2..40).unwrap_or_default());
    let path = git.join("objects").join(folder).join(file);
    write(&path, &body)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).map_err(Failure::at("protect", &path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_parent(path)?;
    fs::write(path, bytes).map_err(Failure::at("write", path))
}
