//! What all sections of one file share: the text, the variables, and everything found wrong so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::de::DeTable;

use super::environment::{Environment, variable};
use super::problem::{Place, Problem};
use super::section::Section;

/// One key that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// With its sections, such as `store.part_size`.
    pub key: String,
    /// As the file would say it; `None` where there is neither a value nor a default.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file or a variable.
    Given(Place),
}

/// The tables of a TOML text, or every mistake in its syntax. No mistake shows the text of its line, which may
/// hold a secret.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, Vec<Problem>> {
    let (table, mistakes) = DeTable::parse_recoverable(text);
    if mistakes.is_empty() {
        return Ok(table.into_inner());
    }
    let problem = |mistake: &toml::de::Error| {
        let place = mistake.span().map_or(Place::File, |span| {
            let (line, column) = position(text, span.start);
            Place::Line(line, Some(column))
        });
        Problem { place, text: format!("not TOML: {}", mistake.message()) }
    };
    Err(mistakes.iter().map(problem).collect())
}

/// Line and column, both from 1, of the byte at `offset`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// What all sections of one file share.
pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) folder: &'a Path,
    pub(super) environment: &'a Environment,
    problems: Vec<Problem>,
    settings: Vec<Setting>,
    places: BTreeMap<String, Place>,
    variables: BTreeSet<String>,
    wrong: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// For one text; relative paths are relative to `folder`.
    pub(super) fn new(text: &'a str, folder: &'a Path, environment: &'a Environment) -> Self {
        Self {
            text,
            folder,
            environment,
            problems: Vec::new(),
            settings: Vec::new(),
            places: BTreeMap::new(),
            variables: BTreeSet::new(),
            wrong: BTreeSet::new(),
        }
    }

    /// Reads the whole file.
    pub(super) fn read<R>(&mut self, table: &DeTable<'_>, read: impl FnOnce(&mut Section<'_, 'a, '_>) -> R) -> R {
        Section::open(self, String::new(), Some(table), read)
    }

    /// The line of the byte at `offset`.
    pub(super) fn line(&self, offset: usize) -> Place {
        Place::Line(position(self.text, offset).0, None)
    }

    /// Remembers where the key `path` stands, for problems that are found later.
    pub(super) fn locate(&mut self, path: &str, place: Place) {
        self.places.insert(path.to_owned(), place);
    }

    /// Remembers that the key `path` may be set by a variable, and names it.
    pub(super) fn variable(&mut self, path: &str) -> String {
        let name = variable(path);
        self.variables.insert(name.clone());
        name
    }

    /// Remembers a key that was looked for.
    pub(super) fn note(&mut self, setting: Setting) {
        self.settings.push(setting);
    }

    /// Notes a problem with the key `path`, at its place, or at the nearest section around it.
    pub(super) fn problem(&mut self, path: &str, text: impl AsRef<str>) {
        let place = self.place(path);
        self.wrong.insert(path.to_owned());
        self.problem_at(place, format!("`{path}`: {}", text.as_ref()));
    }

    /// Notes that the key `path` is missing; `write` says what to write.
    pub(super) fn missing(&mut self, path: &str, write: &str) {
        let place = self.place(path);
        self.problem_at(place, format!("`{path}` is missing; {write}"));
    }

    /// Whether a problem with the key `path` was noted already, so that its value says nothing.
    pub(super) fn is_wrong(&self, path: &str) -> bool {
        self.wrong.contains(path)
    }

    /// Notes a problem at `place`; `text` names what it is about.
    pub(super) fn problem_at(&mut self, place: Place, text: String) {
        self.problems.push(Problem { place, text });
    }

    /// Whether the file or a variable says something at `path`, right or wrong.
    pub(super) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// The names right below the section `path`.
    pub(super) fn below<'s>(&'s self, path: &'s str) -> impl Iterator<Item = &'s str> {
        let name = move |key: &'s String| key.strip_prefix(path)?.strip_prefix('.').filter(|name| !name.contains('.'));
        self.places.keys().filter_map(name)
    }

    /// Where the key `path` stands, or the nearest section around it.
    pub(super) fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            match (self.places.get(path), path.rfind(['.', '['])) {
                (Some(place), _) => return place.clone(),
                (None, Some(end)) => path = &path[..end],
                (None, None) => return Place::File,
            }
        }
    }

    /// Every key that was looked for, or every problem.
    pub(super) fn finish(mut self) -> Result<Vec<Setting>, Vec<Problem>> {
        for name in self.environment.overrides().filter(|name| !self.variables.contains(*name)) {
            let hint = did_you_mean(name, self.variables.iter().map(String::as_str));
            let text = format!("there is no such setting{hint}");
            self.problems.push(Problem { place: Place::Variable(name.to_owned()), text });
        }
        self.problems.sort();
        if self.problems.is_empty() { Ok(self.settings) } else { Err(self.problems) }
    }
}

/// ``; did you mean `part_size`?`` where one of the known names is near enough.
pub(super) fn did_you_mean<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let near = |known: &&str| strsim::damerau_levenshtein(name, known) <= (known.len() / 3).max(1);
    let best = known.filter(near).min_by_key(|known| strsim::damerau_levenshtein(name, known));
    best.map_or(String::new(), |best| format!("; did you mean `{best}`?"))
}
