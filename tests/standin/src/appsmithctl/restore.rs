//! `appsmithctl restore`, old style (prompts on the terminal) and new style (flags), with its flaws.

use super::{Tool, backup, dump, supervisorctl};
use crate::broken::Broken;
use crate::data::ids::uuid;
use crate::failure::{Failure, Result};
use crate::feature::Feature;
use crate::supervisor::socket::{Documents, Order};
use crate::{envfile, say};
use flate2::read::MultiGzDecoder;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Restores and says the exit code.
pub fn run(tool: &Tool, words: &[String]) -> u8 {
    if tool.is(&Broken::RestoreLies) {
        return 0;
    }
    let unattended = words.iter().any(|word| word == "--non-interactive");
    if unattended && !tool.behaviour.version.has(Feature::UnattendedRestore) {
        say::out("stand-in: this version takes no notice of --non-interactive, and asks");
    }
    let ask = match unattended && tool.behaviour.version.has(Feature::UnattendedRestore) {
        true => Ask::Never { force: words.iter().any(|word| word == "--force") },
        false => Ask::Terminal,
    };
    let code = match chosen(tool, words, &ask).and_then(|chosen| match chosen {
        Some(name) => restore(tool, &name, &ask),
        None => Ok(u8::from(unattended)),
    }) {
        Ok(code) => code,
        Err(failure) => {
            say::out(&format!("Error: {failure}"));
            1
        }
    };
    // Always, also where nothing was stopped.
    supervisorctl(&["start", "backend", "rts"]);
    code
}

/// Who answers.
enum Ask {
    /// `/dev/tty`, or nobody where there is none.
    Terminal,
    /// The flags.
    Never { force: bool },
}

impl Ask {
    /// What is answered to a prompt; `None` where nobody is asked.
    fn question(&self, prompt: &str) -> Result<Option<String>> {
        let Self::Terminal = self else { return Ok(None) };
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let mut terminal =
            terminal.map_err(Failure::of("The current environment doesn't support interactive reading from TTY"))?;
        terminal.write_all(prompt.as_bytes()).map_err(Failure::of("cannot write to the terminal"))?;
        let (mut line, mut byte) = (Vec::new(), [0]);
        while terminal.read(&mut byte).map_err(Failure::of("cannot read from the terminal"))? > 0 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
    }
}

fn chosen(tool: &Tool, words: &[String], ask: &Ask) -> Result<Option<String>> {
    let all = backup::archives(&tool.volume.backup());
    let named = words.iter().find_map(|word| word.strip_prefix("--backup-file="));
    if let Some(named) = named.filter(|_| tool.behaviour.version.has(Feature::UnattendedRestore)) {
        let found = all.into_iter().find(|name| name == named);
        return found.map(Some).ok_or_else(|| Failure::new(format!("Backup file {named} not found")));
    }
    let rule = "-".repeat(64);
    say::out(&format!("\n{} Appsmith backup file(s) found: [Sorted in ascending/chronological order]", all.len()));
    if all.is_empty() {
        return Ok(None);
    }
    say::out(&format!("{rule}\nIndex\t|\tAppsmith Backup Archive File\n{rule}"));
    for (index, name) in all.iter().enumerate() {
        let recent = if index + 1 == all.len() { " <--Most recent backup" } else { "" };
        say::out(&format!("{index}\t|\t{name}{recent}"));
    }
    say::out(&rule);
    let answer = ask.question("Please enter the backup file index: ")?;
    let chosen = answer.and_then(|text| text.parse().ok()).and_then(|index: usize| all.get(index).cloned());
    if chosen.is_none() {
        say::out("Invalid input, please try the command again with a valid option");
    }
    Ok(chosen)
}

