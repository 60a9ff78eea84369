//! `status`: the instances now.

use std::time::Duration;

use serde::Serialize;

use super::render::{Render, ago};
use super::{app, exit, schedules, tools, upgrade};
use crate::app::{App, Repositories};
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::ops::run::{self, Unended};
use crate::workflow::{StepError, chain};

/// Show the instances, their versions and snapshots, and open runs
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate status\n  tidegate status --watch\n  tidegate status --json")]
pub struct StatusArgs {
    /// Show it again every 2 seconds until Ctrl-C
    #[arg(long, short = 'w')]
    pub watch: bool,
}

/// The pause between two looks.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
struct Line {
    instance: InstanceName,
    container: String,
    state: String,
    version: Option<String>,
    image: Option<String>,
    last_verified: Option<String>,
    evidence: Option<String>,
}

/// Looks; touches nothing.
pub async fn run(args: &StatusArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let app = app(config, Repositories::OpenIfThere).await?;
    if !args.watch {
        return show(&app, config, out).await;
    }
    loop {
        out.clear();
        // An engine that restarts is a thing to be seen, not an end.
        if let Err(error) = show(&app, config, out).await {
            out.say(&format!("cannot look: {}", chain(&*error)));
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = tokio::signal::ctrl_c() => return Ok(exit::DONE),
        }
    }
}

async fn show(app: &App, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let tools = tools(app);
    let now = (tools.now)();
    let mut lines = Vec::new();
    for (name, adapter) in &tools.instances {
        let view = tools.engine.find(adapter.container()).await?;
        let state = match &view {
            None => "no container".to_owned(),
            Some(view) => {
                let health = view.health.as_ref().map(|health| format!(", {health}")).unwrap_or_default();
                format!("{:?}{health}", view.state).to_lowercase()
            }
        };
        let up = view.as_ref().is_some_and(|view| view.is_up());
        let version = if up { adapter.version(&*tools.engine).await.unwrap_or_default() } else { None };
        let snapshots = match app.has_repository() {
            true => tools.repository.manifests(name).await?,
            false => Vec::new(),
        };
        let verified =
            snapshots.iter().rev().filter_map(|entry| entry.manifest()).find(|manifest| manifest.verified_at.is_some());
        lines.push(Line {
            instance: name.clone(),
            container: adapter.container().to_owned(),
            state,
            version: version.map(|version| version.to_string()),
            image: view.map(|view| view.image_ref),
            last_verified: verified.map(|manifest| manifest.taken_at.clone()),
            evidence: tools
                .state
                .evidence(name)
                .map(|evidence| format!("{} at {}", evidence.image_ref, evidence.passed_at)),
        });
    }
    let Unended { open, waiting } = run::unended_runs(tools)?;
    let planned = schedules::lines(config, &tools.state, now);
    if out.is_json() {
        let store = app.store_text();
        let data = serde_json::json!({ "instances": lines, "open_runs": open, "waiting_runs": waiting, "schedules": planned, "store": store, "daemon": tools.state.daemon_runs() });
        out.data(&data);
        return Ok(exit::DONE);
    }
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let verified = line.last_verified.as_ref().map_or_else(|| "never".to_owned(), |at| ago(at, now));
            vec![line.instance.to_string(), line.state.clone(), dash(&line.version), dash(&line.image), verified]
        })
        .collect();
    out.table(&["INSTANCE", "STATE", "VERSION", "IMAGE", "LAST VERIFIED SNAPSHOT"], &rows);
    schedules::show(&planned, &tools.state, out);
    for run in &waiting {
        out.say(&upgrade::waits(run));
    }
    for run in &open {
        let at = run.at_step.as_deref().unwrap_or("its beginning");
        let held = crate::ops::lock::is_free(tools, run.instances.first().unwrap_or(&lines[0].instance)).await;
        match held {
            Ok(Some(owner)) => out.say(&format!("{} goes on (pid {} on {}), at {at}", run.run, owner.pid, owner.host)),
            Ok(None) => out.say(&format!("{} was cut off at {at}; `tidegate resume` ends it", run.run)),
            Err(error) => out.say(&format!("{} is open at {at}: {}", run.run, chain(&error))),
        }
    }
    Ok(exit::DONE)
}
