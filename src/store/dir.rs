//! A folder as a store: an object is a file that was written elsewhere, flushed, and renamed into place.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::memory::collect;
use super::{ObjectInfo, ObjectStore, PutReceipt, StoreError};
use crate::model::layout::ObjectKey;
use crate::stream::digest::Running;
use crate::stream::{ByteStream, StreamError, exactly};

/// Where files lie until they are whole. No key can name anything in it.
const UNFINISHED: &str = ".unfinished";
const READ_BYTES: usize = 256 << 10;

/// Objects as files below a folder.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    /// Whether the first write makes the folder.
    makes_root: bool,
}

impl DirStore {
    /// The folder must be there: a backup disk that is not mounted must not be taken for an empty store. Changes
    /// nothing.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), makes_root: false };
        store.reachable().await?;
        Ok(store)
    }

    /// As [`DirStore::open`], but a folder that is not there counts as an empty one, and the first write makes it.
    pub async fn open_or_make(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), makes_root: true };
        store.reachable().await?;
        Ok(store)
    }

    async fn reachable(&self) -> Result<(), StoreError> {
        let unreachable = |source| StoreError::Unreachable { store: self.describe(), source };
        match fs::metadata(&self.root).await {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(unreachable("it is not a folder".into())),
            Err(error) if self.makes_root && error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unreachable(error.into())),
        }
    }

    /// A new file of nobody else's. Several processes, of several hosts, may write to one folder, and their numbers may
    /// be the same.
    async fn begin(&self) -> io::Result<(File, Unfinished)> {
        let folder = self.root.join(UNFINISHED);
        if self.makes_root && !fs::try_exists(&self.root).await? {
            fs::create_dir_all(&self.root).await?;
            File::open(self.root.parent().unwrap_or(&self.root)).await?.sync_all().await?;
        }
        match fs::create_dir(&folder).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // The guard first: whoever drops this while the file is being made must not leave it.
        let unfinished = Unfinished(folder.join(format!("{}-{:016x}", std::process::id(), rand::random::<u64>())));
        let file = OpenOptions::new().write(true).create_new(true).open(&unfinished.0).await?;
        Ok((file, unfinished))
    }

    fn path(&self, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        let fits = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\0', '\\']);
        if key.0.split('/').all(fits) {
            return Ok(self.root.join(&key.0));
        }
        let source = "its parts must not be empty or start with a dot".into();
        Err(StoreError::Request { store: self.describe(), action: format!("use `{key}` as a key"), source })
    }

    fn failed(&self, action: &str, error: io::Error) -> StoreError {
        let (store, action) = (self.describe(), action.to_owned());
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::Denied { store, action, source: error.into() }
            }
            _ => StoreError::Request { store, action, source: error.into() },
        }
    }

    fn write_failed(&self, key: &ObjectKey, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { store: self.describe(), key: key.clone(), source: error.into() }
            }
            _ => self.failed(&format!("write `{key}`"), error),
        }
    }

    /// A file that is not there is `None`, unless the whole folder is gone.
    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        match fs::symlink_metadata(self.path(key)?).await {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => self.reachable().await.map(|()| None),
            Err(error) => Err(self.failed(&format!("look at `{key}`"), error)),
        }
    }

    async fn open_object(&self, key: &ObjectKey) -> Result<(File, u64), StoreError> {
        let path = self.path(key)?;
        let opened = async {
            // What lies there may be a pipe, and opening that must not wait for somebody to write; or a link, which
            // is no object wherever it leads.
            let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
            let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).await?;
            let about = file.metadata().await?;
            if about.is_file() { Ok((file, about.len())) } else { Err(io::ErrorKind::NotFound.into()) }
        };
        let error = match opened.await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        if !is_missing(&error) {
            return Err(self.failed(&format!("read `{key}`"), error));
        }
        self.reachable().await?;
        Err(StoreError::NotFound { store: self.describe(), key: key.clone() })
    }
}

