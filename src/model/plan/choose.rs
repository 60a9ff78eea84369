//! Which snapshot a restore takes. Pure.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::model::ids::SnapshotId;
use crate::model::manifest::{Manifest, Reason};

/// How long an upgrade counts as recent: the days in which "put it back" means "to before the upgrade".
const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Nothing: Tidegate chooses, and says why.
    Auto,
    /// The newest verified snapshot that was taken while the checks passed.
    Latest,
    /// The newest snapshot that was the base of an upgrade.
    BeforeUpgrade,
    /// An id, or the beginning of one.
    Id(String),
}

impl FromStr for Selector {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "latest" => Self::Latest,
            "before-upgrade" => Self::BeforeUpgrade,
            id => Self::Id(id.to_owned()),
        })
    }
}

/// How the upgrade that a snapshot was taken for went, as far as this host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeState {
    /// It has not ended.
    Open,
    /// It ended stuck.
    Stuck,
    /// It was undone: the instance is on the old image and data already.
    RolledBack,
    /// It was done with the checks or the gate off.
    Forced,
    /// It ended well.
    Completed,
    /// Its journal is not on this host.
    Unknown,
}

/// The snapshot that was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub id: SnapshotId,
    /// One sentence for the first lines of the plan.
    pub why: String,
    /// What a person should think about before going on.
    pub warnings: Vec<String>,
}

/// Nothing fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// There is no snapshot of the instance at all.
    NoSnapshots,
    /// None that fits what was asked for.
    NoneFits(String),
    /// No id begins like that.
    NoSuchId(String),
    /// Several do.
    Ambiguous(String, Vec<SnapshotId>),
}

impl fmt::Display for NoChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSnapshots => f.write_str("there is no snapshot of it"),
            Self::NoneFits(why) => f.write_str(why),
            Self::NoSuchId(id) => write!(f, "there is no snapshot `{id}` of it"),
            Self::Ambiguous(id, ids) => {
                let ids: Vec<&str> = ids.iter().map(SnapshotId::as_str).collect();
                write!(f, "`{id}` is the beginning of {}", ids.join(" and "))
            }
        }
    }
}

/// Chooses among the whole snapshots of one instance. `upgrade` tells how the run of a before-upgrade snapshot went.
pub fn choose(
    selector: &Selector,
    manifests: &[Manifest],
    upgrade: &dyn Fn(&Manifest) -> UpgradeState,
    now: Timestamp,
) -> Result<Choice, NoChoice> {
    let mut newest_first: Vec<&Manifest> = manifests.iter().collect();
    newest_first.sort_by_key(|manifest| std::cmp::Reverse(manifest.sequence));
    if newest_first.is_empty() && !matches!(selector, Selector::Id(_)) {
        return Err(NoChoice::NoSnapshots);
    }
    match selector {
        Selector::Id(text) => by_id(text, &newest_first, now),
        Selector::Latest => latest(&newest_first, now, "the newest verified snapshot taken while its checks passed"),
        Selector::BeforeUpgrade => {
            let found = newest_first.iter().find(|manifest| is_before_upgrade(manifest));
            let none = || NoChoice::NoneFits("no snapshot of it was taken for an upgrade".into());
            found.map(|manifest| made(manifest, "asked for: the newest one taken for an upgrade", now)).ok_or_else(none)
        }
        Selector::Auto => auto(&newest_first, upgrade, now),
    }
}

