//! A stand-in with Git in it, on a network with a [`GitHost`](super::GitHost), and plain calls to its REST interface.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::docker::{docker, docker_ok};
use crate::instance::world::{import, standin};

const LABEL: &str = "dev.tidegate.test=githost";
/// Every delay is a fiftieth of the real one: a lock is waited for 0.4 s and expires after 2.4 s.
pub const QUICK: &str = "0.02";

/// A Docker network of one test.
#[derive(Debug)]
pub struct Network(pub String);

impl Network {
    /// Makes it, in place of one that an earlier run left behind.
    pub async fn make(test: &str) -> Self {
        let name = format!("tg-githost-net-{test}");
        let left = ["ps", "-aq", "--filter", &format!("network={name}"), "--filter", &format!("label={LABEL}")];
        for container in docker_ok(&left).await.lines() {
            docker_ok(&["rm", "-f", container]).await;
        }
        let _ = docker(&["network", "rm", &name]).await;
        docker_ok(&["network", "create", "--label", LABEL, &name]).await;
        Self(name)
    }

    /// Takes it away.
    pub async fn remove(self) {
        docker_ok(&["network", "rm", &self.0]).await;
    }
}

/// A running stand-in, and the session of its administrator.
#[derive(Debug)]
pub struct Standin {
    /// The container's name, and the volume's.
    pub name: String,
    /// Where it answers.
    pub url: String,
    network: String,
    client: reqwest::Client,
    session: String,
}

/// An error of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Appsmith's code.
    pub code: String,
    /// What it says.
    pub message: String,
}

impl Standin {
    /// Starts one on a volume that is filled from `seed`: equal seeds have equal ids and secrets. `broken` and `scale` are
    /// its `STANDIN_BROKEN` and `STANDIN_TIME_SCALE`.
    pub async fn start(name: &str, version: &str, seed: u32, network: &Network, (broken, scale): (&str, &str)) -> Self {
        let name = format!("tg-githost-{name}");
        sweep(&name).await;
        docker_ok(&["volume", "create", "--label", LABEL, &name]).await;
        let (image, mount) = (image(version).await, format!("{name}:/appsmith-stacks"));
        let seed = seed.to_string();
        let words = ["run", "--rm", "--label", LABEL, "-v", &mount, &image, "seed", "--apps", "4", "--seed", &seed];
        docker_ok(&words).await;
        Self::run(name, &network.0, &image, broken, scale).await
    }

    async fn run(name: String, network: &str, image: &str, broken: &str, scale: &str) -> Self {
        let (mount, broken) = (format!("{name}:/appsmith-stacks"), format!("STANDIN_BROKEN={broken}"));
        let scale = format!("STANDIN_TIME_SCALE={scale}");
        let words = ["run", "-d", "--name", &name, "--label", LABEL, "--network", network, "-v", &mount];
        docker_ok(&[&words[..], &["-e", &broken, "-e", &scale, "-p", "127.0.0.1::80", image]].concat()).await;
        let port = docker_ok(&["port", &name, "80"]).await;
        let url = format!("http://{}", port.lines().next().unwrap());
        // Fails only where one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let none = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(none).no_proxy().timeout(Duration::from_secs(120));
        let client = client.build().unwrap();
        let mut new = Self { name, url, network: network.to_owned(), client, session: String::new() };
        new.wait().await;
        new.session = new.log_in().await;
        new
    }

    /// The same volume on another release.
    pub async fn upgrade(self, version: &str, broken: &str) -> Self {
        docker_ok(&["stop", "-t", "60", &self.name]).await;
        docker_ok(&["rm", &self.name]).await;
        let image = image(version).await;
        Self::run(self.name, &self.network, &image, broken, QUICK).await
    }

