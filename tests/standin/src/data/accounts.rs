//! mongod's own accounts. They lie in the database's files, so they travel with a copy of those, and not with a dump.

use super::file;
use crate::envfile::Settings;
use crate::failure::{Failure, Result};
use crate::hash::hex;
use crate::paths::Volume;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Makes the account of a new database, as the entry point's first start does.
pub fn make(volume: &Volume, settings: &Settings) -> Result<()> {
    match of(settings) {
        Some(account) => file::replace(&path(volume), account.as_bytes()),
        None => Ok(()),
    }
}

/// Whether the settings' account is that of the files. A database without accounts lets everybody in.
pub fn check(volume: &Volume, settings: &Settings) -> Result<()> {
    let known = file::text(&path(volume))?;
    match (known, of(settings)) {
        (Some(known), Some(given)) if known != given => Err(Failure::new(
            "Exception authenticating MongoCredential{mechanism=SCRAM-SHA-256}: Command failed with error 18 \
             (AuthenticationFailed): 'Authentication failed.'",
        )),
        _ => Ok(()),
    }
}

fn path(volume: &Volume) -> PathBuf {
    volume.mongodb().join("accounts.wt")
}

/// A hash of the user and the password in the address of a database inside this container.
fn of(settings: &Settings) -> Option<String> {
    if !settings.mongodb_is_local() {
        return None;
    }
    let url = settings.get("APPSMITH_DB_URL").or_else(|| settings.get("APPSMITH_MONGODB_URI"))?;
    let (account, _) = url.split_once("://")?.1.rsplit_once('@')?;
    Some(format!("{}\n", hex(&Sha256::digest(account))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    #[test]
    fn only_the_password_of_the_first_start_opens_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        fs::create_dir_all(volume.mongodb()).unwrap();
        fs::create_dir_all(dir.path().join("configuration")).unwrap();
        fs::write(volume.docker_env(), "").unwrap();
        let settings = |password: &str| {
            let url = format!("mongodb://appsmith:{password}@localhost:27017/appsmith");
            let given = BTreeMap::from([("APPSMITH_DB_URL".to_owned(), url)]);
            Settings::load(&volume, "v2.0".parse().unwrap(), &given).unwrap()
        };
        check(&volume, &settings("any")).unwrap();
        make(&volume, &settings("first")).unwrap();
        check(&volume, &settings("first")).unwrap();
        assert!(check(&volume, &settings("other")).unwrap_err().to_string().contains("AuthenticationFailed"));
    }
}
