//! Renaming, leaving out, joining: against the `tar` crate and GNU tar.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tar::{Archive, Builder, EntryType};
use tidegate::stream::StreamError;
use tidegate::stream::tar::{Source, join, place, walk};

use super::walk::header;
use super::{body, now};

fn source(bytes: &[u8], step: usize, strip: &str, prefix: &str) -> Source {
    Source { tar: body(bytes, step), strip: strip.into(), prefix: prefix.into() }
}

/// What a reader sees of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: u8,
    link: Option<Vec<u8>>,
    content: Vec<u8>,
    mode: u32,
    extra: BTreeMap<String, Vec<u8>>,
}

fn read(bytes: &[u8]) -> Vec<(Vec<u8>, Seen)> {
    use std::io::Read;
    let mut archive = Archive::new(bytes);
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let mut extra = BTreeMap::new();
        if let Some(records) = entry.pax_extensions().unwrap() {
            for record in records {
                let record = record.unwrap();
                extra.insert(record.key().unwrap().to_owned(), record.value_bytes().to_vec());
            }
        }
        extra.remove("path");
        extra.remove("linkpath");
        let link = entry.link_name_bytes().map(|link| link.into_owned());
        let kind = entry.header().entry_type().as_byte();
        let mode = entry.header().mode().unwrap();
        seen.push((entry.path_bytes().into_owned(), Seen { kind, link, content, mode, extra }));
    }
    seen
}

