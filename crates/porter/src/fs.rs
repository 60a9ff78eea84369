//! System calls on folders that are held open. Nothing here follows a symbolic link.
//!
//! Everything that changes something calls [`effect`] first; in tests that is where the porter is made to die.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::error::Trouble;
use crate::path::Rel;

const FOLDER_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// The root is the one path that is trusted: it is named by the request.
pub(crate) fn open_root(path: &str) -> Result<OwnedFd, Trouble> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty()).map_err(|errno| Trouble::system("open", path, errno))
}

/// What lies at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    Link,
    Other,
}

pub(crate) fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

/// What lies at `name`, itself and not what it points to.
pub(crate) fn look(dir: &OwnedFd, name: &[u8], path: &Rel) -> Result<Option<Stat>, Trouble> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Trouble::system("look at", path, errno)),
    }
}

pub(crate) fn own_stat(dir: &OwnedFd, path: &Rel) -> Result<Stat, Trouble> {
    fs::fstat(dir).map_err(|errno| Trouble::system("look at", path, errno))
}

/// The folder at `name`; fails for anything else, links too.
pub(crate) fn open_folder(dir: &OwnedFd, name: &[u8], path: &Rel) -> Result<OwnedFd, Trouble> {
    fs::openat(dir, name, FOLDER_FLAGS, Mode::empty()).map_err(|errno| Trouble::system("open", path, errno))
}

/// The folder at `path` below `root`, or what is in the way.
pub(crate) fn walk(root: &OwnedFd, path: &Rel) -> Result<Result<OwnedFd, InTheWay>, Trouble> {
    let mut at = Rel::root();
    let mut dir = duplicate(root)?;
    for name in path.parts() {
        at = at.join(name);
        match look(&dir, name, &at)?.as_ref().map(kind) {
            Some(Kind::Folder) => dir = open_folder(&dir, name, &at)?,
            Some(Kind::Link) => return Ok(Err(InTheWay { link: Some(at) })),
            Some(Kind::Other) | None => return Ok(Err(InTheWay { link: None })),
        }
    }
    Ok(Ok(dir))
}

/// Why there is no folder at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InTheWay {
    /// A symbolic link on the way; otherwise something is missing or is a file.
    pub link: Option<Rel>,
}

fn duplicate(dir: &OwnedFd) -> Result<OwnedFd, Trouble> {
    dir.try_clone().map_err(|error| Trouble::refused(format!("cannot hold a folder open: {error}")))
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &OwnedFd, path: &Rel) -> Result<Vec<Vec<u8>>, Trouble> {
    let trouble = |errno| Trouble::system("list", path, errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(dir).map_err(trouble)? {
        let name = entry.map_err(trouble)?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The content of a small regular file, or `None` where nothing lies.
pub(crate) fn read_small(dir: &OwnedFd, name: &[u8], path: &Rel, most: usize) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(stat) = look(dir, name, path)? else { return Ok(None) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Trouble::refused(format!("`{path}` is not a regular file")));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let trouble = |errno| Trouble::system("read", path, errno);
    let file = fs::openat(dir, name, flags, Mode::empty()).map_err(trouble)?;
    let mut content = Vec::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        let read = match rustix::io::read(&file, &mut block[..]) {
            Err(Errno::INTR) => continue,
            read => read.map_err(trouble)?,
        };
        if read == 0 {
            return Ok(Some(content));
        }
        content.extend_from_slice(&block[..read]);
        if content.len() > most {
            return Err(Trouble::refused(format!("`{path}` is larger than {most} bytes")));
        }
    }
}

/// Makes a folder of mode 0700 and opens it; one that is there is fine.
pub(crate) fn ensure_folder(dir: &OwnedFd, name: &[u8], path: &Rel) -> Result<OwnedFd, Trouble> {
    if look(dir, name, path)?.is_none() {
        effect()?;
        match fs::mkdirat(dir, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => sync(dir, path)?,
            Err(errno) => return Err(Trouble::system("make the folder", path, errno)),
        }
    }
    open_folder(dir, name, path)
}

/// Writes a new small file of mode 0600 through a temporary name in `scratch`, on the same mount, and has it on
/// disk before it appears. What lay there is replaced.
pub(crate) fn write_whole(
    scratch: &OwnedFd,
    temporary: &[u8],
    dir: &OwnedFd,
    name: &[u8],
    path: &Rel,
    content: &[u8],
) -> Result<(), Trouble> {
    let trouble = |errno| Trouble::system("write", path, errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    effect()?;
    let file = fs::openat(scratch, temporary, flags, Mode::RUSR | Mode::WUSR).map_err(trouble)?;
    write_all(&file, content, path)?;
    sync(&file, path)?;
    effect()?;
    fs::renameat(scratch, temporary, dir, name).map_err(trouble)?;
    sync(dir, path)
}

/// Writes a small file of mode 0600 in place, whose content nobody needs; not flushed.
pub(crate) fn write_new(dir: &OwnedFd, name: &[u8], path: &Rel, content: &[u8]) -> Result<(), Trouble> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    effect()?;
    let file =
        fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| Trouble::system("write", path, errno))?;
    write_all(&file, content, path)
}