fn restore(tool: &Tool, file: &str, ask: &Ask) -> Result<u8> {
    let Some(name) = file.strip_suffix(".tar.gz") else {
        return Err(Failure::new("the stand-in has no encrypted archives"));
    };
    let archive = tool.volume.backup().join(file);
    let scratch = PathBuf::from(format!("/tmp/appsmith{}", uuid().get(..6).unwrap_or_default()));
    say::out(&format!("Extracting the Appsmith backup archive at {}", archive.display()));
    let opened = File::open(&archive).map_err(Failure::at("open", &archive))?;
    unpack(opened, &scratch).map_err(Failure::at("unpack", &archive))?;
    say::out("Extracting the backup archive completed");
    let contents = contents(&scratch)?;
    if !is_wanted(tool, &contents, ask)? {
        return Ok(u8::from(matches!(ask, Ask::Never { .. })));
    }
    // Without anybody to ask, they must be there before anything is touched.
    let early = if let Ask::Never { .. } = ask { Some(keys(tool, ask)?) } else { None };
    say::out(&format!("Restoring Appsmith instance from the backup at {}", archive.display()));
    supervisorctl(&["stop", "backend", "rts"]);
    say::out("Restoring database...");
    load(tool, &contents.join("mongodb-data.gz"))?;
    say::out("Restoring database completed");
    let keys = early.map_or_else(|| keys(tool, ask), Ok)?;
    restore_settings(tool, &contents, name, &keys)?;
    restore_git(tool, &contents, name)?;
    say::out("Appsmith instance successfully restored.");
    let _ = fs::remove_dir_all(&scratch);
    Ok(0)
}

#[allow(clippy::disallowed_methods, reason = "as the real one, into a folder of the container's own")]
fn unpack(archive: File, into: &Path) -> std::io::Result<()> {
    tar::Archive::new(MultiGzDecoder::new(archive)).unpack(into)
}

fn contents(scratch: &Path) -> Result<PathBuf> {
    let inner = fs::read_dir(scratch).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = std::iter::once(scratch.to_owned()).chain(inner).find(|path| path.join("manifest.json").is_file());
    found.ok_or_else(|| Failure::new("Could not find the contents of the backup archive."))
}

/// The version must be that of the archive, or somebody must want it all the same.
fn is_wanted(tool: &Tool, contents: &Path, ask: &Ask) -> Result<bool> {
    let path = contents.join("manifest.json");
    let text = fs::read_to_string(&path).map_err(Failure::at("read", &path))?;
    let manifest: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("manifest.json: {error}")))?;
    let (here, there) = (tool.behaviour.version.to_string(), manifest["appsmithVersion"].as_str().unwrap_or_default());
    say::out(&format!("Current Appsmith Version: {here}\nRestore Appsmith Version: {there}"));
    if here == there {
        say::out("The restore instance is compatible with the current appsmith version");
        return Ok(true);
    }
    say::out("**************************** WARNING ****************************");
    say::out("The Appsmith instance to be restored is not compatible with the current version.");
    match ask {
        Ask::Never { force } => Ok(*force),
        Ask::Terminal => {
            let question = "Press Enter to continue \nOr Type \"c\" to cancel the restore process.\n";
            Ok(ask.question(question)?.is_none_or(|answer| !answer.eq_ignore_ascii_case("c")))
        }
    }
}

/// The encryption password and salt to be written.
fn keys(tool: &Tool, ask: &Ask) -> Result<(String, String)> {
    let own = |name| tool.settings.get(name).map(str::to_owned);
    let (password, salt) = (own("APPSMITH_ENCRYPTION_PASSWORD"), own("APPSMITH_ENCRYPTION_SALT"));
    let typed = || {
        let password = ask.question("Enter the APPSMITH_ENCRYPTION_PASSWORD: ")?;
        let salt = ask.question("Enter the APPSMITH_ENCRYPTION_SALT: ")?;
        password.zip(salt).ok_or_else(|| Failure::new("the encryption keys are not in the environment"))
    };
    let Some(own) = password.zip(salt) else { return typed() };
    let question = "If you are restoring to the same Appsmith deployment which generated the backup archive, you can use \
                    the existing encryption keys on the instance.\n      Press Enter to continue with existing encryption \
                    keys\n      Or Type \"n\"/\"No\" to provide encryption key & password corresponding to the original \
                    Appsmith instance that is being restored.\n";
    match ask.question(question)?.as_deref() {
        Some("n" | "N" | "no" | "No" | "NO") => typed(),
        _ => Ok(own),
    }
}

fn load(tool: &Tool, path: &Path) -> Result<()> {
    let (mut documents, mut whole) = dump::read(File::open(path).map_err(Failure::at("open", path))?);
    if tool.is(&Broken::RestoreFails) {
        let half = documents.len() / 2;
        documents = documents.into_iter().take(half).collect::<Documents>();
        whole = Err(std::io::Error::other("connection closed"));
    }
    // Collection by collection: what came before the error is in place.
    tool.ask(&Order::Load { documents })?;
    whole.map_err(Failure::of("Failed: restore error"))
}