#[async_trait]
impl ObjectStore for DirStore {
    async fn put_stream(&self, key: &ObjectKey, mut body: ByteStream) -> Result<PutReceipt, StoreError> {
        let target = self.path(key)?;
        self.reachable().await?;
        let failed = |error| self.write_failed(key, error);
        let (mut file, unfinished) = self.begin().await.map_err(failed)?;
        let mut running = Running::default();
        while let Some(block) = body.next().await {
            let block = block.map_err(|source| StoreError::Source { key: key.clone(), source })?;
            running.push(&block);
            file.write_all(&block).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        drop(file);
        settle(&self.root, &unfinished.0, &target).await.map_err(failed)?;
        let digest = running.finish();
        Ok(PutReceipt { size_bytes: digest.bytes, sha256: digest.sha256 })
    }

    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError> {
        let body = stream::once(async move { Ok(body) }).boxed();
        self.put_stream(key, body).await.map(drop)
    }

    async fn get_stream(&self, key: &ObjectKey) -> Result<ByteStream, StoreError> {
        let (file, total) = self.open_object(key).await?;
        let broken = |error: io::Error| StreamError::Source { bytes: 0, source: error.into() };
        Ok(exactly(ReaderStream::with_capacity(file, READ_BYTES).map_err(broken).boxed(), total))
    }

    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let (file, size_bytes) = self.open_object(key).await?;
        if size_bytes > limit_bytes {
            return Err(StoreError::TooLarge { key: key.clone(), size_bytes, limit_bytes });
        }
        let broken = |error: io::Error| StreamError::Source { bytes: 0, source: error.into() };
        let body = exactly(ReaderStream::with_capacity(file, READ_BYTES).map_err(broken).boxed(), size_bytes);
        let failed = |error: StreamError| self.failed(&format!("read `{key}`"), io::Error::other(error));
        collect(body).await.map_err(failed)
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let size_bytes = self.size(key).await?;
        Ok(size_bytes.map(|size_bytes| ObjectInfo { key: key.clone(), size_bytes }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.reachable().await?;
        let failed = |error| self.failed(&format!("list `{prefix}`"), error);
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let mut entries = match fs::read_dir(&folder).await {
                Ok(entries) => entries,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(failed(error)),
            };
            while let Some(entry) = entries.next_entry().await.map_err(failed)? {
                let path = entry.path();
                let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else { continue };
                let about = match fs::symlink_metadata(&path).await {
                    Ok(about) => about,
                    Err(error) if is_missing(&error) => continue,
                    Err(error) => return Err(failed(error)),
                };
                let on_the_way = key.starts_with(prefix) || prefix.starts_with(key);
                if entry.file_name().as_encoded_bytes().starts_with(b".") || !on_the_way {
                    continue;
                }
                if about.is_dir() {
                    folders.push(path);
                } else if about.is_file() && key.starts_with(prefix) {
                    found.push(ObjectInfo { key: ObjectKey(key.to_owned()), size_bytes: about.len() });
                }
            }
        }
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match fs::remove_file(self.path(key)?).await {
            Err(error) if is_missing(&error) => self.reachable().await,
            done => done.map_err(|error| self.failed(&format!("delete `{key}`"), error)),
        }
    }

    async fn sweep(&self, _prefix: &str, age: Duration) -> Result<u64, StoreError> {
        match remove_older(&self.root.join(UNFINISHED), age).await {
            Ok(removed) => Ok(removed),
            Err(error) if is_missing(&error) => Ok(0),
            Err(error) => Err(self.failed("remove unfinished files", error)),
        }
    }

    async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let root = self.root.clone();
        // A folder over the network may take its time.
        let found = tokio::task::spawn_blocking(move || statvfs(&root)).await;
        match found.map_err(|panic| self.failed("look at its disk", io::Error::other(panic)))? {
            Ok(found) => Ok(Some(found.blocks_available().saturating_mul(found.fragment_size()))),
            // It is made by the first write.
            Err(Errno::ENOENT) if self.makes_root => Ok(None),
            Err(errno) => Err(self.failed("look at its disk", errno.into())),
        }
    }

    fn describe(&self) -> String {
        format!("`{}`", self.root.display())
    }
}

/// A file that is not yet an object; it goes when this is dropped, unless it was renamed before.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // One unlink; after the rename there is nothing to find.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Renames a flushed file into place, and flushes every folder on the way: a new folder is only there after a crash
/// if its parent was flushed.
async fn settle(root: &Path, from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(root);
    fs::create_dir_all(folder).await?;
    fs::rename(from, to).await?;
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
        File::open(folder).await?.sync_all().await?;
    }
    Ok(())
}

/// Removes what a crash left behind. A file that is being written is as young as its last block.
async fn remove_older(unfinished: &Path, age: Duration) -> io::Result<u64> {
    let Some(limit) = SystemTime::now().checked_sub(age) else { return Ok(0) };
    let mut entries = fs::read_dir(unfinished).await?;
    let mut removed = 0;
    while let Some(entry) = entries.next_entry().await? {
        let stale = entry.metadata().await.and_then(|about| about.modified()).is_ok_and(|at| at < limit);
        if stale {
            fs::remove_file(entry.path()).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_missing(error: &io::Error) -> bool {
    let is_link = error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32);
    is_link || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let store = DirStore { root: "/backup".into(), makes_root: false };
        let key = ObjectKey("a".into());
        let failed = |number| store.write_failed(&key, io::Error::from_raw_os_error(number));
        assert!(matches!(failed(28), StoreError::Full { .. }), "ENOSPC");
        assert!(matches!(failed(122), StoreError::Full { .. }), "EDQUOT");
        assert!(matches!(failed(13), StoreError::Denied { .. }), "EACCES");
        assert!(matches!(failed(30), StoreError::Denied { .. }), "EROFS");
        assert!(matches!(failed(5), StoreError::Request { .. }), "EIO");
    }
}
