//! Staging and production: two stand-ins with their data, a registry, an S3 server, and a configuration.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use tidegate::store::s3::{S3Credentials, S3Options, S3Store};
use tidegate_s3::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::content::Content;
use super::journal::{Journal, journals};
use super::proxy::Proxy;
use super::running::{Ended, Running};
use super::{wait_for, yard};
use crate::docker::{docker, docker_ok};
use crate::instance::world::import;
use crate::registry::Registry;

/// Every delay of the stand-in is a fiftieth of the real one.
pub const SCALE: &str = "0.02";
/// What both run on at first.
pub const OLD: &str = "v1.98";
/// A good one, which raises the data format.
pub const GOOD: &str = "v2.1";
/// Migrates, starts, and then cannot show one of its applications.
pub const BAD: &str = "v2.2";
/// Migrates nothing and exits.
pub const EXITS: &str = "v2.3";
/// Migrates, and never becomes ready.
pub const NEVER_READY: &str = "v2.4";
/// As [`OLD`]; its own backup takes its time.
pub const SLOW_BACKUP: &str = "v1.98-slow";
/// As [`OLD`]; its own backup is cut off, and says that all is well.
pub const CUT_BACKUP: &str = "v1.98-cut";
/// As [`OLD`]; its own restore fails half way.
pub const FAILS_TO_LOAD: &str = "v1.98-fails";
/// As [`OLD`]; its own restore does nothing and ends with 0.
pub const LOADS_NOTHING: &str = "v1.98-lies";
/// Its own backup has its members in a folder.
pub const FOLDER_BACKUP: &str = "v1.50";
/// Its own backup stops the backend.
pub const STOPPING_BACKUP: &str = "v1.9.20";
/// Refuses a docker.env with shell expressions.
pub const STRICT: &str = "v2.5.1";
/// As [`OLD`], but its keys do not open what its data sources have stored.
pub const LOCKED: &str = "v1.98.1";

/// The images by tag.
const IMAGES: &[(&str, &[&str])] = &[
    (OLD, &[]),
    (SLOW_BACKUP, &["--broken", "slow-backup:6"]),
    (CUT_BACKUP, &["--broken", "dump-cut"]),
    (FAILS_TO_LOAD, &["--broken", "restore-fails"]),
    (LOADS_NOTHING, &["--broken", "restore-lies"]),
    (FOLDER_BACKUP, &[]),
    (STOPPING_BACKUP, &[]),
    (GOOD, &["--format", "7"]),
    (BAD, &["--format", "7", "--broken", "app:Orders"]),
    (EXITS, &["--format", "7", "--broken", "exit"]),
    (NEVER_READY, &["--format", "7", "--broken", "never-ready"]),
    (STRICT, &["--format", "7"]),
    (LOCKED, &["--broken", "datasource:Orders DB", "--broken", "datasource:Events", "--broken", "datasource:Billing"]),
];

const BUCKET: &str = "story";
const KEY_ID: &str = "story-key";
const SECRET: &str = "story-secret-of-the-store";

/// One of the two.
#[derive(Clone, Debug)]
pub struct Site {
    /// `staging` or `production`.
    pub name: &'static str,
    /// The container's name, and the volume's.
    pub container: String,
    /// The port on loopback.
    pub port: u16,
    /// The image that its volume was seeded with.
    pub seed_image: String,
    /// What its data is made from: the same gives the same data, and the same keys.
    pub seed: &'static str,
    /// The restart policy that a person has set.
    pub restart: &'static str,
}

/// Everything that Tidegate needs, removed when dropped.
pub struct Pair {
    /// The first stage.
    pub staging: Site,
    /// The second.
    pub production: Site,
    /// Stands before the S3 server.
    pub proxy: Proxy,
    mark: String,
    repository: String,
    folder: tempfile::TempDir,
    server: Server,
    _registry: Registry,
}

/// How it is made.
#[derive(Clone, Copy, Debug)]
pub struct Make {
    /// Tag of [`IMAGES`] that both run on at first.
    pub old: &'static str,
    /// More tags that the registry has.
    pub tags: &'static [&'static str],
    /// Size of each database.
    pub megabytes: u32,
    /// Whether production runs, too.
    pub both: bool,
    /// Whether production has other data and other keys than staging.
    pub own_data: bool,
}

impl Default for Make {
    fn default() -> Self {
        Self { old: OLD, tags: &[GOOD], megabytes: 2, both: false, own_data: false }
    }
}

