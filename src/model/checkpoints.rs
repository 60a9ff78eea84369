//! The versions of Appsmith that an upgrade must stop at on its way.
//!
//! | From | To | Way |
//! |---|---|---|
//! | any | lower | none: there is no migration down; an older version comes back only with its own data |
//! | before v1.9.0 | v1.9.2 or later | through v1.9.1, which brings the files to MongoDB 5 |
//! | before v1.9.2 | after v1.9.2 | through v1.9.2, which writes the schema that all later ones start from |
//! | after v1.9.2 and before v1.96 | v2.0 or later | through one of v1.96 … v1.99, which raise the data files' MongoDB feature version to 6.0 |
//!
//! Every stop is a whole upgrade of its own: started, ready, stable.

use crate::model::version::Version;

/// A version that must not be jumped over.
struct Checkpoint {
    /// Whoever comes from below this one,
    needed_before: [u64; 3],
    /// and goes to this one or above,
    leads_to: [u64; 3],
    /// stops at this one first.
    stop: &'static str,
    /// In words, after "first go to".
    words: &'static str,
    /// Why.
    because: &'static str,
}

/// In the order in which they are passed.
const CHECKPOINTS: &[Checkpoint] = &[
    Checkpoint {
        needed_before: [1, 9, 0],
        leads_to: [1, 9, 2],
        stop: "v1.9.1",
        words: "v1.9.1",
        because: "v1.9.2 needs data files that v1.9.0 or v1.9.1 has brought to MongoDB 5",
    },
    Checkpoint {
        needed_before: [1, 9, 2],
        leads_to: [1, 9, 3],
        stop: "v1.9.2",
        words: "v1.9.2",
        because: "later versions refuse data that v1.9.2 has not migrated",
    },
    Checkpoint {
        needed_before: [1, 96, 0],
        leads_to: [2, 0, 0],
        stop: "v1.99",
        words: "one of v1.96 to v1.99",
        because: "MongoDB 7 of v2.0 and later cannot open files that these versions have not raised to 6.0",
    },
];

/// The versions to stop at on the way from one to the other, the target last, or why there is no way.
///
/// No stop is needed where both are the same version: that is a change of image only.
pub fn hops(from: &Version, to: &Version) -> Result<Vec<Version>, String> {
    if to < from {
        return Err("an older version cannot read newer data; restore a snapshot that was taken on it instead".into());
    }
    let stops = missed(from, to).filter_map(|checkpoint| Version::parse(checkpoint.stop).ok());
    Ok(stops.chain([to.clone()]).collect())
}

/// As [`hops`], but for a caller that takes one step at a time: an error that names the version to
/// insert where the way is not one step.
pub fn one_hop(from: &Version, to: &Version) -> Result<(), String> {
    hops(from, to)?;
    match missed(from, to).next() {
        None => Ok(()),
        Some(Checkpoint { words, because, .. }) => Err(format!("first go to {words}: {because}")),
    }
}

fn missed(from: &Version, to: &Version) -> impl Iterator<Item = &'static Checkpoint> {
    let (from, to) = (from.numbers(), to.numbers());
    CHECKPOINTS.iter().filter(move |checkpoint| from < checkpoint.needed_before && to >= checkpoint.leads_to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn way(from: &str, to: &str) -> String {
        match hops(&v(from), &v(to)) {
            Ok(stops) => stops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(reason) => format!("no: {reason}"),
        }
    }

    /// appsmith#19834: a checkpoint version was jumped over.
    /// appsmith#30602: an older version was started on the data of a newer one.
    #[test]
    fn the_table() {
        let table = [
            ("v1.8.9", "v1.9.1", "v1.9.1"),
            ("v1.8.9", "v1.9.2", "v1.9.1 v1.9.2"),
            ("v1.8.9", "v1.9.3", "v1.9.1 v1.9.2 v1.9.3"),
            ("v1.9.1", "v1.9.2", "v1.9.2"),
            ("v1.9.1", "v1.97", "v1.9.2 v1.97"),
            ("v1.8.9", "v2.5.1", "v1.9.1 v1.9.2 v1.99 v2.5.1"),
            ("v1.9.2", "v1.95", "v1.95"),
            ("v1.9.2", "v2.0", "v1.99 v2.0"),
            ("v1.67", "v1.98", "v1.98"),
            ("v1.95", "v2.0", "v1.99 v2.0"),
            ("v1.95.3", "v2.5.1", "v1.99 v2.5.1"),
            ("v1.96", "v2.5.1", "v2.5.1"),
            ("v1.99", "v2.0", "v2.0"),
            ("v2.0", "v2.5.1", "v2.5.1"),
            ("v2.5.1", "v2.5.1", "v2.5.1"),
        ];
        for (from, to, expected) in table {
            assert_eq!(way(from, to), expected, "{from} -> {to}");
        }
        for (from, to) in [("v2.5.1", "v2.5.0"), ("v2.0", "v1.99"), ("v1.10", "v1.9.60")] {
            assert!(way(from, to).starts_with("no: an older version"), "{from} -> {to}");
        }
    }

    /// appsmith#19862: a checkpoint version was jumped over.
    #[test]
    fn a_refused_step_names_the_one_to_insert() {
        let refusal = |from, to| one_hop(&v(from), &v(to)).unwrap_err();
        assert!(refusal("v1.9.1", "v2.5.1").starts_with("first go to v1.9.2:"));
        assert!(refusal("v1.80", "v2.5.1").starts_with("first go to one of v1.96 to v1.99:"));
        assert!(refusal("v2.1", "v2.0").contains("restore a snapshot"));
        assert_eq!(one_hop(&v("v1.99"), &v("v2.5.1")), Ok(()));
    }

    proptest! {
        /// Whatever the way, each of its steps alone is one that needs no stop, and it only goes up.
        #[test]
        fn every_hop_of_a_way_is_a_single_step(a in (1u64..3, 0u64..100, 0u64..12), b in (1u64..3, 0u64..100, 0u64..12)) {
            let version = |(x, y, z)| v(&format!("v{x}.{y}.{z}"));
            let (from, to) = (version(a), version(b));
            if let Ok(stops) = hops(&from, &to) {
                prop_assert_eq!(stops.last(), Some(&to));
                let mut at = from;
                for stop in stops {
                    prop_assert!(one_hop(&at, &stop).is_ok());
                    at = stop;
                }
            } else {
                prop_assert!(to < from);
            }
        }
    }
}
