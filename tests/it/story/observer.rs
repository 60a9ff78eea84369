//! Follows the engine's events and fails on two running containers that write one volume, and on files that are moved
//! under a running one.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::pair::{Make, Pair, Site};
use crate::docker::{docker, docker_ok};

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
        Self::look(site, &[]).await
    }

    /// From that time on, which the engine must remember: an RFC 3339 text, or seconds since 1970.
    pub async fn since(site: &Site, time: &str) -> Self {
        Self::look(site, &["--since", time]).await
    }

    async fn look(site: &Site, words: &[&str]) -> Self {
        let sentinel = format!("{}-sentinel", site.container);
        let mut command = Command::new("docker");
        let filters = ["create", "start", "die", "destroy"].map(|event| format!("event={event}"));
        command.args(["events", "--format", "{{json .}}", "--filter", "type=container"]).args(words);
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
    pub async fn nothing_ran_twice(self) {
        let wrong = self.end().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// As [`Observer::nothing_ran_twice`], once the engine is gone.
    pub async fn nothing_ran_twice_until_its_death(mut self) {
        let wrong = tokio::time::timeout(super::LIMIT, &mut self.reader).await.expect("the events end").unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What was wrong.
    async fn end(mut self) -> Vec<String> {
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
        wrong
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
        // Porters may look while the app runs, and delete what is Tidegate's own; they must not move its files.
        if attributes["dev.tidegate.role"].is_string() {
            let running: Vec<&str> = seen.values().filter(|it| it.running).map(|it| it.name.as_str()).collect();
            if event["status"] == "create" && !running.is_empty() && moves_files(&id, &volume).await {
                wrong.push(format!("on {volume} a porter moved files while {} ran", running.join(" and ")));
            }
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

/// Whether it is a porter that sets aside, settles or puts back. One that is gone already only looked.
async fn moves_files(id: &str, volume: &str) -> bool {
    let output = docker(&["inspect", "--type", "container", id]).await;
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let Some(it) = all.first() else { return false };
    let request = it["Args"][0].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let mounts = it["Mounts"].as_array().is_some_and(|mounts| mounts.iter().any(|mount| mount["Name"] == volume));
    mounts && ["aside", "settle", "back"].contains(&request["op"].as_str().unwrap_or_default())
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

/// It would be no proof if it could not fail.
#[tokio::test(flavor = "multi_thread")]
async fn the_observer_sees_two_at_once() {
    let pair = Pair::start("observer", Make { tags: &[], ..Make::default() }).await;
    let site = &pair.staging;
    let observer = Observer::start(site).await;
    let (second, mount) = (format!("{}-second", site.container), format!("{}:/appsmith-stacks", site.container));
    docker_ok(&["run", "-d", "--name", &second, "-v", &mount, &site.seed_image]).await;
    docker_ok(&["rm", "-f", &second]).await;
    let wrong = observer.end().await;
    assert!(wrong.len() == 1 && wrong[0].contains("ran at once"), "{wrong:?}");
}
