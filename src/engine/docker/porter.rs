//! Runs the porter: a static program alone in an image of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{KillContainerOptions, LogsOptionsBuilder, WaitContainerOptions};
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::containers::LOOK_AGAIN;
use super::errors::{Unexpected, not_in_time, status, unexpected};
use super::ours::helper_mounts;
use super::{DockerEngine, PorterSource};
use crate::engine::{Answer, ContainerView, EngineError, HelperMount, Labels, PorterRequest};
use crate::model::layout::LABEL_ROLE;

/// Where the program lies in its image.
const PROGRAM: &str = "tidegate-porter";
/// What the program may do although it is root: change owners, modes and files of others, and nothing else.
const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"];
/// A listing of a very wide folder is long; anything longer is no answer.
const MOST_OUTPUT_BYTES: usize = 64 * 1024 * 1024;
/// A container that was killed is gone by then.
const KILL_LIMIT: Duration = Duration::from_secs(30);
/// A leftover of the same name is removed and the creation tried again this often.
const TRIES: usize = 3;

impl DockerEngine {
    pub(super) async fn porter(
        &self,
        container: &str,
        mounts: &[HelperMount],
        labels: &Labels,
        request: &PorterRequest,
    ) -> Result<Answer, EngineError> {
        let action = || format!("run the porter `{container}`");
        let argument = serde_json::to_string(request)
            .map_err(|source| EngineError::Request { action: action(), source: Box::new(source) })?;
        let host = HostConfig {
            mounts: Some(helper_mounts(container, mounts)?),
            network_mode: Some("none".into()),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            ..Default::default()
        };
        let output = self.run_program(container, vec![argument], host, labels).await?;
        let line = output.stdout.trim_end().rsplit('\n').next().unwrap_or_default();
        serde_json::from_str(line).map_err(|source| {
            let view = output.view;
            tracing::warn!(container, exit_code = view.exit_code, oom = view.oom_killed, "a porter gave no answer");
            if view.oom_killed {
                return unexpected(action(), "the kernel ended it for want of memory");
            }
            if line.is_empty() {
                let code = view.exit_code.unwrap_or(-1);
                return unexpected(action(), format!("it ended with {code} and without an answer: {}", output.stderr));
            }
            EngineError::Request { action: action(), source: Box::new(source) }
        })
    }

    /// Runs the program to its end in a container of that name. There are never two of one name at a time: one that
    /// still runs, left by a process of ours that died, is waited for and then removed.
    pub(super) async fn run_program(
        &self,
        container: &str,
        arguments: Vec<String>,
        host: HostConfig,
        labels: &Labels,
    ) -> Result<Output, EngineError> {
        let image = self.porter_image().await?;
        let body = ContainerCreateBody {
            image: Some(image),
            cmd: Some(arguments),
            user: Some("0:0".into()),
            labels: Some(labels.clone().into_iter().collect()),
            host_config: Some(HostConfig {
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".into()]),
                security_opt: Some(vec!["label=disable".into(), "no-new-privileges:true".into()]),
                // Whatever the engine's own choice is: the answer is read from here.
                log_config: Some(HostConfigLogConfig { typ: Some("json-file".into()), config: None }),
                ..host
            }),
            ..Default::default()
        };
        for _ in 0..TRIES {
            self.clear_leftover(container).await?;
            if self.create_raw(container, body.clone()).await?.is_none() {
                let ended = match self.start(container).await {
                    Ok(()) => self.wait_for_end(container).await,
                    // Perhaps only its answer was lost, and it runs: then it is waited for below.
                    Err(error) => Err(error),
                };
                let output = match ended {
                    Ok(view) => self.output(view).await,
                    Err(error) => Err(error),
                };
                // A container that is left is cleared away by the next call of that name.
                if let Err(error) = self.clear_leftover(container).await {
                    tracing::warn!(container, error = %error, "a porter's container was left");
                }
                return output;
            }
        }
        Err(unexpected(format!("create `{container}`"), "its name was taken again and again"))
    }

    async fn clear_leftover(&self, container: &str) -> Result<(), EngineError> {
        let Some(view) = self.find(container).await? else { return Ok(()) };
        if !view.labels.contains_key(LABEL_ROLE) {
            return Err(EngineError::NameTaken { container: container.to_owned(), image: view.image_ref });
        }
        if view.is_up() {
            tracing::info!(container, "waiting for a porter that an earlier call left running");
            self.wait_for_end(container).await?;
        }
        self.remove(container).await
    }

