//! Runs commands inside a running container, and really ends them at their limit.
//!
//! Dropping a command's stream leaves the command running, and the API has no request to end it. So at the limit
//! our own program is run in a container of its own that sees the engine's processes: there the process id that
//! the engine tells is valid, and the program kills that process and all that descend from it, after it has made
//! sure that they belong to that container. This needs nothing inside the instance's image, works on a remote engine,
//! and works without rights of our own on the host. Processes that left their parent (a double fork) are not found.
//! Where an engine refuses containers that see its processes, the limit still holds for us and the error says
//! that the command may still run.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::HostConfig;
use futures::StreamExt;
use tidegate_porter::protocol::KillRequest;
use tokio::time::Instant;

use super::DockerEngine;
use super::containers::{KEPT_OUTPUT_BYTES, LOOK_AGAIN, Tail};
use super::errors::{not_in_time, unexpected};
use crate::engine::{EngineError, ExecResult, Labels};
use crate::model::layout::LABEL_ROLE;

/// After its streams ended, or after it was killed, a command is gone within this time.
const END_LIMIT: Duration = Duration::from_secs(10);

impl DockerEngine {
    /// Not cancel-safe: a command whose future is dropped runs on, without a limit.
    pub(super) async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<ExecResult, EngineError> {
        let shown = shown(command);
        let action = || format!("run `{shown}` in `{container}`");
        let id = self.needed_id_of(container).await?;
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false), // with a tty, both streams are one and bytes change
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let failed = |error| self.container_trouble(action(), container, error);
        let exec = self.docker.create_exec(&id, options).await.map_err(failed)?.id;
        let options = StartExecOptions { output_capacity: Some(64 * 1024), ..Default::default() };
        let started = tokio::time::timeout(limit, async {
            let StartExecResults::Attached { mut output, input } =
                self.docker.start_exec(&exec, Some(options)).await.map_err(failed)?
            else {
                return Err(unexpected(action(), "the engine did not attach to it"));
            };
            let (mut stdout, mut stderr) = (Tail::new(KEPT_OUTPUT_BYTES), Tail::new(KEPT_OUTPUT_BYTES));
            while let Some(frame) = output.next().await {
                match frame.map_err(failed)? {
                    LogOutput::StdErr { message } => stderr.push(&message),
                    other => stdout.push(&other.into_bytes()),
                }
            }
            // Closing it earlier would end the connection that the output comes on.
            drop(input);
            Ok((stdout, stderr))
        });
        match started.await {
            Ok(Ok((stdout, stderr))) => {
                // A command can close its streams and go on, so the limit would not have ended it.
                let Some(exit_code) = self.exit_code(&exec, &action).await? else {
                    self.end(container, &id, &exec, &shown).await?;
                    return Err(timed_out(container, shown, limit));
                };
                Ok(ExecResult { exit_code, stdout: stdout.into_text(), stderr: stderr.into_text() })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.end(container, &id, &exec, &shown).await?;
                Err(timed_out(container, shown, limit))
            }
        }
    }

    /// The exit code, which is not in the streams; `None` if it still runs.
    pub(super) async fn exit_code(&self, exec: &str, action: impl Fn() -> String) -> Result<Option<i64>, EngineError> {
        let give_up = Instant::now() + END_LIMIT;
        loop {
            let seen = self.docker.inspect_exec(exec).await.map_err(|error| self.trouble(action(), error))?;
            match seen.exit_code {
                Some(code) if seen.running != Some(true) => return Ok(Some(code)),
                _ if Instant::now() > give_up => return Ok(None),
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Kills what a command started, and returns when the engine says that the command has ended.
    pub(super) async fn end(&self, container: &str, id: &str, exec: &str, shown: &str) -> Result<(), EngineError> {
        let action = || format!("kill `{shown}` in `{container}`, which may still run");
        let seen = self.docker.inspect_exec(exec).await.map_err(|error| self.trouble(action(), error))?;
        if seen.running != Some(true) {
            return Ok(());
        }
        let pid = seen.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 1);
        let pid = pid.ok_or_else(|| unexpected(action(), "the engine does not tell its process"))?;
        let argument = serde_json::to_string(&KillRequest::Kill { pid, container: id.to_owned() })
            .map_err(|source| EngineError::Request { action: action(), source: Box::new(source) })?;
        let host = HostConfig {
            pid_mode: Some("host".into()),
            userns_mode: Some("host".into()),
            network_mode: Some("none".into()),
            cap_add: Some(vec!["KILL".into()]),
            ..Default::default()
        };
        let labels = Labels::from([(LABEL_ROLE.to_owned(), "killer".to_owned())]);
        let name = format!("tidegate.killer.{}", exec.get(..16).unwrap_or(exec));
        let killed = self.run_program(&name, vec![argument], host, &labels).await;
        let killed = killed.map_err(|error| EngineError::Request { action: action(), source: Box::new(error) })?;
        if killed.view.exit_code != Some(0) {
            return Err(killed.failure(action()));
        }
        match self.exit_code(exec, action).await? {
            Some(_) => Ok(()),
            None => Err(not_in_time(action(), "it did not end after it was killed", END_LIMIT)),
        }
    }
}

fn timed_out(container: &str, command: String, limit: Duration) -> EngineError {
    EngineError::ExecTimedOut { container: container.to_owned(), command, seconds: limit.as_secs() }
}

/// Without the arguments, which may hold a secret.
pub(super) fn shown(command: &[String]) -> String {
    match command {
        [] => String::new(),
        [program] => program.clone(),
        [program, ..] => format!("{program} …"),
    }
}
