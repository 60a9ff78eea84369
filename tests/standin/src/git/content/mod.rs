//! An application as the files of a repository (format 5), and back.
//!
//! The laws of this module:
//! * the same application gives the same bytes, on every instance of one release;
//! * what is in a repository is never trusted: no file is written or read through a link;
//! * things are recognised by their `gitSyncId`, so their ids survive a pull, and differ from branch to branch.

mod export;
mod import;
mod widgets;

pub use export::{export, name_all};
pub use import::{import, schemas_of};

use super::{Result, Trouble};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Files by their path in the repository.
pub type Files = BTreeMap<String, String>;

/// Folders that belong to the application alone: what is not of it any more is deleted there.
const OWNED: [&str; 3] = ["datasources", "jslibs", "pages"];
/// A file of an application is never larger.
const LARGEST_BYTES: u64 = 32 << 20;
/// Nor are there more of them.
const MOST_FILES: usize = 50_000;

/// JSON as the files have it: two spaces, keys in order, no line break at the end.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap_or_default()
}

/// With its keys in order, whatever map it is made of.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> = fields.iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(fields.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// A name as a file or folder.
fn file_name(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() || "/\\".contains(c) { '_' } else { c }).collect();
    if plain.is_empty() || plain.starts_with('.') { format!("_{plain}") } else { plain }
}

/// Brings the working tree to these files. Files outside of the application's own folders stay.
pub fn write(root: &Path, files: &Files) -> Result<()> {
    for folder in OWNED {
        clear(root, &root.join(folder), files)?;
    }
    for (path, text) in files {
        let path = clean(root, path)?;
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Trouble::at(parent))?;
        }
        // Never into a file that another name shares.
        let _ = fs::remove_file(&path);
        fs::write(&path, text).map_err(Trouble::at(&path))?;
    }
    Ok(())
}

/// The absolute path of a file, after everything on its way that is no folder is taken away.
fn clean(root: &Path, path: &str) -> Result<PathBuf> {
    let mut whole = root.to_owned();
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    for (index, part) in parts.iter().enumerate() {
        let Component::Normal(name) = part else {
            return Err(Trouble::Content(format!("{path} is no path inside the repository")));
        };
        whole.push(name);
        let Ok(meta) = fs::symlink_metadata(&whole) else { continue };
        let last = index + 1 == parts.len();
        if meta.is_dir() && last {
            fs::remove_dir_all(&whole).map_err(Trouble::at(&whole))?;
        } else if !meta.is_dir() && (!last || !meta.is_file()) {
            fs::remove_file(&whole).map_err(Trouble::at(&whole))?;
        }
    }
    Ok(whole)
}

/// Deletes what is not among the files any more, then folders without any.
fn clear(root: &Path, folder: &Path, files: &Files) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Err(_) => return Ok(()),
        Ok(meta) if !meta.is_dir() => return fs::remove_file(folder).map_err(Trouble::at(folder)),
        Ok(_) => {}
    }
    for entry in fs::read_dir(folder).map_err(Trouble::at(folder))? {
        let path = entry.map_err(Trouble::at(folder))?.path();
        let meta = fs::symlink_metadata(&path).map_err(Trouble::at(&path))?;
        let known = || path.strip_prefix(root).ok()?.to_str().map(|path| files.contains_key(path));
        if meta.is_dir() {
            clear(root, &path, files)?;
        } else if known() != Some(true) {
            fs::remove_file(&path).map_err(Trouble::at(&path))?;
        }
    }
    // Fails where something is left in it, as it should.
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// The application's files in the working tree. Links and what is no text are passed over.
pub fn read(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    walk(root, root, &mut files)?;
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Trouble::at(folder))? {
        let entry = entry.map_err(Trouble::at(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(Trouble::at(folder))?);
        let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
        if kind.is_dir() && name != ".git" {
            walk(root, &path, files)?;
        } else if kind.is_file()
            && entry.metadata().is_ok_and(|meta| meta.len() <= LARGEST_BYTES)
            && let Ok(text) = fs::read_to_string(&path)
        {
            files.insert(name.to_owned(), text);
        }
        if files.len() > MOST_FILES {
            return Err(Trouble::Content(format!("there are more than {MOST_FILES} files in the repository")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn writing_follows_no_link_and_takes_away_what_is_old() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = dir.path();
        symlink(outside.path(), root.join("pages")).unwrap();
        symlink(outside.path().join("theme"), root.join("theme.json")).unwrap();
        fs::create_dir_all(root.join("datasources/old")).unwrap();
        fs::write(root.join("datasources/old/a.json"), "x").unwrap();
        fs::write(root.join("LICENSE"), "mine").unwrap();
        let files = Files::from([("pages/Home/Home.json".into(), "1".into()), ("theme.json".into(), "2".into())]);
        write(root, &files).unwrap();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(!root.join("datasources").exists() && root.join("LICENSE").exists());
        let found = read(root).unwrap();
        assert_eq!(found.get("pages/Home/Home.json").map(String::as_str), Some("1"));
        assert_eq!(found.len(), 3);
        let out = Files::from([("../out".into(), String::new())]);
        assert!(write(root, &out).is_err());
    }

    #[test]
    fn names_become_files_and_keys_have_an_order() {
        assert_eq!((file_name("a/b"), file_name("..")), ("a_b".into(), "_..".into()));
        let value: Value = serde_json::from_str(r#"{"b":[{"d":1,"c":2}],"a":null}"#).unwrap();
        assert_eq!(pretty(&value).split_whitespace().collect::<String>(), r#"{"a":null,"b":[{"c":2,"d":1}]}"#);
    }
}