    /// Waits until it has ended, and kills it at the limit; either way it runs no more when this returns well.
    async fn wait_for_end(&self, container: &str) -> Result<ContainerView, EngineError> {
        let limit = self.options.porter_limit;
        let give_up = Instant::now() + limit;
        loop {
            let missing = || EngineError::NoSuchContainer { container: container.to_owned() };
            let view = self.find(container).await?.ok_or_else(missing)?;
            if !view.is_up() {
                return Ok(view);
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.kill(container, &view.id).await?;
                return Err(not_in_time(format!("run the porter `{container}`"), "it did not end", limit));
            }
            let docker = self.patient(left);
            let mut ended = docker.wait_container(&view.id, None::<WaitContainerOptions>).boxed();
            // What it says (an exit code, or a broken connection) is looked up again anyway.
            if tokio::time::timeout(left, ended.next()).await.is_ok_and(|said| !matches!(said, Some(Ok(_)))) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    async fn kill(&self, container: &str, id: &str) -> Result<(), EngineError> {
        match self.docker.kill_container(id, None::<KillContainerOptions>).await {
            Ok(()) => {}
            // It ended in between.
            Err(error) if matches!(status(&error), Some(404 | 409)) => {}
            Err(error) => return Err(self.trouble(format!("kill `{container}`"), error)),
        }
        let give_up = Instant::now() + KILL_LIMIT;
        while self.find(container).await?.is_some_and(|view| view.is_up()) {
            if Instant::now() > give_up {
                return Err(not_in_time(format!("kill `{container}`"), "it did not end", KILL_LIMIT));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn output(&self, view: ContainerView) -> Result<Output, EngineError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut frames = self.docker.logs(&view.id, Some(options)).boxed();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(frame) = frames.next().await {
            let action = || format!("read what `{}` said", view.name);
            match frame.map_err(|error| self.container_trouble(action(), &view.name, error))? {
                LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                other => stdout.extend_from_slice(&other.into_bytes()),
            }
            if stdout.len() + stderr.len() > MOST_OUTPUT_BYTES {
                return Err(unexpected(action(), format!("it said more than {MOST_OUTPUT_BYTES} bytes")));
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { view, stdout: text(stdout), stderr: text(stderr).trim().to_owned() })
    }

    /// The image of the program, imported if this engine does not have it. Its name says what is in it.
    async fn porter_image(&self) -> Result<String, EngineError> {
        let path = self.options.porter.path()?;
        let unusable = |reason: String| EngineError::NoPorter { reason };
        let program = tokio::fs::read(&path).await;
        let program = program.map_err(|error| unusable(format!("cannot read {}: {error}", path.display())))?;
        let machine = check_program(&program).map_err(|what| unusable(format!("{} {what}", path.display())))?;
        let hash = Sha256::digest(&program);
        let name: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let tag = format!("tidegate.local/porter:{name}");
        if self.image(&tag).await?.is_some() {
            return Ok(tag);
        }
        let engine = self.probe().await?.architecture;
        if !machine.contains(&engine.as_str()) {
            let reason = format!("{} is for {} and the engine runs on {engine}", path.display(), machine[0]);
            return Err(unusable(reason));
        }
        let tar = one_file(PROGRAM, &program)
            .map_err(|source| EngineError::Request { action: "pack the porter".into(), source: Box::new(source) })?;
        self.import(&tag, "porter", tar, &[format!("ENTRYPOINT [\"/{PROGRAM}\"]")]).await?;
        Ok(tag)
    }
}

/// What a run of the program left.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) view: ContainerView,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl PorterSource {
    fn path(&self) -> Result<PathBuf, EngineError> {
        if let Self::File(path) = self {
            return Ok(path.clone());
        }
        if let Some(path) = std::env::var_os("TIDEGATE_PORTER").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let own = std::env::current_exe().ok();
        let folder = own.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
        let places = ["tidegate-porter-static", PROGRAM].map(|name| folder.join(name));
        let found = places.iter().find(|path| path.is_file()).cloned();
        found.ok_or_else(|| EngineError::NoPorter {
            reason: format!("TIDEGATE_PORTER is not set and there is no {}", places[1].display()),
        })
    }
}

/// Looks at the head of an ELF file: a program that needs a loader cannot start in an image without any file.
/// Says the machine in the engine's words.
fn check_program(program: &[u8]) -> Result<&'static [&'static str], String> {
    const NEEDS_LOADER: u32 = 3;
    let short = || "is not an ELF program for a 64-bit machine".to_owned();
    let u16_at = |at: usize| Some(u16::from_le_bytes(program.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(program.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(program.get(at..at + 8)?.try_into().ok()?));
    if program.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(short());
    }
    let (table, size, count) = (u64_at(0x20), u16_at(0x36), u16_at(0x38));
    let (Some(table), Some(size), Some(count)) = (table, size, count) else { return Err(short()) };
    let table = usize::try_from(table).map_err(|_| short())?;
    for index in 0..usize::from(count) {
        let at = table.checked_add(index * usize::from(size)).ok_or_else(short)?;
        if u32_at(at).ok_or_else(short)? == NEEDS_LOADER {
            return Err("is not static; `scripts/build-porter` builds one that is".into());
        }
    }
    match u16_at(0x12) {
        Some(0x3e) => Ok(&["x86_64", "amd64"]),
        Some(0xb7) => Ok(&["aarch64", "arm64"]),
        _ => Err("is for a machine that is not known".into()),
    }
}

/// A tar that holds one program.
fn one_file(name: &str, content: &[u8]) -> std::io::Result<Bytes> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    header.set_mtime(0);
    let mut tar = tar::Builder::new(Vec::with_capacity(content.len() + 4096));
    tar.append_data(&mut header, name, content)?;
    Ok(tar.into_inner()?.into())
}

/// Kept apart so that an error of the program reads like one of the engine.
impl Output {
    pub(super) fn failure(&self, action: String) -> EngineError {
        let code = self.view.exit_code.unwrap_or(-1);
        let text = format!("it ended with {code}: {} {}", self.stdout.trim(), self.stderr);
        EngineError::Request { action, source: Box::new(Unexpected(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::check_program;

    #[test]
    fn our_own_test_program_needs_a_loader_and_is_refused() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(check_program(&program).unwrap_err().contains("not static"));
        assert!(check_program(b"#!/bin/sh").is_err());
        assert!(check_program(&program[..64]).is_err());
    }
}
