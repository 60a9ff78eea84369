//! The data of an instance of the matrix: two volumes whose format an upgrade changes for good.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What counts of an instance's data, by place. Logs, locks and Tidegate's own folder do not.
pub type Content = BTreeMap<String, String>;

/// What a file of users is called that they write once they are let in, by the number of the run.
pub fn after_file(run: usize) -> String {
    format!("files/after-{run}")
}

/// What an instance holds at first.
pub fn seed(instance: &str, data: &Path, more: &Path) {
    let put = |path: std::path::PathBuf, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(data.join("db/format"), "1");
    put(data.join("db/rows"), &format!("rows of {instance}\n"));
    put(data.join("db/old-only"), "gone after a migration");
    put(data.join("conf/key"), &format!("key of {instance}"));
    std::os::unix::fs::symlink("key", data.join("conf/link")).unwrap();
    put(data.join("logs/app.log"), "");
    put(more.join("files/format"), "1");
    put(more.join("files/large"), &format!("{instance} ").repeat(6_000));
    put(more.join("cache/x"), "not covered by any part");
}

/// The format that each of the two volumes has; `None` where it is not whole.
pub fn formats(data: &Path, more: &Path) -> Option<(String, String)> {
    let whole = data.join("conf/key").exists() && more.join("files/large").exists() && data.join("db/rows").exists();
    let read = |path| fs::read_to_string(path).ok();
    read(data.join("db/format")).zip(read(more.join("files/format"))).filter(|_| whole)
}

/// The first half of the migration.
pub fn migrate_data(data: &Path) {
    fs::write(data.join("db/format"), "2").unwrap();
    let rows = fs::read_to_string(data.join("db/rows")).unwrap();
    fs::write(data.join("db/rows"), rows + "migrated\n").unwrap();
    let _ = fs::remove_file(data.join("db/old-only"));
    fs::create_dir_all(data.join("new")).unwrap();
    fs::write(data.join("new/thing"), "the old version knows nothing of it").unwrap();
}

/// The second half.
pub fn migrate_more(more: &Path) {
    fs::write(more.join("files/format"), "2").unwrap();
}

/// What a migration makes of it.
pub fn migrated(content: &Content) -> Content {
    let mut after = content.clone();
    after.insert("data/db/format".into(), "2".into());
    after.insert("more/files/format".into(), "2".into());
    if let Some(rows) = after.get_mut("data/db/rows") {
        rows.push_str("migrated\n");
    }
    after.remove("data/db/old-only");
    after.insert("data/new/thing".into(), "the old version knows nothing of it".into());
    after
}

/// What lies there.
pub fn content(data: &Path, more: &Path) -> Content {
    let mut content = Content::new();
    walk(data, "data", &mut content);
    walk(more, "more", &mut content);
    content
}

/// What does not count.
pub fn is_passing(path: &str) -> bool {
    path == "data/db/lock"
        || path == "data/logs"
        || path.ends_with("/.tidegate")
        || path.ends_with("/.tidegate-filling")
}

fn walk(folder: &Path, name: &str, content: &mut Content) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let path = format!("{name}/{}", entry.file_name().to_str().unwrap());
        if is_passing(&path) {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&entry.path(), &path, content);
        } else if kind.is_symlink() {
            content.insert(path, format!("-> {}", fs::read_link(entry.path()).unwrap().display()));
        } else {
            content.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Where two contents differ, in words.
pub fn difference(found: &Content, expected: &Content) -> String {
    let short = |text: Option<&String>| text.map_or("nothing".to_owned(), |text| text.chars().take(30).collect());
    let paths = found.keys().chain(expected.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing = paths.into_iter().filter(|path| found.get(*path) != expected.get(*path));
    let lines =
        differing.map(|path| format!("{path}: {:?}, not {:?}", short(found.get(path)), short(expected.get(path))));
    lines.collect::<Vec<_>>().join("; ")
}
