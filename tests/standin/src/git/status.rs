//! What is changed in a clone, sorted as the interface shows it.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How a file differs from the last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has another content.
    Modified,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// Kinds of things with their field's first half, and how a path names one of them.
const KINDS: [&str; 7] = ["pages", "queries", "jsObjects", "datasources", "jsLibs", "themes", "others"];

/// Reads `git status --porcelain=v1 -z --no-renames`.
pub fn read(porcelain: &str) -> Vec<(Change, String)> {
    let entry = |entry: &str| {
        let (code, path) = entry.split_at_checked(3)?;
        let change = match code.trim() {
            "??" | "A" | "AM" => Change::Added,
            code if code.contains('D') => Change::Removed,
            _ => Change::Modified,
        };
        Some((change, path.to_owned()))
    };
    porcelain.split('\0').filter_map(entry).collect()
}

/// The lists of a status answer.
pub fn lists(changes: &[(Change, String)]) -> Map<String, Value> {
    let mut fields = Map::new();
    let paths = |change| changes.iter().filter(move |(each, _)| *each == change).map(|(_, path)| path.as_str());
    for (field, change) in [("modified", Change::Modified), ("added", Change::Added), ("removed", Change::Removed)] {
        fields.insert(field.to_owned(), json!(paths(change).collect::<Vec<_>>()));
        for kind in KINDS.into_iter().take(5) {
            let things: BTreeSet<String> =
                paths(change).map(thing).filter(|(each, _)| *each == kind).map(|(_, name)| name).collect();
            let mut word = field.to_owned();
            word.get_mut(..1).map(str::make_ascii_uppercase);
            fields.insert(format!("{kind}{word}"), json!(things));
        }
    }
    let modified: Vec<(&str, String)> = paths(Change::Modified).map(thing).collect();
    let count = |kind: &str| modified.iter().filter(|(each, _)| *each == kind).count();
    for (field, kind) in [
        ("modifiedPages", "pages"),
        ("modifiedQueries", "queries"),
        ("modifiedJSObjects", "jsObjects"),
        ("modifiedDatasources", "datasources"),
        ("modifiedJSLibs", "jsLibs"),
    ] {
        fields.insert(field.to_owned(), json!(count(kind)));
    }
    fields
}

/// The kind and the name of what a file belongs to: `pages/Home/queries/getHome/…` is the query `Home/getHome`.
fn thing(path: &str) -> (&'static str, String) {
    let parts: Vec<&str> = path.split('/').collect();
    let bare = |file: &str| file.strip_suffix(".json").unwrap_or(file).to_owned();
    match parts.as_slice() {
        ["pages", page, "queries", name, ..] => ("queries", format!("{page}/{name}")),
        ["pages", page, "jsobjects", name, ..] => ("jsObjects", format!("{page}/{name}")),
        ["pages", page, ..] => ("pages", (*page).to_owned()),
        ["datasources", file] => ("datasources", bare(file)),
        ["jslibs", file] => ("jsLibs", bare(file)),
        ["theme.json"] => ("themes", "theme".to_owned()),
        _ => ("others", path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_sorted_by_what_they_belong_to() {
        let porcelain = " M pages/Home/widgets/Table1.json\0?? pages/Home/queries/q/q.txt\0 D datasources/a b.json\0 M metadata.json\0";
        let changes = read(porcelain);
        assert_eq!(changes.len(), 4);
        let lists = lists(&changes);
        assert_eq!(lists["modified"], json!(["pages/Home/widgets/Table1.json", "metadata.json"]));
        assert_eq!((&lists["pagesModified"], &lists["queriesAdded"]), (&json!(["Home"]), &json!(["Home/q"])));
        assert_eq!((&lists["datasourcesRemoved"], &lists["modifiedPages"]), (&json!(["a b"]), &json!(1)));
        assert_eq!(lists["pagesAdded"], json!([]));
    }
}
