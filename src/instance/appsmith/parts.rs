//! Which of the files below `/appsmith-stacks` are data.
//!
//! Everything is, unless it is known to be worthless: what nobody knows goes to the part `other`. Folders mounted
//! somewhere below `/appsmith-stacks` are parts of their own.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_porter::protocol::Entry;

use crate::engine::{ContainerView, Listing};
use crate::instance::mounts::{below, join, locate, refuse_uncovered};
use crate::instance::{Cleanliness, InstanceError, Survey};
use crate::model::definition::{Mount, MountSource};
use crate::model::ids::{BadName, InstanceName, PartName};
use crate::model::part::{Cover, PartPlan};

/// Where an Appsmith keeps everything.
pub const STACKS: &str = "/appsmith-stacks";
const MONGOD_LOCK: &str = "/appsmith-stacks/data/mongodb/mongod.lock";

/// Parts and the places that belong to them, relative to [`STACKS`].
const PARTS: &[(&str, &[&str])] = &[
    ("database", &["data/mongodb"]),
    ("git-storage", &["git-storage"]),
    ("configuration", &["configuration"]),
    ("ssl", &["ssl"]),
    ("ca-certs", &["ca-certs"]),
    ("letsencrypt", &["letsencrypt"]),
    ("redis", &["data/redis"]),
    ("postgres", &["data/postgres"]),
    ("caddy", &["data/caddy", "data/certificate"]),
];
const OTHER: &str = "other";

/// Logs, other backups, and caches: left out of every part. `configuration/caddy` holds what Caddy was told at its
/// last start, and is written anew at each.
const WORTHLESS: &[&str] = &["logs", "heap_dumps", "data/backup", "data/restore", "configuration/caddy"];

/// Clones and settings that a restore by Appsmith's own tool has moved aside.
fn is_leftover(path: &str) -> bool {
    let copy_of_env = path.strip_prefix("configuration/docker.env.").is_some_and(|rest| !rest.contains('/'));
    copy_of_env || (path.starts_with("git-storage-") && !path.contains('/'))
}

/// Ours: see the porter's protocol.
fn is_ours(path: &str) -> bool {
    path.starts_with(".tidegate")
}

fn is_worthless(path: &str) -> bool {
    is_leftover(path) || is_ours(path) || WORTHLESS.iter().any(|it| below(it, path).is_some())
}

/// The mounts that hold something of [`STACKS`], with their place below it (empty for the whole).
fn stacks_mounts(view: &ContainerView) -> Vec<(&Mount, &str)> {
    let kept = |mount: &&Mount| mount.source != MountSource::Tmpfs;
    view.mounts.iter().filter(kept).filter_map(|mount| Some((mount, below(STACKS, &mount.destination)?))).collect()
}

/// What to look at, so that [`plan`] can decide.
pub fn survey(view: &ContainerView) -> Vec<Survey> {
    let lock = locate(stacks_mounts(view).iter().map(|(mount, _)| mount.destination.as_str()), MONGOD_LOCK);
    let of_mount = |(index, (mount, place)): (usize, (&Mount, &str))| {
        let stat = lock.iter().filter(|(at, _)| *at == index).map(|(_, path)| path.clone()).collect();
        let exclude = WORTHLESS.iter().filter_map(|it| below_or_none(place, it)).collect();
        Survey { mount: mount.destination.clone(), cover: Cover { include: vec![String::new()], exclude }, stat }
    };
    stacks_mounts(view).into_iter().enumerate().map(of_mount).collect()
}

/// `path` relative to a mount at `place`, unless it is the whole mount or lies elsewhere.
fn below_or_none(place: &str, path: &str) -> Option<String> {
    let rest = if place.is_empty() { Some(path) } else { below(place, path) };
    rest.filter(|rest| !rest.is_empty()).map(str::to_owned)
}