impl Pair {
    /// Makes all of it and waits until the apps answer. `test` must be unique among the tests.
    pub async fn start(test: &str, make: Make) -> Self {
        yard::sweep_the_dead().await;
        println!("time scale of the stand-ins: {SCALE}");
        let mark = format!("{}-{test}", std::process::id());
        let registry = Registry::start();
        let repository = format!("{}/tg-story/{mark}", registry.address);
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(Options {
            dir: folder.path().join("s3"),
            listen: "127.0.0.1:0".parse().unwrap(),
            bucket: BUCKET.into(),
            key_id: KEY_ID.into(),
            secret: SECRET.into(),
        });
        let server = server.await.unwrap();
        let site = |name| Site {
            name,
            container: format!("tg-story-{mark}-{name}"),
            port: free_port(),
            seed_image: format!("{repository}:{}", make.old),
            seed: if make.own_data && name == "production" { "11" } else { "7" },
            restart: "unless-stopped",
        };
        let pair = Self {
            staging: site("staging"),
            production: site("production"),
            proxy: Proxy::start(server.address()).await,
            mark,
            repository,
            folder,
            server,
            _registry: registry,
        };
        for tag in [make.old].iter().chain(make.tags) {
            let (_, options) = IMAGES.iter().find(|(known, _)| known == tag).expect("an image of that tag");
            pair.push(tag, options).await;
            if *tag != make.old {
                docker_ok(&["rmi", &pair.reference(tag)]).await;
            }
        }
        let sites = if make.both { vec![&pair.staging, &pair.production] } else { vec![&pair.staging] };
        for site in &sites {
            pair.create(site, make.megabytes).await;
        }
        for site in &sites {
            site.is_well().await;
        }
        pair.configure("");
        pair
    }

    /// Makes an image and pushes it under that tag.
    pub async fn push(&self, tag: &str, options: &[&str]) {
        let labels = [self.label()];
        let options = [&["--version", tag, "--scale", SCALE], options].concat();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let reference = self.reference(tag);
        import(&reference, &labels, &options).await;
        docker_ok(&["push", "-q", &reference]).await;
    }

    /// Such as `127.0.0.1:40123/tg-story/kill:v2.1`.
    pub fn reference(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }

    /// The engine's id of the image with that tag, which must be on this host.
    pub async fn image_id(&self, tag: &str) -> String {
        docker_ok(&["image", "inspect", "--format", "{{.Id}}", &self.reference(tag)]).await
    }

    /// A fresh seeded volume and a container on [`OLD`], in the place of what is there. Does not wait for it.
    pub async fn create(&self, site: &Site, megabytes: u32) {
        self.create_on(site, megabytes, &[]).await;
    }

    /// As [`Pair::create`], with more words for `docker volume create`.
    pub async fn create_on(&self, site: &Site, megabytes: u32, volume: &[&str]) {
        let _ = docker(&["rm", "-f", &site.container]).await;
        let _ = docker(&["volume", "rm", &site.container]).await;
        docker_ok(&[&["volume", "create", "--label", &self.label()], volume, &[&site.container]].concat()).await;
        let (mount, size) = (format!("{}:/appsmith-stacks", site.container), megabytes.to_string());
        let seed = ["run", "--rm", "-v", &mount, &site.seed_image, "seed", "--apps", "4", "--seed", site.seed];
        docker_ok(&[&seed[..], &["--megabytes", &size]].concat()).await;
        self.create_container(site, "run").await;
    }

    /// `docker run -d` or `docker create`, as its operator does it, on the volume that is there.
    pub async fn create_container(&self, site: &Site, verb: &str) {
        let mount = format!("{}:/appsmith-stacks", site.container);
        let publish = format!("127.0.0.1:{}:80", site.port);
        let verb = if verb == "run" { &["run", "-d"][..] } else { &["create"] };
        let create = [verb, &["--name", &site.container, "-v", &mount, "-p", &publish]].concat();
        // Things that a person may have set, and must find again.
        let own = [
            "--restart",
            site.restart,
            "--label",
            "com.docker.compose.service=appsmith",
            "-e",
            "OWN_SETTING=own-value-that-is-secret",
            "--memory",
            "512m",
            "--add-host",
            "db.internal:10.0.0.9",
            "--log-opt",
            "max-size=5m",
        ];
        docker_ok(&[&create[..], &own, &[site.seed_image.as_str()]].concat()).await;
    }

    /// Writes the configuration; `more` goes to its end.
    pub fn configure(&self, more: &str) {
        self.configure_with(SECRET, more);
    }

