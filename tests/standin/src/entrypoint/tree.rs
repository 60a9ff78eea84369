//! The volume's tree, as a first start makes it.

use crate::data::ids::Numbers;
use crate::data::{file, marker};
use crate::envfile;
use crate::failure::{Failure, Result};
use crate::paths::{self, Volume};
use crate::version::Version;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Owner of the PostgreSQL cluster in the image.
const POSTGRES_UID: u32 = 102;
const POSTGRES_GID: u32 = 104;

const DIRECTORIES: &[&str] = &[
    "ca-certs",
    "configuration",
    "configuration/caddy",
    "data/backup",
    "data/caddy",
    "data/mongodb",
    "data/redis",
    "data/restore",
    "git-storage",
    "logs/appsmithctl",
    "logs/backend",
    "logs/cron",
    "logs/editor",
    "logs/mcp",
    "logs/mongodb",
    "logs/postgres",
    "logs/redis",
    "logs/rts",
    "logs/supervisor",
    "ssl",
];

/// The container's own scratch directory, with the variables that programs may see.
pub fn make_temporary(container: &BTreeMap<String, String>) -> Result<()> {
    for directory in ["", "www", "supervisor-conf.d"] {
        make(&Path::new(paths::TMP).join(directory))?;
    }
    let lines: String = container.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    envfile::write_private(Path::new(paths::PRE_DEFINE), &lines)
}

/// All directories of the volume.
pub fn make_directories(volume: &Volume) -> Result<()> {
    DIRECTORIES.iter().try_for_each(|directory| make(&volume.root().join(directory)))
}

/// `docker.env` with fresh secrets, where there is none.
pub fn make_settings(volume: &Volume, version: Version) -> Result<()> {
    let path = volume.docker_env();
    if path.exists() {
        return Ok(());
    }
    make(&volume.root().join("configuration"))?;
    envfile::write_private(&path, &envfile::template(version, envfile::random_secret))
}

/// What a newer version adds to an existing `docker.env`.
pub fn fill_up_settings(volume: &Volume, version: Version) -> Result<()> {
    let path = volume.docker_env();
    let text = file::text(&path)?.unwrap_or_default();
    match envfile::filled_up(&text, version, envfile::random_secret) {
        Some(filled) => envfile::write_private(&path, &filled),
        None => Ok(()),
    }
}

/// Was the database ever initialised?
pub fn has_database(volume: &Volume) -> bool {
    volume.mongodb().join("WiredTiger").exists()
}

/// The files of an empty database. The marker comes first, so that no kill leaves data without one.
pub fn make_database(volume: &Volume, format: u32, numbers: &mut Numbers) -> Result<()> {
    let directory = volume.mongodb();
    make(&directory)?;
    marker::raise(volume, format)?;
    let key: String = (0..84).map(|_| numbers.secret()).collect();
    let key_path = directory.join("key");
    if !key_path.exists() {
        envfile::write_private(&key_path, key.get(..1008).unwrap_or_default())?;
        let private = fs::Permissions::from_mode(0o400);
        fs::set_permissions(&key_path, private).map_err(Failure::at("protect", &key_path))?;
    }
    make(&directory.join("journal"))?;
    let identity = numbers.object_id();
    for (name, text) in [
        ("storage.bson", "storage engine: wiredTiger\n".to_owned()),
        ("_mdb_catalog.wt", format!("stand-in catalog of {identity}\n")),
        ("sizeStorer.wt", "stand-in sizes\n".to_owned()),
        ("WiredTigerHS.wt", "stand-in history store\n".to_owned()),
        ("WiredTiger.wt", format!("stand-in metadata of {identity}\n")),
        ("WiredTiger.turtle", "WiredTiger version string\nWiredTiger 11.0.0: (stand-in)\n".to_owned()),
        ("WiredTiger.lock", "WiredTiger lock file\n".to_owned()),
        ("WiredTiger", "WiredTiger\nWiredTiger 11.0.0: (stand-in)\n".to_owned()),
    ] {
        file::replace(&directory.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// The embedded PostgreSQL cluster, with an owner of its own. Ownership is put right at each start.
pub fn make_postgres(volume: &Volume) -> Result<()> {
    let main = volume.postgres();
    make(&main.join("base/1"))?;
    for (name, text) in [("PG_VERSION", "14\n"), ("postgresql.conf", "port = 5432\n"), ("base/1/PG_VERSION", "14\n")] {
        let path = main.join(name);
        if !path.exists() {
            fs::write(&path, text).map_err(Failure::at("write", &path))?;
        }
    }
    fs::set_permissions(&main, fs::Permissions::from_mode(0o700)).map_err(Failure::at("protect", &main))?;
    if runs_as_root() { give_to_postgres(&volume.root().join("data/postgres")) } else { Ok(()) }
}

/// Whose process is this?
pub fn runs_as_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn give_to_postgres(path: &Path) -> Result<()> {
    chown(path, Some(POSTGRES_UID), Some(POSTGRES_GID)).map_err(Failure::at("give away", path))?;
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(Failure::at("read", path))? {
            give_to_postgres(&entry.map_err(Failure::at("read", path))?.path())?;
        }
    }
    Ok(())
}

fn make(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Failure::at("create", path))
}
