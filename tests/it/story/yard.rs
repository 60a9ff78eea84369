//! Takes away what tests leave on the engine: their own at their end, and what dead processes could not.

use std::process::Command;

/// On images and volumes, and so on every container of them. Its value is process and test.
pub const LABEL: &str = "dev.tidegate.test.story";
/// Begins the name of every container and volume.
const PREFIX: &str = "tg-story-";

/// Removes what belongs to processes that are gone.
pub async fn sweep_the_dead() {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    ONCE.get_or_init(async || {
        let all = [
            docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &format!("name={PREFIX}")]),
            docker(&["volume", "ls", "--format", "{{.Name}}", "--filter", &format!("name={PREFIX}")]),
            docker(&["images", "--format", "{{.Repository}}/", "--filter", &format!("label={LABEL}")]),
        ];
        let marks = all.iter().flat_map(|text| text.lines()).filter_map(mark_of);
        let dead = marks.filter(|(pid, _)| !std::path::Path::new("/proc").join(pid).exists());
        let mut dead: Vec<String> = dead.map(|(_, mark)| mark).collect();
        dead.sort();
        dead.dedup();
        dead.iter().for_each(|mark| clear(mark));
    })
    .await;
}

/// `tidegate.lock.tg-story-123-kill-staging` and `…/tg-story/123-kill` belong to process 123, test `kill`.
fn mark_of(name: &str) -> Option<(String, String)> {
    let (_, rest) = name.split_once(PREFIX).or_else(|| name.split_once("tg-story/"))?;
    let mark = rest.split(['/', ':']).next()?;
    let mark = ["-staging", "-production"].iter().find_map(|site| Some(mark.split_once(site)?.0)).unwrap_or(mark);
    let (pid, _) = mark.split_once('-')?;
    pid.parse::<u32>().ok().map(|_| (pid.to_owned(), mark.to_owned()))
}

/// Removes all that a test has made, and what Tidegate made for it. Best effort: the next sweep gets the rest.
pub fn clear(mark: &str) {
    let label = format!("label={LABEL}={mark}");
    let sites = ["staging", "production"].map(|site| format!("{PREFIX}{mark}-{site}"));
    let mut containers = docker(&["ps", "-aq", "--filter", &label]);
    for site in &sites {
        containers.push_str(&docker(&["ps", "-aq", "--filter", &format!("volume={site}")]));
        containers.push_str(&docker(&["ps", "-aq", "--filter", &format!("name={site}")]));
    }
    for container in words(&containers) {
        docker(&["rm", "-f", "-v", container]);
    }
    for site in &sites {
        docker(&["volume", "rm", site]);
    }
    for image in words(&docker(&["images", "-aq", "--no-trunc", "--filter", &label])) {
        docker(&["rmi", "-f", image]);
    }
}

fn words(text: &str) -> std::collections::BTreeSet<&str> {
    text.split_whitespace().collect()
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("docker can be run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