    /// As [`Pair::configure`], with another secret for the store.
    pub fn configure_with(&self, secret: &str, more: &str) {
        let path = |name: &str| self.folder.path().join(name);
        for (name, text) in [("secret", secret), ("password", "standin-password\n")] {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut text = format!(
            "state_dir = {state:?}\n\
             [store]\nurl = \"s3://{BUCKET}/tidegate\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\n\
             access_key_id = \"{KEY_ID}\"\nsecret_access_key_file = {secret:?}\npart_size = \"5 MiB\"\n\
             [ready]\nstable_for = \"500ms\"\npoll = \"100ms\"\nstall = \"20s\"\nceiling = \"90s\"\n\
             [pipeline]\nimage = \"{repository}\"\nstages = [\"staging\", \"production\"]\n",
            state = self.state(),
            address = self.proxy.address,
            secret = path("secret"),
            repository = self.repository,
        );
        for Site { name, container, port, .. } in [&self.staging, &self.production] {
            text.push_str(&format!(
                "[instances.{name}]\ncontainer = \"{container}\"\nurl = \"http://127.0.0.1:{port}\"\n\
                 login_user = \"admin@standin.test\"\nlogin_password_file = {:?}\n",
                path("password"),
            ));
        }
        std::fs::write(path("tidegate.toml"), text + more).unwrap();
    }

    /// Puts some lines in the place of one of the configuration.
    pub fn reconfigure(&self, line: &str, lines: &str) {
        let path = self.folder.path().join("tidegate.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(line), "{text}");
        std::fs::write(&path, text.replace(line, lines)).unwrap();
    }

    /// Tidegate's state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where the S3 server keeps the objects.
    pub fn objects(&self) -> PathBuf {
        self.server.dir().join(BUCKET).join("tidegate")
    }

    /// The S3 server itself, past the proxy.
    pub fn server(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    /// Its objects, as Tidegate keys them.
    pub async fn store(&self) -> S3Store {
        let options = S3Options {
            bucket: BUCKET.into(),
            prefix: "tidegate".into(),
            credentials: S3Credentials::Key { id: KEY_ID.into(), secret: SECRET.into() },
            ..crate::store::options_at(self.server.endpoint())
        };
        S3Store::connect(options).await.unwrap()
    }

    /// The program with the configuration and these words.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let kept = ["PATH", "HOME", "DOCKER_HOST", "TMPDIR"];
        command.env_clear().envs(std::env::vars().filter(|(name, _)| kept.contains(&name.as_str())));
        command.env("TIDEGATE_PORTER", porter()).env("TIDEGATE_CONFIG", self.folder.path().join("tidegate.toml"));
        command.args(words);
        command
    }

    /// Begins a command.
    pub fn begin(&self, words: &[&str]) -> Running {
        Running::start(self.command(words), self.state())
    }

    /// Runs a prepared command to its end.
    pub async fn finish(&self, command: Command) -> Ended {
        Running::start(command, self.state()).end().await
    }

    /// Runs a command to its end.
    pub async fn run(&self, words: &[&str]) -> Ended {
        self.begin(words).end().await
    }

    /// Kills a command with SIGKILL once its journal has that record.
    pub async fn kill_at(&self, words: &[&str], record: &str, step: &str) -> Journal {
        let mut running = self.begin(words);
        running.reaches(record, step).await;
        let journal = running.kill().await.expect("a journal");
        assert_eq!(journal.outcome, None, "the run ended before it was killed");
        journal
    }

    /// The journal of a run as it is now.
    pub fn journal(&self, run: &str) -> Journal {
        let path = self.state().join("runs").join(format!("{run}.jsonl"));
        Journal::read(&path).expect("a journal")
    }

    /// How many runs there have been.
    pub fn run_count(&self) -> usize {
        journals(&self.state()).len()
    }

    /// Takes a snapshot and gives its id.
    pub async fn snapshot(&self, site: &Site) -> String {
        let taken = self.run(&["snapshot", site.name, "--json"]).await.expect(0);
        taken.json()["snapshot"]["id"].as_str().expect("an id").to_owned()
    }

    /// On every image and volume of it, as `name=value`.
    pub fn label(&self) -> String {
        format!("{}={}", yard::LABEL, self.mark)
    }

    /// A text without what differs between runs: addresses, ports, folders, ids and times.
    pub fn without_names(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, word) in [
            (self.proxy.address.to_string(), "STORE"),
            (self.repository.clone(), "REGISTRY/appsmith"),
            (format!("tg-story-{}", self.mark), "appsmith"),
            (self.folder.path().display().to_string(), "FOLDER"),
        ] {
            text = text.replace(&name, word);
        }
        text
    }

    /// Nothing of Tidegate is left that holds this instance or mounts its data.
    pub async fn nothing_is_left(&self, site: &Site) {
        let volume = format!("volume={}", site.container);
        let names = docker_ok(&["ps", "-a", "--format", "{{.Names}}", "--filter", &volume]).await;
        assert_eq!(names, site.container, "containers that mount its data");
        let lock = format!("name=tidegate.lock.{}", site.container);
        assert_eq!(docker_ok(&["ps", "-a", "--format", "{{.Names}}", "--filter", &lock]).await, "", "locks");
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        yard::clear(&self.mark);
    }
}

impl Site {
    /// What `docker inspect` says; `None` where there is no container.
    pub async fn inspect(&self) -> Option<Value> {
        let output = docker(&["inspect", "--type", "container", &self.container]).await;
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap_or_default().into_iter().next()
    }

