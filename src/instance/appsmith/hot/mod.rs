//! Snapshots of an Appsmith that runs on: `appsmithctl backup` for the database and the Git clones, and the files beside.
//!
//! ```text
//! tool      how appsmithctl is called, and what it says
//! load      the same tool the other way, in a closed container
//! archive   what it has made, read to its end ─► dump   the archive of mongodump in it
//! ```

mod archive;
mod dump;
mod load;
mod tool;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::load::{Closed, LoadError};
use self::tool::Attended;
use super::settings::Settings;
use super::{Appsmith, DOCKER_ENV, DOCKER_ENV_LIMIT_BYTES, parts};
use crate::engine::{ContainerEngine, ContainerView, EngineError, Listing};
use crate::instance::files::read_file;
use crate::instance::hot::{Grown, Hot};
use crate::instance::{InstanceAdapter, InstanceError};
use crate::model::chain::chain;
use crate::model::ids::RunId;
use crate::model::part::PartPlan;
use crate::model::version::Version;
use crate::stream::ByteStream;

/// What the tool itself wants free at `/appsmith-stacks`.
const TOOLS_ROOM_BYTES: u64 = 2 << 30;
/// The parts that the archive holds, and those that cannot be read while they are used.
const NOT_READ: [&str; 4] = ["database", "git-storage", "redis", "postgres"];
/// Before that, the tool stops the backend.
const FIRST_HOT: [u64; 3] = [1, 10, 0];
const QUESTION_LIMIT: Duration = Duration::from_secs(60);

impl Appsmith {
    fn not_hot(&self, reason: impl Into<String>) -> InstanceError {
        InstanceError::NotHot { instance: self.instance(), reason: reason.into() }
    }

