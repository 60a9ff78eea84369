//! The engine through Docker's command line, as far as an instance needs it.
//! It lets these tests run against a real engine without the adapter that is tested elsewhere.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use tidegate::engine::*;
use tidegate::model::definition::{Definition, Mount, MountSource, RestartPolicy};
use tidegate::model::ids::ImageId;
use tidegate::stream::ByteStream;

/// Speaks to the engine by `docker`.
#[derive(Debug)]
pub struct CliEngine;

/// Runs `docker` to its end.
pub async fn docker(words: &[&str]) -> Output {
    tokio::process::Command::new("docker").args(words).kill_on_drop(true).output().await.expect("docker can be run")
}

/// Runs `docker`, which must succeed, and gives its standard output.
pub async fn docker_ok(words: &[&str]) -> String {
    let output = docker(words).await;
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn failed(action: &str, output: &Output) -> EngineError {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    EngineError::Request { action: action.into(), source: said.into() }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn inspect(container: &str) -> Option<Value> {
    let output = docker(&["inspect", "--type", "container", container]).await;
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    all.into_iter().next()
}

fn mounts(seen: &Value) -> Vec<Mount> {
    let mount = |it: &Value| Mount {
        source: match text(it, "/Type").as_str() {
            "volume" => MountSource::Volume(text(it, "/Name")),
            "bind" => MountSource::Bind(text(it, "/Source")),
            "tmpfs" => MountSource::Tmpfs,
            other => MountSource::Other(other.into()),
        },
        destination: text(it, "/Destination"),
        writable: it["RW"].as_bool().unwrap_or(true),
    };
    seen["Mounts"].as_array().into_iter().flatten().map(mount).collect()
}

fn state(word: &str) -> ContainerState {
    match word {
        "created" => ContainerState::Created,
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "removing" => ContainerState::Removing,
        "exited" => ContainerState::Exited,
        _ => ContainerState::Dead,
    }
}

#[async_trait]
impl ContainerEngine for CliEngine {
    async fn find(&self, container: &str) -> Result<Option<ContainerView>, EngineError> {
        let Some(seen) = inspect(container).await else { return Ok(None) };
        let restart = RestartPolicy {
            name: text(&seen, "/HostConfig/RestartPolicy/Name"),
            max_retries: seen
                .pointer("/HostConfig/RestartPolicy/MaximumRetryCount")
                .and_then(Value::as_i64)
                .unwrap_or(0),
        };
        Ok(Some(ContainerView {
            id: text(&seen, "/Id"),
            name: text(&seen, "/Name").trim_start_matches('/').into(),
            state: state(&text(&seen, "/State/Status")),
            exit_code: seen.pointer("/State/ExitCode").and_then(Value::as_i64),
            oom_killed: seen.pointer("/State/OOMKilled").and_then(Value::as_bool).unwrap_or(false),
            restart_count: seen["RestartCount"].as_u64().unwrap_or(0),
            started_at: Some(text(&seen, "/State/StartedAt")),
            health: seen.pointer("/State/Health/Status").and_then(Value::as_str).map(str::to_owned),
            image_id: ImageId::new(text(&seen, "/Image")).expect("an image id"),
            image_ref: text(&seen, "/Config/Image"),
            labels: BTreeMap::new(),
            restart,
            auto_remove: false,
            mounts: mounts(&seen),
        }))
    }

    async fn definition(&self, container: &str) -> Result<Definition, EngineError> {
        let missing = || EngineError::NoSuchContainer { container: container.into() };
        let seen = inspect(container).await.ok_or_else(missing)?;
        Ok(Definition {
            container: container.into(),
            image_ref: text(&seen, "/Config/Image"),
            image_id: ImageId::new(text(&seen, "/Image")).expect("an image id"),
            restart: RestartPolicy::no(),
            config: seen["Config"].clone(),
            host_config: Value::Null,
            networks: BTreeMap::new(),
            mounts: mounts(&seen),
        })
    }

    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<ExecResult, EngineError> {
        let words: Vec<&str> = ["exec", container].into_iter().chain(command.iter().map(String::as_str)).collect();
        let timed_out = |_| EngineError::ExecTimedOut {
            container: container.into(),
            command: command.join(" "),
            seconds: limit.as_secs(),
        };
        let output = tokio::time::timeout(limit, docker(&words)).await.map_err(timed_out)?;
        Ok(ExecResult {
            exit_code: output.status.code().unwrap_or(-1).into(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    async fn logs(&self, container: &str, lines: u32) -> Result<String, EngineError> {
        let output = docker(&["logs", "--tail", &lines.to_string(), container]).await;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }

    async fn archive_out(&self, helper: &str, path: &str) -> Result<ByteStream, EngineError> {
        let output = docker(&["cp", &format!("{helper}:{path}"), "-"]).await;
        if output.status.success() {
            return Ok(futures::stream::iter([Ok(Bytes::from(output.stdout))]).boxed());
        }
        match String::from_utf8_lossy(&output.stderr).to_lowercase().contains("could not find the file") {
            true => Err(EngineError::NoSuchPath { container: helper.into(), path: path.into() }),
            false => Err(failed("read", &output)),
        }
    }

    async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let output = docker(&["stop", "-t", &grace.as_secs().to_string(), container]).await;
        if output.status.success() { Ok(()) } else { Err(failed("stop", &output)) }
    }

    async fn probe(&self) -> Result<EngineInfo, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn image(&self, _: &str) -> Result<Option<ImageView>, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn pull(&self, _: &str) -> Result<ImageView, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn tag(&self, _: &ImageId, _: &str) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn untag(&self, _: &str) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn hold(&self, _: &str, _: &ImageId, _: &Labels) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn create(&self, _: &Definition) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn start(&self, _: &str) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn remove(&self, _: &str) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn set_restart_policy(&self, _: &str, _: &RestartPolicy) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn layer_changes(&self, _: &str) -> Result<Vec<String>, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn open_helper(&self, _: &str, _: &[HelperMount], _: &Labels) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn archive_in(&self, _: &str, _: ByteStream) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn porter(&self, _: &str, _: &[HelperMount], _: &Labels, _: &PorterRequest) -> Result<Answer, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn lock(&self, _: &str, _: &LockOwner) -> Result<LockAnswer, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn lock_owner(&self, _: &str) -> Result<Option<LockOwner>, EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn unlock(&self, _: &str, _: &LockOwner) -> Result<(), EngineError> {
        unreachable!("an instance does not ask for this")
    }
    async fn labelled(&self, _: &Labels) -> Result<Vec<ContainerView>, EngineError> {
        unreachable!("an instance does not ask for this")
    }
}
