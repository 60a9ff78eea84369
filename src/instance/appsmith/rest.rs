//! Brings the programs in the container to rest, and wakes them again.
//!
//! First everything that uses the databases, then the databases. Left to itself, a container stops them in an order
//! and with a patience of ten seconds that mongod may not survive.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::settings::Settings;
use super::supervisor::{self, DATA_PROGRAMS, Program, ProgramState, start_rank};
use crate::engine::{ContainerEngine, ContainerState, EngineError};

/// Why the programs do not rest, or do not wake.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// It must not, or does not.
    #[error("{0}")]
    Refused(String),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

impl RestError {
    /// It would not stay at rest.
    pub fn heals_itself() -> Self {
        Self::Refused("it restarts by itself what does not answer; take APPSMITH_AUTO_HEAL=1 away first".into())
    }
}

/// How long programs that are on their way may take to arrive.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
const MONGO_LIMIT: Duration = Duration::from_secs(20);

/// Makes mongod quit at once when asked, instead of waiting 15 s for other members that it does not have, while
/// supervisord kills it after 10 s. Appsmith's own tool knows the credentials.
const QUIT_SOON: [&str; 3] =
    ["appsmithctl", "mongo-eval", "db.adminCommand({setParameter: 1, shutdownTimeoutMillisForSignaledShutdown: 100})"];

/// Stops all programs in order. May be called again.
pub async fn rest(engine: &dyn ContainerEngine, container: &str, quick_mongod_stop: bool) -> Result<(), RestError> {
    if !runs(engine, container).await? {
        return Ok(());
    }
    if heals_itself(engine, container).await? {
        return Err(RestError::heals_itself());
    }
    let programs = programs(engine, container).await?;
    if !programs.iter().any(|it| it.name == "mongodb") {
        let reason = "it has no MongoDB of its own, and this version can only keep the embedded one";
        return Err(RestError::Refused(reason.into()));
    }
    let is_data = |it: &&Program| DATA_PROGRAMS.contains(&it.name.as_str());
    let mut users: Vec<&str> = alive(&programs, |it| !is_data(&it));
    users.sort_by_key(|name| std::cmp::Reverse(start_rank(name)));
    stop(engine, container, &users).await?;
    let data: Vec<&str> = DATA_PROGRAMS.into_iter().filter(|name| alive(&programs, |_| true).contains(name)).collect();
    if quick_mongod_stop && data.contains(&"mongodb") {
        quit_soon(engine, container).await;
    }
    stop(engine, container, &data).await
}

/// Starts what is stopped, in order. Programs that had failed before the rest are not touched.
pub async fn wake(engine: &dyn ContainerEngine, container: &str) -> Result<(), RestError> {
    if !runs(engine, container).await? {
        return Ok(());
    }
    // A rest that was cut off may still be at work.
    let before = settle(engine, container, |it| it.state == ProgramState::Stopping).await?;
    let mut stopped: Vec<&str> =
        before.iter().filter(|it| it.state == ProgramState::Stopped).map(|it| it.name.as_str()).collect();
    if stopped.is_empty() {
        return Ok(());
    }
    stopped.sort_by_key(|name| start_rank(name));
    let said = supervisor::change(engine, container, "start", &stopped).await?;
    tracing::debug!(container, said, "programs started");
    let after = programs(engine, container).await?;
    match after.iter().find(|it| stopped.contains(&it.name.as_str()) && !it.state.is_alive()) {
        None => Ok(()),
        Some(program) => Err(RestError::Refused(format!("its program {program} after a start"))),
    }
}

async fn runs(engine: &dyn ContainerEngine, container: &str) -> Result<bool, EngineError> {
    Ok(engine.find(container).await?.is_some_and(|view| view.state == ContainerState::Running))
}

async fn programs(engine: &dyn ContainerEngine, container: &str) -> Result<Vec<Program>, RestError> {
    let answer = supervisor::status(engine, container).await?;
    answer.map_err(|said| RestError::Refused(format!("its supervisor does not answer: {said}")))
}

fn alive(programs: &[Program], which: impl Fn(&Program) -> bool) -> Vec<&str> {
    programs.iter().filter(|it| it.state.is_alive() && which(it)).map(|it| it.name.as_str()).collect()
}

/// Stops these and makes sure that they have stopped.
async fn stop(engine: &dyn ContainerEngine, container: &str, names: &[&str]) -> Result<(), RestError> {
    if names.is_empty() {
        return Ok(());
    }
    let said = supervisor::change(engine, container, "stop", names).await?;
    tracing::debug!(container, said, "programs stopped");
    let named = |it: &Program| names.contains(&it.name.as_str());
    let after = settle(engine, container, |it| named(it) && it.state == ProgramState::Stopping).await?;
    match after.iter().find(|it| named(it) && it.state.is_alive()) {
        None => Ok(()),
        Some(program) => Err(RestError::Refused(format!("its program {program} after a stop"))),
    }
}

/// Waits until no program is `moving` any more, at most [`SETTLE_LIMIT`].
async fn settle(
    engine: &dyn ContainerEngine,
    container: &str,
    moving: impl Fn(&Program) -> bool,
) -> Result<Vec<Program>, RestError> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let programs = programs(engine, container).await?;
        if !programs.iter().any(&moving) || Instant::now() >= deadline {
            return Ok(programs);
        }
        sleep(SETTLE_PAUSE).await;
    }
}

/// As far as it can be known from outside: by the container's environment, and by asking for the one line of
/// `docker.env` that says so. An image without `grep` says nothing, and then `preflight` has read the file.
async fn heals_itself(engine: &dyn ContainerEngine, container: &str) -> Result<bool, EngineError> {
    let given: Value = engine.definition(container).await?.config;
    let file = ["grep", "-E", "^(export )?APPSMITH_AUTO_HEAL=", "/appsmith-stacks/configuration/docker.env"];
    let command = file.map(str::to_owned);
    let line = match engine.exec(container, &command, Duration::from_secs(10)).await {
        Ok(result) if result.exit_code == 0 => result.stdout,
        Ok(_) => String::new(),
        Err(error) => {
            tracing::debug!(container, error = %error, "docker.env not searched");
            String::new()
        }
    };
    Ok(Settings::effective(&given, &line).heals_itself())
}

/// Best effort: where the tool is missing or the database refuses, mongod only takes its time.
async fn quit_soon(engine: &dyn ContainerEngine, container: &str) {
    match engine.exec(container, &QUIT_SOON.map(str::to_owned), MONGO_LIMIT).await {
        Ok(result) if result.exit_code == 0 => tracing::debug!(container, "mongod told to quit soon when asked"),
        Ok(result) => tracing::info!(container, exit_code = result.exit_code, "mongod not told to quit soon"),
        Err(error) => tracing::info!(container, error = %error, "mongod not told to quit soon"),
    }
}