/// An archive as Docker's: ustar, and PAX records where those do not do.
fn docker(entries: &[(Vec<u8>, Vec<u8>, bool)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut first: Option<Vec<u8>> = None;
    for (index, (name, content, as_link)) in entries.iter().enumerate() {
        let target = first.clone().filter(|_| *as_link);
        let mut records: Vec<(&str, &[u8])> = vec![("mtime", b"1234.5"), ("SCHILY.xattr.user.x", b"\xff=\0y")];
        if name.len() > 100 || !name.is_ascii() {
            records.push(("path", name));
        }
        if let Some(target) = target.as_ref().filter(|target| target.len() > 100 || !target.is_ascii()) {
            records.push(("linkpath", target));
        }
        if records.len() > 2 || index % 2 == 0 {
            builder.append_pax_extensions(records).unwrap();
        }
        let size = if target.is_some() { 0 } else { content.len() as u64 };
        let mut header = header(&name[..name.len().min(100)], size);
        if let Some(target) = &target {
            header.set_entry_type(EntryType::Link);
            let short = &target[..target.len().min(100)];
            header.as_old_mut().linkname[..short.len()].copy_from_slice(short);
        } else {
            first.get_or_insert(name.clone());
        }
        header.set_cksum();
        builder.append(&header, if target.is_some() { &[][..] } else { content }).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A path of 1 to 300 bytes that need not be UTF-8. Without line ends: the `tar` crate cannot read them in PAX
/// records. GNU tar can, below.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 97u8..123, 1 => 1u8..=255]
        .prop_map(|byte| if matches!(byte, b'/' | b'\n') { b'_' } else { byte });
    let part = proptest::collection::vec(byte, 1..120)
        .prop_filter("dots mean something", |part| part != b"." && part != b"..");
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join(&b'/')).prop_map(|mut name| {
        name.truncate(300);
        while name.ends_with(b"/") || name.ends_with(b"/.") || name.ends_with(b"/..") {
            name.pop();
        }
        name
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn only_the_front_of_the_names_changes(
        entries in proptest::collection::vec((name(), proptest::collection::vec(any::<u8>(), 0..1200), any::<bool>()), 0..6),
        step in 1usize..1500,
        prefix in "[a-z]{1,80}(/[a-z]{1,80}){0,2}",
    ) {
        let under = |front: &str, name: &[u8]| [front.as_bytes(), b"/", name].concat();
        let entries: Vec<_> = entries.into_iter().map(|(name, content, link)| (under("m", &name), content, link)).collect();
        let tar = docker(&entries);
        let before = read(&tar);

        let (part, count) = join(vec![source(&tar, step, "m", &prefix)], &[]);
        let part = now(part).unwrap();
        prop_assert_eq!(count.get(), entries.len() as u64);
        let moved = |front: &str| -> Vec<_> {
            let renamed = |name: &[u8]| under(front, &name[2..]);
            before.iter().map(|(name, seen)| {
                (renamed(name), Seen { link: seen.link.as_deref().map(renamed), ..seen.clone() })
            }).collect()
        };
        prop_assert_eq!(read(&part), moved(&prefix));

        // What we wrote is what our own walker takes, and the way back changes the front only.
        let (placed, count) = place(vec![(walk(body(&part, step)).0, "v0".into())]);
        let placed = now(placed).unwrap();
        prop_assert_eq!(count.get(), entries.len() as u64);
        prop_assert_eq!(read(&placed), moved(&format!("v0/{prefix}")));
    }
}

fn names(bytes: &[u8]) -> Vec<String> {
    read(bytes).into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
}

fn folder(name: &str) -> tar::Header {
    let mut header = header(name.as_bytes(), 0);
    header.set_entry_type(EntryType::Directory);
    header.set_cksum();
    header
}

fn link(name: &str, target: &str, kind: EntryType) -> tar::Header {
    let mut header = header(name.as_bytes(), 0);
    header.set_entry_type(kind);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    header
}

fn tar_of(headers: &[tar::Header]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for header in headers {
        let content = vec![b'c'; header.size().unwrap() as usize];
        builder.append(header, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn several_archives_become_one_with_one_end() {
    let one = tar_of(&[folder("mongodb/"), header(b"mongodb/a", 700)]);
    let two = tar_of(&[header(b"docker.env", 5)]);
    let sources =
        vec![source(&one, 100, "mongodb", "data/mongodb"), source(&two, 100, "docker.env", "configuration/docker.env")];
    let (joined, count) = join(sources, &[]);
    let joined = now(joined).unwrap();
    assert_eq!(names(&joined), ["data/mongodb/", "data/mongodb/a", "configuration/docker.env"]);
    assert_eq!(count.get(), 3);
    let ends = joined.chunks(512).rev().take_while(|block| block.iter().all(|byte| *byte == 0)).count();
    assert_eq!((ends, joined.len() % 512), (2, 0));

    let (placed, _) = place(vec![(body(&joined, 99), "v0".into()), (body(&joined, 99), "v1".into())]);
    assert_eq!(names(&now(placed).unwrap())[2..4], ["v0/configuration/docker.env", "v1/data/mongodb/"]);
    assert_eq!(now(join(Vec::new(), &[]).0).unwrap(), [0; 1024]);
}

#[test]
fn the_root_of_a_mount_is_kept_as_such() {
    let tar = tar_of(&[folder("v0/"), header(b"v0/a", 1), header(b"v0/./b//c", 1)]);
    let part = now(join(vec![source(&tar, 64, "v0", "")], &[]).0).unwrap();
    assert_eq!(names(&part), ["./", "a", "b/c"]);
    let placed = now(place(vec![(body(&part, 64), "v7".into())]).0).unwrap();
    assert_eq!(names(&placed), ["v7/", "v7/a", "v7/b/c"]);
}

#[test]
fn excluded_paths_and_what_is_ours_are_left_out() {
    let tar = tar_of(&[
        folder("v0/"),
        folder("v0/logs/"),
        header(b"v0/logs/x", 3000),
        header(b"v0/logs2", 1),
        folder("v0/data/"),
        header(b"v0/data/mongod.lock", 1),
        header(b"v0/data/keep", 600),
        folder("v0/.tidegate/"),
        header(b"v0/.tidegate/r/aside/x", 9),
        header(b"v0/.tidegate-filling", 3),
        header(b"v0/data/.tidegate", 2),
    ]);
    let exclude = ["logs".to_owned(), "/data/mongod.lock/".to_owned(), String::new()];
    let (part, count) = join(vec![source(&tar, 33, "v0", "")], &exclude);
    let part = now(part).unwrap();
    assert_eq!(names(&part), ["./", "logs2", "data/", "data/keep", "data/.tidegate"]);
    assert_eq!(count.get(), 5);
    assert!(walk_ok(&part));
    // Exclusions are relative to the mount, not to the archive.
    let deep = tar_of(&[header(b"data/keep", 1), header(b"data/mongod.lock", 1)]);
    let part = now(join(vec![source(&deep, 33, "data", "data")], &exclude).0).unwrap();
    assert_eq!(names(&part), ["data/keep"]);
    // And nothing of ours is ever put back.
    let evil = tar_of(&[header(b".tidegate/r/journal", 1), header(b"./.tidegate-filling", 1), header(b"a", 1)]);
    assert_eq!(names(&now(place(vec![(body(&evil, 9), "v0".into())]).0).unwrap()), ["v0/a"]);
}

fn walk_ok(bytes: &[u8]) -> bool {
    now(walk(body(bytes, 77)).0).is_ok()
}

#[test]
fn links_follow_their_files_or_are_refused() {
    let hard = |target| tar_of(&[header(b"v0/a", 1), link("v0/b", target, EntryType::Link)]);
    let joined = |tar: &[u8]| now(join(vec![source(tar, 50, "v0", "d")], &["d/logs".to_owned()]).0);
    assert_eq!(read(&joined(&hard("v0/a")).unwrap())[1].1.link.as_deref(), Some(&b"d/a"[..]));
    let error = joined(&hard("v0/logs/x")).unwrap_err();
    assert!(
        matches!(&error, StreamError::LinkToExcluded { entry, target } if entry == "v0/b" && target == "v0/logs/x"),
        "{error}"
    );
    assert!(matches!(joined(&hard("other/a")).unwrap_err(), StreamError::UnsupportedEntry { .. }));
    let symbolic = tar_of(&[link("v0/s", "v0/logs/../../../x", EntryType::Symlink)]);
    assert_eq!(read(&joined(&symbolic).unwrap())[0].1.link.as_deref(), Some(&b"v0/logs/../../../x"[..]));
    let elsewhere = tar_of(&[header(b"v1/a", 1)]);
    assert!(matches!(joined(&elsewhere).unwrap_err(), StreamError::UnsupportedEntry { .. }));
}

fn gnu_tar(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut command = Command::new("tar");
    command.current_dir(folder).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = feed.join().unwrap();
    assert!(output.status.success(), "tar {args:?}");
    output.stdout
}

/// Path below the folder: what lies there; hard links are told by their number of names.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(path) = left.pop() {
        let about = std::fs::symlink_metadata(&path).unwrap();
        let content = if about.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if about.is_symlink() {
            std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            std::fs::read(&path).unwrap()
        };
        let names = if about.is_dir() { 1 } else { about.nlink() };
        found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), (about.mode(), names, content));
    }
    found
}

#[test]
fn gnu_tar_writes_and_unpacks_it() {
    let made = tempfile::tempdir().unwrap();
    let root = made.path().join("m");
    std::fs::create_dir(&root).unwrap();
    for size in [1, 60, 99, 100, 101, 155, 156, 200, 255] {
        std::fs::write(root.join("n".repeat(size)), vec![1; size * 9]).unwrap();
        let deep = root.join("d".repeat(size)).join("e".repeat(40));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("f"), "deep").unwrap();
        std::fs::hard_link(deep.join("f"), deep.join("g".repeat(size))).unwrap();
    }
    std::fs::write(root.join(OsStr::from_bytes(b"not utf-8 \xff\xfe \n")), "x").unwrap();
    symlink("../../outside", root.join("dangling")).unwrap();
    symlink("n".repeat(300), root.join("long target")).unwrap();
    for format in ["--format=pax", "--format=gnu", "--format=posix"] {
        let tar = gnu_tar(made.path(), &[format, "-cf", "-", "m"], &[]);
        let part = now(join(vec![source(&tar, 10_000, "m", "data/some/where")], &[]).0).unwrap();
        let placed = now(place(vec![(body(&part, 10_000), "v0".into())]).0).unwrap();
        let target = tempfile::tempdir().unwrap();
        gnu_tar(target.path(), &["-xpf", "-"], &placed);
        assert_eq!(tree(&target.path().join("v0/data/some/where")), tree(&root), "{format}");
    }
}
