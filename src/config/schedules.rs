//! `[[schedule]]`: what the daemon does by itself, and when.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::reader::did_you_mean;
use super::section::Section;
use super::value::{from_string, one_of, wrong_text};
use crate::model::due::Expression;
use crate::model::ids::{InstanceName, ScheduleName};
use crate::model::version::Version;

/// One schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What a person calls it; once in the file.
    pub name: ScheduleName,
    /// What is done.
    pub action: Action,
    /// The planned moments.
    pub cron: Expression,
    /// On whose clock.
    pub zone: TimeZone,
    /// It begins up to so much later than planned; every host has its own fixed share of it.
    pub jitter: Duration,
    /// How long after that a moment that was missed is still served.
    pub catch_up: Duration,
    /// Its place among the schedules of the file, for problems that are found later.
    pub(super) index: usize,
}

/// What a schedule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes snapshots.
    Snapshot {
        /// Of which instances; `None` is all of them.
        instances: Option<Vec<InstanceName>>,
    },
    /// Upgrades the pipeline.
    Upgrade {
        /// To which version.
        version: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Snapshot,
    Upgrade,
}

one_of!(
    Kind,
    "something that can be scheduled",
    "write `\"snapshot\"` or `\"upgrade\"`",
    "snapshot" => Kind::Snapshot,
    "upgrade" => Kind::Upgrade
);

/// A zone of the IANA data base, of this host or else of the program itself.
#[derive(Clone)]
struct Zone(TimeZone);

from_string!(
    Zone,
    "a time zone",
    "write an IANA name, such as `\"Europe/Berlin\"`",
    |text| TimeZone::get(text).map(Self).map_err(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        wrong_text::<Self>(text) + &did_you_mean(text, known.iter().map(String::as_str))
    }),
    |zone| zone.0.iana_name().unwrap_or("UTC").to_owned()
);

from_string!(
    Expression,
    "a cron expression",
    "write minute, hour, day of month, month and day of week, such as `\"30 3 * * *\"`; a sixth field in front is the second",
    |text| Self::parse(text).map_err(|error| format!("{} ({error})", wrong_text::<Self>(text))),
    |cron| cron.as_str().to_owned()
);

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

impl Schedule {
    pub(super) fn read(section: &mut Section<'_, '_, '_>, index: usize) -> Option<Self> {
        let name =
            section.required::<ScheduleName>("name", "give the schedule a name, such as `\"nightly\"`", |_| Ok(()));
        let kind = section.get("action", Kind::Snapshot);
        let instances = section.optional_checked("instances", |instances: &Vec<InstanceName>| {
            if instances.is_empty() { Err("must not be empty; left out, it is all of them".into()) } else { Ok(()) }
        });
        let version = section.optional_checked("version", |text: &String| {
            let moves = |_| "is a tag that moves; name a version, such as `\"v2.5.1\"`".into();
            Version::parse(text).map(drop).map_err(moves)
        });
        let write = "write when, such as `\"30 3 * * *\"` for every day at half past three";
        let cron = section.required::<Expression>("cron", write, |_| Ok(()));
        let zone = section.get("zone", Zone(TimeZone::UTC)).0;
        let jitter = section.within("jitter", Duration::ZERO, Duration::ZERO..=DAY);
        let catch_up = section.within("catch_up", 60 * MINUTE, MINUTE..=7 * DAY);
        let action = match kind {
            Kind::Snapshot => {
                if section.is_given("version") {
                    section.problem("version", "only for `action = \"upgrade\"`");
                }
                Action::Snapshot { instances }
            }
            Kind::Upgrade => {
                if section.is_given("instances") {
                    section
                        .problem("instances", "only for `action = \"snapshot\"`; an upgrade takes the whole pipeline");
                }
                if !section.is_given("version") {
                    section.missing("version", "write to which, such as `\"v2.5.1\"`");
                }
                Action::Upgrade { version: version? }
            }
        };
        Some(Self { name: name?, action, cron: cron?, zone, jitter, catch_up, index })
    }
}

from_string!(
    ScheduleName,
    "a schedule name",
    "write lower-case letters, digits and `-`, at most 32, in quotes",
    |text| ScheduleName::new(text).map_err(|_| wrong_text::<ScheduleName>(text)),
    ScheduleName::to_string
);
