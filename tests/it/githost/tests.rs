//! The server does what its tests need of it.

use std::path::{Path, PathBuf};

use super::{GitHost, Right, git_in, run, tried};

/// A client with a key of its own, which trusts the host's key and no other.
struct Client {
    folder: tempfile::TempDir,
}

impl Client {
    async fn new(host: &GitHost) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key").display().to_string();
        run("ssh-keygen", &["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-C", "client", "-f", &key], &[]).await;
        std::fs::write(folder.path().join("known_hosts"), host.known_host()).unwrap();
        Self { folder }
    }

    fn public_key(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("key.pub")).unwrap()
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Runs git over SSH in the work tree, or beside it before there is one. What it says where it fails.
    async fn git(&self, words: &[&str]) -> Result<(), String> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let ssh = format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null",
            at("key"),
            at("known_hosts")
        );
        let folder = if self.tree().exists() { self.tree() } else { self.folder.path().to_owned() };
        let folder = folder.display().to_string();
        let environment = [("GIT_SSH_COMMAND", ssh.as_str()), ("GIT_CONFIG_GLOBAL", "/dev/null")];
        let done = tried("git", &[&["-C", &folder], words].concat(), &environment).await;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

async fn commit(tree: &Path, file: &str) {
    std::fs::write(tree.join(file), file).unwrap();
    git_in(tree, &["add", "--all"]).await;
    git_in(tree, &["commit", "-q", "-m", file]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_line_says_and_rules_of_the_host_hold() {
    let host = GitHost::start("keys", None).await;
    host.repository("orders", "production").await;
    host.repository("returns", "production").await;
    let client = Client::new(&host).await;
    let url = host.outside("orders");
    let clone = ["clone", "-q", &url, "tree"];
    let refused = client.git(&clone).await.unwrap_err();
    assert!(refused.contains("Permission denied (publickey)"), "{refused}");

    host.allow("orders", &client.public_key(), Right::Write);
    client.git(&clone).await.unwrap();
    commit(&client.tree(), "a").await;
    client.git(&["push", "-q", "origin", "HEAD"]).await.unwrap();
    assert_eq!(host.file("orders", "production", "a").await, "a");
    let other = host.outside("returns");
    let refused = client.git(&["ls-remote", &other]).await.unwrap_err();
    assert!(refused.contains("Repository not found"), "{refused}");

    host.protect("orders", &["production"]);
    commit(&client.tree(), "b").await;
    let refused = client.git(&["push", "-q", "origin", "HEAD"]).await.unwrap_err();
    assert!(refused.contains("Protected branch") && refused.contains("pre-receive hook declined"), "{refused}");
    client.git(&["push", "-q", "origin", "HEAD:refs/heads/staging"]).await.unwrap();
    // What the host does itself is past its own rules.
    let merged = host.merge("orders", "staging", "production").await;
    assert_eq!(host.head("orders", "production").await, merged);
    host.protect("orders", &[]);

    host.allow_nobody();
    host.allow("orders", &client.public_key(), Right::Read);
    client.git(&["fetch", "-q", "origin"]).await.unwrap();
    let refused = client.git(&["push", "-q", "origin", "HEAD:refs/heads/other"]).await.unwrap_err();
    assert!(refused.contains("marked as read only"), "{refused}");
    let reverted = host.revert("orders", "production").await;
    assert_ne!(reverted, merged);
    assert_eq!(host.head("orders", "production").await, reverted);
    host.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_repositories_are_there_over_https_for_who_has_the_token() {
    let host = GitHost::start("https", None).await;
    host.repository("orders", "production").await;
    let client = Client::new(&host).await;
    host.allow("orders", &client.public_key(), Right::Write);
    let https = host.https("the-token-of-the-test").await;
    let ca = https.ca_file().display().to_string();
    let url = https.url("orders");
    let with = async |token: &str, words: &[&str]| {
        let header = format!("http.extraHeader=Authorization: {token}");
        let proxy = "http.proxy=";
        let folder = client.folder.path().display().to_string();
        let words = [&["-C", &folder, "-c", &header, "-c", proxy], words].concat();
        // The variable beats the setting, so that of whoever runs the tests must not be in the way.
        let done = tried("git", &words, &[("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_SSL_CAINFO", &ca)]).await;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    };
    let bearer = "Bearer the-token-of-the-test";
    let refused = with("Bearer another", &["clone", "-q", &url, "tree"]).await.unwrap_err();
    assert!(refused.contains("could not read Username") || refused.contains("Authentication failed"), "{refused}");
    assert!(https.asked().is_empty());
    with(bearer, &["clone", "-q", &url, "tree"]).await.unwrap();
    commit(&client.tree(), "a").await;
    // `x:the-token-of-the-test`
    let basic = "Basic eDp0aGUtdG9rZW4tb2YtdGhlLXRlc3Q=";
    with(basic, &["-C", "tree", "push", "-q", "origin", "HEAD"]).await.unwrap();
    assert_eq!(host.file("orders", "production", "a").await, "a");
    assert!(https.asked().iter().any(|asked| asked == "POST /orders.git/git-receive-pack"), "{:?}", https.asked());
    client.git(&["fetch", "-q", &host.outside("orders")]).await.unwrap();

    host.protect("orders", &["production"]);
    commit(&client.tree(), "b").await;
    let refused = with(bearer, &["-C", "tree", "push", "-q", "origin", "HEAD"]).await.unwrap_err();
    assert!(refused.contains("pre-receive hook declined"), "{refused}");
    // Without the authority's certificate nothing is asked.
    let header = format!("http.extraHeader=Authorization: {bearer}");
    let stranger = tried("git", &["-c", &header, "ls-remote", &url], &[("GIT_CONFIG_GLOBAL", "/dev/null")]).await;
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("certificate"), "{stranger:?}");
    host.remove().await;
}
