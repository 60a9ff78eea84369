//! `daemon`: the service.

use std::path::Path;

use super::exit;
use crate::config::Config;
use crate::daemon::{self, End};
use crate::workflow::StepError;

/// Run as a service: take up what was cut off, and do what the schedules say
///
/// SIGTERM stops between two steps and undoes what was begun; a second one stops at once, and the next start takes up
/// what is open. SIGHUP reads the configuration again and keeps the old one if the new one is not valid.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate daemon\n  systemctl enable --now tidegate\n  systemctl reload tidegate")]
pub struct DaemonArgs {}

/// Runs until it is asked to stop.
pub async fn run(_args: &DaemonArgs, path: &Path, config: Config) -> Result<u8, StepError> {
    Ok(match daemon::run(path.to_owned(), config).await? {
        End::Stopped => exit::DONE,
        End::AtOnce => exit::INTERRUPTED,
    })
}
