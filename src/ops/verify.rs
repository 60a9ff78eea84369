//! Reads snapshots back from the store and says what of them is missing or damaged, all of it. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use rand::seq::SliceRandom;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Tools;
use super::history;
use super::state::{StateDir, StateError};
use super::steps::Meter;
use crate::model::ids::{InstanceName, RunId, SnapshotId};
use crate::model::layout::ObjectKey;
use crate::model::manifest::{Manifest, PartRecord};
use crate::repository::{ManifestEntry, ProblemKind, RepositoryError};
use crate::workflow::{EventSink, chain};

/// How much of the parts is read. Whatever is not read is still looked for, with its size; definitions are always read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// Every byte.
    All,
    /// Parts taken at random until they hold so many hundredths of all bytes.
    Percent(f64),
    /// The `nth` of so many slices, counted from 1: `of` calls, each with another, read everything.
    Slice {
        /// Which.
        nth: u32,
        /// Of how many.
        of: u32,
    },
}

impl FromStr for Subset {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is neither a share such as `10%` nor a slice such as `1/5`");
        if let Some(number) = text.strip_suffix('%') {
            let percent: f64 = number.parse().map_err(|_| bad())?;
            return if percent > 0.0 && percent <= 100.0 { Ok(Self::Percent(percent)) } else { Err(bad()) };
        }
        let (nth, of) = text.split_once('/').ok_or_else(bad)?;
        let (nth, of) = (nth.parse().map_err(|_| bad())?, of.parse().map_err(|_| bad())?);
        if nth >= 1 && nth <= of { Ok(Self::Slice { nth, of }) } else { Err(bad()) }
    }
}

/// What was found of one snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its id; `None` where its manifest cannot be read.
    pub id: Option<SnapshotId>,
    /// Whose data it is; `None` where nobody knows.
    pub instance: Option<InstanceName>,
    /// When it was taken, RFC 3339.
    pub taken_at: Option<String>,
    /// Objects that it is made of, without its manifest.
    pub object_count: usize,
    /// Those of them that were read to their end.
    pub read_count: usize,
    /// Their stored bytes.
    pub read_bytes: u64,
    /// Everything that is wrong with it.
    pub troubles: Vec<Trouble>,
    /// It has parts and no manifest, and nothing on this host says why: perhaps another host is at it now, or was cut
    /// off.
    pub unexplained: bool,
}

/// One object that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Its key; the beginning of it, where several are meant.
    pub object: String,
    /// What kind of trouble: `missing`, `damaged` or `unreadable`.
    pub is: &'static str,
    /// What was found.
    pub reason: String,
}

impl Trouble {
    fn new(object: &ObjectKey, kind: ProblemKind, reason: String) -> Self {
        let is = match kind {
            ProblemKind::Missing => "missing",
            ProblemKind::Damaged => "damaged",
            ProblemKind::Unreadable => "unreadable",
        };
        Self { object: object.to_string(), is, reason }
    }
}

/// Verifies one snapshot. What is wrong with it is in the answer; a store that does not answer is an error.
pub async fn one(
    tools: &Tools,
    manifest: &Manifest,
    subset: Subset,
    events: &Arc<dyn EventSink>,
) -> Result<Finding, RepositoryError> {
    let chosen = chosen(std::slice::from_ref(manifest), subset);
    let meter = meter(events, std::slice::from_ref(manifest), &chosen);
    read(tools, manifest, &chosen, &meter).await
}

/// Verifies all snapshots of these instances, and looks for parts whose manifest is gone. Oldest first by instance.
pub async fn all(
    tools: &Tools,
    instances: &[InstanceName],
    subset: Subset,
    events: &Arc<dyn EventSink>,
) -> Result<Vec<Finding>, RepositoryError> {
    let (mut whole, mut findings) = (Vec::new(), Vec::new());
    for instance in instances {
        for entry in tools.repository.manifests(instance).await? {
            match entry {
                ManifestEntry::Whole(manifest) => whole.push(*manifest),
                ManifestEntry::Broken { key, reason } => findings.push(Finding {
                    instance: Some(instance.clone()),
                    troubles: vec![Trouble::new(&key, ProblemKind::Damaged, reason)],
                    ..Finding::nothing(None)
                }),
            }
        }
    }
    let chosen = chosen(&whole, subset);
    let meter = meter(events, &whole, &chosen);
    for manifest in &whole {
        findings.push(read(tools, manifest, &chosen, &meter).await?);
    }
    Ok(findings)
}

/// The snapshots that have parts and no manifest. One whose run is known to have been cut off, or to go on, is not
/// among them.
pub async fn without_manifest(tools: &Tools) -> Result<Vec<Finding>, RepositoryError> {
    let unlisted = tools.repository.unlisted().await?;
    let origins = origins(&tools.state).unwrap_or_default();
    let mut findings = Vec::new();
    for (id, object_count) in unlisted {
        let (troubles, unexplained) = match origins.get(&id) {
            Some(Origin::Unpublished) => continue,
            Some(Origin::Published { run, key }) => {
                let reason = format!("{run} has published it, and its manifest is gone");
                (vec![Trouble { object: key.clone(), is: "missing", reason }], false)
            }
            None => (Vec::new(), true),
        };
        findings.push(Finding { object_count, troubles, unexplained, ..Finding::nothing(Some(id)) });
    }
    Ok(findings)
}

