//! The variables that override the file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What every override starts with.
const PREFIX: &str = "TIDEGATE_";
/// What stands for the dot between a section and its key.
const DOT: &str = "__";

/// The variables of a process, as far as they are meant for the configuration.
///
/// A list and not a lookup, so that a misspelt variable is a problem and not silence.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    /// The override of the key `path`, such as `store.part_size`. An empty variable counts as not set.
    pub(super) fn get(&self, variable: &str) -> Option<&OsStr> {
        self.0.get(variable).map(OsString::as_os_str)
    }

    /// Whether anything below the section `path` is overridden.
    pub(super) fn overrides_section(&self, path: &str) -> bool {
        let prefix = format!("{}{DOT}", variable(path));
        self.0.keys().any(|name| name.starts_with(&prefix))
    }

    /// The variables that can only be meant as overrides of a section's key.
    pub(super) fn overrides(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| name.contains(DOT))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(variables.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The variable that overrides the key `path`: `store.part_size` is `TIDEGATE_STORE__PART_SIZE`.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', DOT).replace('-', "_").to_ascii_uppercase())
}
