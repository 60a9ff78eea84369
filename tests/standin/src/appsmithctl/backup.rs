//! `appsmithctl backup`, with the flaws of its time.

use super::{Tool, dump, supervisorctl};
use crate::broken::Broken;
use crate::data::ids::uuid;
use crate::failure::{Failure, Result};
use crate::feature::Feature;
use crate::supervisor::socket::Order;
use crate::time::Moment;
use crate::{envfile, paths, say};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below that much room nothing is begun.
const LEAST_ROOM_BYTES: u64 = 2_147_483_648;
/// How many archives are kept where nobody says.
const KEPT: usize = 4;

/// Takes a backup and says the exit code.
pub fn run(tool: &Tool) -> u8 {
    if tool.is(&Broken::BackupLies) {
        say::out("Post-backup done. Final archive at /appsmith-stacks/data/backup/appsmith-backup-of-nothing.tar.gz");
        return 0;
    }
    let hot = tool.behaviour.version.has(Feature::HotBackup);
    if !hot {
        supervisorctl(&["stop", "backend", "rts"]);
    }
    let name = format!("appsmith-backup-{}", Moment::now().iso().replace(':', "-"));
    let scratch = paths::TMP.to_owned() + "/appsmithctl-backup-" + uuid().get(..6).unwrap_or_default();
    let done = take(tool, &name, Path::new(&scratch));
    let _ = fs::remove_dir_all(&scratch);
    let failed = match done {
        Ok(()) => false,
        Err(failure) => {
            say::err(&format!("Error: {failure}"));
            tool.log("ERROR", &failure.to_string());
            true
        }
    };
    // Also after a failure.
    clean_up(tool);
    if !hot {
        supervisorctl(&["start", "backend", "rts"]);
    }
    u8::from(failed && hot)
}

fn take(tool: &Tool, name: &str, scratch: &Path) -> Result<()> {
    let version = tool.behaviour.version;
    let room = rustix::fs::statvfs(tool.volume.root()).map_err(|errno| Failure::new(errno.to_string()))?;
    if tool.is(&Broken::BackupFull) || room.f_frsize * room.f_bavail < LEAST_ROOM_BYTES {
        return Err(Failure::new(
            "Not enough space available at /appsmith-stacks. Please ensure availability of at least 2GB to backup \
             successfully.",
        ));
    }
    fs::create_dir_all(scratch).map_err(Failure::at("create", scratch))?;
    let manifest = serde_json::json!({ "appsmithVersion": version.to_string(), "dbName": tool.database_name()? });
    let manifest = match version.has(Feature::BackupNamesDatabase) {
        true => format!("{manifest:#}"),
        false => serde_json::json!({ "appsmithVersion": version.to_string() }).to_string(),
    };
    let dump = make_dump(tool, scratch)?;
    if tool.is(&Broken::BackupFails) {
        return Err(Failure::new("stand-in: it gives up, as it was told to"));
    }
    let text = fs::read_to_string(tool.volume.docker_env());
    let env = cleaned(&text.map_err(Failure::at("read", &tool.volume.docker_env()))?, tool);
    let archive = tool.volume.backup().join(format!("{name}.tar.gz"));
    say::out("Creating final archive");
    let folder = if version.has(Feature::BackupAtRoot) { "./".to_owned() } else { format!("./{name}/") };
    pack(tool, &archive, &folder, &[("manifest.json", manifest.into_bytes()), ("docker.env", env.into_bytes())], &dump)
        .map_err(Failure::at("pack", &archive))?;
    say::out("Created final archive");
    let shown = format!("/appsmith-stacks/data/backup/{name}.tar.gz");
    if version.has(Feature::BackupAtRoot) {
        say::out(&format!("Post-backup done. Final archive at {shown}"));
    }
    let done =
        format!("Finished taking a {}backup at {shown}", if version.has(Feature::HotBackup) { "" } else { "local " });
    say::out(&done);
    tool.log("INFO", &done);
    Ok(())
}

fn make_dump(tool: &Tool, scratch: &Path) -> Result<PathBuf> {
    say::out("Exporting database");
    let reply = tool.ask(&Order::Dump)?;
    let path = scratch.join("mongodb-data.gz");
    let file = File::create(&path).map_err(Failure::at("create", &path))?;
    dump::write(&tool.database_name()?, &reply.documents, &file).map_err(Failure::at("write", &path))?;
    if tool.is(&Broken::DumpCut) {
        let length = file.metadata().map_err(Failure::at("look at", &path))?.len();
        file.set_len(length / 2).map_err(Failure::at("cut", &path))?;
    }
    say::out("Exporting database done.");
    Ok(path)
}

