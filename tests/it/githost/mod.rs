//! A Git server for tests: one set of bare repositories behind a real `sshd` in a container, and behind HTTPS here.
//!
//! ```text
//! stand-in ── ssh git@<container>:<name>.git ──┐
//! this host ─ ssh://git@127.0.0.1:PORT/<name>.git ─ sshd ── forced command ──┐
//! this host ─ https://127.0.0.1:PORT/<name>.git ─── TLS ─── git http-backend ─┴─ <folder>/repos/<name>.git
//! ```
//!
//! A deploy key is let in by one line of `authorized_keys`, whose forced command names its repository and its right.

mod faults;
pub mod flow;
mod https;
mod image;
pub mod standin;
mod tests;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;

use crate::docker::{docker, docker_ok};

pub use https::Https;

const LABEL: &str = "dev.tidegate.test=githost";

/// What a deploy key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Fetch.
    Read,
    /// Fetch and push.
    Write,
}

/// A running server with its repositories.
#[derive(Debug)]
pub struct GitHost {
    /// The container's name, by which the containers of its network reach it.
    pub name: String,
    port: u16,
    folder: TempDir,
}

impl GitHost {
    /// Starts one, in a Docker network where one is given. `test` names it.
    pub async fn start(test: &str, network: Option<&str>) -> Self {
        let name = format!("tg-githost-{test}");
        let _ = docker(&["rm", "-f", &name]).await;
        let folder = tempfile::tempdir().unwrap();
        for (made, mode) in [("", 0o755), ("keys", 0o700), ("repos", 0o755)] {
            let path = folder.path().join(made);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let key = folder.path().join("keys/host");
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "host", "-f", &key.display().to_string()], &[])
            .await;
        std::fs::write(folder.path().join("authorized_keys"), "").unwrap();
        let image = image::make().await;
        let mount = format!("{}:/host", folder.path().display());
        let words = ["run", "-d", "--name", &name, "--label", LABEL, "-v", &mount, "-p", "127.0.0.1::22"];
        let network = network.map(|network| ["--network", network]);
        let network: &[&str] = network.as_ref().map_or(&[], |words| words);
        docker_ok(&[&words[..], network, &[&image]].concat()).await;
        let port = docker_ok(&["port", &name, "22"]).await;
        let port = port.lines().next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let host = Self { name, port, folder };
        host.wait().await;
        host
    }

    /// Until it greets.
    async fn wait(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let greeting = async {
                let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
                let mut word = [0; 4];
                tokio::io::AsyncReadExt::read_exact(&mut stream, &mut word).await.ok()?;
                Some(&word == b"SSH-")
            };
            if tokio::time::timeout(Duration::from_secs(5), greeting).await.ok().flatten() == Some(true) {
                return;
            }
            let log = docker(&["logs", &self.name]).await;
            assert!(tokio::time::Instant::now() < deadline, "no sshd: {}", String::from_utf8_lossy(&log.stderr));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Makes an empty repository whose first branch is to be `branch`. Its folder.
    pub async fn repository(&self, name: &str, branch: &str) -> PathBuf {
        let path = self.path(name);
        let head = format!("--initial-branch={branch}");
        run("git", &["init", "-q", "--bare", "--template=", &head, &path.display().to_string()], &[]).await;
        for (setting, value) in [("receive.autogc", "false"), ("gc.auto", "0"), ("http.receivepack", "true")] {
            self.git(name, &["config", setting, value]).await;
        }
        let hook = path.join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, image::HOOK).unwrap();
        std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// The folder of a repository on this host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("repos/{name}.git"))
    }

    /// Lets a public key in, to one repository.
    pub fn allow(&self, name: &str, public_key: &str, right: Right) {
        let may = if right == Right::Write { "rw" } else { "ro" };
        let line = format!("command=\"/bin/git-gate {name}.git {may}\",restrict {}\n", public_key.trim());
        let path = self.folder.path().join("authorized_keys");
        let all = std::fs::read_to_string(&path).unwrap() + &line;
        std::fs::write(&path, all).unwrap();
    }

    /// A program that lets the key in which is its only argument, for whoever makes keys by himself.
    pub fn allowing(&self, name: &str) -> PathBuf {
        let keys = self.folder.path().join("authorized_keys");
        let line = format!("command=\"/bin/git-gate {name}.git rw\",restrict %s\\n");
        let script = format!("#!/bin/sh\nprintf '{line}' \"$1\" >>'{}'\n", keys.display());
        let path = self.folder.path().join(format!("allow-{name}"));
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        path
    }

    /// Lets no key in any more.
    pub fn allow_nobody(&self) {
        std::fs::write(self.folder.path().join("authorized_keys"), "").unwrap();
    }

    /// From now on the host's rules forbid pushes to exactly these branches.
    pub fn protect(&self, name: &str, branches: &[&str]) {
        let lines: String = branches.iter().map(|branch| format!("refs/heads/{branch}\n")).collect();
        std::fs::write(self.path(name).join("protected"), lines).unwrap();
    }

    /// The address of a repository for containers of its network.
    pub fn inside(&self, name: &str) -> String {
        format!("git@{}:{name}.git", self.name)
    }

    /// The address of the same repository for this host.
    pub fn outside(&self, name: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{name}.git", self.port)
    }

    /// The host's key, as a line of `known_hosts` for this host.
    pub fn known_host(&self) -> String {
        let key = std::fs::read_to_string(self.folder.path().join("keys/host.pub")).unwrap();
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        format!("[127.0.0.1]:{} {}\n", self.port, key.join(" "))
    }

    /// The same repositories over HTTPS, for whoever has this token.
    pub async fn https(&self, token: &str) -> Https {
        Https::start(&self.folder.path().join("repos"), token).await
    }

    /// Runs git in a repository, as somebody on the host does: no rule of it applies, as for a merged pull request.
    pub async fn git(&self, name: &str, words: &[&str]) -> String {
        let path = self.path(name).display().to_string();
        run("git", &[&["-c", "safe.directory=*", "-C", &path], words].concat(), &IDENTITY).await.trim().to_owned()
    }

    /// The last commit of a branch.
    pub async fn head(&self, name: &str, branch: &str) -> String {
        self.git(name, &["rev-parse", "--verify", &format!("refs/heads/{branch}")]).await
    }

    /// A file at a branch.
    pub async fn file(&self, name: &str, branch: &str, path: &str) -> String {
        self.git(name, &["show", &format!("refs/heads/{branch}:{path}")]).await
    }

    /// Merges one branch into another, as the button of a pull request does.
    pub async fn merge(&self, name: &str, from: &str, into: &str) -> String {
        self.commit_in_work_tree(name, into, async |tree| {
            let from = format!("origin/{from}");
            git_in(tree, &["merge", "-q", "--no-ff", "-m", "Merged by the host", &from]).await;
        })
        .await
    }

    /// Reverts the last commit of a branch, against its first parent if it is a merge.
    pub async fn revert(&self, name: &str, branch: &str) -> String {
        self.commit_in_work_tree(name, branch, async |tree| {
            let parents = git_in(tree, &["rev-list", "--parents", "-n", "1", "HEAD"]).await;
            let mainline: &[&str] = if parents.split_whitespace().count() > 2 { &["-m", "1"] } else { &[] };
            git_in(tree, &[&["revert", "--no-edit"], mainline, &["HEAD"]].concat()).await;
        })
        .await
    }

    /// Changes a file of a branch by a commit.
    pub async fn write(&self, name: &str, branch: &str, path: &str, text: &str) -> String {
        self.commit_in_work_tree(name, branch, async |tree| {
            std::fs::write(tree.join(path), text).unwrap();
            git_in(tree, &["add", "--all"]).await;
            git_in(tree, &["commit", "-q", "-m", "Changed at the host"]).await;
        })
        .await
    }

    /// Makes commits in a clone of the host's own and moves the branch to them, past its rules. The new last commit.
    async fn commit_in_work_tree(&self, name: &str, branch: &str, work: impl AsyncFnOnce(&Path)) -> String {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        let (from, to) = (self.path(name).display().to_string(), tree.display().to_string());
        run("git", &["-c", "safe.directory=*", "clone", "-q", "-b", branch, &from, &to], &IDENTITY).await;
        work(&tree).await;
        let head = git_in(&tree, &["rev-parse", "HEAD"]).await;
        self.git(name, &["fetch", "-q", &to, &format!("HEAD:refs/heads/{branch}"), "--force"]).await;
        head
    }

    /// Stops it and takes it away. A test that fails leaves it to its next run.
    pub async fn remove(self) {
        docker_ok(&["rm", "-f", &self.name]).await;
    }
}

const IDENTITY: [(&str, &str); 5] = [
    ("GIT_AUTHOR_NAME", "Host"),
    ("GIT_AUTHOR_EMAIL", "host@example.test"),
    ("GIT_COMMITTER_NAME", "Host"),
    ("GIT_COMMITTER_EMAIL", "host@example.test"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
];

async fn git_in(tree: &Path, words: &[&str]) -> String {
    let tree = tree.display().to_string();
    run("git", &[&["-C", &tree], words].concat(), &IDENTITY).await.trim().to_owned()
}

/// Runs a program to its end.
pub async fn tried(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(program);
    command.args(words).envs(environment.iter().copied()).env("GIT_TERMINAL_PROMPT", "0").kill_on_drop(true);
    command.stdin(std::process::Stdio::null()).output().await.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs a program that must succeed, and gives what it prints.
pub async fn run(program: &str, words: &[&str], environment: &[(&str, &str)]) -> String {
    let output = tried(program, words, environment).await;
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
