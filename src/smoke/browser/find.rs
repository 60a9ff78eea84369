//! Which browser is used.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::BrowserError;

/// What Chromium and those that speak its protocol are called, best first.
const NAMES: &[&str] =
    &["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome-headless-shell"];

/// The browser that is `configured`, or else the first one that is installed.
///
/// A configured one that is not there is an error: another than the wanted one is not used in its stead.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, BrowserError> {
    find_in(configured, &std::env::var_os("PATH").unwrap_or_default())
}

fn find_in(configured: Option<&Path>, path: &OsStr) -> Result<PathBuf, BrowserError> {
    if let Some(wanted) = configured {
        return if is_program(wanted) {
            Ok(wanted.to_owned())
        } else {
            Err(BrowserError::NotAProgram { path: wanted.to_owned() })
        };
    }
    let places =
        |name: &&str| std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_program(file));
    NAMES.iter().find_map(places).ok_or_else(|| BrowserError::NotInstalled { tried: NAMES.to_vec() })
}

fn is_program(path: &Path) -> bool {
    path.is_absolute() && path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_configured_one_comes_first_and_the_best_of_the_installed_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let chrome = program(folder.path(), "google-chrome", 0o755);
        assert_eq!(find_in(None, path).unwrap(), chrome);
        program(folder.path(), "chromium", 0o644);
        assert_eq!(find_in(None, path).unwrap(), chrome, "a file that cannot be run is none");
        let chromium = program(folder.path(), "chromium", 0o755);
        assert_eq!(find_in(None, path).unwrap(), chromium);
        let own = program(folder.path(), "own", 0o755);
        assert_eq!(find_in(Some(&own), path).unwrap(), own);
    }

    #[test]
    fn where_there_is_none_the_error_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let none = find_in(None, folder.path().as_os_str()).unwrap_err();
        insta::assert_snapshot!(none, @"no browser is installed: none of chromium, chromium-browser, google-chrome-stable, google-chrome, chrome-headless-shell is in PATH");
        program(folder.path(), "chromium", 0o755);
        let wrong = find_in(Some(Path::new("/nowhere/chromium")), folder.path().as_os_str()).unwrap_err();
        insta::assert_snapshot!(wrong, @"`/nowhere/chromium` is not a program that can be run");
    }
}
