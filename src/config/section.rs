//! One table of the file, read key by key. Notes what is wrong and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Place;
use super::reader::{Origin, Reader, Setting, did_you_mean};
use super::value::{Value, kind};
use crate::model::ids::InstanceName;

/// One table of the file with the variables that override it. Every key is asked for once; what nobody asked for
/// is an unknown key.
pub(super) struct Section<'r, 'a, 't> {
    reader: &'r mut Reader<'a>,
    /// Empty for the top.
    path: String,
    table: Option<&'t DeTable<'t>>,
    known: BTreeSet<&'static str>,
    /// Whether variables may override its keys; not in lists.
    overridable: bool,
}

impl<'r, 'a, 't> Section<'r, 'a, 't> {
    /// Reads the table at `path` and then reports what nobody asked for.
    pub(super) fn open<R>(
        reader: &'r mut Reader<'a>,
        path: String,
        table: Option<&'t DeTable<'t>>,
        read: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let overridable = !path.contains('[');
        let mut section = Self { reader, path, table, known: BTreeSet::new(), overridable };
        let result = read(&mut section);
        section.report_unknown();
        result
    }

    /// The value of `key`, or `default`.
    pub(super) fn get<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.checked(key, default, |_| Ok(()))
    }

    /// As [`Self::get`], within limits.
    pub(super) fn within<T: Value + PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        limits: RangeInclusive<T>,
    ) -> T {
        self.checked(key, default, |value| {
            let (low, high) = (limits.start().to_toml(), limits.end().to_toml());
            if limits.contains(value) { Ok(()) } else { Err(format!("must be from `{low}` to `{high}`")) }
        })
    }

    /// As [`Self::get`], with a check of what was given. The check says what to write instead.
    pub(super) fn checked<T: Value>(
        &mut self,
        key: &'static str,
        default: T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        let given = self.take(key, check, Some(&default));
        given.unwrap_or(default)
    }

    /// The value of `key`, if there is one.
    pub(super) fn optional<T: Value>(&mut self, key: &'static str) -> Option<T> {
        self.optional_checked(key, |_| Ok(()))
    }

    /// As [`Self::optional`], with a check.
    pub(super) fn optional_checked<T: Value>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        self.take(key, check, None)
    }

    /// The value of `key`, which must be there. `write` says what to write where it is not.
    pub(super) fn required<T: Value>(
        &mut self,
        key: &'static str,
        write: &str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let value = self.take(key, check, None);
        let path = self.path_of(key);
        if value.is_none() && !self.is_given(key) {
            self.reader.missing(&path, write);
        }
        value
    }

    /// The path at `key`; a relative one is relative to the folder of the file.
    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let path = self.get(key, PathBuf::from(default));
        self.reader.folder.join(path)
    }

    /// As [`Self::path`], if there is one.
    pub(super) fn optional_path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.optional::<PathBuf>(key).map(|path| self.reader.folder.join(path))
    }

    /// A list of paths, empty where there is none.
    pub(super) fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        let paths = self.get::<Vec<PathBuf>>(key, Vec::new());
        paths.into_iter().map(|path| self.reader.folder.join(path)).collect()
    }

    /// The path of the file with a secret. `inline` is the key that a person might try instead: it is refused, and
    /// its value shown nowhere.
    pub(super) fn secret_file(&mut self, inline: &'static str, file: &'static str) -> Option<PathBuf> {
        let path = self.path_of(inline);
        let text = format!("a secret must not be written here; put it in a file and name that in `{file}`");
        if let Some((found, _)) = self.table.and_then(|table| table.get_key_value(inline)) {
            let place = self.reader.line(found.span().start);
            self.reader.problem_at(place, format!("`{path}`: {text}"));
        }
        if self.overridable {
            let variable = self.reader.variable(&path);
            if self.reader.environment.get(&variable).is_some() {
                self.reader.problem_at(Place::Variable(variable), text);
            }
        }
        self.known.insert(inline);
        self.optional_path(file)
    }

    /// The table at `key`, which may be left out.
    pub(super) fn section<R>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 'a, 't>) -> R) -> R {
        let table = self.table_at(key);
        let path = self.path_of(key);
        Section::open(self.reader, path, table, read)
    }

    /// As [`Self::section`]; `None` where neither the file nor a variable says anything about it.
    pub(super) fn optional_section<R>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'a, 't>) -> Option<R>,
    ) -> Option<R> {
        let given = self.is_given(key) || self.reader.environment.overrides_section(&self.path_of(key));
        if given { self.section(key, read) } else { None }
    }

    /// The tables of the table at `key`, by their names, which a person chose.
    pub(super) fn named_sections<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&InstanceName, &mut Section<'_, 'a, 't>) -> Option<R>,
    ) -> BTreeMap<InstanceName, R> {
        let mut all = BTreeMap::new();
        let path = self.path_of(key);
        for (name, value) in self.table_at(key).into_iter().flatten() {
            let path = format!("{path}.{}", name.get_ref());
            let place = self.reader.line(name.span().start);
            self.reader.locate(&path, place);
            match (InstanceName::new(name.get_ref().as_ref()), value.get_ref()) {
                (Err(error), _) => self.reader.problem(&path, error.to_string()),
                (Ok(_), value) if !matches!(value, DeValue::Table(_)) => self.not_a_table(&path, value),
                (Ok(name), DeValue::Table(table)) => {
                    let one = Section::open(self.reader, path, Some(table), |section| read(&name, section));
                    all.extend(one.map(|one| (name, one)));
                }
                (Ok(_), _) => {}
            }
        }
        all
    }

    /// The tables of the list at `key`, such as `[[instances.x.checks]]`.
    pub(super) fn list<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_, 'a, 't>) -> Option<R>,
    ) -> Vec<R> {
        let path = self.path_of(key);
        let items = match self.value_at(key) {
            None => return Vec::new(),
            Some(DeValue::Array(items)) => items,
            Some(other) => {
                let text =
                    format!("{} stands where a list of tables should; write `[[{path}]]` above each", kind(other));
                self.reader.problem(&path, text);
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = self.reader.line(item.span().start);
            self.reader.locate(&path, place);
            match item.get_ref() {
                DeValue::Table(table) => all.extend(Section::open(self.reader, path, Some(table), &mut read)),
                other => self.not_a_table(&path, other),
            }
        }
        all
    }

    /// Notes a problem with `key`.
    pub(super) fn problem(&mut self, key: &str, text: impl AsRef<str>) {
        let path = self.path_of(key);
        self.reader.problem(&path, text);
    }

    /// Notes that `key` is missing; `write` says what to write.
    pub(super) fn missing(&mut self, key: &str, write: &str) {
        let path = self.path_of(key);
        self.reader.missing(&path, write);
    }

    /// Whether the file or a variable says something about `key`.
    pub(super) fn is_given(&self, key: &str) -> bool {
        let variable = super::environment::variable(&self.path_of(key));
        self.table.is_some_and(|table| table.contains_key(key))
            || self.overridable && self.reader.environment.get(&variable).is_some()
    }

    /// `key` with the sections around it.
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What the file says at `key`, which becomes known.
    fn value_at(&mut self, key: &'static str) -> Option<&'t DeValue<'t>> {
        self.known.insert(key);
        let (found, value): (_, &'t Spanned<DeValue<'t>>) = self.table?.get_key_value(key)?;
        let place = self.reader.line(found.span().start);
        self.reader.locate(&self.path_of(key), place);
        Some(value.get_ref())
    }

    fn table_at(&mut self, key: &'static str) -> Option<&'t DeTable<'t>> {
        match self.value_at(key)? {
            DeValue::Table(table) => Some(table),
            other => {
                let path = self.path_of(key);
                self.not_a_table(&path, other);
                None
            }
        }
    }

    fn not_a_table(&mut self, path: &str, value: &DeValue<'_>) {
        let header = path.split_once('[').map_or(format!("[{path}]"), |(list, _)| format!("[[{list}]]"));
        let text = format!("{} stands where a table should; write `{header}` and its settings below", kind(value));
        self.reader.problem(path, text);
    }

    /// Reads `key` from its variable, else from the file; checks it and notes it.
    fn take<T: Value>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
        default: Option<&T>,
    ) -> Option<T> {
        let path = self.path_of(key);
        let mut read = self.value_at(key).map(T::from_toml);
        if self.overridable {
            let variable = self.reader.variable(&path);
            if let Some(text) = self.reader.environment.get(&variable) {
                read = Some(text.to_str().map_or_else(|| Err("is not UTF-8".into()), T::from_text));
                self.reader.locate(&path, Place::Variable(variable));
            }
        }
        let origin = if read.is_some() { Origin::Given(self.reader.place(&path)) } else { Origin::Default };
        let checked = read.map(|read| read.and_then(|value| check(&value).map(|()| value)));
        let value = checked.as_ref().and_then(|read| read.as_ref().ok()).or(default).map(T::to_toml);
        self.reader.note(Setting { key: path.clone(), value, origin });
        checked?.map_err(|text| self.reader.problem(&path, text)).ok()
    }

    fn report_unknown(&mut self) {
        for (key, _) in self.table.into_iter().flatten().filter(|(key, _)| !self.known.contains(key.get_ref().as_ref()))
        {
            let place = self.reader.line(key.span().start);
            let hint = did_you_mean(key.get_ref(), self.known.iter().copied());
            let text = format!("`{}` is not a setting{hint}", self.path_of(key.get_ref()));
            self.reader.problem_at(place, text);
        }
    }
}
