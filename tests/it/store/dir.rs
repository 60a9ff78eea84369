//! What only a folder can get wrong.
use std::time::Duration;

use bytes::Bytes;
use tidegate::store::dir::DirStore;
use tidegate::store::{ObjectStore, StoreError};

use super::{body, key, sample};

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_an_empty_store() {
    let root = tempfile::tempdir().unwrap();
    let gone = root.path().join("mounted");
    assert!(matches!(DirStore::open(&gone).await.unwrap_err(), StoreError::Unreachable { .. }));
    assert!(!gone.exists());

    std::fs::create_dir(&gone).unwrap();
    let store = DirStore::open(&gone).await.unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    let errors = [
        store.head(&key("a")).await.unwrap_err(),
        store.get(&key("a"), 1).await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.delete(&key("a")).await.unwrap_err(),
        store.put(&key("a"), Bytes::new()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    }
    assert!(!gone.exists());
}

#[tokio::test]
async fn no_key_leads_out_of_the_folder_or_into_what_is_ours() {
    let root = tempfile::tempdir().unwrap();
    let store = DirStore::open(root.path().join("")).await.unwrap();
    for bad in ["../a", "a/../../b", "/etc/passwd", "", "a//b", "a/", ".unfinished/x", "a/.hidden", "a\0b"] {
        store.put(&key(bad), Bytes::new()).await.expect_err(bad);
        store.get(&key(bad), 1).await.expect_err(bad);
        store.delete(&key(bad)).await.expect_err(bad);
    }
}

/// Commands that only look, and plans, open it too.
#[tokio::test]
async fn reading_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let old = root.path().join(".unfinished/1-1");
    std::fs::create_dir(old.parent().unwrap()).unwrap();
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let store = DirStore::open(root.path()).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.head(&key("a")).await.unwrap(), None);
    assert!(old.exists());
    assert_eq!(store.sweep("", Duration::from_secs(3600)).await.unwrap(), 1);
    assert!(!old.exists());

    let later = root.path().join("made/later");
    let store = DirStore::open_or_make(&later).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.sweep("", Duration::ZERO).await.unwrap(), 0);
    assert!(matches!(store.get(&key("a"), 1).await.unwrap_err(), StoreError::NotFound { .. }));
    assert!(!later.parent().unwrap().exists());
    store.put(&key("a"), Bytes::from("x")).await.unwrap();
    assert_eq!(store.get(&key("a"), 1).await.unwrap(), "x");
}

/// What is no plain file is no object, and nothing waits for it.
#[tokio::test]
async fn pipes_folders_and_links_are_no_objects() {
    let root = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.path().join("pipe")).status().unwrap();
    assert!(made.success());
    std::fs::create_dir(root.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
    let store = DirStore::open(root.path()).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    for name in ["pipe", "folder", "link"] {
        assert_eq!(store.head(&key(name)).await.unwrap(), None, "{name}");
        let read = tokio::time::timeout(Duration::from_secs(60), store.get(&key(name), 1 << 20)).await;
        let error = read.unwrap_or_else(|_| panic!("it waits for {name}")).unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{name}: {error:?}");
    }
}

/// A small tmpfs; unmounted when dropped.
pub(crate) struct SmallDisk {
    path: std::path::PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Self::mount_at(folder.path(), size);
        disk._folder = Some(folder);
        disk
    }

    /// Over a folder that is there.
    pub(crate) fn mount_at(path: &std::path::Path, size: &str) -> Self {
        let mount = ["-t", "tmpfs", "-o", &format!("size={size}"), "tidegate-test"];
        let mounted = std::process::Command::new("mount").args(mount).arg(path).status().unwrap();
        assert!(mounted.success(), "this test mounts a tmpfs, and so needs root");
        Self { path: path.to_owned(), _folder: None }
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Takes all room that is left with a file of that name.
    pub(crate) fn fill(&self, name: &str) {
        self.fill_but(name, 0);
    }

    /// As [`SmallDisk::fill`], and leaves that much.
    pub(crate) fn fill_but(&self, name: &str, left: u64) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.path.join(name)).unwrap();
        let (mut block, mut bytes) = (vec![1; 1 << 20], 0_usize);
        while !block.is_empty() {
            match file.write(&block) {
                Ok(written) => bytes += written,
                Err(_) => block.truncate(block.len() / 2),
            }
        }
        file.set_len((bytes as u64).saturating_sub(left)).unwrap();
    }

    /// Takes all inodes but so many, in a folder of that name.
    pub(crate) fn fill_inodes_but(&self, name: &str, left: u32) {
        let folder = self.path.join(name);
        let file = |number: u32| folder.join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        let full = (0..u32::MAX).find(|number| std::fs::File::create(file(*number)).is_err()).unwrap();
        (full - left..full).for_each(|number| std::fs::remove_file(file(number)).unwrap());
    }

    /// Gives that room back.
    pub(crate) fn free(&self, name: &str) {
        let path = self.path.join(name);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.path).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let disk = SmallDisk::mount("4m");
    let store = DirStore::open(disk.path()).await.unwrap();
    store.put(&key("a"), sample(1 << 20)).await.unwrap();
    for _ in 0..3 {
        let error = store.put_stream(&key("b"), body(&sample(8 << 20))).await.unwrap_err();
        assert!(matches!(&error, StoreError::Full { key, .. } if key.0 == "b"), "{error:?}");
        assert_eq!(store.head(&key("b")).await.unwrap(), None);
        assert_eq!(std::fs::read_dir(disk.path().join(".unfinished")).unwrap().count(), 0);
    }
    // What was freed can be used, and what was there is whole.
    store.put(&key("b"), sample(2 << 20)).await.unwrap();
    assert_eq!(store.get(&key("a"), 1 << 20).await.unwrap(), sample(1 << 20));
}

#[tokio::test]
async fn a_dropped_write_leaves_no_file() {
    use futures::StreamExt;
    let root = tempfile::tempdir().unwrap();
    let store = DirStore::open(root.path()).await.unwrap();
    let endless = body(&sample(300_000)).chain(futures::stream::pending()).boxed();
    let name = key("a");
    let mut write = store.put_stream(&name, endless);
    assert!(futures::poll!(&mut write).is_pending());
    let unfinished = || std::fs::read_dir(root.path().join(".unfinished")).map_or(0, Iterator::count);
    let begun = async {
        while unfinished() == 0 {
            assert!(futures::poll!(&mut write).is_pending());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), begun).await.expect("the write never began");
    drop(write);
    assert_eq!(unfinished(), 0);
    assert_eq!(store.list("").await.unwrap(), []);
}
