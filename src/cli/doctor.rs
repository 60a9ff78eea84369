//! `doctor`: look at everything that a run rests on, before one is needed.

use super::render::Render;
use super::{exit, upgrade};
use crate::app::App;
use crate::config::{Config, StoreUrl};
use crate::ops::doctor::{Doctor, Finding, Level};
use crate::ops::history;
use crate::smoke::http::clock_of;
use crate::workflow::{Outcome, StepError};

/// Check everything that a run rests on: Docker, store, instances, rival updaters, browser, clock, disk
///
/// Writes, reads, lists and deletes one small object in the store, lists each instance's data through the porter, asks
/// each app once, with its login, and starts the browser where there are pages to open. Stops nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate doctor\n  tidegate doctor --no-login\n  tidegate doctor --json\n\n\
    Exit codes: 0 all is well, 3 there are warnings, 1 there are problems")]
pub struct DoctorArgs {
    /// Do not ask the apps, and so do not log in
    #[arg(long)]
    pub no_login: bool,
}

/// Looks; changes nothing that stays.
pub async fn run(args: &DoctorArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let mut doctor = Doctor::new(exit::hint);
    state(config, &mut doctor);
    match App::engine(config) {
        Ok(engine) => {
            if doctor.engine(&*engine).await {
                let instances = App::instances(config)?;
                for adapter in instances.values() {
                    doctor.instance(&*engine, adapter, &config.state_dir, !args.no_login).await;
                }
                let ours: Vec<String> = instances.values().map(|adapter| adapter.container().to_owned()).collect();
                doctor.rivals(&*engine, &ours).await;
            }
        }
        Err(error) => doctor.failed("docker", &error),
    }
    if let Some(browsing) = App::browsing(config) {
        doctor.browser(&browsing).await;
    }
    match App::store(config).await {
        Ok(store) => {
            let endpoint = match &config.store.url {
                StoreUrl::S3 { .. } => {
                    Some(config.store.endpoint.clone().unwrap_or_else(|| "https://s3.amazonaws.com".into()))
                }
                StoreUrl::Folder(_) => None,
            };
            let clock = match endpoint {
                Some(endpoint) => clock_of(&endpoint).await,
                None => None,
            };
            doctor.store(&*store, clock, jiff::Timestamp::now()).await;
        }
        Err(error) => doctor.failed("store", &error),
    }
    if out.is_json() {
        out.data(&doctor.findings);
    } else {
        out.text(&text(&doctor.findings));
    }
    let count = |level| doctor.findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    out.say(&format!("{problems} problems, {warnings} warnings"));
    Ok(match (problems, warnings) {
        (0, 0) => exit::DONE,
        (0, _) => exit::PARTLY,
        _ => exit::FAILED,
    })
}

fn state(config: &Config, doctor: &mut Doctor) {
    let state = match App::state(config) {
        Ok(state) => state,
        Err(error) => return doctor.failed("state", &error),
    };
    match state.free() {
        Ok(free) => doctor.room(state.root(), free),
        Err(error) => doctor.failed("state", &error),
    }
    match history::runs(&state) {
        Ok(runs) => {
            for run in runs.into_iter().flatten() {
                let take_up =
                    format!("`tidegate logs {}` tells it, `tidegate resume {}` takes it up", run.run, run.run);
                let (what, remedy) = match run.outcome {
                    None if run.waiting.is_some() => ("waits for a person", upgrade::answers(&run.run)),
                    None => ("is open: it goes on, or was cut off", take_up),
                    Some(Outcome::Stuck) => ("is stuck, and a person must look", take_up),
                    Some(_) => continue,
                };
                doctor.warning("state", format!("{} {what}", run.run), &remedy);
            }
        }
        Err(error) => doctor.failed("state", &error),
    }
    if !config.schedules.is_empty() && !state.daemon_runs() {
        doctor.warning(
            "schedules",
            "no daemon runs here, so none of them happens by itself",
            "`systemctl start tidegate`, or `tidegate daemon`",
        );
    }
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.area.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for Finding { area, level, text: seen, remedy } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        text.push_str(&format!("{level:<7}  {area:<width$}  {seen}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("{:<7}  {:<width$}  -> {remedy}\n", "", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::smoke::browser::{BrowserError, Browsing};

    #[test]
    fn each_line_says_how_bad_it_is_and_what_to_do() {
        let mut doctor = Doctor::new(exit::hint);
        doctor.ok("docker", "Docker 20.10.24 answers (API 1.41, x86_64)");
        doctor.warning("production", "`app` has the restart policy `no`: a reboot leaves it down", "`docker update`");
        doctor.problem("rivals", "`w` (containrrr/watchtower) changes images by itself", "stop it");
        insta::assert_snapshot!(text(&doctor.findings));
    }

    #[tokio::test]
    async fn a_browser_that_cannot_be_used_is_told_with_what_to_do() {
        let state = tempfile::tempdir().unwrap();
        let ends = state.path().join("chromium");
        std::fs::write(&ends, "#!/bin/sh\necho no usable sandbox >&2; exit 3\n").unwrap();
        std::fs::set_permissions(&ends, std::fs::Permissions::from_mode(0o755)).unwrap();
        let browsing = |program: &Path| Browsing {
            program: Some(program.to_owned()),
            folder: state.path().join("browser"),
            jit: true,
            memory_limit_bytes: 1 << 30,
            pages_at_once: 2,
        };
        let mut doctor = Doctor::new(exit::hint);
        doctor.browser(&browsing(Path::new("/nowhere/chromium"))).await;
        doctor.browser(&browsing(&ends)).await;
        let mut findings = doctor.findings;
        let tried = ["chromium", "google-chrome"].to_vec();
        let mut none = Doctor::new(exit::hint);
        none.failed("browser", &BrowserError::NotInstalled { tried });
        findings.extend(none.findings);
        let told = text(&findings).replace(&*state.path().to_string_lossy(), "STATE");
        insta::assert_snapshot!(told);
    }
}
