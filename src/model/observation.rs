//! What the checks saw at one moment: the *baseline* before an upgrade, the *outcome* after it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything the checks saw of one instance at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// What is there, so that a thing that vanished is found.
    pub inventory: Inventory,
    /// What each check found, by the check's id (`app:<id>/page:<id>`, `http:<name>`).
    pub checks: BTreeMap<String, Seen>,
}

impl Observation {
    /// The first check that did not pass, as one line; `None` where all is well.
    pub fn first_failure(&self) -> Option<String> {
        self.checks.values().find_map(|seen| match &seen.result {
            SeenResult::Pass => None,
            SeenResult::Fail { reason } | SeenResult::Error { reason } => Some(format!("{}: {reason}", seen.title)),
        })
    }

    /// The same things, with every check passed: what to compare with where nothing else is known.
    pub fn all_well(&self) -> Self {
        let mut well = self.clone();
        well.checks.values_mut().for_each(|seen| seen.result = SeenResult::Pass);
        well
    }

    /// How many checks passed.
    pub fn passed_count(&self) -> usize {
        self.checks.values().filter(|seen| seen.result == SeenResult::Pass).count()
    }
}

/// The things of an instance, by id, with their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Appsmith's `instanceId`: stable per database.
    pub instance_id: Option<String>,
    /// `workspace`, `application`, `page`, `datasource` and so on: id to name.
    pub things: BTreeMap<String, BTreeMap<String, String>>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// What a person calls it, such as ``page `Orders` of app `Shop` ``.
    pub title: String,
    /// Whether it is well.
    pub result: SeenResult,
}

/// Whether a thing is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum SeenResult {
    /// It works.
    Pass,
    /// It does not work.
    Fail {
        /// What was wrong with it.
        reason: String,
    },
    /// Whether it works could not be found out.
    Error {
        /// Why not.
        reason: String,
    },
}
