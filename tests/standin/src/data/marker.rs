//! The data format marker: which versions may open these files.

use super::file;
use crate::failure::{Failure, Result};
use crate::paths::Volume;

/// The format of data that has no marker: it is older than markers are.
pub const UNMARKED: u32 = 5;

/// May an image start on this data?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no data yet.
    Fresh,
    /// The data has the image's own format.
    Same,
    /// The image reads it and will raise it, one-way.
    Raises(u32),
    /// A newer version raised it. It must not be touched.
    TooNew(u32),
    /// It is older than the image can read: a required update was skipped.
    TooOld(u32),
}

/// Decides, without touching anything. `found` is `None` where there is no data.
pub fn judge(found: Option<u32>, writes: u32, reads_from: u32) -> Verdict {
    match found {
        None => Verdict::Fresh,
        Some(format) if format > writes => Verdict::TooNew(format),
        Some(format) if format < reads_from => Verdict::TooOld(format),
        Some(format) if format < writes => Verdict::Raises(format),
        Some(_) => Verdict::Same,
    }
}

/// The format of the data in a volume; `None` where there is no data yet.
pub fn read(volume: &Volume) -> Result<Option<u32>> {
    let path = volume.format_marker();
    match file::text(&path)? {
        Some(text) => match text.trim().parse() {
            Ok(format) => Ok(Some(format)),
            Err(_) => Err(Failure::new(format!("{} holds no number", path.display()))),
        },
        None => Ok(volume.mongodb().join("WiredTiger").exists().then_some(UNMARKED)),
    }
}

/// Raises the marker. There is no way to lower it.
pub fn raise(volume: &Volume, format: u32) -> Result<()> {
    let present = volume.format_marker().exists();
    if present && read(volume)?.is_some_and(|found| found >= format) {
        return Ok(());
    }
    file::replace(&volume.format_marker(), format!("{format}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_refuses_new_and_new_raises_old() {
        assert_eq!(judge(None, 6, 5), Verdict::Fresh);
        assert_eq!(judge(Some(6), 6, 5), Verdict::Same);
        assert_eq!(judge(Some(5), 6, 5), Verdict::Raises(5));
        assert_eq!(judge(Some(7), 6, 5), Verdict::TooNew(7));
        assert_eq!(judge(Some(5), 7, 6), Verdict::TooOld(5));
    }

    #[test]
    fn the_marker_only_rises() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        std::fs::create_dir_all(volume.mongodb()).unwrap();
        assert_eq!(read(&volume).unwrap(), None);
        std::fs::write(volume.mongodb().join("WiredTiger"), "WiredTiger\n").unwrap();
        assert_eq!(read(&volume).unwrap(), Some(UNMARKED));
        raise(&volume, 5).unwrap();
        raise(&volume, 7).unwrap();
        raise(&volume, 6).unwrap();
        assert_eq!(read(&volume).unwrap(), Some(7));
    }
}
