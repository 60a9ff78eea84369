//! An instance that Compose made: `docker-compose up -d` at any moment never starts the old image on new data, and
//! changes nothing afterwards.

use std::path::PathBuf;
use std::time::Duration;

use super::observer::Observer;
use super::pair::{BAD, GOOD, Make, Pair, Site};
use super::side::{Side, side};
use crate::docker::docker_ok;

/// A project with one service, on the volume that is there.
struct Project {
    folder: tempfile::TempDir,
    name: String,
}

impl Project {
    /// Takes the place of the container that is there.
    async fn start(site: &Site, image: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap(), name: site.container.replace('-', "") };
        docker_ok(&["stop", "-t", "60", &site.container]).await;
        docker_ok(&["rm", &site.container]).await;
        project.write(site, image);
        project.up().await.expect("the first start");
        project
    }

    fn write(&self, site: &Site, image: &str) {
        let text = format!(
            "version: \"3.3\"\nservices:\n  appsmith:\n    image: {image}\n    container_name: {container}\n    \
             restart: unless-stopped\n    ports: [\"127.0.0.1:{port}:80\"]\n    environment:\n      OWN_SETTING: kept\n    \
             volumes: [\"data:/appsmith-stacks\"]\n    network_mode: bridge\nvolumes:\n  data:\n    external: true\n    \
             name: {container}\n",
            container = site.container,
            port = site.port,
        );
        std::fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("docker-compose.yml")
    }

    /// `docker-compose up -d`; what it said where it failed.
    async fn up(&self) -> Result<(), String> {
        let mut command = tokio::process::Command::new("docker-compose");
        command.args(["-p", &self.name, "-f"]).arg(self.file()).args(["up", "-d"]).kill_on_drop(true);
        let output =
            tokio::time::timeout(super::LIMIT, command.output()).await.expect("an end").expect("docker-compose");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// Calls it again and again until `work` is over, and counts.
    async fn storm<T>(&self, work: impl Future<Output = T>) -> (T, usize) {
        let mut work = std::pin::pin!(work);
        let mut count = 0;
        loop {
            let again = async {
                // Sometimes it fails: the container is just being removed, or may not be started.
                let _ = self.up().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            tokio::select! {
                done = &mut work => return (done, count),
                () = again => count += 1,
            }
        }
    }
}

/// What Compose does while Tidegate works is its own affair; what must hold is that nothing is ever mixed, and that the
/// run ends as one of the two, whatever it had to do for that.
async fn ends_whole(pair: &Pair, site: &Site, code: Option<i32>, before: &super::content::Content) -> Side {
    assert!(matches!(code, Some(0 | 1 | 3 | 5)), "{code:?}");
    let ended = pair.run(&["resume"]).await;
    assert!(matches!(ended.code, Some(0 | 5)), "{:?} {}", ended.code, ended.stderr);
    side(pair, site, before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn compose_up_at_any_moment_never_mixes_image_and_data() {
    let pair = Pair::start("compose", Make { tags: &[GOOD, BAD], ..Make::default() }).await;
    let site = &pair.staging;
    let before = site.content().await;
    let project = Project::start(site, &site.seed_image).await;
    site.is_well().await;

    // A roll back in a storm of them.
    let observer = Observer::start(site).await;
    let (ended, ups) = project.storm(pair.run(&["upgrade", BAD, "--only", "staging"])).await;
    println!("{ups} times `docker-compose up -d` in an upgrade that fails: {:?}", ended.code);
    assert_eq!(ends_whole(&pair, site, ended.code, &before).await, Side::Old, "{}", ended.stderr);

    // Left alone it is upgraded; and then Compose, which still names the old image, has nothing to do.
    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    let (id, definition) = (site.id().await, site.definition().await);
    project.up().await.expect("nothing to do");
    assert_eq!((site.id().await, site.definition().await), (id, definition));
    assert_eq!(side(&pair, site, &before).await, Side::New);

    // A restore in a storm: never the old image on the new data, nor the new one on the old.
    let (ended, ups) = project.storm(pair.run(&["restore", "staging", "before-upgrade"])).await;
    println!("{ups} times `docker-compose up -d` in a restore: {:?}", ended.code);
    ends_whole(&pair, site, ended.code, &before).await;
    observer.nothing_ran_twice().await;
    pair.nothing_is_left(site).await;
    let _ = std::process::Command::new("docker").args(["rm", "-f", &site.container]).output();
}

/// In the middle of a restore the name is held: Compose says that it cannot start it, and the restore goes on.
#[tokio::test(flavor = "multi_thread")]
async fn compose_cannot_start_what_is_half_filled() {
    use super::proxy::Trap;
    let pair = Pair::start("half", Make::default()).await;
    let site = &pair.staging;
    let before = site.content().await;
    let project = Project::start(site, &site.seed_image).await;
    site.is_well().await;
    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
    // Every byte is read once to verify it; the second time it fills the volume.
    pair.proxy.set(Trap { method: "GET", path: "database".into(), pass: 1, after_bytes: 64 << 10 });
    let running = pair.begin(&["restore", "staging", "before-upgrade"]);
    pair.proxy.caught().await;
    let said = project.up().await.expect_err("nothing may be started now");
    assert!(said.contains("tidegate-is-at-work-on-this-container"), "{said}");
    pair.proxy.release();
    running.end().await.expect(0);
    assert_eq!(side(&pair, site, &before).await, Side::Old);
    let id = site.id().await;
    project.up().await.expect("nothing to do");
    assert_eq!(site.id().await, id, "it is the container that Compose wants");
    pair.nothing_is_left(site).await;
}
