//! The schedules of the configuration, as the daemon goes by them.

use jiff::SignedDuration;

use super::signed;
use crate::config::{Action, Config, Schedule};
use crate::model::due::{Timetable, share};
use crate::model::ids::InstanceName;
pub use crate::ops::schedules::Entry;
use crate::ops::schedules::Job;

/// One entry for each thing that a schedule does, in the order of the file.
pub fn entries(config: &Config) -> Vec<Entry> {
    let host = super::host();
    config.schedules.iter().flat_map(|schedule| entries_of(schedule, config, &host)).collect()
}

fn entries_of(schedule: &Schedule, config: &Config, host: &str) -> Vec<Entry> {
    let name = &schedule.name;
    let timetable = Timetable {
        expression: schedule.cron.clone(),
        zone: schedule.zone.clone(),
        delay: share(signed(schedule.jitter), host, name.as_str()),
        catch_up: signed(schedule.catch_up).max(SignedDuration::ZERO),
    };
    let when = format!("{} {}", schedule.cron.as_str(), schedule.zone.iana_name().unwrap_or("UTC"));
    let entry = |key: String, job, what: String| Entry {
        key,
        job,
        timetable: timetable.clone(),
        fingerprint: format!("{what} at {when}"),
    };
    match &schedule.action {
        Action::Snapshot { instances } => {
            let instances = instances.clone().unwrap_or_else(|| config.instances.keys().cloned().collect());
            let one = |instance: InstanceName| {
                entry(format!("{name}/{instance}"), Job::Snapshot(instance.clone()), "snapshot".into())
            };
            instances.into_iter().map(one).collect()
        }
        Action::Upgrade { version } => {
            vec![entry(name.to_string(), Job::Upgrade(version.clone()), format!("upgrade to {version}"))]
        }
    }
}
