//! The loop around [`ready`](super::ready): looks, asks the gate, and waits.

use tokio::time::{Instant, sleep};

use super::Appsmith;
use super::answer::ApiError;
use super::logs::explained;
use super::ready::{Decision, Gate, Look};
use super::supervisor::{self, ProgramState};
use crate::engine::{ContainerEngine, ContainerState, EngineError};
use crate::instance::gate::with_excerpt;
use crate::instance::{InstanceAdapter, InstanceError};
use crate::model::version::Version;

/// How many lines of the log are enough to see that it moves, and to show what went wrong.
const LOG_LINES: u32 = 100;
/// An engine that fails so often in a row is not coming back soon.
const ENGINE_FAILURES: u32 = 5;

/// Waits until the gate says yes or no.
pub async fn until_ready(
    app: &Appsmith,
    engine: &dyn ContainerEngine,
    expected: Option<&Version>,
    tell: &(dyn Fn(String) + Send + Sync),
) -> Result<(), InstanceError> {
    let options = &app.options.ready;
    let mut gate = Gate::new(options, expected, app.api.has_login());
    let begin = Instant::now();
    let mut failures = 0;
    let mut told = String::new();
    loop {
        let look = match look(app, engine).await {
            Ok(look) => look,
            Err(error) if failures + 1 >= ENGINE_FAILURES => return Err(error.into()),
            Err(error) => {
                failures += 1;
                tracing::warn!(container = app.container(), error = %error, "engine failed while waiting");
                sleep(options.poll).await;
                continue;
            }
        };
        failures = 0;
        if let Some(view) = &look.view {
            app.api.meets(&view.id);
        }
        let decision = gate.weigh(begin.elapsed(), &look);
        if let Some(phase) = gate.phase().map(ToString::to_string).filter(|phase| *phase != told) {
            tracing::debug!(container = app.container(), phase, "waiting");
            told = phase.clone();
            tell(phase);
        }
        match decision {
            Decision::Ready => return Ok(()),
            Decision::GiveUp(reason) => {
                let reason = with_excerpt(&explained(reason, &look.log), &look.log);
                return Err(InstanceError::NotReady { instance: app.instance(), reason });
            }
            Decision::Wait => {}
            Decision::LogIn => match app.api.log_in().await {
                Ok(()) => {
                    gate.logged_in();
                    continue;
                }
                Err(error) => match error.as_silence() {
                    Some(why) => {
                        tracing::debug!(container = app.container(), why, "stopped to answer at the login");
                        gate.lost();
                    }
                    None => return Err(app.failed("log in", error)),
                },
            },
        }
        sleep(options.poll).await;
    }
}

/// Sees everything at once. Only the engine can fail; what the app does not say is part of the look.
async fn look(app: &Appsmith, engine: &dyn ContainerEngine) -> Result<Look, EngineError> {
    let container = app.container();
    let view = engine.find(container).await?;
    let log = match &view {
        Some(_) => without_requests(&engine.logs(container, LOG_LINES).await?),
        None => String::new(),
    };
    if view.as_ref().is_none_or(|view| view.state != ContainerState::Running) {
        let nothing = || "the container does not run".to_owned();
        let (programs, info) = (Err(nothing()), Err(nothing()));
        return Ok(Look { view, programs, info, health: Err(nothing()), migrating: Err(nothing()), log });
    }
    let words = |error: ApiError| error.as_silence().unwrap_or_else(|| error.to_string());
    let api = &app.api;
    let (programs, info, health, tenant) =
        tokio::join!(supervisor::status(engine, container), api.info(), api.health(), api.tenant());
    let programs = match programs {
        Ok(programs) => programs,
        // Says nothing of the app.
        Err(error @ (EngineError::Unreachable { .. } | EngineError::LostAnswer { .. })) => return Err(error),
        // An exec fails while the container starts or ends, which the next look shows.
        Err(error) => Err(error.to_string()),
    };
    Ok(Look {
        view,
        programs,
        info: info.map_err(words),
        health: health.map_err(words),
        migrating: tenant.map(|tenant| tenant.migrating).map_err(words),
        log,
    })
}

/// The log without what the web server writes of each request: our own must not look like movement.
fn without_requests(log: &str) -> String {
    log.lines().filter(|line| !line.starts_with("editor ")).fold(String::new(), |kept, line| kept + line + "\n")
}

/// One look, for checks that do not wait: what is wrong, if anything.
pub async fn quick_probe(app: &Appsmith, engine: &dyn ContainerEngine) -> Result<Option<String>, EngineError> {
    let look = look(app, engine).await?;
    let Some(view) = &look.view else {
        return Ok(Some("its container is gone".into()));
    };
    if view.state != ContainerState::Running {
        return Ok(Some("its container does not run".into()));
    }
    app.api.meets(&view.id);
    Ok(match (&look.programs, &look.health, &look.migrating) {
        (Err(why), _, _) => Some(format!("its supervisor does not answer: {why}")),
        (Ok(programs), _, _) if programs.iter().any(|it| it.state != ProgramState::Running) => {
            let down = programs.iter().filter(|it| it.state != ProgramState::Running).map(ToString::to_string);
            Some(format!("its program {}", down.collect::<Vec<_>>().join(", ")))
        }
        (_, Err(why), _) | (_, _, Err(why)) => Some(format!("its backend does not answer: {why}")),
        (_, _, Ok(true)) => Some("it still migrates".into()),
        (Ok(_), Ok(()), Ok(false)) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_no_movement() {
        let log = "editor stdout | GET /api/v1/health 502\nbackend stdout | ABORTED MIGRATION of 079\n";
        assert_eq!(without_requests(log), "backend stdout | ABORTED MIGRATION of 079\n");
    }
}
