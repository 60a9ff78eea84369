//! `smoke`: run the checks of an instance now.

use super::render::{Render, ago};
use super::report::{self, Files};
use super::{app, configured, exit, find, tools};
use crate::app::Repositories;
use crate::config::Config;
use crate::model::ids::InstanceName;
use crate::model::manifest::Manifest;
use crate::ops::Tools;
use crate::ops::run::open_runs;
use crate::ops::smoke::{self, Against};
use crate::workflow::{StepError, chain};

/// Run the checks of an instance now, and say what differs from how it was
///
/// Compared with what was seen when its newest snapshot was taken: what worked then must work now, and what was there
/// must be there. Checks only look; queries are executed only where the configuration names them. Takes no lock.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate smoke staging\n  tidegate smoke production --against 3fa4c1d2\n  \
    tidegate smoke staging --against nothing --junit smoke.xml --html smoke.html\n\n\
    Exit codes: 0 the checks passed, 9 they did not")]
pub struct SmokeArgs {
    /// Which instance
    pub instance: InstanceName,
    /// A snapshot's id or its beginning, or `nothing`: then everything that does not work counts
    #[arg(long, value_name = "SNAPSHOT")]
    pub against: Option<String>,
    /// Where a report is written
    #[command(flatten)]
    pub files: Files,
}

/// Looks; changes nothing.
pub async fn run(args: &SmokeArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    configured(config, [&args.instance])?;
    let repositories = match args.against.as_deref() {
        Some("nothing") => Repositories::Unasked,
        Some(_) => Repositories::Open,
        None => Repositories::OpenIfThere,
    };
    let app = app(config, repositories).await?;
    let tools = tools(&app);
    let against = match args.against.as_deref() {
        Some("nothing") => None,
        Some(id) => {
            let manifest = find::snapshot(&tools.repository, config, id).await?;
            let found = of(tools, &manifest);
            if found.is_none() {
                out.say(&format!("{} was taken while nothing could be seen; compared with nothing", manifest.id));
            }
            found
        }
        None if app.has_repository() => newest(tools, &args.instance, out).await,
        None => None,
    };
    // A journal that cannot be read must not keep anybody from looking.
    let at_work = open_runs(tools).unwrap_or_default().into_iter().find(|run| run.instances.contains(&args.instance));
    if let Some(run) = at_work {
        out.say(&format!("{} is open on `{}`: what is seen now may be in between", run.run, args.instance));
    }
    let looked = smoke::smoke(tools, &args.instance, against).await?;
    let report = args.files.report(&tools.state, None, looked).await;
    let code = report::tell(&[report], &args.files, out)?;
    if code == exit::REFUSED {
        out.error(
            "the checks did not pass",
            Some("nothing was changed; `--html FILE` shows pages and pictures, `tidegate logs` what was done last, `tidegate doctor` what it rests on"),
        );
    }
    Ok(code)
}

/// The newest snapshot that was taken while the app answered. A store that fails must not keep anybody from looking.
async fn newest(tools: &Tools, instance: &InstanceName, out: &mut Render) -> Option<Against> {
    match tools.repository.manifests(instance).await {
        Ok(entries) => {
            entries.iter().rev().filter_map(|entry| entry.manifest()).find_map(|manifest| of(tools, manifest))
        }
        Err(error) => {
            out.say(&format!("compared with nothing, since the snapshots cannot be listed: {}", chain(&error)));
            None
        }
    }
}

fn of(tools: &Tools, manifest: &Manifest) -> Option<Against> {
    let observation = manifest.observation.clone()?;
    let text = format!("snapshot {}, taken {}", manifest.id, ago(&manifest.taken_at, (tools.now)()));
    Some(Against { text, observation })
}
