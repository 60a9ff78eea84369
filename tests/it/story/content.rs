//! What a volume holds, read without any code of Tidegate or of the stand-in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use sha2::{Digest, Sha256};

use super::pair::Site;
use crate::docker::{docker, docker_ok};

/// What changes by merely running: logs, lock files, sessions. And what belongs to Tidegate.
const PASSING: &[&str] =
    &["logs", "data/mongodb/mongod.lock", "data/mongodb/log", "data/postgres/main/postmaster.pid", "data/redis"];
const OURS: &[&str] = &[".tidegate", ".tidegate-filling"];
/// Where a database counts how often it was killed and has recovered.
const KILLS: &str = "data/mongodb/UNCLEAN";
const FORMAT_MARKER: &str = "data/mongodb/.appsmith-mongo-fcv-min";
/// What a migration to a higher format writes; all other files must survive it as they are.
const MIGRATED: &[&str] = &[
    FORMAT_MARKER,
    "data/mongodb/collection-10-mongockLock.wt",
    "data/mongodb/collection-3-application.wt",
    "data/mongodb/collection-9-mongockChangeLog.wt",
];

/// Every file, folder and link of a volume with kind, mode, owner and digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    entries: BTreeMap<String, String>,
    marker: Option<String>,
    /// `None` where it is of no interest.
    kills: Option<String>,
    /// Paths below `.tidegate`, and the marker of a half filled mount.
    pub ours: BTreeSet<String>,
}

impl Content {
    /// Reads the volume through the archive of a container that is never started.
    pub async fn of(site: &Site) -> Self {
        let (name, mount) = (format!("{}-look", site.container), format!("{}:/v0:ro", site.container));
        let _ = docker(&["rm", "-f", &name]).await;
        let create = ["create", "--name", &name, "--tmpfs", "/appsmith-stacks", "-v", &mount, &site.seed_image];
        docker_ok(&create).await;
        let archive = docker(&["cp", &format!("{name}:/v0"), "-"]).await;
        docker_ok(&["rm", &name]).await;
        assert!(archive.status.success(), "{}", String::from_utf8_lossy(&archive.stderr));
        Self::read(&archive.stdout)
    }

    fn read(archive: &[u8]) -> Self {
        let mut content =
            Self { entries: BTreeMap::new(), marker: None, kills: Some(String::new()), ours: BTreeSet::new() };
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
            let Some(path) = path.strip_prefix("v0/").map(str::to_owned) else { continue };
            let below = |root: &str| path == root || path.starts_with(&format!("{root}/"));
            if OURS.iter().any(|root| below(root)) {
                content.ours.insert(path);
                continue;
            }
            if PASSING.iter().any(|root| below(root)) {
                continue;
            }
            let (header, link) = (entry.header().clone(), entry.link_name_bytes().map(|link| link.into_owned()));
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if path == FORMAT_MARKER {
                content.marker = Some(String::from_utf8_lossy(&bytes).trim().to_owned());
            }
            if path == KILLS {
                content.kills = Some(String::from_utf8_lossy(&bytes).trim().to_owned());
                continue;
            }
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            let link = link.map(|link| String::from_utf8_lossy(&link).into_owned()).unwrap_or_default();
            let line = format!("{:?} {:o} {uid}:{gid} {digest} {link}", header.entry_type(), mode & 0o7777);
            content.entries.insert(path, line);
        }
        let whole = content.entries.len() > 100 || content.ours.contains(".tidegate-filling");
        assert!(whole, "this is no seeded volume: {:?}", content.entries.keys());
        content
    }

    /// The data format, as the app marks it.
    pub fn format(&self) -> Option<&str> {
        self.marker.as_deref()
    }

    /// The paths that differ.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let paths: BTreeSet<&String> = self.entries.keys().chain(other.entries.keys()).collect();
        let changed = paths.into_iter().filter(|path| self.entries.get(*path) != other.entries.get(*path)).cloned();
        let is_killed = self.kills.is_some() && other.kills.is_some() && self.kills != other.kills;
        changed.chain(is_killed.then(|| KILLS.to_owned())).collect()
    }

    /// The same, whether or not its database was killed since and has recovered.
    pub fn or_recovered(&self) -> Self {
        Self { kills: None, ..self.clone() }
    }

    /// This is `before`, byte for byte.
    pub fn is(&self, before: &Self) -> bool {
        self.marker == before.marker && self.changed(before).is_empty()
    }

    /// This is `before` after a whole migration: a new format, and everything that it does not touch as it was.
    pub fn is_migrated_from(&self, before: &Self) -> bool {
        let changed = self.changed(before);
        self.marker != before.marker
            && MIGRATED.iter().all(|path| changed.iter().any(|it| it == path))
            && changed.iter().all(|path| MIGRATED.contains(&path.as_str()))
    }
}
