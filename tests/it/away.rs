//! What can be read while the engine is away: when it does not come back, people must know what there is to go back to.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use tidegate::repository::Repository;
use tidegate::store::dir::DirStore;

fn tidegate(folder: &Path, words: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().env("TIDEGATE_CONFIG", folder.join("tidegate.toml"));
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").args(words).output().unwrap()
}

#[tokio::test]
async fn snapshots_and_runs_are_listed_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let (store, state) = (folder.path().join("store"), folder.path().join("state"));
    std::fs::create_dir(&store).unwrap();
    Repository::open_or_init(Arc::new(DirStore::open(&store).await.unwrap())).await.unwrap();
    let config = format!(
        "state_dir = {state:?}\n[store]\nurl = \"file://{}\"\n[instances.staging]\nkind = \"generic\"\n\
         container = \"app\"\nurl = \"http://127.0.0.1:1\"\n[[instances.staging.parts]]\nname = \"data\"\nmount = \"/data\"\n",
        store.display()
    );
    std::fs::write(folder.path().join("tidegate.toml"), config).unwrap();
    let ended = |words: &[&str]| {
        let Output { status, stdout, stderr } = tidegate(folder.path(), words);
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    for (words, said) in
        [(&["snapshots"][..], "no snapshots yet"), (&["runs"], "nothing has been done yet"), (&["config", "check"], "")]
    {
        let (code, _, stderr) = ended(words);
        assert!(code == Some(0) && stderr.contains(said), "{words:?}: {code:?}, {stderr}");
    }
    let (code, stdout, stderr) = ended(&["snapshots", "--json"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "[]\n"), "{stderr}");
    // That it is away is seen by what needs it.
    let (code, _, stderr) = ended(&["status"]);
    assert_eq!(code, Some(7), "{stderr}");
    assert!(stderr.contains("unix:///nowhere/docker.sock"), "{stderr}");
}
