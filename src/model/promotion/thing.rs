//! What the files of an app's repository are, in the layout that Appsmith writes: format 5, and the folder names of the
//! formats before it (`actions`, `actionCollections`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// More of a name is of no use to a reader.
const NAME_CHARS_MAX: usize = 80;

/// What sort of thing a file belongs to. In the order in which people want to read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A page itself: its name, its layout.
    Page,
    /// A query or an API call.
    Query,
    /// A JS object.
    JsObject,
    /// One widget of a page.
    Widget,
    /// A data source, without its credentials.
    Datasource,
    /// A library that JS objects use.
    JsLibrary,
    /// How the app looks.
    Theme,
    /// The settings of the app.
    App,
    /// In which format the files are.
    Format,
    /// A file that the layout does not know.
    Other,
}

/// One thing of an app, as people call it. Its names come from a repository: they are cleaned of what a terminal would
/// obey, and cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Thing {
    /// Where it is; `None` for what belongs to the whole app.
    pub page: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Its name; the page's own for a page.
    pub name: String,
}

impl Thing {
    /// What the file at `path` belongs to, and whether that file comes and goes with the thing itself.
    pub fn at(path: &[u8]) -> (Self, bool) {
        let text = String::from_utf8_lossy(path);
        let parts: Vec<&str> = text.split('/').collect();
        let whole = |kind, name: &str| (Self { page: None, kind, name: clean(name) }, true);
        let on =
            |page: &str, kind, name: &str, is_key| (Self { page: Some(clean(page)), kind, name: clean(name) }, is_key);
        match parts.as_slice() {
            ["application.json"] => whole(Kind::App, "settings"),
            ["metadata.json"] => whole(Kind::Format, "metadata.json"),
            ["theme.json"] => whole(Kind::Theme, "theme"),
            ["datasources", file] => whole(Kind::Datasource, stem(file)),
            ["jslibs", file] => whole(Kind::JsLibrary, stem(file)),
            ["pages", page, file] if stem(file) == *page => on(page, Kind::Page, page, true),
            ["pages", page, "widgets", .., file] => on(page, Kind::Widget, stem(file), true),
            ["pages", page, "queries" | "actions", rest @ ..] if !rest.is_empty() => {
                on(page, Kind::Query, stem(rest[0]), is_key(rest))
            }
            ["pages", page, "jsobjects" | "actionCollections", rest @ ..] if !rest.is_empty() => {
                on(page, Kind::JsObject, stem(rest[0]), is_key(rest))
            }
            _ => whole(Kind::Other, &text),
        }
    }
}

/// A query is a folder of a text and its `metadata.json`, or one file in older formats.
fn is_key(rest: &[&str]) -> bool {
    matches!(rest, [_] | [_, "metadata.json"])
}

fn stem(file: &str) -> &str {
    [".json", ".txt", ".js"].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file)
}

fn clean(name: &str) -> String {
    printable(name, NAME_CHARS_MAX)
}

/// A text from outside without what a terminal would obey, and without marks that make it look like another; cut where it
/// is long.
pub fn printable(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() || is_format(c) { '\u{fffd}' } else { c });
    let mut text: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

/// Marks that turn the direction of text, or have no width: a name could look like another with them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Page => "page",
            Self::Query => "query",
            Self::JsObject => "JS object",
            Self::Widget => "widget",
            Self::Datasource => "data source",
            Self::JsLibrary => "JS library",
            Self::Theme => "theme",
            Self::App => "app",
            Self::Format => "format",
            Self::Other => "file",
        })
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Theme => f.write_str("the theme"),
            Kind::App => f.write_str("the app's settings"),
            Kind::Format => f.write_str("the format of its files"),
            kind => write!(f, "{kind} `{}`", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_the_layout_belongs_to_a_thing() {
        let told = |path: &str| {
            let (thing, is_key) = Thing::at(path.as_bytes());
            let page = thing.page.as_deref().map_or(String::new(), |page| format!(" on `{page}`"));
            format!("{thing}{page}{}", if is_key { "" } else { ", a part of it" })
        };
        let known = [
            ("application.json", "the app's settings"),
            ("metadata.json", "the format of its files"),
            ("theme.json", "the theme"),
            ("datasources/Orders DB.json", "data source `Orders DB`"),
            ("jslibs/xmlParser.json", "JS library `xmlParser`"),
            ("pages/Home/Home.json", "page `Home` on `Home`"),
            ("pages/Home/widgets/Container1/Table1.json", "widget `Table1` on `Home`"),
            ("pages/Home/queries/getOrders/metadata.json", "query `getOrders` on `Home`"),
            ("pages/Home/queries/getOrders/getOrders.txt", "query `getOrders` on `Home`, a part of it"),
            ("pages/Home/actions/getOrders.json", "query `getOrders` on `Home`"),
            ("pages/Home/jsobjects/Utils/Utils.js", "JS object `Utils` on `Home`, a part of it"),
            ("pages/Home/jsobjects/Utils/metadata.json", "JS object `Utils` on `Home`"),
            ("README.md", "file `README.md`"),
            ("pages/Home/other", "file `pages/Home/other`"),
            ("pages/Home/queries", "file `pages/Home/queries`"),
        ];
        for (path, text) in known {
            assert_eq!(told(path), text, "{path}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_from_names() {
        let (thing, _) = Thing::at(b"pages/\x1b[31mHome/widgets/a\xffb\xe2\x80\xaec.json");
        assert_eq!((thing.page.as_deref(), thing.name.as_str()), (Some("\u{fffd}[31mHome"), "a\u{fffd}b\u{fffd}c"));
        let (long, _) = Thing::at(format!("datasources/{}.json", "x".repeat(500)).as_bytes());
        assert_eq!(long.name.chars().count(), NAME_CHARS_MAX + 1);
    }
}