/// Adds to a file that is there, from `offset` on; what lay behind it was never complete.
pub(crate) fn append(dir: &OwnedFd, name: &[u8], path: &Rel, offset: u64, content: &[u8]) -> Result<(), Trouble> {
    let trouble = |errno| Trouble::system("write", path, errno);
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(dir, name, flags, Mode::empty()).map_err(trouble)?;
    effect()?;
    fs::ftruncate(&file, offset).map_err(trouble)?;
    fs::seek(&file, fs::SeekFrom::Start(offset)).map_err(trouble)?;
    write_all(&file, content, path)?;
    sync(&file, path)
}

fn write_all(file: &OwnedFd, content: &[u8], path: &Rel) -> Result<(), Trouble> {
    // In tests a write is cut in two, so that a death in its middle leaves half of it.
    let cut = if cfg!(test) { content.len() / 2 } else { 0 };
    for mut rest in [&content[..cut], &content[cut..]] {
        effect()?;
        while !rest.is_empty() {
            match rustix::io::write(file, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Trouble::system("write", path, errno)),
            }
        }
    }
    Ok(())
}

/// Renames without replacing anything: `false` where something lies at the target.
pub(crate) fn rename(
    from: (&OwnedFd, &[u8]),
    to: (&OwnedFd, &[u8]),
    path: &Rel,
    target: &Rel,
) -> Result<bool, Trouble> {
    effect()?;
    let done = match fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
        // Some file systems do not know the flag; nobody else writes here, so looking first is as good.
        Err(Errno::INVAL | Errno::NOSYS) => match look(to.0, to.1, target)? {
            Some(_) => Err(Errno::EXIST),
            None => fs::renameat(from.0, from.1, to.0, to.1),
        },
        done => done,
    };
    match done {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(Errno::BUSY | Errno::XDEV) => Err(Trouble::refused(format!("cannot move `{path}`: it is a mount point"))),
        Err(errno) => Err(Trouble::system("move", path, errno)),
    }
}

/// Removes a file, link or empty folder; what is not there is fine.
pub(crate) fn unlink(dir: &OwnedFd, name: &[u8], path: &Rel, folder: bool) -> Result<bool, Trouble> {
    effect()?;
    let flags = if folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match fs::unlinkat(dir, name, flags) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Trouble::system("delete", path, errno)),
    }
}

/// Has it on disk.
pub(crate) fn sync(file: &OwnedFd, path: &Rel) -> Result<(), Trouble> {
    fs::fsync(file).map_err(|errno| Trouble::system("flush", path, errno))
}

/// Has the whole file system on disk.
pub(crate) fn sync_all(root: &OwnedFd) -> Result<(), Trouble> {
    fs::syncfs(root).map_err(|errno| Trouble::system("flush", Rel::root(), errno))
}

/// Lets its owner do anything in a folder, so that it can be emptied.
pub(crate) fn make_writable(dir: &OwnedFd, name: &[u8], path: &Rel) -> Result<(), Trouble> {
    let trouble = |errno| Trouble::system("open", path, errno);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = fs::openat(dir, name, flags, Mode::empty()).map_err(trouble)?;
    effect()?;
    // `fchmodat` without following links is not there on older kernels; this way cannot be led astray either.
    fs::chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), Mode::RWXU).map_err(trouble)
}

/// Owner, mode and times of a folder, as they are put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub mtime: (i64, i64),
}

impl Attributes {
    pub fn of(stat: &Stat) -> Self {
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between machines")]
        let mtime = (stat.st_mtime as i64, stat.st_mtime_nsec as i64);
        Self { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777, mtime }
    }

    /// Puts them back where they differ. The owner first: a change of owner clears the set-id bits.
    pub fn put_back(&self, dir: &OwnedFd, path: &Rel) -> Result<(), Trouble> {
        let now = Self::of(&own_stat(dir, path)?);
        if (now.uid, now.gid) != (self.uid, self.gid) {
            effect()?;
            fs::fchown(dir, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
                .map_err(|errno| Trouble::system("put the owner back of", path, errno))?;
        }
        if Self::of(&own_stat(dir, path)?).mode != self.mode {
            effect()?;
            fs::fchmod(dir, Mode::from_raw_mode(self.mode))
                .map_err(|errno| Trouble::system("put the mode back of", path, errno))?;
        }
        if now.mtime != self.mtime {
            self.put_back_time(dir, path)?;
        }
        Ok(())
    }

    /// Puts the time of the last change back.
    pub fn put_back_time(&self, dir: &OwnedFd, path: &Rel) -> Result<(), Trouble> {
        effect()?;
        let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let changed = Timespec { tv_sec: self.mtime.0, tv_nsec: self.mtime.1 };
        fs::futimens(dir, &Timestamps { last_access: omit, last_modification: changed })
            .map_err(|errno| Trouble::system("put the time back of", path, errno))
    }
}

/// Bytes and inodes that are left.
pub(crate) fn room(root: &OwnedFd) -> Result<(u64, u64), Trouble> {
    let room = fs::fstatvfs(root).map_err(|errno| Trouble::system("measure", Rel::root(), errno))?;
    // File systems without a table of inodes report none at all.
    let inodes = if room.f_files == 0 { u64::MAX } else { room.f_favail };
    Ok((room.f_bavail.saturating_mul(room.f_frsize), inodes))
}

#[cfg(not(test))]
fn effect() -> Result<(), Trouble> {
    Ok(())
}

#[cfg(test)]
use crate::crash::effect;