    /// The container's id.
    pub async fn id(&self) -> String {
        self.inspect().await.expect("a container")["Id"].as_str().unwrap().to_owned()
    }

    /// Id of the image that it runs on.
    pub async fn image(&self) -> String {
        self.inspect().await.expect("a container")["Image"].as_str().unwrap().to_owned()
    }

    /// Its restart policy.
    pub async fn restart_policy(&self) -> String {
        let seen = self.inspect().await.expect("a container");
        seen["HostConfig"]["RestartPolicy"]["Name"].as_str().unwrap().to_owned()
    }

    /// What makes it the container that a person has set up. Without ids, times and order.
    pub async fn definition(&self) -> BTreeMap<&'static str, Value> {
        let seen = self.inspect().await.expect("a container");
        let sorted = |value: &Value| {
            let mut all = value.as_array().cloned().unwrap_or_default();
            all.sort_by_key(Value::to_string);
            Value::Array(all)
        };
        let (config, host) = (&seen["Config"], &seen["HostConfig"]);
        let mut definition: BTreeMap<&'static str, Value> = BTreeMap::new();
        for name in ["Image", "Labels", "Cmd", "Entrypoint", "User", "WorkingDir", "Healthcheck", "ExposedPorts"] {
            definition.insert(name, config[name].clone());
        }
        for name in ["RestartPolicy", "PortBindings", "ExtraHosts", "Memory", "LogConfig", "NetworkMode", "CapAdd"] {
            definition.insert(name, host[name].clone());
        }
        definition.insert("Env", sorted(&config["Env"]));
        definition.insert("Binds", sorted(&host["Binds"]));
        let mounts = seen["Mounts"].as_array().unwrap().iter();
        let mounts = mounts.map(|mount| format!("{} {} {}", mount["Name"], mount["Destination"], mount["RW"]));
        definition.insert("Mounts", sorted(&mounts.map(Value::String).collect()));
        definition
    }

    /// What its volume holds.
    pub async fn content(&self) -> Content {
        Content::of(self).await
    }

    /// Waits until the app says that it is well.
    pub async fn is_well(&self) {
        wait_for(&format!("{} to be well", self.container), async || {
            self.get("/api/v1/health")
                .await
                .filter(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains("All systems are up"))
        })
        .await;
    }

    /// Changes data as a user would: a new file in Git, another in the database.
    pub async fn change(&self, word: &str) {
        let folder = tempfile::tempdir().unwrap();
        for place in ["git-storage", "data/mongodb"] {
            let name = format!("{word}.wt");
            std::fs::write(folder.path().join(&name), format!("{word} in {place}\n")).unwrap();
            let to = format!("{}:/appsmith-stacks/{place}/{name}", self.container);
            docker_ok(&["cp", folder.path().join(&name).to_str().unwrap(), &to]).await;
        }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let asked = async {
            let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
            let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            socket.write_all(head.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.ok()?;
            Some(String::from_utf8_lossy(&answer).into_owned())
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), asked).await.ok().flatten()
    }
}

/// A published port must be the same after each start, so it lies below those that the kernel gives away.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 97).unwrap() * 100;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed) % 100);
    ports.take(100).find(free).expect("a free port")
}

fn porter() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_tidegate")).with_file_name("tidegate-porter-static");
    let path = std::env::var_os("TIDEGATE_PORTER").map_or(beside, PathBuf::from);
    assert!(
        path.is_file(),
        "run scripts/build-porter first, or say in TIDEGATE_PORTER where it is; not at {}",
        path.display()
    );
    path
}
