//! Archives of folders, as Docker makes and unpacks them. Blocking; called on the pool for that.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::mkfifo;
use tar::{Archive, Builder, Entry, EntryType, Header};

/// Where the folders of a helper lie, by name (`v0`).
pub(super) type Roots = HashMap<String, PathBuf>;

/// The real path of `/v0/…`; `None` where nothing lies, or where the way leads through a link.
pub(super) fn locate(roots: &Roots, path: &str) -> Option<PathBuf> {
    let found = resolve(roots, Path::new(path.trim_start_matches('/'))).ok()?;
    fs::symlink_metadata(&found).is_ok().then_some(found)
}

/// The place of an archive's name, without leading through a link or out of its folder.
fn resolve(roots: &Roots, name: &Path) -> io::Result<PathBuf> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` leads elsewhere", name.display()));
    let mut parts = name.components().filter(|part| *part != Component::CurDir);
    let root = match parts.next() {
        Some(Component::Normal(root)) => root.to_str().and_then(|root| roots.get(root)).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    let mut path = root.clone();
    for part in parts {
        let Component::Normal(part) = part else { return Err(bad()) };
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
            return Err(bad());
        }
        path.push(part);
    }
    Ok(path)
}

/// A tar of what lies at `path`; names start with its last name.
pub(super) fn pack(path: &Path, first: &str) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut linked = HashMap::new();
    append(&mut tar, path, Path::new(first), &mut linked)?;
    tar.into_inner()
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    path: &Path,
    name: &Path,
    linked: &mut HashMap<(u64, u64), PathBuf>,
) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let mut header = Header::new_ustar();
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(u64::from(meta.uid()));
    header.set_gid(u64::from(meta.gid()));
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(0);
    let kind = meta.file_type();
    if kind.is_socket() {
        return Ok(());
    }
    if meta.is_dir() {
        header.set_entry_type(EntryType::Directory);
        tar.append_data(&mut header, name, io::empty())?;
        let mut names: Vec<_> = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        return names.iter().try_for_each(|child| append(tar, &path.join(child), &name.join(child), linked));
    }
    if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        return tar.append_link(&mut header, name, fs::read_link(path)?);
    }
    if kind.is_fifo() {
        header.set_entry_type(EntryType::Fifo);
        return tar.append_data(&mut header, name, io::empty());
    }
    if meta.nlink() > 1 {
        if let Some(first) = linked.get(&(meta.dev(), meta.ino())) {
            header.set_entry_type(EntryType::Link);
            return tar.append_link(&mut header, name, first);
        }
        linked.insert((meta.dev(), meta.ino()), name.to_owned());
    }
    header.set_size(meta.len());
    tar.append_data(&mut header, name, File::open(path)?.take(meta.len()))
}

/// Unpacks at `/` of a helper. What came before an error stays.
pub(super) fn unpack(roots: &Roots, bytes: &[u8]) -> io::Result<()> {
    let mut archive = Archive::new(bytes);
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let at = resolve(roots, &name)?;
        place(roots, &mut entry, &at)?;
        if entry.header().entry_type() == EntryType::Directory {
            folders.push((at, entry.header().mtime()?));
        }
    }
    // Innermost first: what is put into a folder changes its time.
    for (folder, mtime) in folders.into_iter().rev() {
        File::open(folder)?.set_times(FileTimes::new().set_modified(time(mtime)))?;
    }
    Ok(())
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn place(roots: &Roots, entry: &mut Entry<'_, &[u8]>, at: &Path) -> io::Result<()> {
    let header = entry.header().clone();
    let there: Option<Metadata> = fs::symlink_metadata(at).ok();
    let is_folder = header.entry_type() == EntryType::Directory;
    if there.as_ref().is_some_and(|meta| meta.is_dir() != is_folder) {
        // As the engine is asked to do: never replace a folder by something else, or the other way round.
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{}` is in the way", at.display())));
    }
    if there.is_some() && !is_folder {
        fs::remove_file(at)?;
    }
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    match header.entry_type() {
        EntryType::Directory if there.is_none() => fs::create_dir(at)?,
        EntryType::Directory => {}
        EntryType::Regular | EntryType::Continuous => {
            io::copy(entry, &mut File::create_new(at)?)?;
        }
        EntryType::Symlink => symlink(entry.link_name()?.unwrap_or_default(), at)?,
        EntryType::Link => {
            let target = entry.link_name()?.unwrap_or_default().into_owned();
            return fs::hard_link(resolve(roots, &target)?, at);
        }
        EntryType::Fifo => mkfifo(at, Mode::from_bits_truncate(0o600))?,
        other => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("an entry of kind {other:?}"))),
    }
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    let (uid, gid) = (id(header.uid()?), id(header.gid()?));
    let meta = fs::symlink_metadata(at)?;
    if (meta.uid(), meta.gid()) != (uid, gid) {
        lchown(at, Some(uid), Some(gid))?;
    }
    if !meta.is_symlink() {
        fs::set_permissions(at, fs::Permissions::from_mode(header.mode()?))?;
    }
    let mtime = TimeSpec::new(i64::try_from(header.mtime()?).unwrap_or(0), 0);
    utimensat(nix::fcntl::AT_FDCWD, at, &mtime, &mtime, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

/// The last name of a path, as Docker starts an archive with it: `/v0/` and `/v0` give `v0`, `/v0/.` gives `.`.
pub(super) fn last_name(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or_default();
    name.to_owned()
}