    /// Until its API answers.
    pub async fn wait(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        // Old releases have no health endpoint.
        let ready = async || {
            let answer = self.client.get(format!("{}/api/v1/users/me", self.url)).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        while !ready().await {
            assert!(tokio::time::Instant::now() < deadline, "{} does not answer", self.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn log_in(&self) -> String {
        let form = [("username", "admin@standin.test"), ("password", "standin-password")];
        let request = self.client.post(format!("{}/api/v1/login", self.url)).header("X-Requested-By", "Appsmith");
        let answer = request.form(&form).send().await.unwrap();
        let cookies = answer.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let mut ids = cookies.filter_map(|cookie| cookie.split(';').next()?.strip_prefix("SESSION="));
        ids.next_back().expect("a session").to_owned()
    }

    /// One call below `/api/v1/`. The data of the answer, or how it was refused.
    pub async fn call(&self, method: Method, path: &str, branch: Option<&str>, body: Value) -> Result<Value, Refusal> {
        let mut request = self.client.request(method, format!("{}/api/v1/{path}", self.url));
        request = request.header("X-Requested-By", "Appsmith").header("Origin", &self.url);
        request = request.header("Cookie", format!("SESSION={}", self.session));
        if let Some(branch) = branch {
            request = request.header("branchName", branch);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let whole: Value = answer.json().await.unwrap_or_else(|error| panic!("{path}: {status}: {error}"));
        let meta = &whole["responseMeta"];
        if meta["success"] == true {
            return Ok(whole["data"].clone());
        }
        let text = |field: &str| meta["error"][field].as_str().unwrap_or_default().to_owned();
        Err(Refusal { status, code: text("code"), message: text("message") })
    }

    /// A GET.
    pub async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.call(Method::GET, path, None, Value::Null).await
    }

    /// A POST.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call(Method::POST, path, None, body).await
    }

    /// A PUT.
    pub async fn put(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call(Method::PUT, path, None, body).await
    }

    /// The application of that name, and its workspace's id.
    pub async fn application(&self, name: &str) -> (Value, String) {
        for workspace in self.get("workspaces").await.unwrap().as_array().unwrap() {
            let id = workspace["id"].as_str().unwrap();
            let all = match self.get(&format!("applications/home?workspaceId={id}")).await {
                Ok(all) => all,
                Err(_) => self.old_applications(id).await,
            };
            if let Some(found) = all.as_array().unwrap().iter().find(|each| each["name"] == name) {
                return (found.clone(), id.to_owned());
            }
        }
        panic!("there is no application {name}")
    }

    async fn old_applications(&self, workspace: &str) -> Value {
        let all = self.get("applications/new").await.unwrap();
        let mut rows = all["workspaceApplications"].as_array().unwrap().iter();
        rows.find(|row| row["workspace"]["id"] == workspace).unwrap()["applications"].clone()
    }

    /// Does its Redis still have the Git lock of an application, expired or not?
    pub async fn has_lock(&self, application: &str) -> bool {
        let dump = docker(&["cp", &format!("{}:/appsmith-stacks/data/redis/dump.rdb", self.name), "-"]).await;
        let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
        dump.split("\"git_locks\"").nth(1).expect("a dump").contains(application)
    }

    /// Changes the text of the first widget on the first page of an application, as a builder does.
    pub async fn edit(&self, application: &str, branch: Option<&str>, text: &str) {
        let page = self.first_page(application, branch).await;
        let found = self.call(Method::GET, &format!("pages/{page}"), branch, Value::Null).await.unwrap();
        let mut layout = found["layouts"][0].clone();
        layout["dsl"]["children"][0]["text"] = json!(text);
        let path = format!("layouts/{}/pages/{page}", layout["id"].as_str().unwrap());
        self.call(Method::PUT, &path, branch, json!({"dsl": layout["dsl"]})).await.unwrap();
    }

    /// The text of that widget, as deployed.
    pub async fn deployed(&self, application: &str, branch: Option<&str>) -> String {
        let page = self.first_page(application, branch).await;
        let found = self.call(Method::GET, &format!("pages/{page}/view"), branch, Value::Null).await.unwrap();
        found["layouts"][0]["dsl"]["children"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The id of an application's first page.
    pub async fn first_page(&self, application: &str, branch: Option<&str>) -> String {
        let path = format!("pages?applicationId={application}&mode=EDIT");
        let found = self.call(Method::GET, &path, branch, Value::Null).await.unwrap();
        found["pages"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Takes it away with its volume.
    pub async fn remove(self) {
        sweep(&self.name).await;
    }
}

async fn sweep(name: &str) {
    let _ = docker(&["rm", "-f", name]).await;
    let _ = docker(&["volume", "rm", name]).await;
}

/// Makes the image of a release, with Git, once a process.
async fn image(version: &str) -> String {
    static TURN: OnceLock<tokio::sync::Semaphore> = OnceLock::new();
    let _turn = TURN.get_or_init(|| tokio::sync::Semaphore::new(1)).acquire().await;
    let mut hasher = std::hash::DefaultHasher::new();
    std::fs::read(standin()).unwrap().hash(&mut hasher);
    let build = format!("{:016x}", hasher.finish());
    let name = format!("tg-githost-standin:{version}-{build}");
    if !docker(&["image", "inspect", &name]).await.status.success() {
        // Images of other builds; one that is in use stays.
        let all = docker_ok(&["images", "tg-githost-standin", "--format", "{{.Repository}}:{{.Tag}}"]).await;
        for old in all.lines().filter(|old| !old.ends_with(&build)) {
            let _ = docker(&["rmi", old]).await;
        }
        import(&name, &[LABEL], &["--version", version, "--scale", QUICK, "--git", "on"]).await;
    }
    name
}
