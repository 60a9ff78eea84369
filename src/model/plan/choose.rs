//! Which snapshot a restore takes. Pure.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::model::ids::SnapshotId;
use crate::model::manifest::{Manifest, Mode, Reason};

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
    // One that is of several moments only where there is no other.
    let cold = newest_first.iter().filter(fits).find(|manifest| manifest.mode == Mode::Cold);
    let found = cold.or_else(|| newest_first.iter().find(fits)).ok_or_else(none)?;
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
    if manifest.mode == Mode::Hot {
        warnings.push(format!("{} {HOT}", manifest.id));
    } else if !manifest.clean {
        warnings.push(format!("{} was read although the app had not shut down cleanly", manifest.id));
    }
    if taken(manifest).is_some_and(|at| at > now) {
        warnings.push(format!("{} says that it was taken in the future; look at the clocks", manifest.id));
    }
    Choice { id: manifest.id.clone(), why: why.to_owned(), warnings }
}

/// What a person should know of a hot snapshot.
const HOT: &str = "was taken while the instance ran: its database and Git are not of one moment";

fn unfit(manifest: &Manifest) -> String {
    if manifest.verified_at.is_none() {
        return "was never verified".into();
    }
    if manifest.mode == Mode::Hot && manifest.healthy {
        return HOT.into();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{ImageId, InstanceName, RunId};
    use crate::model::layout::ObjectKey;
    use crate::model::manifest::{FORMAT, ImageRecord, ObjectRecord};

    const NOW: &str = "2026-03-20T12:00:00Z";

    fn manual(sequence: u64, taken_at: &str) -> Manifest {
        let object = ObjectRecord { key: ObjectKey("x".into()), stored_bytes: 1, sha256: String::new() };
        Manifest {
            format: FORMAT,
            id: SnapshotId::new(format!("{sequence:08x}")).unwrap(),
            instance: InstanceName::new("production").unwrap(),
            sequence,
            taken_at: taken_at.into(),
            run: RunId::new(format!("upgrade-{sequence}")).unwrap(),
            reason: Reason::Manual,
            mode: Mode::Cold,
            container: "app".into(),
            image: ImageRecord {
                id: ImageId::new(format!("sha256:{}", "a".repeat(64))).unwrap(),
                reference: "app:v1".into(),
                digests: Vec::new(),
            },
            version: None,
            data_format: None,
            healthy: true,
            unhealthy_because: None,
            clean: true,
            observation: None,
            parts: Vec::new(),
            definition: object,
            verified_at: Some(taken_at.into()),
            tags: Vec::new(),
            taken_by: "test".into(),
        }
    }

    fn before_upgrade(sequence: u64, taken_at: &str) -> Manifest {
        Manifest { reason: Reason::BeforeUpgrade { to: "v2".into() }, ..manual(sequence, taken_at) }
    }

    fn unhealthy(manifest: Manifest) -> Manifest {
        Manifest { healthy: false, unhealthy_because: Some("its page fails".into()), ..manifest }
    }

    fn pick(selector: &Selector, manifests: &[Manifest], state: UpgradeState) -> Result<(u64, Vec<String>), NoChoice> {
        let choice = choose(selector, manifests, &|_| state, NOW.parse().unwrap())?;
        let sequence = u64::from_str_radix(choice.id.as_str(), 16).unwrap();
        Ok((sequence, choice.warnings))
    }

    const OLD: &str = "2026-01-01T00:00:00Z";
    const RECENTLY: &str = "2026-03-18T00:00:00Z";
    const LATER: &str = "2026-03-19T00:00:00Z";

    #[test]
    fn after_an_upgrade_that_is_recent_open_stuck_or_forced_it_is_the_one_from_right_before() {
        let recent = [manual(1, OLD), before_upgrade(2, RECENTLY), manual(3, LATER)];
        let old = [manual(1, OLD), before_upgrade(2, OLD), manual(3, LATER)];
        for state in [UpgradeState::Completed, UpgradeState::Unknown, UpgradeState::RolledBack] {
            assert_eq!(pick(&Selector::Auto, &recent, state).unwrap().0, 2, "{state:?}");
            assert_eq!(pick(&Selector::Auto, &old, state).unwrap().0, 3, "{state:?}");
        }
        for state in [UpgradeState::Open, UpgradeState::Stuck, UpgradeState::Forced] {
            assert_eq!(pick(&Selector::Auto, &old, state).unwrap().0, 2, "{state:?}");
        }
    }

    #[test]
    fn a_snapshot_of_an_unhealthy_instance_or_an_unverified_one_is_never_chosen_by_itself() {
        let unverified = Manifest { verified_at: None, ..manual(4, LATER) };
        let all = [manual(1, OLD), unhealthy(manual(3, LATER)), unverified];
        for selector in [Selector::Auto, Selector::Latest] {
            let (sequence, warnings) = pick(&selector, &all, UpgradeState::Unknown).unwrap();
            assert_eq!(sequence, 1);
            assert_eq!(warnings.len(), 2, "{warnings:?}");
        }
        let base = [manual(1, OLD), unhealthy(before_upgrade(2, RECENTLY)), manual(3, LATER)];
        let (sequence, warnings) = pick(&Selector::Auto, &base, UpgradeState::Completed).unwrap();
        assert_eq!(sequence, 1, "never one from after the upgrade that is to be put back");
        assert!(warnings[0].contains("its page fails"), "{warnings:?}");
        assert!(pick(&Selector::Auto, &[unhealthy(manual(1, OLD))], UpgradeState::Unknown).is_err());
    }

    #[test]
    fn one_that_was_taken_while_it_ran_is_chosen_only_where_no_other_fits() {
        let hot = |manifest: Manifest| Manifest { mode: Mode::Hot, clean: false, ..manifest };
        let all = [manual(1, OLD), hot(manual(2, LATER))];
        for selector in [Selector::Auto, Selector::Latest] {
            let (sequence, warnings) = pick(&selector, &all, UpgradeState::Unknown).unwrap();
            assert_eq!((sequence, warnings.len()), (1, 1));
            assert!(warnings[0].starts_with("00000002 is newer, but was taken while"), "{warnings:?}");
            let (sequence, warnings) = pick(&selector, &all[1..], UpgradeState::Unknown).unwrap();
            assert_eq!((sequence, warnings.len()), (2, 1));
            assert!(warnings[0].contains("not of one moment"), "{warnings:?}");
        }
    }

    /// P10.
    #[test]
    fn a_manifest_that_says_nothing_of_its_mode_is_cold() {
        let text = serde_json::to_value(manual(1, OLD)).unwrap();
        assert!(text.get("mode").is_none(), "older versions read it, too");
        assert_eq!(serde_json::from_value::<Manifest>(text).unwrap().mode, Mode::Cold);
    }

    /// NC-AIO#4471: an empty name was taken for the first snapshot that there was.
    #[test]
    fn what_is_named_is_taken_with_a_warning() {
        let all = [unhealthy(manual(0x1a, OLD)), manual(0x1b, OLD), manual(0x2c, LATER)];
        let id = |text: &str| Selector::Id(text.into());
        let (sequence, warnings) = pick(&id("0000001a"), &all, UpgradeState::Unknown).unwrap();
        assert_eq!((sequence, warnings.len()), (0x1a, 1));
        assert_eq!(pick(&id("0000002"), &all, UpgradeState::Unknown).unwrap().0, 0x2c);
        assert!(
            matches!(pick(&id("0000001"), &all, UpgradeState::Unknown), Err(NoChoice::Ambiguous(_, ids)) if ids.len() == 2)
        );
        assert!(matches!(pick(&id("f"), &all, UpgradeState::Unknown), Err(NoChoice::NoSuchId(_))));
        // An empty name never means the first one that there is.
        assert!(matches!(pick(&id(""), &all, UpgradeState::Unknown), Err(NoChoice::NoSuchId(_))));
        assert!(matches!(pick(&Selector::BeforeUpgrade, &all, UpgradeState::Unknown), Err(NoChoice::NoneFits(_))));
        assert!(matches!(pick(&Selector::Auto, &[], UpgradeState::Unknown), Err(NoChoice::NoSnapshots)));
    }

    #[test]
    fn order_is_by_sequence_and_a_clock_that_ran_ahead_is_told() {
        let all = [manual(2, OLD), manual(1, "2027-01-01T00:00:00Z")];
        assert_eq!(pick(&Selector::Latest, &all, UpgradeState::Unknown).unwrap().0, 2);
        let (_, warnings) = pick(&Selector::Latest, &all[1..], UpgradeState::Unknown).unwrap();
        assert!(warnings[0].contains("in the future"), "{warnings:?}");
    }
}