/// What a snapshot holds.
pub fn plan(
    instance: &InstanceName,
    view: &ContainerView,
    listings: &[(String, Listing)],
    acknowledged: &[String],
) -> Result<Vec<PartPlan>, InstanceError> {
    let mounts = stacks_mounts(view);
    let covered: Vec<String> = mounts.iter().map(|(mount, _)| mount.destination.clone()).collect();
    refuse_uncovered(instance, view, &covered, acknowledged)?;
    let out_of_reach = |reason: String| InstanceError::OutOfReach { instance: instance.clone(), reason };
    if !mounts.iter().any(|(_, place)| place.is_empty()) {
        return Err(out_of_reach(format!("nothing that lasts is mounted at {STACKS}")));
    }
    let mut places = Vec::new();
    for (mount, place) in &mounts {
        let listing = listings.iter().find(|(at, _)| *at == mount.destination).map(|(_, listing)| listing);
        let listing = listing.ok_or_else(|| out_of_reach(format!("nobody has looked at {}", mount.destination)))?;
        places.push(Place { mount: &mount.destination, place, listing });
    }
    let settled = places.iter().any(|it| it.holds("configuration/docker.env") || it.holds("configuration"));
    if settled && !places.iter().any(|it| it.holds("data/mongodb")) {
        return Err(out_of_reach(
            "there is no data/mongodb, and only the embedded database can be kept, so far".into(),
        ));
    }
    let nested: Vec<&str> = places.iter().map(|it| it.place).filter(|place| !place.is_empty()).collect();
    refuse_hidden(instance, &places, &nested, acknowledged)?;
    let drafts = places.iter().flat_map(|it| match it.place {
        "" => of_the_whole(it, &nested),
        place if is_worthless(place) => Vec::new(),
        _ => vec![of_one_folder(it)],
    });
    let drafts: Vec<Draft> = drafts.collect();
    if drafts.is_empty() {
        return Err(out_of_reach(format!("there is nothing of Appsmith at {STACKS}; is that the right volume?")));
    }
    named(drafts).map_err(|error| out_of_reach(error.to_string()))
}

/// A file system that the host has mounted inside a mount is not followed, so it must not hold data unnoticed.
fn refuse_hidden(
    instance: &InstanceName,
    places: &[Place<'_>],
    nested: &[&str],
    acknowledged: &[String],
) -> Result<(), InstanceError> {
    for it in places {
        for entry in it.listing.entries.iter().filter(|entry| entry.mount_point) {
            let path = join(it.place, &entry.path);
            let mount = join(STACKS, &path);
            if !nested.contains(&path.as_str()) && !is_worthless(&path) && !acknowledged.contains(&mount) {
                let source_text = "a file system that the host has mounted inside another".into();
                return Err(InstanceError::UncoveredMount { instance: instance.clone(), mount, source_text });
            }
        }
    }
    Ok(())
}

/// A mount that holds [`STACKS`] or a folder of it.
struct Place<'a> {
    mount: &'a str,
    /// Relative to [`STACKS`]; empty for the whole.
    place: &'a str,
    listing: &'a Listing,
}

impl Place<'_> {
    /// Whether that path below [`STACKS`] lies here; a folder that was not opened may hold anything.
    fn holds(&self, path: &str) -> bool {
        let listed = |it: &Entry| {
            let at = join(self.place, &it.path);
            at == path || (below(&at, path).is_some() && !self.is_open(&it.path))
        };
        self.place == path || self.listing.entries.iter().any(listed)
    }

    /// Its entries are listed, too, so it is judged by them.
    fn is_open(&self, folder: &str) -> bool {
        self.listing.entries.iter().any(|it| below(folder, &it.path).is_some_and(|rest| !rest.is_empty()))
    }
}

struct Draft {
    name: &'static str,
    mount: String,
    cover: Cover,
}

