//! A snapshot that is put in place otherwise than it was taken: into another instance, or without its users' sessions.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ids::PartName;
use crate::model::part::PartPlan;

/// What an app is told from outside: the container's configuration, in the shape of Docker's create request, and the
/// text of its settings file. Holds secrets, and prints without them.
#[derive(Clone, PartialEq)]
pub struct Given {
    /// Of the container.
    pub config: Value,
    /// `None` where there is no such file.
    pub file: Option<String>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("file", &self.file.is_some()).finish_non_exhaustive()
    }
}

/// What is to be adapted.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// What the app was told when the snapshot was taken.
    pub given: &'a Given,
    /// The snapshot's parts.
    pub parts: &'a [PartPlan],
    /// What the instance is told that the data goes to, where that is another than it was taken of.
    pub own: Option<&'a Given>,
    /// The cache is to begin empty: users log in again.
    pub empty_cache: bool,
}

/// How a snapshot is put in place. Holds secrets, and prints without them.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapted {
    /// The settings file as it is to be; `None` where it stays as it was taken.
    pub settings: Option<String>,
    /// Names of the settings in it that belong to the data and not to the place.
    pub carried: Vec<String>,
    /// Parts of which only the folders are put in place.
    pub emptied: Vec<PartName>,
}

impl fmt::Debug for Adapted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, carried, emptied } = self;
        let settings = settings.is_some();
        f.debug_struct("Adapted")
            .field("settings", &settings)
            .field("carried", carried)
            .field("emptied", emptied)
            .finish()
    }
}

/// Whether the keys that an app runs with open the secrets in its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProof {
    /// It read one.
    Proved {
        /// Of what, such as ``data source `Orders DB` of workspace `Team` ``.
        by: String,
    },
    /// It could not read one.
    Refuted {
        /// Of what.
        by: String,
        /// In the app's words.
        reason: String,
    },
    /// Nothing was tried that could tell.
    Unknown {
        /// Why not.
        reason: String,
    },
}