impl Finding {
    fn nothing(id: Option<SnapshotId>) -> Self {
        Self {
            id,
            instance: None,
            taken_at: None,
            object_count: 0,
            read_count: 0,
            read_bytes: 0,
            troubles: Vec::new(),
            unexplained: false,
        }
    }
}

async fn read(
    tools: &Tools,
    manifest: &Manifest,
    chosen: &BTreeSet<ObjectKey>,
    meter: &Meter,
) -> Result<Finding, RepositoryError> {
    let definition = &manifest.definition.key;
    let mut troubles = troubles(definition, tools.repository.check_presence(manifest).await)?;
    let known: BTreeSet<String> = troubles.iter().map(|trouble| trouble.object.clone()).collect();
    let worth_reading =
        |part: &PartRecord| chosen.contains(&part.object.key) && !known.contains(&part.object.key.to_string());
    let parts: Vec<PartRecord> = manifest.parts.iter().filter(|part| worth_reading(part)).cloned().collect();
    let looked_at = Manifest { parts, ..manifest.clone() };
    let found = tools.repository.verify(&looked_at, CancellationToken::new(), meter.progress()).await;
    let found = self::troubles(definition, found)?;
    troubles.extend(found.into_iter().filter(|trouble| !known.contains(&trouble.object)));
    let is_well = |key: &ObjectKey| !troubles.iter().any(|trouble| trouble.object == key.0);
    let records = looked_at.parts.iter().map(|part| &part.object).chain([&manifest.definition]);
    let read: Vec<_> = records.filter(|record| is_well(&record.key)).collect();
    Ok(Finding {
        instance: Some(manifest.instance.clone()),
        taken_at: Some(manifest.taken_at.clone()),
        object_count: manifest.parts.len() + 1,
        read_count: read.len(),
        read_bytes: read.iter().map(|record| record.stored_bytes).sum(),
        troubles,
        ..Finding::nothing(Some(manifest.id.clone()))
    })
}

fn troubles(definition: &ObjectKey, found: Result<(), RepositoryError>) -> Result<Vec<Trouble>, RepositoryError> {
    match found {
        Ok(()) => Ok(Vec::new()),
        Err(RepositoryError::NotWhole { problems, .. }) => {
            Ok(problems.into_iter().map(|it| Trouble::new(&it.key, it.kind, it.reason)).collect())
        }
        Err(error @ RepositoryError::BadDefinition { .. }) => {
            Ok(vec![Trouble::new(definition, ProblemKind::Damaged, chain(&error))])
        }
        Err(error) => Err(error),
    }
}

/// The parts that are read.
fn chosen(manifests: &[Manifest], subset: Subset) -> BTreeSet<ObjectKey> {
    let mut parts: Vec<&PartRecord> = manifests.iter().flat_map(|manifest| &manifest.parts).collect();
    match subset {
        Subset::All => {}
        Subset::Slice { nth, of } => {
            // By content, so that snapshots that come and go move nothing from one slice to another.
            let slice = |part: &PartRecord| u32::from_str_radix(part.object.sha256.get(..8)?, 16).ok();
            parts.retain(|part| slice(part).unwrap_or_default() % of == nth - 1);
        }
        Subset::Percent(percent) => {
            let total: u64 = parts.iter().map(|part| part.object.stored_bytes).sum();
            let wanted = total as f64 * percent / 100.0;
            parts.shuffle(&mut rand::rng());
            let mut sum = 0.0;
            parts.retain(|part| {
                let take = sum < wanted;
                sum += part.object.stored_bytes as f64;
                take
            });
        }
    }
    parts.into_iter().map(|part| part.object.key.clone()).collect()
}

fn meter(events: &Arc<dyn EventSink>, manifests: &[Manifest], chosen: &BTreeSet<ObjectKey>) -> Meter {
    let parts = manifests.iter().flat_map(|manifest| &manifest.parts);
    let total = parts.filter(|part| chosen.contains(&part.object.key)).map(|part| part.plain_bytes).sum();
    Meter::telling(events.clone(), "verify", total)
}

/// What the journals of this host say of a snapshot.
enum Origin {
    /// Its run goes on, or ended before it was published.
    Unpublished,
    /// It was published.
    Published { run: RunId, key: String },
}

fn origins(state: &StateDir) -> Result<BTreeMap<SnapshotId, Origin>, StateError> {
    let mut origins = BTreeMap::new();
    for run in state.runs()? {
        let Ok(story) = history::story(state, &run) else { continue };
        let Some(notes) = story.records.iter().rev().find_map(|record| record.notes()) else { continue };
        for (instance, known) in &notes.instances {
            let Some(snapshot) = &known.snapshot else { continue };
            let origin = match known.manifest {
                Some(_) => {
                    let key = format!("snapshots/{instance}/*-{}.json", snapshot.id);
                    Origin::Published { run: run.clone(), key }
                }
                None => Origin::Unpublished,
            };
            origins.insert(snapshot.id.clone(), origin);
        }
    }
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_or_a_slice_is_understood_and_nothing_else() {
        let read = |text: &str| text.parse::<Subset>();
        assert_eq!(read("10%"), Ok(Subset::Percent(10.0)));
        assert_eq!(read("0.5%"), Ok(Subset::Percent(0.5)));
        assert_eq!(read("2/5"), Ok(Subset::Slice { nth: 2, of: 5 }));
        for bad in ["", "10", "0%", "101%", "-1%", "NaN%", "0/5", "6/5", "1/0", "a/b", "%"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
