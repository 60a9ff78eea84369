//! `appsmithctl`: for now its `version`, and the one use of `mongo-eval` that a careful stop needs.

use crate::feature::Feature;
use crate::supervisor::socket::{self, Order};
use crate::version::Version;
use crate::{paths, say};

/// The commands of the real tool. What is marked is not imitated: it says so and exits 1.
const HELP: &str = "\
Appsmith CLI (stand-in)

commands:
  version             version of Appsmith, alias appsmith-version, appsmith_version
  check-replica-set   is the database a replica set? alias check_replica_set, crs
  mongo-eval          only `shutdownTimeoutMillisForSignaledShutdown` can be set
  backup, restore, export-db, import-db
                      not in the stand-in
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
        Some(known @ ("backup" | "restore" | "export-db" | "export_db" | "ex" | "import-db" | "import_db" | "im")) => {
            let attended = release().is_some_and(|it| !it.has(Feature::UnattendedRestore));
            if known == "restore" && attended && words.iter().any(|word| word == "--non-interactive") {
                say::err("Error: this version asks for the number of an archive; it has no --non-interactive");
            }
            say::err(&format!("Error: the stand-in has no {known}"));
            1
        }
        _ => {
            say::out(HELP);
            0
        }
    }
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

    #[test]
    fn the_parameter_is_found_in_what_people_write() {
        let said = "db.adminCommand({setParameter: 1, shutdownTimeoutMillisForSignaledShutdown: 100})";
        assert_eq!(shutdown_timeout(said), Some(100));
        assert_eq!(shutdown_timeout(r#"{"shutdownTimeoutMillisForSignaledShutdown":250}"#), Some(250));
        assert_eq!(shutdown_timeout("db.users.find()"), None);
    }
}
