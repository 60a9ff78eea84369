//! Deleting single files by name.

use crate::cover::is_ours;
use crate::error::Trouble;
use crate::fs::{self, Kind};
use crate::path::Rel;

/// Deletes these files; says how many were there.
pub(crate) fn remove(root: &str, files: &[String]) -> Result<u64, Trouble> {
    let root = fs::open_root(root)?;
    let mut entries = 0;
    for text in files {
        let path = Rel::parse(text)?;
        let Some((parent, name)) = path.split().filter(|_| !is_ours(&path)) else {
            return Err(Trouble::refused(format!("`{path}` is not a file that may be deleted")));
        };
        let folder = match fs::walk(&root, &parent)? {
            Ok(folder) => folder,
            Err(way) if way.link.is_some() => {
                return Err(Trouble::refused(format!("the way to `{path}` leads through a symbolic link")));
            }
            Err(_) => continue,
        };
        let Some(stat) = fs::look(&folder, name, &path)? else { continue };
        if fs::kind(&stat) == Kind::Folder {
            return Err(Trouble::refused(format!("`{path}` is a folder")));
        }
        entries += u64::from(fs::unlink(&folder, name, &path, false)?);
        fs::sync(&folder, &parent)?;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_go_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("data/backup/folder")).unwrap();
        std::fs::create_dir_all(at(".tidegate/run")).unwrap();
        for file in ["data/backup/one", "data/backup/two", ".tidegate/run/kept"] {
            std::fs::write(at(file), "x").unwrap();
        }
        symlink("backup", at("data/link")).unwrap();
        let ask = |files: &[&str]| {
            let files: Vec<String> = files.iter().map(ToString::to_string).collect();
            remove(root.path().to_str().unwrap(), &files)
        };
        assert_eq!(ask(&["data/backup/one", "data/backup/one", "nowhere/at/all"]).unwrap(), 1);
        for bad in ["data/backup/folder", ".tidegate/run/kept", "data/link/two", "../two", ""] {
            assert!(ask(&[bad]).is_err(), "{bad}");
        }
        assert!(at("data/backup/two").exists() && at(".tidegate/run/kept").exists());
    }
}
