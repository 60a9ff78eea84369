//! Makes an image without a builder: a root file system as a tar, and its configuration as instructions.
//!
//! ```text
//! standin rootfs OPTIONS | docker import -c "$(line 1 of standin changes OPTIONS)" -c … - NAME:TAG
//! ```

use crate::behaviour::Baked;
use crate::failure::{Failure, Result};
use crate::feature::Feature;
use crate::options::Options;
use crate::{paths, say};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;
use tar::{Builder, EntryType, Header};

/// A time for every file of the image, so that two images of one behaviour are the same tar.
const BUILT_AT: u64 = 1_767_225_600;

/// What `--git on` takes from the host, each with the libraries it needs.
const GIT_PROGRAMS: [&str; 3] = [paths::GIT, paths::SSH, paths::SSH_KEYGEN];

const DIRECTORIES: &[&str] = &[
    "appsmith-stacks/",
    "dev/",
    "etc/",
    "opt/",
    "opt/appsmith/",
    "opt/appsmith/rts/",
    "opt/bin/",
    "opt/standin/",
    "proc/",
    "root/",
    "sys/",
    "usr/",
    "usr/bin/",
    "var/",
    "var/log/",
];

const PASSWD: &str =
    "root:x:0:0:root:/root:/usr/sbin/nologin\npostgres:x:102:104:PostgreSQL:/var/lib/postgresql:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\npostgres:x:104:\n";

/// Writes the root file system to stdout.
pub fn rootfs(words: &[String]) -> Result<()> {
    let (baked, git) = baked(words)?;
    let own = Path::new("/proc/self/exe");
    let mut binary = Vec::new();
    File::open(own).and_then(|mut file| file.read_to_end(&mut binary)).map_err(Failure::at("read", own))?;
    let mut sink = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let programs = if git { with_libraries(&GIT_PROGRAMS)? } else { Vec::new() };
    write_rootfs(&baked, &binary, &programs, &mut sink)
        .and_then(|()| sink.flush())
        .map_err(Failure::of("cannot write the image"))
}

/// Prints the configuration of the image, one instruction a line.
pub fn changes(words: &[String]) -> Result<()> {
    instructions(&baked(words)?.0).iter().for_each(|line| say::out(line));
    Ok(())
}

/// The behaviour, and whether Git is wanted.
fn baked(words: &[String]) -> Result<(Baked, bool)> {
    let mut options = Options::read(words)?;
    let baked = Baked::take(&mut options)?;
    let git = match options.one::<String>("git")?.as_deref() {
        None | Some("off") => false,
        Some("on") => true,
        Some(other) => return Err(Failure::new(format!("--git is on or off, not {other}"))),
    };
    options.finish()?;
    Ok((baked, git))
}

/// Programs of this host, then the loader and the libraries that `ldd` names, each at its own path.
fn with_libraries(programs: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut paths: Vec<String> = programs.iter().map(ToString::to_string).collect();
    for program in programs {
        let said = Command::new("ldd").arg(program).output().map_err(Failure::of("cannot run ldd"))?;
        if !said.status.success() {
            return Err(Failure::new(format!("ldd {program}: {}", String::from_utf8_lossy(&said.stderr).trim())));
        }
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let needed = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        paths.extend(needed.map(str::to_owned));
    }
    paths.sort();
    paths.dedup();
    let read = |path: String| {
        let bytes = std::fs::read(&path).map_err(Failure::at("read", Path::new(&path)))?;
        Ok((path, bytes))
    };
    paths.into_iter().map(read).collect()
}

