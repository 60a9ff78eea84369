//! Follows the engine's events and fails on two running containers that write one volume.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::pair::Site;
use crate::instance::cli_engine::{docker, docker_ok};

/// A container that mounts the volume.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    image: String,
    running: bool,
}

/// What happened on one volume since it began to look.
pub struct Observer {
    events: Child,
    sentinel: String,
    reader: JoinHandle<Vec<String>>,
    image: String,
}

impl Observer {
    /// From now on.
    pub async fn start(site: &Site) -> Self {
        let sentinel = format!("{}-sentinel", site.container);
        let mut command = Command::new("docker");
        let filters = ["create", "start", "die", "destroy"].map(|event| format!("event={event}"));
        command.args(["events", "--format", "{{json .}}", "--filter", "type=container"]);
        for filter in &filters {
            command.args(["--filter", filter]);
        }
        let mut events = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(events.stdout.take().unwrap());
        let (volume, end) = (site.container.clone(), sentinel.clone());
        // The first sentinel proves that the stream flows, the second ends it.
        let (flowing, flows) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(follow(lines, volume, end, flowing));
        let observer = Self { events, sentinel, reader, image: site.seed_image.clone() };
        let mut flows = flows;
        while flows.try_recv().is_err() {
            observer.touch().await;
        }
        observer
    }

    async fn touch(&self) {
        let _ = docker(&["rm", "-f", &self.sentinel]).await;
        docker_ok(&["create", "--name", &self.sentinel, "--tmpfs", "/appsmith-stacks", &self.image]).await;
        docker_ok(&["rm", &self.sentinel]).await;
    }

    /// Fails if there were ever two at once.
    pub async fn nothing_ran_twice(mut self) {
        docker_ok(&[
            "create",
            "--name",
            &self.sentinel,
            "--tmpfs",
            "/appsmith-stacks",
            "--label",
            "last=yes",
            &self.image,
        ])
        .await;
        docker_ok(&["rm", &self.sentinel]).await;
        let wrong = tokio::time::timeout(super::LIMIT, &mut self.reader).await.expect("the events end").unwrap();
        let _ = self.events.kill().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

async fn follow(
    lines: BufReader<tokio::process::ChildStdout>,
    volume: String,
    sentinel: String,
    flowing: tokio::sync::oneshot::Sender<()>,
) -> Vec<String> {
    let mut lines = lines.lines();
    let mut flowing = Some(flowing);
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut wrong = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let event: Value = serde_json::from_str(&line).expect("an event");
        let (id, attributes) = (text(&event["id"]), &event["Actor"]["Attributes"]);
        let name = text(&attributes["name"]);
        if name == sentinel {
            if let Some(flowing) = flowing.take() {
                // What runs already counts, too.
                for id in docker_ok(&["ps", "-aq", "--no-trunc", "--filter", &format!("volume={volume}")]).await.lines()
                {
                    if let Some(found) = inspect(id, &volume).await {
                        seen.insert(id.to_owned(), found);
                    }
                }
                let _ = flowing.send(());
            }
            if text(&attributes["last"]) == "yes" {
                break;
            }
            continue;
        }
        // Porters look while the app runs, and write only what is Tidegate's own.
        if attributes["dev.tidegate.role"].is_string() {
            continue;
        }
        match event["status"].as_str() {
            Some("create" | "start") if !seen.contains_key(&id) => {
                if let Some(found) = inspect(&id, &volume).await {
                    seen.insert(id.clone(), Seen { running: false, ..found });
                }
            }
            Some("die") => seen.get_mut(&id).into_iter().for_each(|it| it.running = false),
            _ => {}
        }
        if event["status"] == "start"
            && let Some(started) = seen.get_mut(&id)
        {
            started.running = true;
            let running: Vec<String> =
                seen.values().filter(|it| it.running).map(|it| format!("{} ({})", it.name, it.image)).collect();
            if running.len() > 1 {
                wrong.push(format!("on {volume} ran at once: {}", running.join(" and ")));
            }
        }
    }
    wrong
}

async fn inspect(id: &str, volume: &str) -> Option<Seen> {
    let output = docker(&["inspect", "--type", "container", id]).await;
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let it = all.first()?;
    let mounts = it["Mounts"].as_array()?;
    let ours = it["Config"]["Labels"]["dev.tidegate.role"].is_string();
    mounts.iter().any(|mount| mount["Name"] == volume && !ours).then(|| Seen {
        name: text(&it["Name"]),
        image: text(&it["Config"]["Image"]),
        running: it["State"]["Running"] == true,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
