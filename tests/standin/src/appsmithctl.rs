//! `appsmithctl`: for now its `version`, and the one use of `mongo-eval` that a careful stop needs.

use crate::supervisor::socket::{self, Order};
use crate::{paths, say};

const HELP: &str = "\
Appsmith CLI (stand-in)

commands:
  version       version of Appsmith, alias appsmith-version, appsmith_version
  mongo-eval    only `shutdownTimeoutMillisForSignaledShutdown` can be set
  help          this text
";

/// Plays one call. Like the real tool, an unknown command prints the help and succeeds.
pub fn run(words: &[String]) -> u8 {
    match words.first().map(String::as_str) {
        Some("version" | "appsmith-version" | "appsmith_version") => version(),
        Some("mongo-eval" | "mongo_eval" | "mongoEval") => mongo_eval(words.get(1).map_or("", String::as_str)),
        _ => {
            say::out(HELP);
            0
        }
    }
}

fn version() -> u8 {
    let text = std::fs::read_to_string(paths::INFO).unwrap_or_default();
    let info: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match info.get("version").and_then(serde_json::Value::as_str) {
        Some(version) => {
            say::out(version);
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