#[allow(clippy::disallowed_methods, reason = "a process of its own, without a runtime")]
fn pause(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// As `tar -cah`: links are followed, and one that leads nowhere is a failure.
fn pack(tool: &Tool, archive: &Path, folder: &str, small: &[(&str, Vec<u8>)], dump: &Path) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(archive)?, Compression::default()));
    tar.follow_symlinks(true);
    for (name, content) in small {
        append(&mut tar, &format!("{folder}{name}"), content.len() as u64, &content[..])?;
    }
    if let Some(seconds) = tool.behaviour.seconds(|way| if let Broken::SlowBackup(it) = way { Some(*it) } else { None })
    {
        tar.get_mut().flush()?;
        pause(seconds);
    }
    append(&mut tar, &format!("{folder}mongodb-data.gz"), fs::metadata(dump)?.len(), File::open(dump)?)?;
    say::out("Creating git-storage archive");
    let storage = tool.git_storage();
    if !storage.is_dir() {
        return Err(std::io::Error::other("tar: ./git-storage: Cannot stat: No such file or directory"));
    }
    tar.append_dir_all(format!("{folder}git-storage"), storage)?;
    tar.into_inner()?.finish()?.sync_all()
}

/// With the `./` that tar writes and the library would leave out.
fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl std::io::Read,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    let field = &mut header.as_old_mut().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, content)
}

/// Without the lines that hold keys and addresses, by era.
fn cleaned(text: &str, tool: &Tool) -> String {
    let version = tool.behaviour.version;
    let mut gone = vec!["APPSMITH_ENCRYPTION", "APPSMITH_MONGODB"];
    if version.has(Feature::DbUrl) {
        gone.push("APPSMITH_DB_URL=");
    }
    if version.has(Feature::RedisPassword) {
        gone.extend(["APPSMITH_REDIS_URL=", "APPSMITH_REDIS_PASSWORD="]);
    }
    let kept = text.lines().filter(|line| !gone.iter().any(|gone| line.starts_with(gone)));
    kept.map(|line| format!("{line}\n")).collect()
}

/// The archives of a volume, in the order of their names.
pub fn archives(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|it| it.file_name().into_string().ok());
    let is_one = |name: &String| {
        name.starts_with("appsmith-backup-") && (name.ends_with(".tar.gz") || name.ends_with(".tar.gz.enc"))
    };
    let mut all: Vec<String> = names.filter(is_one).collect();
    all.sort();
    all
}

fn clean_up(tool: &Tool) {
    let values = envfile::parse(&fs::read_to_string(tool.volume.docker_env()).unwrap_or_default(), false);
    let name = "APPSMITH_BACKUP_ARCHIVE_LIMIT";
    let limit = std::env::var(name).ok().or_else(|| values.ok()?.get(name).cloned());
    let limit = limit.and_then(|text| text.parse().ok()).filter(|limit| *limit > 0).unwrap_or(KEPT);
    say::out("Starting cleanup.");
    let all = archives(&tool.volume.backup());
    for old in all.iter().take(all.len().saturating_sub(limit)) {
        let _ = fs::remove_file(tool.volume.backup().join(old));
    }
    say::out("Cleanup completed.");
}

#[cfg(test)]
mod tests {
    use super::super::tests::tool;
    use super::*;

    #[test]
    fn keys_and_addresses_are_left_out_by_era() {
        let left = |version| {
            let (_dir, tool) = tool(version);
            cleaned(&fs::read_to_string(tool.volume.docker_env()).unwrap(), &tool)
        };
        for (version, db, redis) in [("v1.9.2", false, true), ("v1.50", false, true), ("v2.2", false, false)] {
            let text = left(version);
            assert!(!text.contains("ENCRYPTION") && text.contains("APPSMITH_CUSTOM_DOMAIN"), "{version}: {text}");
            assert_eq!(
                (text.contains("APPSMITH_DB_URL"), text.contains("APPSMITH_REDIS_URL")),
                (db, redis),
                "{version}"
            );
        }
    }

    #[test]
    fn the_oldest_archives_go_and_other_files_stay() {
        let (_dir, tool) = tool("v2.2");
        let folder = tool.volume.backup();
        for name in ["1.tar.gz", "2.tar.gz.enc", "3.tar.gz", "4.tar.gz", "5.tar.gz", "6.tar"] {
            fs::write(folder.join(format!("appsmith-backup-{name}")), "").unwrap();
        }
        clean_up(&tool);
        let kept = ["2.tar.gz.enc", "3.tar.gz", "4.tar.gz", "5.tar.gz"].map(|name| format!("appsmith-backup-{name}"));
        assert_eq!(archives(&folder), kept);
        assert!(folder.join("appsmith-backup-6.tar").exists());
    }

    #[test]
    fn members_lie_where_they_lay_in_that_era_and_a_dangling_link_fails() {
        for (version, first) in [("v1.50", "./name/manifest.json"), ("v1.51", "./manifest.json")] {
            let (dir, tool) = tool(version);
            let (archive, dump) = (dir.path().join("a.tar.gz"), dir.path().join("dump"));
            fs::write(&dump, "dump").unwrap();
            let folder = if tool.behaviour.version.has(Feature::BackupAtRoot) { "./" } else { "./name/" };
            let pack = || pack(&tool, &archive, folder, &[("manifest.json", b"{}".to_vec())], &dump);
            pack().unwrap();
            let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(File::open(&archive).unwrap()));
            let names: Vec<String> = tar
                .entries()
                .unwrap()
                .map(|it| String::from_utf8(it.unwrap().path_bytes().to_vec()).unwrap())
                .collect();
            assert_eq!(names[0], first);
            std::os::unix::fs::symlink("nowhere", tool.git_storage().join("link")).unwrap();
            assert!(pack().is_err());
        }
    }
}
