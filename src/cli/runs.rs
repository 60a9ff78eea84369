//! `runs`: list what was done on this host.

use super::exit;
use super::render::{Render, ago};
use crate::app::App;
use crate::config::Config;
use crate::ops::history;
use crate::workflow::StepError;

/// List what was done on this host
///
/// Newest first, read from the journals; works without Docker and without the store.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate runs\n  tidegate runs --all --json")]
pub struct RunsArgs {
    /// All of them, not only the newest 20
    #[arg(long)]
    pub all: bool,
}

/// Reads the journals; touches nothing.
pub fn run(args: &RunsArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let state = App::state(config)?;
    let runs = history::runs(&state)?;
    let limit = if args.all { usize::MAX } else { 20 };
    let now = jiff::Timestamp::now();
    if out.is_json() {
        let data: Vec<_> = runs.iter().rev().take(limit).filter_map(|run| run.as_ref().ok()).collect();
        out.data(&data);
        return Ok(exit::DONE);
    }
    if runs.is_empty() {
        out.say("nothing has been done yet");
        return Ok(exit::DONE);
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .rev()
        .take(limit)
        .map(|run| match run {
            Ok(run) => {
                let outcome = run.state_word();
                let instances: Vec<&str> = run.instances.iter().map(|name| name.as_str()).collect();
                let down: Vec<String> =
                    run.down_seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
                let waits = run.waiting.as_ref().map(|wait| wait.reason.clone());
                let note = waits.or_else(|| run.at_step.clone()).or_else(|| run.failure.clone()).unwrap_or_default();
                let note = short(&note);
                vec![
                    run.run.to_string(),
                    ago(&run.started_at, now),
                    instances.join(", "),
                    outcome,
                    down.join(", "),
                    note,
                ]
            }
            Err(error) => {
                vec!["?".into(), String::new(), String::new(), "unreadable".into(), String::new(), error.to_string()]
            }
        })
        .collect();
    out.table(&["RUN", "BEGUN", "INSTANCES", "OUTCOME", "DOWN", "NOTE"], &rows);
    Ok(exit::DONE)
}

/// The first line, and no more of it than a terminal shows.
fn short(text: &str) -> String {
    const WIDTH: usize = 60;
    let line = text.lines().next().unwrap_or_default().trim_end_matches(':');
    if line.chars().count() <= WIDTH {
        line.to_owned()
    } else {
        format!("{}…", line.chars().take(WIDTH - 1).collect::<String>())
    }
}