fn auto(
    newest_first: &[&Manifest],
    upgrade: &dyn Fn(&Manifest) -> UpgradeState,
    now: Timestamp,
) -> Result<Choice, NoChoice> {
    let base = newest_first.iter().find(|manifest| is_before_upgrade(manifest));
    let reason = base.and_then(|base| {
        let to = upgraded_to(base);
        match upgrade(base) {
            UpgradeState::Open => Some(format!("its upgrade to {to} has not ended")),
            UpgradeState::Stuck => Some(format!("its upgrade to {to} failed and is stuck")),
            UpgradeState::Forced => Some(format!("its upgrade to {to} was forced past its checks")),
            UpgradeState::Completed | UpgradeState::RolledBack | UpgradeState::Unknown if is_recent(base, now) => {
                Some(format!("it was upgraded to {to} less than 7 days ago"))
            }
            _ => None,
        }
    });
    match (base, reason) {
        (Some(base), Some(reason)) if base.healthy && base.verified_at.is_some() => {
            Ok(made(base, &format!("{reason}, and this is the one taken right before"), now))
        }
        (Some(base), Some(reason)) => {
            let older: Vec<&Manifest> = newest_first.iter().copied().filter(|m| m.sequence < base.sequence).collect();
            let mut choice =
                latest(&older, now, &format!("{reason}; this is the newest healthy one from before that"))?;
            choice.warnings.push(format!("{} was taken right before the upgrade, but {}", base.id, unfit(base)));
            Ok(choice)
        }
        _ => latest(newest_first, now, "the newest verified snapshot taken while its checks passed"),
    }
}

fn by_id(text: &str, newest_first: &[&Manifest], now: Timestamp) -> Result<Choice, NoChoice> {
    let found: Vec<&&Manifest> =
        newest_first.iter().filter(|m| !text.is_empty() && m.id.as_str().starts_with(text)).collect();
    match found.as_slice() {
        [] => Err(NoChoice::NoSuchId(text.to_owned())),
        [one] => Ok(made(one, "asked for", now)),
        several => Err(NoChoice::Ambiguous(text.to_owned(), several.iter().map(|m| m.id.clone()).collect())),
    }
}

fn latest(newest_first: &[&Manifest], now: Timestamp, why: &str) -> Result<Choice, NoChoice> {
    let fits = |manifest: &&&Manifest| manifest.healthy && manifest.verified_at.is_some();
    let none = || {
        NoChoice::NoneFits("no verified snapshot of it was taken while its checks passed; name one by its id".into())
    };
    let found = newest_first.iter().find(fits).ok_or_else(none)?;
    let mut choice = made(found, why, now);
    for passed_over in newest_first.iter().take_while(|manifest| manifest.sequence > found.sequence) {
        choice.warnings.push(format!("{} is newer, but {}", passed_over.id, unfit(passed_over)));
    }
    Ok(choice)
}

fn made(manifest: &Manifest, why: &str, now: Timestamp) -> Choice {
    let mut warnings = Vec::new();
    if !manifest.healthy || manifest.verified_at.is_none() {
        warnings.push(format!("{} {}", manifest.id, unfit(manifest)));
    }
    if !manifest.clean {
        warnings.push(format!("{} was read although the app had not shut down cleanly", manifest.id));
    }
    if taken(manifest).is_some_and(|at| at > now) {
        warnings.push(format!("{} says that it was taken in the future; look at the clocks", manifest.id));
    }
    Choice { id: manifest.id.clone(), why: why.to_owned(), warnings }
}

fn unfit(manifest: &Manifest) -> String {
    if manifest.verified_at.is_none() {
        return "was never verified".into();
    }
    let because = manifest.unhealthy_because.as_deref().unwrap_or("its checks did not pass");
    format!("was taken while the instance was unhealthy: {because}")
}

fn is_before_upgrade(manifest: &Manifest) -> bool {
    matches!(manifest.reason, Reason::BeforeUpgrade { .. })
}

fn upgraded_to(manifest: &Manifest) -> &str {
    match &manifest.reason {
        Reason::BeforeUpgrade { to } => to,
        _ => "another version",
    }
}

fn is_recent(manifest: &Manifest, now: Timestamp) -> bool {
    taken(manifest).is_some_and(|at| now.duration_since(at) < RECENT)
}

fn taken(manifest: &Manifest) -> Option<Timestamp> {
    manifest.taken_at.parse().ok()
}
