//! The short sections: the engine, and what snapshots, upgrades and restores keep to.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::value::one_of;
use crate::model::ids::InstanceName;
use crate::model::manifest::Mode;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// `[docker]`: the engine that runs the instances.
#[derive(Clone, Debug)]
pub struct Docker {
    /// Such as `unix:///var/run/docker.sock`; `None` is `DOCKER_HOST`, else the usual socket.
    pub host: Option<String>,
    /// The porter's program; `None` is `TIDEGATE_PORTER`, else the file beside this program.
    pub porter: Option<PathBuf>,
}

impl Docker {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        let host = section.optional_checked("host", |text: &String| {
            let schemes = ["unix:///", "tcp://", "http://", "https://"];
            let known = schemes.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
            if known && !text.contains('@') {
                Ok(())
            } else {
                Err("must be `\"unix:///path\"`, `\"tcp://host:port\"` or `\"https://host:port\"`".into())
            }
        });
        Self { host, porter: section.optional_path("porter") }
    }
}

/// `[snapshot]`: how snapshots are taken. What was written is always read back.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whether the instance rests meanwhile. The snapshot of an upgrade is always cold.
    pub mode: Mode,
    /// Gzip's, from 1 (fast) to 9 (small).
    pub compression_level: u16,
}

impl Snapshot {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        Self { mode: section.get("mode", Mode::Cold), compression_level: section.within("compression_level", 1, 1..=9) }
    }
}

one_of!(
    Mode,
    "a way to take snapshots",
    "write `\"cold\"` (the instance rests) or `\"hot\"` (it runs on)",
    "cold" => Mode::Cold,
    "hot" => Mode::Hot
);

/// `[ready]`: when an app counts as ready after a start.
#[derive(Clone, Debug)]
pub struct Ready {
    /// How long it must have answered well without a break.
    pub stable_for: Duration,
    /// How often it is asked.
    pub poll: Duration,
    /// How long nothing may move (log, programs, answers) before the start is given up.
    pub stall: Duration,
    /// How long a start may take even though something moves, such as a long migration.
    pub ceiling: Duration,
}

impl Ready {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        Self {
            stable_for: section.within("stable_for", 30 * SECOND, MILLISECOND..=HOUR),
            poll: section.within("poll", 2 * SECOND, 10 * MILLISECOND..=5 * MINUTE),
            stall: section.within("stall", 15 * MINUTE, MILLISECOND..=DAY),
            ceiling: section.within("ceiling", 4 * HOUR, MILLISECOND..=7 * DAY),
        }
    }
}

/// `[upgrade]`: what an upgrade asks for.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// How long a pass on an earlier stage counts for the next one.
    pub evidence_max_age: Duration,
    /// How long the approval of a person counts; never longer than the pass that was approved.
    pub approval_max_age: Duration,
}

impl Upgrade {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        Self {
            evidence_max_age: section.within("evidence_max_age", 7 * DAY, SECOND..=YEAR),
            approval_max_age: section.within("approval_max_age", HOUR, SECOND..=YEAR),
        }
    }
}

/// `[restore]`: how an instance is put back.
#[derive(Clone, Debug)]
pub struct Restore {
    /// How long the files that a restore set aside are kept, so that it can be undone.
    pub keep_aside: Duration,
    /// What the app's Redis begins with.
    pub redis: RedisPolicy,
}

/// What an app's Redis begins with after a restore. It has the users' sessions and what was looked up once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisPolicy {
    /// As it was when the snapshot was taken: who was logged in then is again.
    Snapshot,
    /// Empty: everybody logs in again.
    Empty,
}

one_of!(
    RedisPolicy,
    "what Redis begins with",
    "write `\"snapshot\"` or `\"empty\"`",
    "snapshot" => RedisPolicy::Snapshot,
    "empty" => RedisPolicy::Empty
);

impl Restore {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        Self {
            keep_aside: section.within("keep_aside", 7 * DAY, SECOND..=YEAR),
            redis: section.get("redis", RedisPolicy::Snapshot),
        }
    }
}

/// `[pipeline]`: the order in which instances are upgraded.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The repository that versions are tags of, such as `appsmith/appsmith-ce`; without a tag.
    pub image: String,
    /// At least two instances, each once; the last one is where users are.
    pub stages: Vec<InstanceName>,
    /// The stages that an upgrade touches only once a person has approved it.
    pub approval: Vec<InstanceName>,
}

impl Pipeline {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Option<Self> {
        let image =
            section.required("image", "write the repository, such as `\"appsmith/appsmith-ce\"`", |text: &String| {
                repository(text)
            });
        let names = ["staging", "production"].into_iter().filter_map(|name| InstanceName::new(name).ok());
        let stages = section.checked("stages", names.collect(), |stages: &Vec<InstanceName>| {
            if stages.len() < 2 {
                return Err("must name at least two instances, such as `[\"staging\", \"production\"]`".into());
            }
            let twice = stages.iter().enumerate().find(|(index, name)| stages[..*index].contains(name));
            twice.map_or(Ok(()), |(_, name)| Err(format!("names `{name}` twice")))
        });
        // Without an image there is a problem already; the stages still serve the checks of the instances.
        let approval = section.checked("approval", Vec::new(), |approval: &Vec<InstanceName>| {
            let without_gate = approval.iter().find(|name| !stages.iter().skip(1).any(|stage| stage == *name));
            without_gate.map_or(Ok(()), |name| {
                Err(format!("names `{name}`, but only a stage behind another one has a gate to wait at"))
            })
        });
        Some(Self { image: image.unwrap_or_default(), stages, approval })
    }
}

/// A repository alone: the version comes with each upgrade.
fn repository(text: &str) -> Result<(), String> {
    let name = text.rsplit('/').next().unwrap_or_default();
    if name.contains(':') || text.contains('@') {
        return Err("must be the repository without a tag, which comes with each upgrade".into());
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
    let whole = text.split('/').all(|part| !part.is_empty());
    if whole && text.chars().all(fits) {
        Ok(())
    } else {
        Err("must be a repository such as `\"appsmith/appsmith-ce\"`".into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Value;
    use super::{Mode, repository};

    #[test]
    fn a_snapshot_is_cold_or_hot() {
        for mode in [Mode::Cold, Mode::Hot] {
            assert_eq!(mode.to_toml(), format!("\"{}\"", mode.as_str()));
            assert!(Mode::from_text(mode.as_str()) == Ok(mode));
        }
        let error = Mode::from_text("warm").unwrap_err();
        assert_eq!(
            error,
            "`\"warm\"` is not a way to take snapshots; write `\"cold\"` (the instance rests) or `\"hot\"` (it runs on)"
        );
    }

    #[test]
    fn an_image_is_a_repository_without_a_tag() {
        for good in ["appsmith", "appsmith/appsmith-ce", "127.0.0.1:5000/a/b_c"] {
            assert_eq!(repository(good), Ok(()), "{good}");
        }
        for bad in ["a:v1", "a/b:v1", "a@sha256:00", "a//b", "/a", "A", "a b", "host:5000/a:v1"] {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }
}
