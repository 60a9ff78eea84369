//! Only a whole archive passes.
use bytes::Bytes;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use tidegate::model::part::Cover;
use tidegate::stream::StreamError;
use tidegate::stream::tar::{Parser, join, place, walk};

use super::{body, now};

pub fn header(name: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    header
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn passes(bytes: &[u8], step: usize) -> Result<u64, StreamError> {
    let (stream, count) = walk(body(bytes, step));
    let passed = now(stream)?;
    assert_eq!(passed, bytes);
    Ok(count.get())
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions(records.iter().copied()).unwrap();
    builder.get_ref().clone()
}

fn gnu_long(kind: EntryType, text: &[u8]) -> Vec<u8> {
    let mut long = header(b"././@LongLink", text.len() as u64 + 1);
    long.set_entry_type(kind);
    long.set_cksum();
    let mut body = text.to_vec();
    body.resize((text.len() / 512 + 1) * 512, 0);
    [long.as_bytes().as_slice(), &body].concat()
}

fn ended(parts: &[&[u8]]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whole_archives_pass_however_they_are_cut_into_blocks(
        files in proptest::collection::vec(("[a-z]{1,150}", proptest::collection::vec(any::<u8>(), 0..1500)), 0..5),
        step in 1usize..2000,
        fill in 0usize..20,
    ) {
        let mut bytes = archive(&files);
        prop_assert_eq!(passes(&bytes, step).unwrap(), files.len() as u64);
        bytes.resize(bytes.len() + fill * 512, 0);
        prop_assert_eq!(passes(&bytes, step).unwrap(), files.len() as u64);
    }

    /// Whatever comes, it is an answer and not a panic.
    #[test]
    fn a_damaged_archive_is_no_panic(at in any::<proptest::sample::Index>(), value in any::<u8>(), step in 1usize..600) {
        let mut bytes = small();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = passes(&bytes, step);
        let _ = now(place(vec![(body(&bytes, step), "v0".into())]).0);
    }
}

/// A file, a long name in both styles, a folder, an empty file.
fn small() -> Vec<u8> {
    let long = "d/".repeat(60) + &"n".repeat(150);
    ended(&[
        header(b"a", 3).as_bytes(),
        b"abc",
        &[0; 509],
        &pax(&[("path", long.as_bytes()), ("mtime", b"1.5")]),
        header(b"x", 0).as_bytes(),
        &gnu_long(EntryType::GNULongName, long.as_bytes()),
        header(b"y", 513).as_bytes(),
        &[7; 513],
        &[0; 511],
        header(b"empty", 0).as_bytes(),
    ])
}

#[test]
fn every_shorter_archive_is_an_error() {
    let bytes = small();
    assert_eq!(passes(&bytes, 700).unwrap(), 4);
    for cut in 0..bytes.len() {
        let error = passes(&bytes[..cut], 700).unwrap_err();
        let known = matches!(error, StreamError::TruncatedArchive { .. } | StreamError::MissingArchiveEnd { .. });
        assert!(known, "cut at {cut}: {error}");
        let placed = place(vec![(body(&bytes[..cut], 700), "v0".into())]).0;
        assert!(now(placed).is_err(), "cut at {cut}");
        assert!(now(join(vec![source(&bytes[..cut]), source(&bytes)], &[]).0).is_err(), "cut at {cut}");
    }
}

fn source(bytes: &[u8]) -> tidegate::stream::tar::Source {
    tidegate::stream::tar::Source { tar: body(bytes, 700), strip: String::new(), prefix: String::new() }
}

/// Such an archive would be read by some to its middle only, and by others as something else.
#[test]
fn what_readers_disagree_about_is_refused() {
    let file = header(b"f", 0);
    let folder_with_content = {
        let mut header = header(b"d/", 512);
        header.set_entry_type(EntryType::Directory);
        header.set_cksum();
        header
    };
    let sparse = {
        let mut header = header(b"s", 0);
        header.set_entry_type(EntryType::GNUSparse);
        header.set_cksum();
        header
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("bytes after the end", [ended(&[file.as_bytes()]), file.as_bytes().to_vec()].concat()),
        ("a lone zero block", ended(&[&[0; 512], file.as_bytes()])),
        ("content of a folder", ended(&[folder_with_content.as_bytes(), &[1; 512]])),
        ("an old sparse file", ended(&[sparse.as_bytes()])),
        ("a PAX sparse file", ended(&[&pax(&[("GNU.sparse.name", b"../evil")]), file.as_bytes()])),
        ("two names", ended(&[&pax(&[("path", b"a")]), &gnu_long(EntryType::GNULongName, b"b"), file.as_bytes()])),
        ("a key twice", ended(&[&pax(&[("path", b"a"), ("path", b"b")]), file.as_bytes()])),
        ("an empty name", ended(&[&pax(&[("path", b"")]), file.as_bytes()])),
        ("a name with a NUL", ended(&[&pax(&[("path", b"a\0b")]), file.as_bytes()])),
        ("a size that is none", ended(&[&pax(&[("size", b"-1")]), file.as_bytes()])),
        ("an extension without an entry", ended(&[&pax(&[("path", b"a")])])),
        ("an extension of 2 MiB", ended(&[&pax(&[("path", &[b'a'; 2 << 20])]), file.as_bytes()])),
    ];
    for (what, bytes) in cases {
        assert!(passes(&bytes, 500).is_err(), "{what}");
    }
}

/// The name that counts may stand in a header before the entry's own.
#[test]
fn a_name_that_escapes_is_found_wherever_it_stands() {
    let good = header(b"good", 0);
    let link = |target: &[u8]| {
        let mut header = header(b"good", 0);
        header.set_entry_type(EntryType::Link);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        header
    };
    let split = {
        let mut header = header(b"evil", 0);
        header.as_ustar_mut().unwrap().prefix[..4].copy_from_slice(b"a/..");
        header.set_cksum();
        header
    };
    let cases: Vec<Vec<u8>> = vec![
        ended(&[header(b"../evil", 0).as_bytes()]),
        ended(&[header(b"/evil", 0).as_bytes()]),
        ended(&[header(b"a/..", 0).as_bytes()]),
        ended(&[split.as_bytes()]),
        ended(&[&pax(&[("path", b"a/../../evil")]), good.as_bytes()]),
        ended(&[&pax(&[("path", b"/evil")]), good.as_bytes()]),
        ended(&[&gnu_long(EntryType::GNULongName, b"/evil"), good.as_bytes()]),
        ended(&[&gnu_long(EntryType::GNULongName, b"a/../evil"), good.as_bytes()]),
        ended(&[link(b"/etc/passwd").as_bytes()]),
        ended(&[link(b"../evil").as_bytes()]),
        ended(&[&pax(&[("linkpath", b"../evil")]), link(b"good").as_bytes()]),
        ended(&[&gnu_long(EntryType::GNULongLink, b"/etc/passwd"), link(b"good").as_bytes()]),
    ];
    for (index, bytes) in cases.iter().enumerate() {
        let error = passes(bytes, 100).unwrap_err();
        assert!(matches!(error, StreamError::EscapingEntry { .. }), "case {index}: {error}");
    }
    let mut symlink = header(b"good", 0);
    symlink.set_entry_type(EntryType::Symlink);
    symlink.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
    symlink.set_cksum();
    assert_eq!(passes(&ended(&[symlink.as_bytes()]), 100).unwrap(), 1, "a symlink may point anywhere");
}

/// A file over 8 GiB has its size only in the PAX record before it, or in GNU's binary form.
#[test]
fn sizes_that_octal_cannot_hold() {
    const SIZE: u64 = 9 << 30;
    let by_pax = [pax(&[("size", SIZE.to_string().as_bytes())]), header(b"big", 0).as_bytes().to_vec()].concat();
    let by_gnu = {
        let mut header = Header::new_gnu();
        header.set_path("big").unwrap();
        header.set_size(SIZE);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for start in [by_pax, by_gnu] {
        let mut parser = Parser::default();
        let mut feed = |mut bytes: Bytes| while parser.next(&mut bytes).unwrap().is_some() {};
        feed(Bytes::from(start));
        let block = Bytes::from(vec![b'x'; 1 << 20]); // no zeros: a walker that lost count would not take it for an end
        for _ in 0..SIZE >> 20 {
            feed(block.clone());
        }
        assert!(matches!(parser.finish(), Err(StreamError::MissingArchiveEnd { .. })));
        let mut end = Bytes::from_static(&[0; 1024]);
        while parser.next(&mut end).unwrap().is_some() {}
        parser.finish().unwrap();
    }
}

/// The part of these tests covers `data` without `data/log`, and the folder `git`.
fn confined(bytes: &[u8]) -> Result<(), StreamError> {
    let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let cover = Cover { include: own(&["data", "git"]), exclude: own(&["data/log", "git/deep/other"]) };
    now(tidegate::stream::tar::confined(body(bytes, 700), &cover)).map(drop)
}

fn entry(name: &str, kind: EntryType, link: &str) -> Vec<u8> {
    let mut header = header(name.as_bytes(), 0);
    header.set_entry_type(kind);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn nothing_lies_outside_of_its_part() {
    let file = |name| entry(name, EntryType::Regular, "");
    let link = |name, to| entry(name, EntryType::Symlink, to);
    let hard = |name, to| entry(name, EntryType::Link, to);
    let folder = |name| entry(name, EntryType::Directory, "");
    // Wherever a link leads, it is only a link.
    let fine =
        [folder("data/"), file("data/a"), link("data/b", "/etc"), link("git/c", "../../../x"), hard("git/d", "data/a")];
    confined(&ended(&fine.iter().map(Vec::as_slice).collect::<Vec<_>>())).unwrap();
    let bad: &[(&str, Vec<Vec<u8>>)] = &[
        ("another place", vec![file("logs/a")]),
        ("beside it", vec![file("database")]),
        ("the root", vec![folder("./")]),
        ("what belongs to another part", vec![file("data/log/a")]),
        ("what is ours", vec![file(".tidegate/run/aside/x")]),
        ("the marker", vec![file("./.tidegate-filling")]),
        ("through a link", vec![link("data/b", "/etc"), file("data/b/passwd")]),
        ("through a link, spelled otherwise", vec![link("data//./b", ".."), file("data/b/../x")]),
        ("through a link far above", vec![link("git/c", "."), folder("git/c/d/e/")]),
        ("a folder in a link's place", vec![link("data/b", "/etc"), folder("data/b/"), file("data/b/passwd")]),
        ("a hard link to somewhere else", vec![hard("data/b", "logs/a")]),
        ("a hard link through a link", vec![link("data/b", "/etc"), hard("data/c", "data/b/shadow")]),
        ("a link on another part's way", vec![link("git/deep", "/etc")]),
        ("a link in another part's place", vec![link("data/log", "/etc")]),
    ];
    for (what, entries) in bad {
        let found = confined(&ended(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        assert!(
            matches!(found, Err(StreamError::UnsupportedEntry { .. } | StreamError::EscapingEntry { .. })),
            "{what}: {found:?}"
        );
    }
}
