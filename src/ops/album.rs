//! Evidence of checks as files: pictures of pages, and what those pages complained of.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs;

use super::state::StateDir;
use super::{Tools, history};
use crate::smoke::album::Album;
use crate::smoke::browser::Evidence;
use crate::workflow::Outcome;

/// When a look was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the instance was touched.
    Before,
    /// Afterwards, to be compared.
    After,
}

impl Moment {
    fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What is kept of a look at a page beside its picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageNotes {
    /// What it wrote to its console as an error, those that are allowed too.
    pub console_errors: Vec<String>,
    /// What it asked for in vain, those that are allowed too.
    pub failed_requests: Vec<String>,
    /// Where it was in the end, without its query.
    pub at: Option<String>,
    /// From the first request to the verdict.
    pub took_ms: u64,
}

/// A folder of evidence, for the owner only.
#[derive(Clone, Debug)]
pub struct FolderAlbum {
    folder: PathBuf,
}

/// Less room than this is left for what matters more than pictures.
const ROOM_BYTES: u64 = 256 << 20;

impl FolderAlbum {
    /// That of one moment, below `folder`, which need not be there.
    pub fn of(folder: &Path, moment: Moment) -> Self {
        Self { folder: folder.join(moment.word()) }
    }

    /// As [`FolderAlbum::of`], for a new look: what an earlier one has left there goes, or it would be taken for what is
    /// seen now where a page cannot be opened any more.
    pub async fn begin(folder: &Path, moment: Moment) -> Self {
        let album = Self::of(folder, moment);
        match fs::remove_dir_all(&album.folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %album.folder.display(), error = %error, "evidence of before was not removed");
            }
            _ => {}
        }
        album
    }

    /// The picture of a check, if one was kept.
    pub async fn picture(&self, check: &str) -> Option<Vec<u8>> {
        fs::read(self.file(check, "png")).await.ok()
    }

    /// What was written down about a check, if anything was.
    pub async fn notes(&self, check: &str) -> Option<PageNotes> {
        serde_json::from_slice(&fs::read(self.file(check, "json")).await.ok()?).ok()
    }

    fn file(&self, check: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", file_name(check)))
    }

    async fn write(&self, check: &str, evidence: Evidence) -> std::io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder).await?;
        let folder = self.folder.clone();
        let free_bytes = tokio::task::spawn_blocking(move || super::state::free_of(&folder)).await??.bytes;
        if free_bytes < ROOM_BYTES {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        if let Some(png) = &evidence.screenshot {
            fs::write(self.file(check, "png"), png).await?;
        }
        let notes = PageNotes {
            console_errors: evidence.console_errors,
            failed_requests: evidence.failed_requests.iter().map(ToString::to_string).collect(),
            at: evidence.at,
            took_ms: u64::try_from(evidence.took.as_millis()).unwrap_or(u64::MAX),
        };
        fs::write(self.file(check, "json"), serde_json::to_vec(&notes)?).await
    }
}

#[async_trait]
impl Album for FolderAlbum {
    async fn keep(&self, check: &str, evidence: Evidence) {
        if let Err(error) = self.write(check, evidence).await {
            tracing::warn!(check, error = %error, "evidence of a check was not kept");
        }
    }
}

/// Deletes pictures that are older than [`keep_pictures`](crate::ops::Settings): those of runs that ended, and those of
/// checks outside of runs. Of a run that is open, waits or is stuck all is kept. Pictures never keep a run from beginning.
pub async fn drop_old(tools: &Tools) {
    let (state, now, keep) = (tools.state.clone(), (tools.now)(), tools.settings.keep_pictures);
    let dropped = tokio::task::spawn_blocking(move || {
        let oldest = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
        for folder in ended_before(&state, oldest).chain(looked_before(&state, oldest)) {
            match std::fs::remove_dir_all(&folder) {
                Ok(()) => tracing::info!(folder = %folder.display(), "old pictures deleted"),
                Err(error) => tracing::warn!(folder = %folder.display(), error = %error, "old pictures not deleted"),
            }
        }
    });
    if let Err(error) = dropped.await {
        tracing::warn!(error = %error, "old pictures not deleted");
    }
}

/// The pictures of runs that ended before then.
fn ended_before(state: &StateDir, oldest: Timestamp) -> impl Iterator<Item = PathBuf> {
    let runs = state.runs().unwrap_or_default().into_iter();
    let pictures = runs.map(|run| (state.all_pictures(&run), run)).filter(|(folder, _)| folder.is_dir());
    pictures.filter_map(move |(folder, run)| {
        let summary = history::summary(&history::story(state, &run).ok()?);
        let ended = matches!(summary.outcome, Some(Outcome::Completed | Outcome::RolledBack));
        let old = summary.last_at.parse::<Timestamp>().is_ok_and(|at| at < oldest);
        (ended && old).then_some(folder)
    })
}

/// The pictures of checks outside of runs that were taken before then; also of instances that are not configured any
/// more.
fn looked_before(state: &StateDir, oldest: Timestamp) -> impl Iterator<Item = PathBuf> {
    let folders = std::fs::read_dir(state.all_smoke()).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter(move |folder| {
        // A look makes its folder anew.
        let made = folder.join(Moment::After.word()).metadata().and_then(|found| found.modified());
        made.is_ok_and(|made| Timestamp::try_from(made).is_ok_and(|made| made < oldest))
    })
}

/// A check's id as the name of a file: readable, and another one for each id.
fn file_name(check: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let readable: String = check.chars().take(60).map(plain).collect();
    let digest = Sha256::digest(check.as_bytes());
    let tail: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{readable}-{tail}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_was_kept_is_found_by_the_checks_id() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) =
            (FolderAlbum::of(folder.path(), Moment::Before), FolderAlbum::of(folder.path(), Moment::After));
        let evidence =
            Evidence { screenshot: Some(b"png".to_vec()), took: Duration::from_millis(7), ..Evidence::default() };
        before.keep("browser:a/b", evidence).await;
        assert_eq!(before.picture("browser:a/b").await.unwrap(), b"png");
        assert_eq!(before.notes("browser:a/b").await.unwrap().took_ms, 7);
        for (album, check) in [(&before, "browser:a_b"), (&after, "browser:a/b")] {
            assert!(album.picture(check).await.is_none() && album.notes(check).await.is_none(), "{check}");
        }
    }

    #[tokio::test]
    async fn a_new_look_shows_nothing_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let album = FolderAlbum::begin(folder.path(), Moment::After).await;
        album.keep("browser:a", Evidence { screenshot: Some(b"old".to_vec()), ..Evidence::default() }).await;
        let album = FolderAlbum::begin(folder.path(), Moment::After).await;
        assert!(album.picture("browser:a").await.is_none() && album.notes("browser:a").await.is_none());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let album = FolderAlbum::of(&file, Moment::After);
        album.keep("browser:a", Evidence::default()).await;
        assert!(album.notes("browser:a").await.is_none());
    }

    #[test]
    fn ids_cannot_leave_the_folder() {
        for id in ["../../etc/passwd", "a/b", "", "\0"] {
            assert!(!file_name(id).contains(['/', '.', '\0']), "{id}");
        }
    }
}