    async fn ask(&self, engine: &dyn ContainerEngine, words: &[&str]) -> Result<Option<String>, EngineError> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        match engine.exec(self.container(), &words, QUESTION_LIMIT).await {
            Ok(result) if result.exit_code == 0 => Ok(Some(result.stdout)),
            Ok(_) => Ok(None),
            // As where there is no such program.
            Err(EngineError::Request { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The dump is first written into the container's own layer.
    async fn has_room_in_its_layer(
        &self,
        engine: &dyn ContainerEngine,
        needed_bytes: u64,
    ) -> Result<(), InstanceError> {
        let said = self.ask(engine, &["df", "-P", "-k", "/tmp"]).await?;
        let Some(free_bytes) = said.as_deref().and_then(free_bytes) else {
            tracing::info!(container = self.container(), "free room in the container's own layer not known");
            return Ok(());
        };
        if free_bytes < needed_bytes {
            return Err(self.not_hot(format!(
                "there are {free_bytes} bytes free at its /tmp, and the dump of its database may need {needed_bytes}"
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl Hot for Appsmith {
    fn archive_folder(&self) -> &'static str {
        tool::FOLDER
    }

    fn archive_time(&self, name: &str) -> Option<Timestamp> {
        tool::archive_time(name)
    }

    fn parts(&self, view: &ContainerView, listings: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError> {
        let mut all = InstanceAdapter::parts(self, view, listings)?;
        // A restore would have to find and set aside what the archive replaces, wherever it lies.
        if let Some(elsewhere) = all.iter().find(|part| part.mount != parts::STACKS) {
            return Err(self.not_hot(format!("`{}` lies in a mount of its own, {}", elsewhere.name, elsewhere.mount)));
        }
        all.retain(|part| !NOT_READ.contains(&part.name.as_str()));
        match all.iter().any(|part| part.name.as_str() == "configuration") {
            true => Ok(all),
            // The archive lacks the keys, so without this nothing could be decrypted.
            false => Err(self.not_hot("there is no docker.env with its keys")),
        }
    }

    fn needed_bytes(&self, listings: &[(String, Listing)]) -> u64 {
        TOOLS_ROOM_BYTES.saturating_add(bytes_at(listings, &["data/mongodb", "git-storage"]))
    }

    async fn preflight(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        mounts: &[String],
        listings: &[(String, Listing)],
    ) -> Result<(), InstanceError> {
        let given = engine.definition(self.container()).await?.config;
        let file = read_file(engine, helper, mounts, DOCKER_ENV, DOCKER_ENV_LIMIT_BYTES).await?;
        let file = file.map(|file| file.content).unwrap_or_default();
        let settings = Settings::effective(&given, &String::from_utf8_lossy(&file));
        if let Some(reason) = settings.out_of_reach() {
            return Err(InstanceError::OutOfReach { instance: self.instance(), reason });
        }
        if settings.heals_itself() {
            let reason = "it restarts by itself what does not answer, so its archive could never be loaded in peace; take \
                          APPSMITH_AUTO_HEAL=1 away first";
            return Err(self.not_hot(reason));
        }
        let said = self.ask(engine, &["appsmithctl", "version"]).await?;
        let version = said.as_deref().and_then(|text| Version::parse(text.lines().last()?.trim()).ok());
        let version = version.ok_or_else(|| self.not_hot("its appsmithctl does not say its version"))?;
        if version.numbers() < FIRST_HOT {
            return Err(self.not_hot(format!("the appsmithctl of {version} stops its backend to take a backup")));
        }
        self.has_room_in_its_layer(engine, bytes_at(listings, &["data/mongodb"])).await
    }

    async fn make_archive(
        &self,
        engine: &dyn ContainerEngine,
        run: &RunId,
        grown: Grown<'_>,
        stop: &CancellationToken,
    ) -> Result<String, InstanceError> {
        let (job, stall) = (tool::job(run), self.options.ready.stall);
        let mut answer = |_: &str| None;
        let (container, answer) = (self.container(), &mut answer);
        let call = Attended { engine, container, job: &job, answer, stall, grown, stop };
        tool::attend(call).await?.and_then(|result| tool::judge(&result)).map_err(|reason| self.not_hot(reason))
    }

    async fn end_left(&self, engine: &dyn ContainerEngine, run: &RunId) -> Result<(), InstanceError> {
        let ended = engine.end_commands(self.container(), &tool::words(run)).await?;
        if ended > 0 {
            tracing::info!(container = self.container(), "backup of a process that died was ended");
        }
        Ok(())
    }

    fn replaced(&self, archive: &str) -> Vec<String> {
        let places = ["data/mongodb", "data/redis", "data/postgres", "git-storage", "configuration"];
        let places = places.map(|place| format!("{}/{place}", parts::STACKS));
        places.into_iter().chain(load::leftovers(archive)).collect()
    }

    async fn load_archive(
        &self,
        engine: &dyn ContainerEngine,
        container: &str,
        archive: &str,
        tell: &(dyn Fn(String) + Send + Sync),
        stop: &CancellationToken,
    ) -> Result<(), InstanceError> {
        let closed = Closed { engine, container, ready: &self.options.ready, stop, tell };
        let loaded = closed.load(archive, self.options.quick_mongod_stop).await;
        loaded.map_err(|error| match error {
            LoadError::Refused(reason) => InstanceError::NotLoaded { instance: self.instance(), reason },
            LoadError::Engine(error) => error.into(),
        })
    }

    async fn check_archive(&self, tar: ByteStream) -> Result<(), InstanceError> {
        let checked = archive::check(tar).await;
        checked.map_err(|error| self.not_hot(format!("the archive of appsmithctl is not good: {}", chain(&error))))
    }
}

fn bytes_at(listings: &[(String, Listing)], paths: &[&str]) -> u64 {
    let entries = listings.iter().flat_map(|(_, listing)| &listing.entries);
    entries.filter(|entry| paths.contains(&entry.path.as_str())).map(|entry| entry.bytes).sum()
}

/// The fourth word of the second line that `df -P -k` prints.
fn free_bytes(said: &str) -> Option<u64> {
    let kilobytes: u64 = said.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::super::{AppsmithOptions, PagesInBrowser, Which};
    use super::*;
    use crate::instance::gate::ReadyOptions;
    use crate::instance::testing::{listing, view_with};
    use crate::model::definition::{Mount, MountSource};
    use crate::model::ids::InstanceName;
    use crate::smoke::Checks;

    fn app() -> Appsmith {
        Appsmith::new(AppsmithOptions {
            name: InstanceName::new("staging").unwrap(),
            container: "appsmith".into(),
            url: "http://127.0.0.1:8080".into(),
            login: None,
            stop_grace: Duration::from_secs(60),
            acknowledge_mounts: Vec::new(),
            ready: ReadyOptions::default(),
            checks: Checks::default(),
            test_datasources: false,
            pages_in_browser: PagesInBrowser { which: Which::None, limit: Duration::from_secs(60) },
            quick_mongod_stop: true,
        })
        .unwrap()
    }

    fn planned(mounts: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let volume =
            |at: &str| Mount { source: MountSource::Volume("v".into()), destination: at.into(), writable: true };
        let view = view_with(mounts.iter().map(|(at, _)| volume(at)).collect());
        let listings: Vec<(String, Listing)> = mounts.iter().map(|(at, all)| ((*at).into(), listing(all))).collect();
        let parts = Hot::parts(&app(), &view, &listings).map_err(|error| error.to_string())?;
        Ok(parts.iter().map(|part| part.name.to_string()).collect())
    }

    const FULL: &[&str] =
        &["configuration/", "data/", "data/mongodb/", "data/redis/", "data/temporal/", "git-storage/", "ssl/"];

    #[test]
    fn what_the_archive_holds_and_what_is_in_use_is_not_read_beside_it() {
        assert_eq!(planned(&[(parts::STACKS, FULL)]).unwrap(), ["configuration", "other", "ssl"]);
        let nested = [(parts::STACKS, &FULL[..2]), ("/appsmith-stacks/data/mongodb", &["WiredTiger"])];
        let why = planned(&nested).unwrap_err();
        assert!(why.contains("`database` lies in a mount of its own"), "{why}");
    }

    #[test]
    fn room_is_read_and_places_that_are_made_anew_are_named() {
        let said = "Filesystem 1024-blocks Used Available Capacity Mounted on\noverlay 100 50 40 50% /\n";
        assert_eq!((free_bytes(said), free_bytes("df: not found\n")), (Some(40 * 1024), None));
        let replaced = app().replaced("appsmith-backup-2024-01-08T10-11-12.345Z.tar.gz");
        for place in ["data/mongodb", "git-storage", "git-storage-appsmith-backup-2024-01-08T10-11-12.345Z"] {
            assert!(replaced.contains(&format!("/appsmith-stacks/{place}")), "{replaced:?}");
        }
    }
}
