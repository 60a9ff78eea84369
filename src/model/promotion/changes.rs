//! What changed between two commits, as people read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::thing::{Kind, Thing};

/// How a file or a thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Where in the repository, as Git has it: any bytes.
    pub path: Vec<u8>,
    /// How.
    pub how: How,
}

/// One changed thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub thing: Thing,
    /// How.
    pub how: How,
}

/// The things that changed: those of the whole app first, then page by page. What is on a page that came or went as a
/// whole is not named beside it.
pub fn summarise(deltas: &[Delta]) -> Vec<Change> {
    let mut things: BTreeMap<Thing, How> = BTreeMap::new();
    for delta in deltas {
        let (thing, is_key) = Thing::at(&delta.path);
        let known = things.entry(thing).or_insert(How::Changed);
        // A thing comes and goes with its key file; anything else is a change of it.
        if is_key {
            *known = delta.how;
        }
    }
    let as_a_whole = |thing: &Thing| {
        let page = thing.page.as_ref()?;
        let page = Thing { page: Some(page.clone()), kind: Kind::Page, name: page.clone() };
        things.get(&page).copied().filter(|how| *how != How::Changed && thing.kind != Kind::Page)
    };
    let told = things.iter().filter(|(thing, how)| as_a_whole(thing) != Some(**how));
    told.map(|(thing, how)| Change { thing: thing.clone(), how: *how }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(deltas: &[(&str, How)]) -> Vec<String> {
        let delta = |(path, how): &(&str, How)| Delta { path: path.as_bytes().to_vec(), how: *how };
        let changes = summarise(&deltas.iter().map(delta).collect::<Vec<_>>());
        changes.iter().map(|change| format!("{} {:?}", change.thing, change.how)).collect()
    }

    #[test]
    fn a_query_is_one_thing_of_two_files() {
        use How::{Added, Changed, Removed};
        let text = "pages/Home/queries/q/q.txt";
        let metadata = "pages/Home/queries/q/metadata.json";
        assert_eq!(told(&[(text, Changed)]), ["query `q` Changed"]);
        assert_eq!(told(&[(metadata, Added), (text, Added)]), ["query `q` Added"]);
        assert_eq!(told(&[(text, Removed), (metadata, Removed)]), ["query `q` Removed"]);
        // Its text came, or went, and it stays.
        assert_eq!(told(&[(text, Added)]), ["query `q` Changed"]);
        assert_eq!(told(&[(text, Removed), (metadata, Changed)]), ["query `q` Changed"]);
    }

    #[test]
    fn a_page_that_came_as_a_whole_is_one_line() {
        use How::{Added, Changed, Removed};
        let page = [
            ("pages/New/New.json", Added),
            ("pages/New/widgets/Text1.json", Added),
            ("pages/New/queries/q/metadata.json", Added),
            ("pages/Old/Old.json", Removed),
            ("pages/Old/widgets/Text1.json", Removed),
            ("pages/Home/widgets/Table1.json", Changed),
            ("datasources/Orders DB.json", Added),
            ("metadata.json", Changed),
        ];
        let lines = [
            "data source `Orders DB` Added",
            "the format of its files Changed",
            "widget `Table1` Changed",
            "page `New` Added",
            "page `Old` Removed",
        ];
        assert_eq!(told(&page), lines);
    }
}
