//! P8 before anything is asked of an engine: a configuration with mistakes, and a socket that this user may not open.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::running::{Ended, Running};

/// The unprivileged user of every Linux.
const NOBODY: u32 = 65_534;

/// A folder that anybody may look into, with a configuration that names things in it.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let text = configuration.replace("FOLDER", &folder.path().display().to_string());
        std::fs::write(folder.path().join("tidegate.toml"), text).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("TIDEGATE_CONFIG", self.path("tidegate.toml")).args(words);
        command
    }

    async fn finish(&self, command: Command) -> Ended {
        Running::start(command, self.path("state")).end().await
    }

    fn shown(&self, ended: &Ended) -> String {
        let text = format!("exit code {}\n{}{}", ended.code.unwrap_or(-1), ended.stdout, ended.stderr);
        text.replace(&self.0.path().display().to_string(), "FOLDER")
    }
}

#[tokio::test]
async fn five_mistakes_are_five_problems() {
    let desk = Desk::new(
        r#"state_dir = "FOLDER/state"

[store]
url = "file:///srv/backups"
part_sise = "16 MiB"

[ready]
stall = "10 minuets"

[pipeline]
image = "appsmith/appsmith-ce"
stages = ["staging", "prodution"]

[instances.staging]
container = "appsmith staging"
url = "http://127.0.0.1:8080"

[instances.production]
container = "appsmith"
"#,
    );
    let mut seen = Vec::new();
    for words in [&["config", "check"][..], &["snapshot", "staging"]] {
        let program = Path::new(env!("CARGO_BIN_EXE_tidegate"));
        let ended = desk.finish(desk.command(program, words)).await.expect(2);
        assert_eq!(ended.stderr.matches("\n  line ").count(), 5, "{}", ended.stderr);
        seen.push(format!("## {}\n{}", words.join(" "), desk.shown(&ended)));
    }
    assert!(!desk.path("state").exists(), "a command with a bad configuration made its state directory");
    insta::assert_snapshot!("five-mistakes", seen.join("\n"));
}

/// Run by a user who is not in the group of the socket, as after every installation.
#[tokio::test]
async fn a_socket_that_may_not_be_opened_is_told_with_the_cure() {
    let desk = Desk::new(
        r#"state_dir = "FOLDER/state"
[store]
url = "file://FOLDER/state/store"
[docker]
host = "unix://FOLDER/docker.sock"
[instances.staging]
container = "appsmith"
url = "http://127.0.0.1:9"
"#,
    );
    let socket = desk.path("docker.sock");
    let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir(desk.path("state")).unwrap();
    chown(desk.path("state"), Some(NOBODY), Some(NOBODY))
        .expect("this test starts a program as nobody, and so needs root");
    // Where the sources lie may be closed to others.
    let program = desk.path("tidegate");
    std::fs::copy(env!("CARGO_BIN_EXE_tidegate"), &program).unwrap();

    let mut seen = Vec::new();
    for words in [&["snapshot", "staging"][..], &["status"], &["doctor"]] {
        let mut command = desk.command(&program, words);
        command.uid(NOBODY).gid(NOBODY);
        let ended = desk.finish(command).await;
        seen.push(format!("## {}\n{}", words.join(" "), desk.shown(&ended)));
        assert!(ended.stderr.contains("docker group") || ended.stdout.contains("docker group"), "{words:?}: {ended:?}");
        ended.expect(if words[0] == "doctor" { 1 } else { 7 });
    }
    assert_eq!(std::fs::read_dir(desk.path("state/runs")).unwrap().count(), 0, "a run was begun");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"has \d+ MiB and \d+ inodes free", "has ROOM");
    settings.add_filter(r"\(\d+ ms\)", "(TIME)");
    settings.bind(|| insta::assert_snapshot!("closed-socket", seen.join("\n")));
}
