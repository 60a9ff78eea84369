//! `recover`: put service back after a crash.

use super::render::Render;
use super::resume::{self, OnSignal};
use super::{Signals, app, exit};
use crate::app::{App, Repositories};
use crate::config::Config;
use crate::ops::history;
use crate::workflow::StepError;

/// Put service back after a crash: take up every run that was cut off
///
/// Does nothing where no run was cut off, and leaves alone what another tidegate works on. The unit runs it after the
/// daemon has ended in whatever way. SIGTERM stops it at once: what is open then is taken up by the next start.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate recover")]
pub struct RecoverArgs {}

/// Needs the state directory only, as long as there is nothing to do.
pub async fn run(_args: &RecoverArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let state = App::state(config)?;
    // One that cannot be read may be open: then the error is said below, where it stops everything.
    let may_be_open = |run: &Result<history::RunSummary, _>| run.as_ref().map_or(true, history::RunSummary::is_open);
    if !history::unended(&state)?.iter().any(may_be_open) {
        out.say("no run was cut off");
        return Ok(exit::DONE);
    }
    let mut signals = Signals::new();
    let recovering = async {
        let app = app(config, Repositories::Unasked).await?;
        resume::all(&app, OnSignal::Ignore, out).await
    };
    // Dropped in the middle: each run stays as its journal says, and a migration that it waits for goes on.
    tokio::select! {
        code = recovering => code,
        () = signals.next() => Ok(exit::INTERRUPTED),
    }
}
