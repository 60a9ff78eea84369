//! Promotions through the real program: two stand-ins with Git, a real SSH server, real repositories.

use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use super::crash::accident::{Moment, kill_at};
use super::journal::journals;
use super::running::{Ended, Running};
use crate::githost::flow::{GIT, Lab, connect, import, reconnect};
use crate::githost::standin::QUICK;
use crate::githost::{Right, run};

/// Two environments with the app Returns in both, on a branch each.
struct Environments {
    lab: Lab,
    /// The app on staging's branch.
    built: String,
    /// The app in production.
    live: String,
    folder: tempfile::TempDir,
}

impl Environments {
    /// `broken` is what is wrong with production.
    async fn start(test: &str, broken: &str) -> Self {
        let lab = Lab::with(test, "v2.4.2", ["", broken], QUICK).await;
        let base = connect(&lab.staging, &lab.host).await;
        let path = format!("{GIT}/{base}/create-ref");
        let made = lab.staging.post(&path, json!({"refName": "staging", "refType": "branch"}));
        let built = made.await.unwrap()["id"].as_str().unwrap().to_owned();
        let (live, missing) = import(&lab.production, &lab.host).await;
        reconnect(&lab.production, &missing).await;
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("git-key");
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.display().to_string()], &[]).await;
        let public = std::fs::read_to_string(folder.path().join("git-key.pub")).unwrap();
        lab.host.allow("returns", &public, Right::Write);
        let environments = Self { lab, built, live, folder };
        environments.configure("").await;
        environments
    }

    async fn configure(&self, more: &str) {
        let path = |name: &str| self.folder.path().join(name);
        std::fs::create_dir_all(path("store")).unwrap();
        std::fs::write(path("password"), "standin-password\n").unwrap();
        std::fs::write(path("known_hosts"), self.lab.host.known_host()).unwrap();
        let outside = self.lab.host.outside("returns");
        let mut text = format!(
            "state_dir = {state:?}\n[store]\nurl = \"file://{store}\"\n[ready]\nstable_for = \"500ms\"\npoll = \"100ms\"\n\
             [git]\nkey_file = {key:?}\nknown_hosts = [{known:?}]\n\
             [[git.instead_of]]\nprefix = \"git@{host}:\"\nbase = {base:?}\n\
             [environments.staging]\nworkspace = {built:?}\n[environments.production]\nworkspace = \"From Git\"\n",
            state = self.state(),
            store = path("store").display(),
            key = path("git-key"),
            known = path("known_hosts"),
            host = self.lab.host.name,
            base = outside.trim_end_matches("returns.git"),
            built = self.lab.staging.application("Returns").await.1,
        );
        for (name, site) in [("staging", &self.lab.staging), ("production", &self.lab.production)] {
            text.push_str(&format!(
                "[instances.{name}]\ncontainer = {:?}\nurl = {:?}\nlogin_user = \"admin@standin.test\"\n\
                 login_password_file = {:?}\n",
                site.name,
                site.url,
                path("password"),
            ));
        }
        std::fs::write(path("tidegate.toml"), text + more).unwrap();
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.env_clear().envs(std::env::vars().filter(|(name, _)| ["PATH", "DOCKER_HOST"].contains(&name.as_str())));
        command.env("TIDEGATE_CONFIG", self.folder.path().join("tidegate.toml")).args(words);
        command
    }

    async fn run(&self, words: &[&str]) -> Ended {
        Running::start(self.command(words), self.state()).end().await
    }

    /// What a builder does: a change on staging's branch, committed.
    async fn build(&self, text: &str) {
        self.lab.staging.edit(&self.built, None, text).await;
        let path = format!("{GIT}/{}/commit", self.built);
        self.lab.staging.post(&path, json!({"message": text})).await.unwrap();
    }

    /// What production's users see.
    async fn seen(&self) -> String {
        self.lab.production.deployed(&self.live, None).await
    }

    /// Production has nothing that its branch has not, and the other way round.
    async fn is_in_step(&self) {
        let status = self.lab.production.get(&format!("{GIT}/{}/status?compareRemote=true", self.live)).await.unwrap();
        let told = [&status["isClean"], &status["behindCount"], &status["aheadCount"]];
        assert_eq!(told, [&json!(true), &json!(0), &json!(0)], "{status}");
    }

    /// The id of the workspace in production.
    async fn workspace(&self) -> String {
        let all = self.lab.production.get("workspaces").await.unwrap();
        let found = all.as_array().unwrap().iter().find(|each| each["name"] == "From Git").unwrap();
        found["id"].as_str().unwrap().to_owned()
    }

    async fn remove(self) {
        self.lab.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_live_and_what_would_is_told_before() {
    let environments = Environments::start("promote", "").await;
    let before = environments.seen().await;
    environments.run(&["promote", "--all"]).await.expect(0);
    environments.build("made on staging").await;

    let told = environments.run(&["promote", "Returns", "--dry-run"]).await.expect(0);
    let head = environments.lab.host.head("returns", "staging").await;
    assert_eq!(
        told.stdout,
        format!(
            "Returns: `staging` has 1 commit that `production` lacks, in 1 file\n  {short} made on staging (Ada)\n  \
             on page `Home`\n    widget `{widget}`: changed\n  push: `production` moves on to {short} (fast-forward)\n  \
             then `production` pulls and deploys, and is checked; what fails is taken back by a commit\n",
            short = &head[..8],
            widget = told.stdout.split("widget `").nth(1).and_then(|rest| rest.split('`').next()).unwrap_or_default(),
        )
    );
    assert_eq!(environments.seen().await, before, "a plan changes nothing");
    let json = environments.run(&["promote", "--all", "--dry-run", "--json"]).await.expect(0).json();
    assert_eq!(json["plans"][0]["comparison"]["ahead"], 1, "{json}");
    assert!(json["left"]["Orders"].is_string() || json["left"].is_object(), "{json}");

    let unasked = environments.run(&["promote", "Returns"]).await.expect(2);
    assert!(unasked.stderr.contains("--confirm production"), "{}", unasked.stderr);
    let done = environments.run(&["promote", "Returns", "--confirm", "production"]).await.expect(0);
    assert!(done.stderr.contains("Returns is live"), "{}", done.stderr);
    assert_eq!(environments.seen().await, "made on staging");
    environments.is_in_step().await;
    let tags = environments.lab.host.git("returns", &["tag", "--list", "tidegate/returns/*"]).await;
    assert_eq!(tags.lines().count(), 1, "{tags}");
    let again = environments.run(&["promote", "Returns"]).await.expect(0);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let runs = environments.run(&["runs"]).await.expect(0);
    assert!(runs.stdout.contains("promote-"), "{}", runs.stdout);
    environments.remove().await;
}

/// A check that fails as soon as the text is in production.
async fn check_against(environments: &Environments, text: &str) -> String {
    let workspace = environments.workspace().await;
    let clone = format!("/appsmith-stacks/git-storage/{workspace}/{}/returns", environments.live);
    format!(
        "[[instances.production.checks]]\nname = \"no {text}\"\ntype = \"exec\"\n\
         command = [\"git\", \"-C\", {clone:?}, \"grep\", \"-q\", {text:?}, \"HEAD\"]\nexit_code = 1\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_its_checks_is_taken_back_and_comes_again_when_it_is_mended() {
    let environments = Environments::start("promote-back", "").await;
    let before = environments.seen().await;
    environments.configure(&check_against(&environments, "broken").await).await;
    environments.build("broken").await;
    let failed = environments.run(&["promote", "Returns", "--yes"]).await.expect(5);
    assert!(failed.stderr.contains("Returns was taken back"), "{}", failed.stderr);
    assert!(failed.stderr.contains("what was promoted is taken back from `production`"), "{}", failed.stderr);
    assert_eq!(environments.seen().await, before);
    environments.is_in_step().await;

    // Production's branch has a history of its own by now: what was taken back comes with the rest.
    environments.build("mended").await;
    environments.run(&["promote", "Returns", "--yes"]).await.expect(0);
    assert_eq!(environments.seen().await, "mended");
    environments.is_in_step().await;
    environments.remove().await;
}

/// appsmith#30716, #40704 and others: changes that nobody committed block every pull.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_told_and_nothing_is_touched() {
    let environments = Environments::start("promote-odd", "").await;
    environments.build("first").await;
    let head = environments.lab.host.head("returns", "production").await;
    environments.lab.production.edit(&environments.live, None, "made in production").await;
    let refused = environments.run(&["promote", "Returns", "--yes"]).await.expect(9);
    assert!(
        refused.stdout.contains("NOT NOW: production's app has changes that are not committed"),
        "{}",
        refused.stdout
    );
    assert!(refused.stderr.contains("nothing was touched"), "{}", refused.stderr);
    assert_eq!(environments.lab.host.head("returns", "production").await, head);
    let unknown = environments.run(&["promote", "Nothing"]).await.expect(2);
    assert!(unknown.stderr.contains("has no app `Nothing`; it has "), "{}", unknown.stderr);

    // A host that nobody knows.
    std::fs::write(environments.folder.path().join("known_hosts"), "").unwrap();
    let unknown = environments.run(&["promote", "Returns", "--yes"]).await.expect(7);
    assert!(unknown.stderr.contains("is not known: it shows the ssh-ed25519 key SHA256:"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("ssh-keyscan -p "), "{}", unknown.stderr);
    environments.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_fails_is_taken_back_and_what_a_pull_request_brought_is_pulled() {
    let environments = Environments::start("promote-fails", "git-fails:pull:AE-GIT-5014:once").await;
    let before = environments.seen().await;
    environments.build("not pulled").await;
    let failed = environments.run(&["promote", "Returns", "--yes"]).await.expect(5);
    assert!(failed.stderr.contains("a command of Git took too long"), "{}", failed.stderr);
    assert_eq!(environments.seen().await, before);
    environments.is_in_step().await;
    environments.run(&["promote", "Returns", "--yes"]).await.expect(0);
    assert_eq!(environments.seen().await, "not pulled");

    environments.build("by a pull request").await;
    environments.lab.host.merge("returns", "staging", "production").await;
    let told = environments.run(&["promote", "Returns", "--dry-run"]).await.expect(0);
    assert!(told.stdout.contains("nothing to push; production has not pulled 2 commits"), "{}", told.stdout);
    environments.run(&["promote", "Returns", "--yes"]).await.expect(0);
    assert_eq!(environments.seen().await, "by a pull request");
    environments.is_in_step().await;
    environments.remove().await;
}

/// What was live before others merged at the host, nobody wrote down: so it is said loudly, and left.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_merged_is_not_taken_back_without_a_person() {
    let environments = Environments::start("promote-stuck", "").await;
    let before = environments.seen().await;
    environments.configure(&check_against(&environments, "broken").await).await;
    environments.build("broken").await;
    environments.lab.host.merge("returns", "staging", "production").await;
    let stuck = environments.run(&["promote", "Returns", "--yes"]).await.expect(6);
    assert!(stuck.stderr.contains("that is not taken back by itself: revert it at the host"), "{}", stuck.stderr);
    assert_eq!(environments.seen().await, "broken");
    environments.lab.host.revert("returns", "production").await;
    let done = environments.run(&["promote", "Returns", "--yes"]).await;
    assert!(matches!(done.code, Some(0 | 3)), "{:?}\n{}", done.code, done.stderr);
    assert_eq!(environments.seen().await, before);
    environments.remove().await;
}

/// appsmith#38140, #38959: pulling what a newer staging has written broke production.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_production_takes_nothing_from_a_newer_staging() {
    let mut environments = Environments::start("promote-skew", "").await;
    environments.build("first").await;
    environments.lab.staging = environments.lab.staging.upgrade("v2.5.0", "").await;
    environments.configure("").await;
    let refused = environments.run(&["promote", "Returns", "--yes"]).await.expect(9);
    let why = "NOT NOW: frozen: staging runs v2.5 and production v2.4.2; it lifts when both run the same";
    assert!(refused.stdout.contains(why), "{}", refused.stdout);
    environments.lab.production = environments.lab.production.upgrade("v2.5.0", "").await;
    environments.configure("").await;
    // The upgrade alone has changed the format of its files.
    let dirty = environments.run(&["promote", "Returns", "--yes"]).await.expect(9);
    assert!(dirty.stdout.contains("changes that are not committed: `metadata.json`"), "{}", dirty.stdout);
    environments.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_goes_over_https_with_a_token() {
    let environments = Environments::start("promote-https", "").await;
    let https = environments.lab.host.https("the-token").await;
    let token = environments.folder.path().join("token");
    std::fs::write(&token, "the-token\n").unwrap();
    let config = environments.folder.path().join("tidegate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let outside = environments.lab.host.outside("returns");
    let base = |url: &str| url.trim_end_matches("returns.git").to_owned();
    let text = text.replace(&base(&outside), &base(&https.url("returns")));
    std::fs::write(&config, text.replace("[git]\n", &format!("[git]\ntoken_file = {token:?}\n"))).unwrap();
    environments.build("over https").await;
    let run = async |words: &[&str], trusts: bool| {
        let mut command = environments.command(words);
        if trusts {
            command.env("SSL_CERT_FILE", https.ca_file());
        }
        Running::start(command, environments.state()).end().await
    };
    let untrusted = run(&["promote", "Returns", "--yes"], false).await.expect(7);
    assert!(untrusted.stderr.contains("certificate"), "{}", untrusted.stderr);
    run(&["promote", "Returns", "--yes"], true).await.expect(0);
    assert_eq!(environments.seen().await, "over https");
    std::fs::write(&token, "wrong-secret\n").unwrap();
    let refused = run(&["promote", "Returns", "--dry-run"], true).await.expect(7);
    assert!(refused.stderr.contains("refused the login with the token in "), "{}", refused.stderr);
    assert!(!refused.stderr.contains("wrong-secret"), "{}", refused.stderr);
    environments.remove().await;
}

/// Kill points: a sample for each commit, all of them under TIDEGATE_TEST_FULL=1.
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_production_is_before_or_after_and_a_resume_ends_it() {
    let environments = Environments::start("promote-kill", "").await;
    environments.build("measured").await;
    environments.run(&["promote", "Returns", "--yes"]).await.expect(0);
    let journal = journals(&environments.state()).into_iter().next_back().expect("a journal");
    let lines = std::fs::read_to_string(journal).unwrap().lines().count();
    let is_full = std::env::var("TIDEGATE_TEST_FULL").is_ok_and(|full| full == "1");
    let all = (0..lines).flat_map(|line| [Moment::Before, Moment::Torn, Moment::After].map(|moment| (line, moment)));
    let mut all: Vec<(usize, Moment)> = all.collect();
    if !is_full {
        let seed: u64 =
            std::env::var("TIDEGATE_TEST_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
        println!("kills chosen with TIDEGATE_TEST_SEED={seed}");
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        all = rand::seq::IndexedRandom::choose_multiple(&all[..], &mut random, 4).copied().collect();
    }
    for (round, (line, moment)) in all.into_iter().enumerate() {
        let (before, new) = (environments.seen().await, format!("round {round}"));
        environments.build(&new).await;
        let mut command = environments.command(&["promote", "Returns", "--yes"]);
        kill_at(&mut command, line, moment);
        let killed = Running::start(command, environments.state()).end().await;
        let what = format!("{moment:?} of line {line}\n{}", killed.stderr);
        assert_eq!(killed.code, None, "it was not killed: {what}");
        let resumed = environments.run(&["resume"]).await;
        assert!(matches!(resumed.code, Some(0)), "{what}\n--- resume {:?}\n{}", resumed.code, resumed.stderr);
        let seen = environments.seen().await;
        assert!(seen == before || seen == new, "{seen}: {what}");
        environments.is_in_step().await;
        let open = environments.run(&["resume"]).await.expect(0);
        assert!(open.stderr.contains("no run was cut off"), "{what}\n{}", open.stderr);
        environments.run(&["promote", "Returns", "--yes"]).await.expect(0);
        assert_eq!(environments.seen().await, new, "{what}");
    }
    environments.remove().await;
}