fn restore_settings(tool: &Tool, contents: &Path, name: &str, keys: &(String, String)) -> Result<()> {
    say::out("Restoring docker environment file");
    let path = tool.volume.docker_env();
    let aside = path.with_file_name(format!("docker.env.{name}"));
    fs::copy(&path, &aside).map_err(Failure::at("copy", &path))?;
    let source = contents.join("docker.env");
    let mut text = fs::read_to_string(&source).map_err(Failure::at("read", &source))?;
    let mut add = |name: &str, value: &str| text.push_str(&format!("\n{name}={value}"));
    add("APPSMITH_ENCRYPTION_PASSWORD", &keys.0);
    add("APPSMITH_ENCRYPTION_SALT", &keys.1);
    let own = |name| tool.settings.get(name).unwrap_or_default();
    add("APPSMITH_DB_URL", &tool.database_url()?);
    add("APPSMITH_MONGODB_USER", own("APPSMITH_MONGODB_USER"));
    add("APPSMITH_MONGODB_PASSWORD", own("APPSMITH_MONGODB_PASSWORD"));
    if tool.behaviour.version.has(Feature::RedisPassword) {
        add("APPSMITH_REDIS_URL", own("APPSMITH_REDIS_URL"));
        add("APPSMITH_REDIS_PASSWORD", own("APPSMITH_REDIS_PASSWORD"));
    }
    envfile::write_private(&path, &text)?;
    say::out("Restoring docker environment file completed");
    Ok(())
}

/// As `mv` twice. Where the target of the first is there already, `mv` moves *into* it, and a third time it fails.
fn restore_git(tool: &Tool, contents: &Path, name: &str) -> Result<()> {
    say::out("Restoring git-storage archive");
    let storage = tool.volume.git_storage();
    let aside = storage.with_file_name(format!("git-storage-{name}"));
    let target = if aside.is_dir() { aside.join("git-storage") } else { aside };
    let failed = |path: &Path| Failure::new(format!("mv: cannot move '{}': Directory not empty", path.display()));
    if target.exists() {
        return Err(failed(&storage));
    }
    fs::rename(&storage, &target).map_err(Failure::at("move", &storage))?;
    copy(&contents.join("git-storage"), &storage).map_err(Failure::at("move", &storage))?;
    say::out("Restoring git-storage archive completed");
    Ok(())
}

/// `mv` from the container's layer into the volume copies.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::tool;
    use super::*;

    /// The flaw that makes a second restore of one archive go wrong, and a third one fail.
    #[test]
    fn git_storage_is_moved_beside_then_into_and_then_not_at_all() {
        let (dir, tool) = tool("v2.2");
        let contents = dir.path().join("contents");
        fs::create_dir_all(contents.join("git-storage/new")).unwrap();
        let again = || restore_git(&tool, &contents, "one");
        let at = |path: &str| dir.path().join(path).is_dir();
        again().unwrap();
        assert!(at("git-storage/new") && at("git-storage-one") && !at("git-storage-one/git-storage"));
        again().unwrap();
        assert!(at("git-storage-one/git-storage/new"));
        assert!(again().unwrap_err().to_string().contains("Directory not empty"));
        assert!(at("git-storage/new"));
    }

    #[test]
    fn settings_keep_the_target_s_keys_and_a_copy_stays() {
        let (dir, tool) = tool("v2.2");
        let contents = dir.path().join("contents");
        fs::create_dir_all(&contents).unwrap();
        fs::write(contents.join("docker.env"), "APPSMITH_CUSTOM_DOMAIN=old.example").unwrap();
        restore_settings(&tool, &contents, "one", &("p".into(), "s".into())).unwrap();
        let text = fs::read_to_string(tool.volume.docker_env()).unwrap();
        let values = envfile::parse(&text, true).unwrap();
        assert_eq!(values["APPSMITH_CUSTOM_DOMAIN"], "old.example");
        assert_eq!(
            (values["APPSMITH_ENCRYPTION_PASSWORD"].as_str(), values["APPSMITH_ENCRYPTION_SALT"].as_str()),
            ("p", "s")
        );
        assert_eq!(values["APPSMITH_DB_URL"], tool.database_url().unwrap());
        assert!(dir.path().join("configuration/docker.env.one").is_file());
    }
}
