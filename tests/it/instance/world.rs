//! One stand-in container with its volume, removed with all that belongs to it.

use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use tidegate::instance::appsmith::{Appsmith, AppsmithOptions, Login, PagesInBrowser, Which};
use tidegate::instance::gate::ReadyOptions;
use tidegate::model::ids::InstanceName;
use tidegate::smoke::http::HttpCheck;
use tidegate::smoke::{Checks, QuickCheck};

use crate::docker::{docker, docker_ok};

const PREFIX: &str = "tg-instance-";
const LABEL: &str = "dev.tidegate.test=instance";

/// Every delay of the stand-in is a twentieth of the real one.
const SCALE: &str = "0.05";

/// A container on a seeded volume: applications Orders, Inventory, Customers and Returns.
pub struct World {
    /// The container's name, and the volume's.
    pub name: String,
    /// Where it answers.
    pub url: String,
    password: tempfile::NamedTempFile,
}

/// How a world is made.
pub struct Make<'a> {
    /// The release of the image.
    pub version: &'a str,
    /// `STANDIN_BROKEN`.
    pub broken: &'a str,
    /// More words for `docker create`.
    pub create: &'a [&'a str],
    /// Fill the volume before.
    pub seed: bool,
    /// More words for that.
    pub seeds: &'a [&'a str],
    /// `STANDIN_TIME_SCALE`.
    pub scale: &'a str,
}

impl Default for Make<'_> {
    fn default() -> Self {
        Self { version: "v1.99", broken: "", create: &[], seed: true, seeds: &["--apps", "4"], scale: SCALE }
    }
}

impl World {
    /// Makes and starts it. `test` names it.
    pub async fn start(test: &str, make: Make<'_>) -> Self {
        let world = Self::create(test, make).await;
        docker_ok(&["start", &world.name]).await;
        world
    }

    async fn create(test: &str, make: Make<'_>) -> Self {
        let name = format!("{PREFIX}{test}");
        sweep(&name).await;
        let image = image(make.version).await;
        docker_ok(&["volume", "create", "--label", LABEL, &name]).await;
        let mount = format!("{name}:/appsmith-stacks");
        if make.seed {
            let seeded =
                ["run", "--rm", "--label", LABEL, "-v", &mount, &image, "seed", "--megabytes", "1", "--seed", "7"];
            docker_ok(&[&seeded[..], make.seeds].concat()).await;
        }
        let (scale, broken) = (format!("STANDIN_TIME_SCALE={}", make.scale), format!("STANDIN_BROKEN={}", make.broken));
        let port = free_port();
        let publish = format!("127.0.0.1:{port}:80");
        let mut words = vec!["create", "--name", &name, "--label", LABEL, "-v", &mount, "-p", &publish];
        words.extend(["-e", &scale, "-e", &broken]);
        words.extend(make.create);
        words.push(&image);
        docker_ok(&words).await;
        let mut password = tempfile::NamedTempFile::new().unwrap();
        writeln!(password, "standin-password").unwrap();
        Self { name, url: format!("http://127.0.0.1:{port}"), password }
    }

    /// The same volume on another image, as an upgrade would leave it.
    pub async fn upgrade(self, make: Make<'_>) -> Self {
        docker_ok(&["stop", "-t", "60", &self.name]).await;
        docker_ok(&["rm", &self.name]).await;
        let image = image(make.version).await;
        let mount = format!("{}:/appsmith-stacks", self.name);
        let (scale, broken) = (format!("STANDIN_TIME_SCALE={}", make.scale), format!("STANDIN_BROKEN={}", make.broken));
        let publish = format!("{}:80", self.url.trim_start_matches("http://"));
        let words = ["run", "-d", "--name", &self.name, "--label", LABEL, "-v", &mount, "-p", &publish];
        docker_ok(&[&words[..], &["-e", &scale, "-e", &broken, &image]].concat()).await;
        self
    }

    /// The options that suit it.
    pub fn options(&self) -> AppsmithOptions {
        AppsmithOptions {
            name: InstanceName::new("staging").unwrap(),
            container: self.name.clone(),
            url: self.url.clone(),
            login: Some(Login {
                user: "admin@standin.test".into(),
                password_file: self.password.path().to_owned(),
                refused_file: None,
            }),
            stop_grace: Duration::from_secs(60),
            acknowledge_mounts: Vec::new(),
            ready: patient(),
            checks: Checks::default(),
            test_datasources: false,
            pages_in_browser: PagesInBrowser { which: Which::None, limit: Duration::from_secs(60) },
            quick_mongod_stop: true,
        }
    }