fn owner(path: &str) -> Option<(&'static str, &'static [&'static str])> {
    PARTS.iter().find(|(_, owned)| owned.iter().any(|it| below(it, path).is_some())).copied()
}

/// Each known place that is there, and everything that nobody knows. Named one by one rather than as "all but
/// these", so that no part has to read what belongs to another.
fn of_the_whole(it: &Place<'_>, nested: &[&str]) -> Vec<Draft> {
    let here = |entry: &&Entry| !entry.mount_point && !nested.contains(&entry.path.as_str());
    let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for path in it.listing.entries.iter().filter(here).map(|entry| entry.path.as_str()).filter(|it| !is_worthless(it)) {
        match owner(path) {
            Some((name, owned)) if owned.contains(&path) => found.entry(name).or_default().push(path.to_owned()),
            // Lies in a folder that is taken as a whole.
            Some(_) => {}
            None if it.is_open(path) => {}
            None => found.entry(OTHER).or_default().push(path.to_owned()),
        }
    }
    let draft = |(name, include): (&'static str, Vec<String>)| {
        let exclude = left_out(it, &include);
        Draft { name, mount: it.mount.to_owned(), cover: Cover { include, exclude } }
    };
    found.into_iter().map(draft).collect()
}

/// All of a folder that is mounted for itself, such as `/appsmith-stacks/data/mongodb`.
fn of_one_folder(it: &Place<'_>) -> Draft {
    let name = owner(it.place).map_or(OTHER, |(name, _)| name);
    let include = vec![String::new()];
    let exclude = left_out(it, &include);
    Draft { name, mount: it.mount.to_owned(), cover: Cover { include, exclude } }
}

/// What is worthless inside `include`: what is listed, and what is known without being listed.
fn left_out(it: &Place<'_>, include: &[String]) -> Vec<String> {
    let listed =
        it.listing.entries.iter().filter(|entry| is_ours(&entry.path) || is_worthless(&join(it.place, &entry.path)));
    let known = WORTHLESS.iter().filter_map(|path| below_or_none(it.place, path));
    let all: BTreeSet<String> = listed.map(|entry| entry.path.clone()).chain(known).collect();
    let inside =
        |path: &String| include.iter().any(|it| it.is_empty() || below(it, path).is_some_and(|rest| !rest.is_empty()));
    all.into_iter().filter(inside).collect()
}

/// Gives each part a name of its own: `other`, `other-2` and so on.
fn named(drafts: Vec<Draft>) -> Result<Vec<PartPlan>, BadName> {
    let mut used: BTreeMap<&'static str, usize> = BTreeMap::new();
    let name = |draft: Draft| {
        let count = used.entry(draft.name).or_default();
        *count += 1;
        let name = if *count == 1 { draft.name.to_owned() } else { format!("{}-{count}", draft.name) };
        Ok(PartPlan { name: PartName::new(name)?, mount: draft.mount, cover: draft.cover })
    };
    drafts.into_iter().map(name).collect()
}

/// What restores by Appsmith's own tool have moved aside: full paths and bytes. They grow with each restore, and hold
/// old settings with their keys.
pub fn leftovers(listings: &[(String, Listing)]) -> Vec<(String, u64)> {
    let found = listings.iter().filter_map(|(mount, listing)| Some((mount, below(STACKS, mount)?, listing)));
    let of_mount = |(mount, place, listing): (&String, &str, &Listing)| -> Vec<(String, u64)> {
        let left = listing.entries.iter().filter(|entry| is_leftover(&join(place, &entry.path)));
        left.map(|entry| (join(mount, &entry.path), entry.bytes)).collect()
    };
    found.flat_map(of_mount).collect()
}

/// Whether mongod has closed its files in good order.
pub fn cleanliness(view: &ContainerView, listings: &[(String, Listing)]) -> Cleanliness {
    let unclean = |reason: String| Cleanliness::Unclean { reason };
    if view.oom_killed {
        return unclean("the container was ended for want of memory".into());
    }
    if view.exit_code == Some(137) {
        return unclean("the container was killed before it had stopped (exit code 137)".into());
    }
    let Some((index, path)) = locate(listings.iter().map(|(mount, _)| mount.as_str()), MONGOD_LOCK) else {
        return unclean(format!("nobody has looked for {MONGOD_LOCK}"));
    };
    match listings[index].1.stats.iter().find(|stat| stat.path == path) {
        Some(stat) if stat.bytes > 0 => unclean("mongod did not close its files (mongod.lock is not empty)".into()),
        _ => Cleanliness::Clean,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_porter::protocol::Stat;

    use super::*;
    use crate::instance::testing::{listing, view_with};

    fn volume(destination: &str) -> Mount {
        Mount { source: MountSource::Volume("v".into()), destination: destination.into(), writable: true }
    }

    fn planned(mounts: &[(&str, &[&str])]) -> Result<Vec<PartPlan>, InstanceError> {
        let instance = InstanceName::new("staging").unwrap();
        let view = view_with(mounts.iter().map(|(at, _)| volume(at)).collect());
        let listings: Vec<(String, Listing)> =
            mounts.iter().map(|(at, paths)| ((*at).into(), listing(paths))).collect();
        plan(&instance, &view, &listings, &[])
    }

    fn shown(parts: &[PartPlan]) -> Vec<String> {
        let one = |part: &PartPlan| {
            let Cover { include, exclude } = &part.cover;
            format!("{} {} +[{}] -[{}]", part.name, part.mount, include.join(" "), exclude.join(" "))
        };
        parts.iter().map(one).collect()
    }

    /// As an Appsmith of 2026 leaves it, with leftovers of its own restore and a file that nobody knows.
    const FULL: &[&str] = &[
        "configuration/",
        "configuration/docker.env",
        "configuration/docker.env.backup-1",
        "configuration/caddy/",
        "data/",
        "data/mongodb/",
        "data/redis/",
        "data/postgres/",
        "data/backup/",
        "data/restore/",
        "data/caddy/",
        "data/temporal/",
        "git-storage/",
        "git-storage-backup-1/",
        "ssl/",
        "ca-certs/",
        "logs/",
        "heap_dumps/",
        "notes.txt",
        ".tidegate/",
        ".tidegate-filling",
    ];

    #[test]
    fn what_restores_have_left_is_found() {
        let listings = [("/appsmith-stacks".to_owned(), listing(FULL))];
        let left: Vec<String> = leftovers(&listings).into_iter().map(|(path, _)| path).collect();
        let expected = ["/appsmith-stacks/configuration/docker.env.backup-1", "/appsmith-stacks/git-storage-backup-1"];
        assert_eq!(left.iter().map(|path| path.trim_end_matches('/')).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_place_has_its_part_and_the_unknown_is_kept() {
        let expected = [
            "ca-certs /appsmith-stacks +[ca-certs] -[]",
            "caddy /appsmith-stacks +[data/caddy] -[]",
            "configuration /appsmith-stacks +[configuration] -[configuration/caddy configuration/docker.env.backup-1]",
            "database /appsmith-stacks +[data/mongodb] -[]",
            "git-storage /appsmith-stacks +[git-storage] -[]",
            "other /appsmith-stacks +[data/temporal notes.txt] -[]",
            "postgres /appsmith-stacks +[data/postgres] -[]",
            "redis /appsmith-stacks +[data/redis] -[]",
            "ssl /appsmith-stacks +[ssl] -[]",
        ];
        assert_eq!(shown(&planned(&[(STACKS, FULL)]).unwrap()), expected);
    }

    #[test]
    fn a_folder_that_was_not_opened_is_kept_whole() {
        let parts = planned(&[(STACKS, &["configuration/", "data/"])]).unwrap();
        let expected = [
            "configuration /appsmith-stacks +[configuration] -[configuration/caddy]",
            "other /appsmith-stacks +[data] -[data/backup data/restore]",
        ];
        assert_eq!(shown(&parts), expected);
    }

    #[test]
    fn folders_mounted_for_themselves_are_parts_of_their_own() {
        let nested: &[(&str, &[&str])] = &[
            (STACKS, &["configuration/", "data/", "data/mongodb/", "data/redis/", "logs/"]),
            ("/appsmith-stacks/data/mongodb", &["WiredTiger", ".tidegate/"]),
            ("/appsmith-stacks/logs", &["backend/"]),
            ("/appsmith-stacks/extra", &["a"]),
        ];
        let expected = [
            "configuration /appsmith-stacks +[configuration] -[configuration/caddy]",
            "redis /appsmith-stacks +[data/redis] -[]",
            "database /appsmith-stacks/data/mongodb +[] -[.tidegate]",
            "other /appsmith-stacks/extra +[] -[]",
        ];
        assert_eq!(shown(&planned(nested).unwrap()), expected);
    }

    #[test]
    fn a_database_elsewhere_is_out_of_reach() {
        let error = planned(&[(STACKS, &["configuration/", "data/", "data/redis/"])]).unwrap_err();
        assert!(matches!(error, InstanceError::OutOfReach { .. }), "{error}");
        assert!(error.to_string().contains("only the embedded database"));
        assert!(planned(&[("/files", &[])]).is_err());
        let error = planned(&[(STACKS, &["logs/"])]).unwrap_err();
        assert!(error.to_string().contains("nothing of Appsmith"), "{error}");
    }

    #[test]
    fn a_writable_mount_beside_the_stacks_must_be_acknowledged() {
        let error = planned(&[(STACKS, FULL), ("/files", &["a"])]).unwrap_err();
        assert!(matches!(error, InstanceError::UncoveredMount { .. }), "{error}");
    }

    #[test]
    fn a_file_system_mounted_inside_by_the_host_is_not_lost_in_silence() {
        let instance = InstanceName::new("staging").unwrap();
        let view = view_with(vec![volume(STACKS)]);
        let mut listing = listing(FULL);
        let git = listing.entries.iter_mut().find(|entry| entry.path == "git-storage").unwrap();
        git.mount_point = true;
        let planned =
            |acknowledged: &[String]| plan(&instance, &view, &[(STACKS.into(), listing.clone())], acknowledged);
        let error = planned(&[]).unwrap_err();
        assert!(error.to_string().contains("/appsmith-stacks/git-storage"), "{error}");
        let parts = planned(&["/appsmith-stacks/git-storage".into()]).unwrap();
        assert!(!shown(&parts).iter().any(|part| part.starts_with("git-storage ")));
    }

    #[test]
    fn the_survey_opens_data_and_configuration_and_asks_for_the_lock() {
        let asked = survey(&view_with(vec![volume(STACKS), volume("/appsmith-stacks/data/mongodb")]));
        assert_eq!(asked[0].cover.exclude, WORTHLESS);
        assert_eq!((asked[0].stat.len(), asked[1].stat.as_slice()), (0, &["mongod.lock".to_owned()][..]));
        let asked = survey(&view_with(vec![volume(STACKS)]));
        assert_eq!(asked[0].stat, ["data/mongodb/mongod.lock"]);
    }

    /// mongo images: killed after 10 s, where a clean stop takes 40.
    #[test]
    fn a_kill_or_a_lock_that_is_not_empty_is_unclean() {
        let mut at_rest = listing(FULL);
        let lock = |bytes| Stat { path: "data/mongodb/mongod.lock".into(), bytes };
        let judge = |change: &dyn Fn(&mut ContainerView), listing: &Listing| {
            let mut view = view_with(vec![volume(STACKS)]);
            change(&mut view);
            cleanliness(&view, &[(STACKS.into(), listing.clone())])
        };
        assert_eq!(judge(&|_| {}, &at_rest), Cleanliness::Clean, "no lock file at all");
        at_rest.stats = vec![lock(0)];
        assert_eq!(judge(&|_| {}, &at_rest), Cleanliness::Clean);
        assert_ne!(judge(&|view| view.exit_code = Some(137), &at_rest), Cleanliness::Clean);
        assert_ne!(judge(&|view| view.oom_killed = true, &at_rest), Cleanliness::Clean);
        at_rest.stats = vec![lock(3)];
        assert_ne!(judge(&|_| {}, &at_rest), Cleanliness::Clean);
        assert_ne!(cleanliness(&view_with(Vec::new()), &[]), Cleanliness::Clean, "nobody looked");
    }
}
