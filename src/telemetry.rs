//! What is logged, and how it looks. Logs go to stderr; what a command prints is the CLI's matter.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The variable with the filter, such as `debug` or `warn,tidegate::store=trace`.
pub const VARIABLE: &str = "TIDEGATE_LOG";

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `TIDEGATE_LOG` cannot be read.
    #[error("`{VARIABLE}` is not a filter such as `debug` or `warn,tidegate::store=trace`")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Somebody else set up logging in this process before.
    #[error("cannot set up logging")]
    Init(#[source] TryInitError),
}

/// Starts to log to stderr; once a process.
///
/// `verbosity` counts from 0, warnings only: each step up shows more of ours (info, debug, trace) and never more of
/// the libraries, which would print requests with their headers; each step down shows less (errors, nothing).
/// `TIDEGATE_LOG` wins over it, but for what libraries say below info. With `json` a line is an object; else lines are short on a terminal, in colour unless
/// `NO_COLOR` is set, and without the time where the journal adds it.
pub fn init(verbosity: i8, json: bool) -> Result<(), TelemetryError> {
    let given = std::env::var(VARIABLE).ok();
    let terminal = std::io::stderr().is_terminal();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(terminal && !set("NO_COLOR"));
    let lines = match (json, terminal) {
        (true, _) => lines.json().flatten_event(true).boxed(),
        (false, true) => lines.compact().with_target(false).boxed(),
        (false, false) if set("JOURNAL_STREAM") => lines.without_time().boxed(),
        (false, false) => lines.boxed(),
    };
    let shown = filter(verbosity, given.as_deref())?.and(filter_fn(tells_no_secrets));
    tracing_subscriber::registry().with(lines.with_filter(shown)).try_init().map_err(TelemetryError::Init)
}

/// Whatever is asked for: below info, libraries print whole answers, a container's environment among them.
fn tells_no_secrets(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || line.target().starts_with(env!("CARGO_PKG_NAME"))
}

fn filter(verbosity: i8, given: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let usual = match verbosity {
        ..=-2 => "off",
        -1 => "error",
        0 => "warn",
        1 => "warn,tidegate=info",
        2 => "warn,tidegate=debug",
        3.. => "warn,tidegate=trace",
    };
    let directives = given.filter(|given| !given.trim().is_empty()).unwrap_or(usual);
    EnvFilter::builder().parse(directives).map_err(TelemetryError::Filter)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged of one event of ours and one of a library at each level.
    fn logged(verbosity: i8, given: Option<&str>) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter(verbosity, given).unwrap())
            .with_writer(move || Sink(Arc::clone(&sink)))
            .with_ansi(false)
            .without_time();
        tracing::subscriber::with_default(lines.finish(), || {
            tracing::warn!(target: "tidegate::store", "a");
            tracing::info!(target: "tidegate::store", "b");
            tracing::debug!(target: "tidegate::store", "c");
            tracing::trace!(target: "tidegate::store", "d");
            tracing::warn!(target: "hyper", "e");
            tracing::info!(target: "hyper", "f");
        });
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(|line| line.rsplit(' ').next()).collect()
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn verbosity_shows_more_of_ours_and_not_of_the_libraries() {
        let seen = |verbosity| logged(verbosity, None);
        assert_eq!([seen(-2), seen(-1), seen(0), seen(1), seen(2), seen(9)], ["", "", "ae", "abe", "abce", "abcde"]);
    }

    #[test]
    fn the_variable_wins() {
        assert_eq!(logged(3, Some("hyper=info")), "ef");
        assert_eq!(logged(1, Some(" ")), "abe");
        assert!(matches!(filter(0, Some("tidegate=loud")), Err(TelemetryError::Filter(_))));
    }
}
