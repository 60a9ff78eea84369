//! `appsmithctl`: the maintenance tool inside the container. Its flaws are those of the real one.
//!
//! ```text
//! backup, restore, export   what a call does      dump   the archive of mongodump
//! ```

mod backup;
mod dump;
mod export;
mod restore;

use crate::behaviour::Behaviour;
use crate::broken::Broken;
use crate::envfile::{self, Settings};
use crate::failure::{Failure, Result};
use crate::feature::Feature;
use crate::paths::Volume;
use crate::supervisor;
use crate::supervisor::socket::{self, Order, Reply};
use crate::time::Moment;
use crate::version::Version;
use crate::{paths, say};
use std::io::Write;
use std::path::PathBuf;

/// The commands of the real tool. What is marked is not imitated: it says so and exits 1.
const HELP: &str = "\
Appsmith CLI (stand-in)

commands:
  version             version of Appsmith, alias appsmith-version, appsmith_version
  backup              database, Git and settings into an archive in data/backup
  restore             such an archive back, alias none
  export-db           the database into data/backup/appsmith-data.archive, alias export_db, ex
  check-replica-set   is the database a replica set? alias check_replica_set, crs
  mongo-eval          only `shutdownTimeoutMillisForSignaledShutdown` can be set
  import-db           not in the stand-in
  help                this text
";

/// Plays one call. Like the real tool, an unknown command prints the help and succeeds.
pub fn run(words: &[String]) -> u8 {
    match words.first().map(String::as_str) {
        Some("version" | "appsmith-version" | "appsmith_version") => version(),
        Some("mongo-eval" | "mongo_eval" | "mongoEval") => mongo_eval(words.get(1).map_or("", String::as_str)),
        Some("check-replica-set" | "check_replica_set" | "crs") => check_replica_set(),
        Some("enable-form-login" | "efl") if release().is_some_and(|it| it.has(Feature::EnableFormLogin)) => {
            say::out("Form login is enabled.");
            0
        }
        Some("backup") => Tool::play(backup::run),
        Some("restore") => Tool::play(|tool| restore::run(tool, &words[1..])),
        Some("export-db" | "export_db" | "ex") => Tool::play(export::run),
        Some("import-db" | "import_db" | "im") => {
            say::err("Error: the stand-in has no import-db");
            1
        }
        _ => {
            say::out(HELP);
            0
        }
    }
}

/// What a call works with.
pub struct Tool {
    pub behaviour: Behaviour,
    pub volume: Volume,
    /// `docker.env` with this process's environment on top.
    pub settings: Settings,
}

impl Tool {
    fn play(call: impl FnOnce(&Self) -> u8) -> u8 {
        match Self::load() {
            Ok(tool) => call(&tool),
            Err(failure) => {
                say::err(&format!("Error: {failure}"));
                1
            }
        }
    }

    fn load() -> Result<Self> {
        let (behaviour, volume) = (Behaviour::load()?, Volume::at(paths::STACKS));
        let settings = Settings::load(&volume, behaviour.version, &envfile::container_variables(std::env::vars()))?;
        Ok(Self { behaviour, volume, settings })
    }

    fn is(&self, way: &Broken) -> bool {
        self.behaviour.is(way)
    }

    fn ask(&self, order: &Order) -> Result<Reply> {
        let reply = socket::ask(order).map_err(Failure::of("cannot reach the database"))?;
        if reply.done { Ok(reply) } else { Err(Failure::new(reply.text)) }
    }

    fn database_url(&self) -> Result<String> {
        let url = self.settings.get("APPSMITH_DB_URL").or_else(|| self.settings.get("APPSMITH_MONGODB_URI"));
        url.map(str::to_owned).ok_or_else(|| Failure::new("there is no APPSMITH_DB_URL"))
    }

    fn database_name(&self) -> Result<String> {
        let url = self.database_url()?;
        let last = url.rsplit('/').next().unwrap_or_default();
        Ok(last.split('?').next().unwrap_or_default().to_owned())
    }

    fn git_storage(&self) -> PathBuf {
        self.settings.get("APPSMITH_GIT_ROOT").map_or_else(|| self.volume.git_storage(), PathBuf::from)
    }

    /// One line of `logs/appsmithctl/backup.log`.
    fn log(&self, level: &str, line: &str) {
        let folder = self.volume.logs("appsmithctl");
        let _ = std::fs::create_dir_all(&folder);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("backup.log"));
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{} [ {level} ] {line}", Moment::now().iso());
        }
    }
}

/// As the real tool calls it; what comes of it is looked at by nobody.
fn supervisorctl(words: &[&str]) {
    supervisor::ctl::run(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
}

/// The release of this image, if its files say so.
fn release() -> Option<Version> {
    let text = |path| std::fs::read_to_string(path).ok();
    let info =
        || serde_json::from_str::<serde_json::Value>(&text(paths::INFO)?).ok()?["version"].as_str()?.parse().ok();
    info().or_else(|| text(paths::OLD_VERSION)?.split('"').nth(1)?.parse().ok())
}

fn check_replica_set() -> u8 {
    let running = socket::ask(&Order::Status)
        .is_ok_and(|reply| reply.programs.iter().any(|it| it.name == "mongodb" && it.state.is_running()));
    say::out(if running { "Mongodb cluster is a replica set" } else { "Mongodb is not a replica set" });
    u8::from(!running)
}

fn version() -> u8 {
    match release() {
        Some(version) => {
            say::out(&version.to_string());
            0
        }
        None => {
            say::err("Error: could not find the version");
            1
        }
    }
}

/// Understands `setParameter … shutdownTimeoutMillisForSignaledShutdown: N`, in whatever words are around it.
fn mongo_eval(expression: &str) -> u8 {
    let Some(millis) = shutdown_timeout(expression) else {
        say::err("MongoshInvalidInputError: the stand-in understands only shutdownTimeoutMillisForSignaledShutdown");
        return 1;
    };
    match socket::ask(&Order::ShutdownTimeout { millis }) {
        Ok(reply) => {
            say::out(&reply.text);
            u8::from(!reply.done)
        }
        Err(_) => {
            say::err("MongoNetworkError: connect ECONNREFUSED 127.0.0.1:27017");
            1
        }
    }
}

fn shutdown_timeout(expression: &str) -> Option<u64> {
    let (_, rest) = expression.split_once("shutdownTimeoutMillisForSignaledShutdown")?;
    let digits: String = rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::entrypoint::tree;
    use crate::options::Options;

    /// A call in a fresh volume.
    pub fn tool(version: &str) -> (tempfile::TempDir, Tool) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        let baked = Baked::take(&mut Options::read(&["--version".into(), version.into()]).unwrap()).unwrap();
        let behaviour = baked.in_environment(None, None).unwrap();
        tree::make_directories(&volume).unwrap();
        tree::make_settings(&volume, behaviour.version).unwrap();
        let settings = Settings::load(&volume, behaviour.version, &std::collections::BTreeMap::new()).unwrap();
        (dir, Tool { behaviour, volume, settings })
    }

    #[test]
    fn the_parameter_is_found_in_what_people_write() {
        let said = "db.adminCommand({setParameter: 1, shutdownTimeoutMillisForSignaledShutdown: 100})";
        assert_eq!(shutdown_timeout(said), Some(100));
        assert_eq!(shutdown_timeout(r#"{"shutdownTimeoutMillisForSignaledShutdown":250}"#), Some(250));
        assert_eq!(shutdown_timeout("db.users.find()"), None);
    }
}
