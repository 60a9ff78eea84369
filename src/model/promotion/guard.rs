//! Whether production can take what staging has made.
//!
//! An Appsmith writes files of its own schema, and refuses those of a newer one (`JsonSchemaVersions`). So once staging
//! was upgraded and an app was committed there, an older production cannot pull it any more.

use serde::{Deserialize, Serialize};

use super::Schema;
use crate::model::version::Version;

/// Which server schema releases read: from that release on, the newest last. Releases between two read the older.
const READS: [([u64; 2], u32); 5] = [([1, 20], 7), ([1, 40], 10), ([1, 50], 11), ([1, 80], 12), ([2, 5], 13)];

/// What stands in the way of a promotion. Nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Frozen {
    /// Staging runs a newer version.
    Skew {
        /// That of staging.
        staging: Version,
        /// That of production.
        production: Version,
    },
    /// The files need a newer version than production runs.
    Schema {
        /// What they are.
        files: u32,
        /// What production reads.
        reads: u32,
        /// Its version.
        production: Version,
    },
}

impl std::fmt::Display for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Skew { staging, production } => {
                write!(f, "staging runs {staging} and production {production}; it lifts when both run the same")
            }
            Self::Schema { files, reads, production } => write!(
                f,
                "the files are of schema {files}, and production ({production}) reads up to {reads}; it lifts with its upgrade"
            ),
        }
    }
}

/// Says what stands in the way; a version that is not known stands in nobody's way, since the instance judges, too.
pub fn frozen(staging: Option<&Version>, production: Option<&Version>, files: Schema) -> Option<Frozen> {
    let production = production?;
    if let Some(staging) = staging.filter(|staging| *staging > production) {
        return Some(Frozen::Skew { staging: staging.clone(), production: production.clone() });
    }
    let (files, reads) = (files.server?, reads(production)?);
    // Of releases that are newer than the table nothing is known but that they read at least what its last one does.
    (files > reads).then(|| Frozen::Schema { files, reads, production: production.clone() })
}

/// The server schema that a release reads, where that is known for sure.
fn reads(version: &Version) -> Option<u32> {
    let [major, minor, _] = version.numbers();
    let ([last_major, last_minor], _) = READS[READS.len() - 1];
    if [major, minor] > [last_major, last_minor] {
        return None;
    }
    READS.iter().rev().find(|(since, _)| [major, minor] >= *since).map(|(_, schema)| *schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(staging: &str, production: &str, files: Option<u32>) -> Option<String> {
        let version = |text: &str| Version::parse(text).ok();
        let files = Schema { server: files, ..Schema::default() };
        frozen(version(staging).as_ref(), version(production).as_ref(), files).map(|frozen| frozen.to_string())
    }

    #[test]
    fn a_newer_staging_or_newer_files_stand_in_the_way() {
        let skew = "staging runs v2.5.0 and production v2.4.3; it lifts when both run the same";
        assert_eq!(judged("v2.5.0", "v2.4.3", Some(12)).as_deref(), Some(skew));
        let schema = "the files are of schema 13, and production (v2.4.3) reads up to 12; it lifts with its upgrade";
        assert_eq!(judged("v2.4.3", "v2.4.3", Some(13)).as_deref(), Some(schema));
        for (staging, production, files) in [
            ("v2.5.0", "v2.5.0", Some(13)),
            ("v2.4.3", "v2.5.0", Some(12)),
            ("v2.9.0", "v2.9.0", Some(99)),
            ("v2.5.0", "v2.5.0", None),
            ("", "v2.4.3", Some(12)),
            ("v2.5.0", "", Some(99)),
        ] {
            assert_eq!(judged(staging, production, files), None, "{staging} {production} {files:?}");
        }
    }
}
