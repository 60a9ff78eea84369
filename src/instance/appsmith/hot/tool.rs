//! `appsmithctl backup`: how it is called, and what it says. Facts of its sources:
//!
//! * Without a terminal it asks nothing, and its archive is not encrypted.
//! * Its own environment wins over `docker.env`. So the number of archives that it keeps can be given, and none goes.
//! * Below v1.10 it stops the backend meanwhile, and ends with 0 even where it failed.
//! * What it does not know among its arguments it takes no notice of: the run's id marks the process as ours.
//! * Where it fails while it packs, half an archive stays.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{ContainerEngine, EngineError, ExecResult, Job};
use crate::instance::hot::Grown;
use crate::instance::secret::mask_addresses;
use crate::model::ids::RunId;

/// Where archives go, in the container.
pub const FOLDER: &str = "/appsmith-stacks/data/backup";
/// More than anybody has.
const ARCHIVES_KEPT: &str = "1000000";
/// How often it is looked whether anything moves.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// The words of the call for a run.
pub fn words(run: &RunId) -> Vec<String> {
    let mark = format!("--tidegate={run}");
    ["appsmithctl", "backup", "--non-interactive"].into_iter().map(str::to_owned).chain([mark]).collect()
}

/// The call for a run.
pub fn job(run: &RunId) -> Job {
    let environment = vec![("APPSMITH_BACKUP_ARCHIVE_LIMIT".to_owned(), ARCHIVES_KEPT.to_owned())];
    Job { command: words(run), environment, terminal: false }
}

/// A call of the tool, and how long it may go without a sign of life.
pub struct Attended<'a, 'g> {
    pub engine: &'a dyn ContainerEngine,
    pub container: &'a str,
    pub job: &'a Job,
    /// Hears what it says, and may answer.
    pub answer: &'a mut (dyn FnMut(&str) -> Option<String> + Send),
    /// Ended where nothing has moved for so long: no output, no growing archive.
    pub stall: Duration,
    pub grown: Grown<'g>,
    pub stop: &'a CancellationToken,
}

/// Runs it until it ends, `stop` fires, or nothing moves any more; the latter is told in words.
pub async fn attend(call: Attended<'_, '_>) -> Result<Result<ExecResult, String>, EngineError> {
    let Attended { engine, container, job, answer, stall, grown, stop } = call;
    let (heard, stop) = (AtomicU64::new(0), stop.child_token());
    let mut talk = |text: &str| {
        heard.fetch_add(text.len() as u64, Ordering::Relaxed);
        answer(text)
    };
    let mut performed = std::pin::pin!(engine.perform(container, job, &mut talk, &stop));
    let (mut seen, mut since, mut stalled) = ((0, None), Instant::now(), false);
    loop {
        tokio::select! {
            ended = &mut performed => return match ended {
                Err(EngineError::Stopped { .. }) if stalled => {
                    Ok(Err(format!("nothing moved for {} s, and it was ended", stall.as_secs())))
                }
                ended => ended.map(Ok),
            },
            () = tokio::time::sleep(LOOK_EVERY.min(stall)) => {}
        }
        let now = (heard.load(Ordering::Relaxed), grown().await);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= stall {
            stalled = true;
            stop.cancel();
        }
    }
}

/// The name of the archive that it says it has made, or why there is none.
pub fn judge(result: &ExecResult) -> Result<String, String> {
    let said = mask_addresses(&format!("{}\n{}", result.stdout, result.stderr));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    if result.exit_code != 0 {
        return Err(format!("appsmithctl backup ended with {}: {last}", result.exit_code));
    }
    let named = result.stdout.split_whitespace().rev().filter_map(|word| word.strip_prefix(FOLDER)?.strip_prefix('/'));
    let archive = named.map(str::to_owned).find(|name| archive_time(name).is_some());
    archive.ok_or_else(|| format!("appsmithctl backup ended well and names no archive: {last}"))
}

/// When the archive of that name was begun: `appsmith-backup-2024-01-08T10-11-12.345Z.tar.gz`, perhaps with `.enc`.
pub fn archive_time(name: &str) -> Option<Timestamp> {
    let name = name.strip_suffix(".enc").unwrap_or(name);
    let moment = name.strip_prefix("appsmith-backup-")?.strip_suffix(".tar.gz")?;
    let (day, time) = moment.split_once('T')?;
    format!("{day}T{}", time.replace('-', ":")).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i64, stdout: &str, stderr: &str) -> Result<String, String> {
        judge(&ExecResult { exit_code, stdout: stdout.into(), stderr: stderr.into() })
    }

    const NAME: &str = "appsmith-backup-2024-01-08T10-11-12.345Z.tar.gz";

    #[test]
    fn a_name_tells_its_moment() {
        assert_eq!(archive_time(NAME), Some("2024-01-08T10:11:12.345Z".parse().unwrap()));
        assert!(archive_time(&format!("{NAME}.enc")).is_some());
        for other in ["appsmith-data.archive", "appsmith-backup-mine.tar.gz", "last-error-mail-ts", "x.tar.gz", ""] {
            assert_eq!(archive_time(other), None, "{other}");
        }
    }

    #[test]
    fn only_an_end_with_0_and_a_name_counts() {
        let told =
            format!("Post-backup done. Final archive at {FOLDER}/{NAME}\nStarting cleanup.\nCleanup completed.\n");
        assert_eq!(ended(0, &told, ""), Ok(NAME.into()));
        assert_eq!(ended(0, &format!("Finished taking a backup at {FOLDER}/{NAME}\n"), ""), Ok(NAME.into()));
        let why = ended(0, "Appsmith CLI\nbackup  restore\n", "").unwrap_err();
        assert_eq!(why, "appsmithctl backup ended well and names no archive: Appsmith CLI; backup  restore");
        assert!(ended(0, &format!("at {FOLDER}/../../etc/passwd"), "").is_err());
        let why = ended(1, &told, "Failed: mongodb://appsmith:hunter2@localhost/appsmith is down\n").unwrap_err();
        assert!(why.starts_with("appsmithctl backup ended with 1") && !why.contains("hunter2"), "{why}");
    }
}