fn write_rootfs(baked: &Baked, binary: &[u8], programs: &[(String, Vec<u8>)], sink: &mut dyn Write) -> io::Result<()> {
    let mut tar = Builder::new(sink);
    for directory in DIRECTORIES {
        entry(&mut tar, EntryType::Directory, directory, 0o755, &[])?;
    }
    entry(&mut tar, EntryType::Directory, "tmp/", 0o1777, &[])?;
    let text = |value: serde_json::Value| format!("{value:#}\n").into_bytes();
    let behaviour = serde_json::to_value(baked).map_err(io::Error::other)?;
    entry(&mut tar, EntryType::Regular, "etc/passwd", 0o644, PASSWD.as_bytes())?;
    entry(&mut tar, EntryType::Regular, "etc/group", 0o644, GROUP.as_bytes())?;
    if baked.release().map_err(io::Error::other)?.has(Feature::InfoFile) {
        entry(&mut tar, EntryType::Regular, inside(paths::INFO), 0o644, &text(baked.info()))?;
    } else {
        let script = format!("exports.VERSION = \"{}\"\n", baked.version);
        entry(&mut tar, EntryType::Regular, inside(paths::OLD_VERSION), 0o644, script.as_bytes())?;
    }
    entry(&mut tar, EntryType::Regular, inside(paths::BEHAVIOUR), 0o644, &text(behaviour))?;
    entry(&mut tar, EntryType::Regular, inside(paths::BINARY), 0o755, binary)?;
    for (path, bytes) in programs {
        entry(&mut tar, EntryType::Regular, inside(path), 0o755, bytes)?;
    }
    for link in paths::LINKS {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, inside(link), paths::BINARY)?;
    }
    tar.finish()
}

fn entry(tar: &mut Builder<&mut dyn Write>, kind: EntryType, path: &str, mode: u32, body: &[u8]) -> io::Result<()> {
    let mut header = header(kind, mode, body.len() as u64);
    tar.append_data(&mut header, path, body)
}

fn header(kind: EntryType, mode: u32, size_bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size_bytes);
    header.set_mtime(BUILT_AT);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// The health check's interval shrinks with the pace, but not below what an engine can keep up with.
fn instructions(baked: &Baked) -> Vec<String> {
    let millis = |seconds: f64, floor: u64| ((seconds * baked.scale * 1000.0) as u64).max(floor);
    let (interval, timeout, start) = (millis(15.0, 500), millis(15.0, 5000), millis(45.0, 1000));
    let health =
        format!("HEALTHCHECK --interval={interval}ms --timeout={timeout}ms --start-period={start}ms --retries=3");
    let labelled = baked.release().is_ok_and(|release| release.has(Feature::ImageLabel));
    let version = labelled.then(|| format!("LABEL org.opencontainers.image.version={}", baked.version));
    let mut all: Vec<String> = vec![
        r#"ENTRYPOINT ["/opt/appsmith/entrypoint.sh"]"#.into(),
        r#"CMD ["/usr/bin/supervisord","-n"]"#.into(),
        "WORKDIR /opt/appsmith".into(),
        "VOLUME /appsmith-stacks".into(),
        "EXPOSE 80 443".into(),
        "ENV IN_DOCKER=1".into(),
        "ENV TMP=/tmp/appsmith".into(),
        "ENV WWW_PATH=/tmp/appsmith/www".into(),
        "ENV PATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        "LABEL org.opencontainers.image.title=appsmith-stand-in".into(),
        format!(r#"{health} CMD ["/opt/appsmith/healthcheck.sh"]"#),
    ];
    all.extend(version);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(words: &[&str]) -> Baked {
        baked(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap().0
    }

    #[test]
    fn the_tar_holds_the_binary_its_names_and_its_behaviour() {
        let mut bytes = Vec::new();
        write_rootfs(&image(&["--version", "v2.4.2"]), b"ELF", &[("/usr/bin/git".into(), b"GIT".to_vec())], &mut bytes)
            .unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert!(names.iter().any(|name| name == "opt/appsmith/info.json"));
        for wanted in [
            "usr/bin/git",
            "opt/standin/git-ssh",
            "opt/standin/standin",
            "usr/bin/supervisorctl",
            "opt/appsmith/standin.json",
            "tmp/",
        ] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} is missing in {names:?}");
        }
    }

    #[test]
    fn the_version_label_and_a_scaled_health_check_are_there() {
        let lines = instructions(&image(&["--version", "v2.5.1", "--scale", "0.1"]));
        assert!(lines.contains(&"LABEL org.opencontainers.image.version=v2.5.1".to_owned()));
        let health = lines.iter().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
        let old = instructions(&image(&["--version", "v1.9.2"]));
        assert!(!old.iter().any(|line| line.contains("image.version")), "old images have no such label");
        assert!(health.contains("--interval=1500ms") && health.ends_with(r#"CMD ["/opt/appsmith/healthcheck.sh"]"#));
    }
}
