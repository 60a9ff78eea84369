//! Where records go: one file a run, one JSON document a line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::record::{Header, JOURNAL_FORMAT, Record};

/// Where records go.
#[async_trait]
pub trait Journal<N>: Send {
    /// Returns only once the record would survive a power cut.
    async fn append(&mut self, record: &Record<N>) -> Result<(), JournalError>;

    /// All records so far, in order.
    fn records(&self) -> &[Record<N>];
}

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or its rights.
    #[error("cannot {action} the journal `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that is complete and is not a record.
    #[error("line {line} of the journal `{path}` is not a record")]
    BadLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a Tidegate that this one does not understand.
    #[error("the journal `{path}` has format {format}; this version reads {JOURNAL_FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The file has no complete first line: the run never existed.
    #[error("the journal `{path}` is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Room that is allocated when a run begins, so that an undo can be written on a full disk.
const ROOM_BYTES: i64 = 1 << 20;

/// The record that ends a run is shorter.
const FINISHED_BYTES_MAX: u64 = 4096;

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal<N> {
    path: PathBuf,
    file: Arc<File>,
    header: Header,
    records: Vec<Record<N>>,
}

impl<N: Serialize + DeserializeOwned + Clone + Send + Sync> FileJournal<N> {
    /// Begins a run: with the header on disk, it exists; after an error there is no file. Blocks for a disk flush.
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        let failed = |action| move |source| JournalError::Io { action, path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let options = options.create_new(true).append(true).read(true).mode(0o600);
        let file = options.open(path).map_err(failed("create"))?;
        let begin = || {
            allocate(&file).map_err(failed("allocate room for"))?;
            (&file).write_all(line(header).as_bytes()).map_err(failed("write"))?;
            file.sync_all().map_err(failed("flush"))?;
            sync_folder(path).map_err(failed("flush the folder of"))
        };
        if let Err(error) = begin() {
            // If it stays, it is a run that was begun, or one without a first line, which does not count.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), header: header.clone(), records: Vec::new() })
    }

    /// Opens the journal of a run that exists. A torn last line is dropped; any other bad line is an error.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |action| move |source| JournalError::Io { action, path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(failed("open"))?;
        let (header, records, whole_bytes) = read(&mut file, path)?;
        let length = file.metadata().map_err(failed("look at"))?.len();
        if length != whole_bytes {
            file.set_len(whole_bytes).map_err(failed("drop the torn last line of"))?;
        }
        // Cutting a file gives back what was allocated behind its end. On a disk that is full by now the run goes on
        // without: it must be ended all the same.
        if let Err(error) = allocate(&file) {
            tracing::warn!(path = %path.display(), %error, "no room could be allocated for the journal");
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), header, records })
    }

    /// Reads without the right to write; the file is not changed.
    pub fn load(path: &Path) -> Result<(Header, Vec<Record<N>>), JournalError> {
        let failed = |source| JournalError::Io { action: "open", path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        read(&mut file, path).map(|(header, records, _)| (header, records))
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// Reads only the first line of a journal.
pub fn read_header(path: &Path) -> Result<Header, JournalError> {
    FileJournal::<serde_json::Value>::load(path).map(|(header, _)| header)
}

/// Whether the last whole line says that the run is finished. Only the end of the file is read: hosts have years of runs.
/// `false` where that cannot be seen.
pub fn is_finished(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Last {
        record: String,
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(FINISHED_BYTES_MAX)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let Ok(end) = read() else { return false };
    // What is behind the last line end was torn off.
    let mut lines = end.rsplit(|byte| *byte == b'\n').skip(1);
    let last = lines.next().and_then(|line| serde_json::from_slice::<Last>(line).ok());
    last.is_some_and(|last| last.record == "finished")
}

#[async_trait]
impl<N: Serialize + DeserializeOwned + Clone + Send + Sync> Journal<N> for FileJournal<N> {
    async fn append(&mut self, record: &Record<N>) -> Result<(), JournalError> {
        let (file, text) = (self.file.clone(), line(record));
        let written = tokio::task::spawn_blocking(move || {
            let whole_bytes = file.metadata()?.len();
            let written = (&*file).write_all(text.as_bytes()).and_then(|()| file.sync_data());
            if written.is_err() {
                // A record that is not durable does not count; half of one would spoil the next.
                file.set_len(whole_bytes)?;
            }
            written
        });
        let written = written.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        written.map_err(|source| JournalError::Io { action: "append to", path: self.path.clone(), source })?;
        self.records.push(record.clone());
        Ok(())
    }

    fn records(&self) -> &[Record<N>] {
        &self.records
    }
}

fn line(value: &impl Serialize) -> String {
    // Records are plain data with string keys, which always serialises; were it not so, the line would be
    // refused on reading, not taken for another.
    let mut text =
        serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"unwritable\":{:?}}}", error.to_string()));
    text.push('\n');
    text
}

/// Header, records, and how many bytes of the file are whole lines.
type Contents<N> = (Header, Vec<Record<N>>, u64);

fn read<N: DeserializeOwned>(file: &mut File, path: &Path) -> Result<Contents<N>, JournalError> {
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|source| JournalError::Io { action: "read", path: path.to_owned(), source })?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate();
    let bad = |line: usize| move |source| JournalError::BadLine { path: path.to_owned(), line: line + 1, source };
    let (_, first) = lines.next().ok_or_else(|| JournalError::Empty { path: path.to_owned() })?;
    let header: Header = serde_json::from_slice(first).map_err(bad(0))?;
    if header.format != JOURNAL_FORMAT {
        return Err(JournalError::Format { path: path.to_owned(), format: header.format });
    }
    let records = lines.map(|(index, line)| serde_json::from_slice(line).map_err(bad(index)));
    Ok((header, records.collect::<Result<_, _>>()?, whole as u64))
}

fn allocate(file: &File) -> std::io::Result<()> {
    use nix::errno::Errno;
    use nix::fcntl::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, ROOM_BYTES) {
        // A file system that cannot reserve (tmpfs on old kernels, NFS): the run goes on without the reserve.
        Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_last_line_says_that_a_run_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            is_finished(&path)
        };
        let finished = r#"{"record":"finished","at":"2026-11-22T00:00:00Z","outcome":"completed"}"#;
        let long = format!("{{\"record\":\"done\",\"notes\":\"{}\"}}", "x".repeat(10_000));
        assert!(told(&format!("{{}}\n{finished}\n")));
        assert!(told(&format!("{long}\n{finished}\n")));
        assert!(told(&format!("{finished}\n{{\"record\":\"retry_un")), "a torn line is dropped");
        for open in [
            String::new(),
            finished.to_owned(),
            format!("{finished}\n{{\"record\":\"retry_undo\",\"at\":\"\"}}\n"),
            format!("{finished}\n{long}\n"),
            "{}\n".to_owned(),
        ] {
            assert!(!told(&open), "{open}");
        }
        assert!(!is_finished(&folder.path().join("none")));
    }
}