    /// With those options.
    pub fn appsmith(&self) -> Appsmith {
        Appsmith::new(self.options()).unwrap()
    }

    /// Where the password lies.
    pub fn password_file(&self) -> &std::path::Path {
        self.password.path()
    }

    /// Writes another password to the file of [`World::options`].
    pub fn set_password(&self, password: &str) {
        std::fs::write(self.password.path(), password).unwrap();
    }

    /// A never-started container with the volume at `/v0`.
    pub async fn helper(&self) -> String {
        let helper = format!("{}-helper", self.name);
        let mount = format!("{}:/v0:ro", self.name);
        let image = image("v1.99").await;
        docker_ok(&[
            "create",
            "--name",
            &helper,
            "--label",
            LABEL,
            "--tmpfs",
            "/appsmith-stacks",
            "-v",
            &mount,
            &image,
        ])
        .await;
        helper
    }

    /// Takes all of it away. A test that fails leaves it to the sweep of its next run.
    pub async fn remove(self) {
        sweep(&self.name).await;
    }
}

/// A gate that waits as long as a loaded machine may need.
pub fn patient() -> ReadyOptions {
    ReadyOptions {
        stable_for: Duration::from_secs(1),
        poll: Duration::from_millis(200),
        stall: Duration::from_secs(60),
        ceiling: Duration::from_secs(120),
    }
}

/// A check of a path that must answer 200.
pub fn http_check(name: &str, path: &str, contains: Option<&str>) -> QuickCheck {
    let limit = Duration::from_secs(30);
    let contains = contains.map(str::to_owned);
    QuickCheck::Http(HttpCheck { name: name.into(), url: path.into(), status: 200, contains, limit })
}

/// Those and no others.
pub fn quick(checks: impl Into<Vec<QuickCheck>>) -> Checks {
    Checks { quick: checks.into(), ..Checks::default() }
}

async fn sweep(name: &str) {
    let mine = format!("name=^/?{name}(-helper)?$");
    let containers = docker_ok(&["ps", "-aq", "--filter", &mine, "--filter", &format!("label={LABEL}")]).await;
    for container in containers.lines() {
        docker_ok(&["rm", "-f", container]).await;
    }
    let _ = docker(&["volume", "rm", name]).await;
}

/// Makes the image of a release once a process.
async fn image(version: &str) -> String {
    static ONCE: OnceLock<tokio::sync::Semaphore> = OnceLock::new();
    let _turn = ONCE.get_or_init(|| tokio::sync::Semaphore::new(1)).acquire().await;
    // An image of an older stand-in must not be mistaken for one of this.
    let mut hasher = std::hash::DefaultHasher::new();
    std::fs::read(standin()).unwrap().hash(&mut hasher);
    let name = format!("{PREFIX}image:{version}-{:016x}", hasher.finish());
    if !docker(&["image", "inspect", &name]).await.status.success() {
        sweep_images(&name).await;
        import(&name, &[LABEL], &["--version", version, "--scale", SCALE]).await;
    }
    name
}

/// Takes away images of other builds of the stand-in; one that is still in use stays.
async fn sweep_images(keep: &str) {
    let suffix = keep.rsplit('-').next().unwrap_or(keep);
    let images = ["images", "--filter", &format!("label={LABEL}"), "--format", "{{.Repository}}:{{.Tag}}"];
    for image in docker_ok(&images).await.lines().filter(|image| !image.ends_with(suffix)) {
        let _ = docker(&["rmi", image]).await;
    }
}

/// Makes an image with those labels. The stand-in writes its files and its configuration itself.
pub(crate) async fn import(name: &str, labels: &[&str], options: &[&str]) {
    let run = async |verb: &str| {
        let mut command = tokio::process::Command::new(standin());
        let output = command.arg(verb).args(options).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let rootfs = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rootfs.path(), run("rootfs").await).unwrap();
    let changes = String::from_utf8(run("changes").await).unwrap();
    let labels: Vec<String> = labels.iter().map(|label| format!("LABEL {label}")).collect();
    let mut words = vec!["import"];
    labels.iter().for_each(|label| words.extend(["-c", label]));
    changes.lines().for_each(|line| words.extend(["-c", line]));
    words.extend([rootfs.path().to_str().unwrap(), name]);
    docker_ok(&words).await;
}

pub(crate) fn standin() -> PathBuf {
    let built = "target/x86_64-unknown-linux-gnu/release/standin";
    let path = std::env::var_os("STANDIN_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(built), PathBuf::from);
    assert!(path.is_file(), "build the stand-in first, or say in STANDIN_BIN where it is; not at {}", path.display());
    path
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
