//! Runs commands that may take hours, listens to them, and answers those that ask.

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::DockerEngine;
use super::containers::{KEPT_OUTPUT_BYTES, Tail};
use super::errors::unexpected;
use super::exec::shown;
use crate::engine::{EngineError, ExecResult, Job, Talk};

impl DockerEngine {
    /// Not cancel-safe: a command whose future is dropped runs on. That is what `stop` is for.
    pub(super) async fn perform(
        &self,
        container: &str,
        job: &Job,
        talk: Talk<'_>,
        stop: &CancellationToken,
    ) -> Result<ExecResult, EngineError> {
        let shown = shown(&job.command);
        let action = || format!("run `{shown}` in `{container}`");
        let failed = |error| self.container_trouble(action(), container, error);
        let id = self.needed_id_of(container).await?;
        let options = CreateExecOptions {
            attach_stdin: Some(job.terminal),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(job.terminal),
            env: Some(job.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            cmd: Some(job.command.clone()),
            ..Default::default()
        };
        let exec = self.docker.create_exec(&id, options).await.map_err(failed)?.id;
        let options = StartExecOptions { tty: job.terminal, output_capacity: Some(64 * 1024), ..Default::default() };
        let StartExecResults::Attached { mut output, mut input } =
            self.docker.start_exec(&exec, Some(options)).await.map_err(failed)?
        else {
            return Err(unexpected(action(), "the engine did not attach to it"));
        };
        let (mut stdout, mut stderr) = (Tail::new(KEPT_OUTPUT_BYTES), Tail::new(KEPT_OUTPUT_BYTES));
        loop {
            let frame = tokio::select! {
                frame = output.next() => frame,
                () = stop.cancelled() => {
                    self.end(container, &id, &exec, &shown).await?;
                    return Err(EngineError::Stopped { container: container.to_owned(), command: shown });
                }
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(failed)?;
            let is_error = matches!(frame, LogOutput::StdErr { .. });
            let bytes = frame.into_bytes();
            if is_error {
                stderr.push(&bytes)
            } else {
                stdout.push(&bytes)
            }
            if let Some(answer) = talk(&String::from_utf8_lossy(&bytes)).filter(|_| job.terminal) {
                let typed = async {
                    input.write_all(answer.as_bytes()).await?;
                    input.flush().await
                };
                typed.await.map_err(|source| EngineError::Request { action: action(), source: Box::new(source) })?;
            }
        }
        // A command can close its streams and go on.
        let Some(exit_code) = self.exit_code(&exec, action).await? else {
            self.end(container, &id, &exec, &shown).await?;
            return Err(unexpected(action(), "it closed its streams and ran on, and was killed"));
        };
        Ok(ExecResult { exit_code, stdout: stdout.into_text(), stderr: stderr.into_text() })
    }

    pub(super) async fn end_commands(&self, container: &str, command: &[String]) -> Result<u64, EngineError> {
        let Some(found) = self.inspect(container).await? else { return Ok(0) };
        let (Some(id), Some(execs)) = (found.id, found.exec_ids) else { return Ok(0) };
        let (mut ended, shown) = (0, shown(command));
        for exec in execs {
            let seen = match self.docker.inspect_exec(&exec).await {
                Ok(seen) => seen,
                // It has ended and is forgotten.
                Err(error) if super::errors::status(&error) == Some(404) => continue,
                Err(error) => return Err(self.trouble(format!("look for `{shown}` in `{container}`"), error)),
            };
            let words = seen.process_config.map(|it| {
                let first = it.entrypoint.into_iter();
                first.chain(it.arguments.unwrap_or_default()).collect::<Vec<_>>()
            });
            if seen.running == Some(true) && words.as_deref() == Some(command) {
                self.end(container, &id, &exec, &shown).await?;
                ended += 1;
            }
        }
        Ok(ended)
    }
}
