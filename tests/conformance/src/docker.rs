//! What is seen from inside a container, through Docker's own command line.

use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// What a program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
}

/// Runs a program inside.
pub async fn exec(container: &str, words: &[&str]) -> Result<Said, String> {
    docker(&[&["exec", container], words].concat()).await
}

/// What Docker knows of it, by a Go template.
pub async fn inspect(container: &str, template: &str) -> Result<String, String> {
    let said = docker(&["inspect", "--format", template, container]).await?;
    if said.code == 0 { Ok(said.out.trim().to_owned()) } else { Err(format!("docker inspect fails for {container}")) }
}

async fn docker(words: &[&str]) -> Result<Said, String> {
    let mut command = Command::new("docker");
    command.args(words).kill_on_drop(true);
    let output = match timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(|error| format!("cannot run docker: {error}"))?,
        Err(_) => return Err(format!("docker {} takes longer than {} s", words.join(" "), LIMIT.as_secs())),
    };
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Said { code: output.status.code().unwrap_or(-1), out })
}
