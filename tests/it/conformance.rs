//! The stand-ins are what the contract says, by the same tests that a real instance must pass.

use std::time::Duration;

use tidegate_conformance::{GitRemote, Login, Options, Outcome, Report, run, wait};

use crate::docker::{docker, docker_ok};
use crate::githost::GitHost;
use crate::githost::standin::Network;
use crate::instance::world::import;

const PREFIX: &str = "tg-conf-";
const LABEL: &str = "dev.tidegate.test=conformance";
/// One of each era.
const VERSIONS: &[&str] = &["v1.9.2", "v1.50", "v1.99", "v2.2", "v2.5.1"];

/// A stand-in on a seeded volume of its own.
struct Instance {
    name: String,
    url: String,
}

impl Instance {
    async fn start(test: &str, version: &str, broken: &str) -> Self {
        let name = format!("{PREFIX}{test}-{}", version.replace('.', "-"));
        let instance = Self { url: String::new(), name };
        instance.sweep().await;
        let image = format!("{PREFIX}image:{test}-{version}");
        import(&image, &[LABEL], &["--version", version, "--scale", "0.05", "--git", "on"]).await;
        docker_ok(&["volume", "create", "--label", LABEL, &instance.name]).await;
        let mount = format!("{}:/appsmith-stacks", instance.name);
        let seed = ["run", "--rm", "--label", LABEL, "-v", &mount, &image, "seed", "--apps", "4", "--seed", "7"];
        docker_ok(&seed).await;
        let broken = format!("STANDIN_BROKEN={broken}");
        let words = ["run", "-d", "--name", &instance.name, "--label", LABEL, "-v", &mount, "-e", &broken];
        docker_ok(&[&words[..], &["-p", "127.0.0.1::80", &image]].concat()).await;
        let port = docker_ok(&["port", &instance.name, "80"]).await;
        let instance = Self { url: format!("http://{}", port.lines().next().unwrap()), ..instance };
        let patience = Duration::from_secs(120);
        wait(&instance.options(version), patience).await.unwrap();
        instance
    }

    fn options(&self, version: &str) -> Options {
        Options {
            base_url: self.url.clone(),
            container: Some(self.name.clone()),
            version: version.to_owned(),
            login: Some(Login { user: "admin@standin.test".into(), password: "standin-password".into() }),
            read_only: false,
            may_make_accounts: true,
            may_make_backups: true,
            safe_queries: vec!["Orders/getHome".into()],
            git: None,
        }
    }

    async fn hash(&self) -> String {
        let said = docker_ok(&["exec", &self.name, "standin", "hash"]).await;
        said.lines().last().unwrap().to_owned()
    }

    async fn log(&self) -> String {
        let output = docker(&["logs", &self.name]).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn sweep(&self) {
        let _ = docker(&["rm", "-f", &self.name]).await;
        let _ = docker(&["volume", "rm", &self.name]).await;
    }

    /// A test that fails leaves it to its next run.
    async fn remove(self, test: &str, version: &str) {
        self.sweep().await;
        let _ = docker(&["rmi", &format!("{PREFIX}image:{test}-{version}")]).await;
    }
}

/// Without what depends on the moment.
fn shown(report: &Report) -> String {
    let lines = report.lines.iter().map(|line| line.to_string());
    lines.filter(|line| !line.contains("the engine says")).map(|line| line + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_of_every_era_is_what_the_contract_says() {
    for version in VERSIONS {
        let instance = Instance::start("all", version, "").await;
        let before = instance.hash().await;
        let read_only = run(Options { read_only: true, ..instance.options(version) }).await.unwrap();
        assert_eq!(read_only.failures().count(), 0, "{version}\n{read_only}");
        assert_eq!(instance.hash().await, before, "{version}: reading changes nothing");

        let report = run(instance.options(version)).await.unwrap();
        assert_eq!(report.failures().count(), 0, "{version}\n{report}");
        assert!(report.passed() > read_only.passed() + 10, "{version}\n{report}");
        if *version == "v2.5.1" {
            insta::assert_snapshot!(shown(&report));
        }
        let log = instance.log().await;
        let ran: Vec<&str> = log.lines().filter(|line| line.contains("real query")).collect();
        let ours = |line: &&&str| line.contains(r#"application="Orders" name="getHome""#);
        assert!(ran.len() == 2 && ran.iter().filter(ours).count() == 2, "only the safe query runs: {ran:?}");
        instance.remove("all", version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn git_in_the_stand_in_is_what_the_contract_says() {
    for (version, test) in [("v2.5.1", "git-new"), ("v1.40", "git-old")] {
        let network = Network::make(test).await;
        let host = GitHost::start(test, Some(&network.0)).await;
        host.repository("conformance", "production").await;
        let instance = Instance::start(test, version, "").await;
        docker_ok(&["network", "connect", &network.0, &instance.name]).await;
        let remote = GitRemote { url: host.inside("conformance"), allow: host.allowing("conformance") };
        let report = run(Options { git: Some(remote), ..instance.options(version) }).await.unwrap();
        assert_eq!(report.failures().count(), 0, "{version}\n{report}");
        let lines = report.lines.iter().filter(|line| line.section.starts_with("D."));
        insta::assert_snapshot!(test, lines.map(|line| line.to_string() + "\n").collect::<String>());
        instance.remove(test, version).await;
        host.remove().await;
        network.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_the_contract_says_is_named() {
    let instance = Instance::start("wrong", "v1.99", "query:Orders/getHome").await;
    // It claims to be a release with other programs and another schema.
    let report = run(instance.options("v2.5.1")).await.unwrap();
    let failed: Vec<&str> = report
        .lines
        .iter()
        .filter(|line| matches!(line.outcome, Outcome::Failed(_)))
        .map(|line| line.text.as_str())
        .collect();
    insta::assert_debug_snapshot!(failed);
    instance.remove("wrong", "v1.99").await;
}
