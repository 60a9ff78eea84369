//! `seed`: fills an empty volume, so that the first start of a container finds an instance with a history.
//!
//! The same seed gives the same bytes, on every machine.

mod bulk;
mod git;
mod instance;
mod objects;

use crate::behaviour::Baked;
use crate::data::accounts;
use crate::data::database::Database;
use crate::data::ids::Numbers;
use crate::entrypoint::tree;
use crate::envfile::{self, Settings};
use crate::failure::{Failure, Result};
use crate::options::Options;
use crate::paths::{BEHAVIOUR, STACKS, Volume};
use crate::say;
use crate::version::Version;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Fills the volume and says what is in it now.
pub fn run(words: &[String]) -> Result<()> {
    let mut options = Options::read(words)?;
    let root = options.one::<String>("root")?.unwrap_or_else(|| STACKS.to_owned());
    let apps: usize = options.one("apps")?.unwrap_or(4);
    let pages: Option<usize> = options.one("pages")?;
    let megabytes: u64 = options.one("megabytes")?.unwrap_or(0);
    let seed: u64 = options.one("seed")?.unwrap_or(1);
    let baked = if options.has("version") { Baked::take(&mut options)? } else { of_this_image(&mut options)? };
    options.finish()?;
    let volume = Volume::at(root);
    refuse_a_used_volume(&volume)?;
    let began = Instant::now();
    let names = fill(&volume, &baked, apps, pages, megabytes, seed)?;
    say::out(&format!(
        "seeded {} applications and {megabytes} MB in {:.1} s",
        names.len(),
        began.elapsed().as_secs_f64()
    ));
    say::out(&format!("administrator: {} / {}", instance::ADMIN_EMAIL, instance::ADMIN_PASSWORD));
    names.iter().for_each(|name| say::out(&format!("application: {name}")));
    Ok(())
}

/// Fills a volume and says the names of the applications. Without `pages` they have two to four each.
pub fn fill(
    volume: &Volume,
    baked: &Baked,
    apps: usize,
    pages: Option<usize>,
    megabytes: u64,
    seed: u64,
) -> Result<Vec<String>> {
    let mut numbers = Numbers::seeded(seed);
    let version: Version = baked.version.parse().map_err(Failure::new)?;
    tree::make_directories(volume)?;
    let settings = envfile::template(version, || numbers.secret());
    envfile::write_private(&volume.docker_env(), &settings)?;
    tree::make_database(volume, baked.format, &mut numbers)?;
    accounts::make(volume, &Settings::load(volume, version, &BTreeMap::new())?)?;
    tree::make_postgres(volume)?;
    let key = key_of(&settings)?;
    let mut database = Database::open(&volume.mongodb())?;
    let made = instance::fill(&mut database, baked, apps, pages, &key, &mut numbers)?;
    for repository in &made.repositories {
        git::make(volume, repository, &mut database, version.json_schemas())?;
    }
    database.commit()?;
    let certificate = volume.root().join("ca-certs/internal.crt");
    let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", numbers.object_id());
    fs::write(&certificate, text).map_err(Failure::at("write", &certificate))?;
    bulk::make(&volume.mongodb(), megabytes, &mut numbers)?;
    fs::write(volume.mongod_lock(), "").map_err(Failure::at("write", &volume.mongod_lock()))?;
    Ok(made.names)
}

fn of_this_image(options: &mut Options) -> Result<Baked> {
    match fs::read_to_string(BEHAVIOUR) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| Failure::new(format!("{BEHAVIOUR}: {error}"))),
        Err(_) => Baked::take(options),
    }
}

fn refuse_a_used_volume(volume: &Volume) -> Result<()> {
    let used = volume.docker_env().exists() || tree::has_database(volume);
    if used {
        Err(Failure::new(format!("{} is in use already; nothing was changed", volume.root().display())))
    } else {
        Ok(())
    }
}

fn key_of(settings: &str) -> Result<String> {
    let values = envfile::parse(settings, false)?;
    let part = |name: &str| values.get(name).cloned().unwrap_or_default();
    Ok(format!("{}:{}", part("APPSMITH_ENCRYPTION_PASSWORD"), part("APPSMITH_ENCRYPTION_SALT")))
}

/// Makes the directories above a file.
fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(Failure::at("create", parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::database::Collection;
    use crate::data::migration;
    use crate::hash;

    fn seeded(seed: u64) -> (tempfile::TempDir, Volume, Baked) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&[]).unwrap()).unwrap();
        fill(&volume, &baked, 5, None, 2, seed).unwrap();
        (dir, volume, baked)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let ((_one, first, _), (_two, second, _), (_three, third, _)) = (seeded(11), seeded(11), seeded(12));
        let (first, second, third) =
            (hash::lines(&first).unwrap(), hash::lines(&second).unwrap(), hash::lines(&third).unwrap());
        assert_eq!(first, second);
        assert_ne!(hash::total(&first), hash::total(&third));
    }

    #[test]
    fn a_seeded_instance_needs_no_migration_and_is_not_seeded_twice() {
        let (_dir, volume, baked) = seeded(1);
        let database = Database::open(&volume.mongodb()).unwrap();
        let behaviour = baked.in_environment(None, None).unwrap();
        assert!(migration::pending(&database, &behaviour).is_empty());
        assert_eq!(database.all(Collection::Application).count(), 5);
        assert_eq!(database.all(Collection::Workspace).count(), 2);
        assert!(refuse_a_used_volume(&volume).is_err());
    }

    #[test]
    fn the_tree_holds_what_is_hard_to_copy() {
        let (_dir, volume, _) = seeded(1);
        let lines = hash::lines(&volume).unwrap();
        for wanted in ["-> ../../../../../../etc/passwd", "  0755 ", "Übersicht", "/.git/refs/tags", "data/mongodb/key"]
        {
            assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted} is missing");
        }
        assert!(lines.iter().any(|line| line.rsplit('/').next().is_some_and(|name| name.len() > 100)));
        assert!(lines.len() > 200);
    }
}
