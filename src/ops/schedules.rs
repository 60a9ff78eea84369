//! What is known of the schedules of this host, and what is to be done about them.
//!
//! That a moment was served is written nowhere but in the run's own journal, in the line that makes the run exist: so
//! no crash and no restart can lose a run or double it. Beside that a small file ([`Book`]) keeps since when a schedule
//! is known, what was settled without a run, and what it waits for.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::due::{Due, Timetable};
use crate::model::ids::InstanceName;

/// How often a snapshot that was stopped, cut off or gave way is begun again for the same moment.
const TRIES: usize = 3;
/// A run for a moment so far ahead was begun by a clock that was wrong.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// One thing that a schedule does. A schedule for several instances is one entry for each.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `nightly`, or `nightly/staging`.
    pub key: String,
    /// What is done.
    pub job: Job,
    /// When.
    pub timetable: Timetable,
    /// Changes when what it does or when changes: it starts afresh then.
    pub fingerprint: String,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Takes a snapshot.
    Snapshot(InstanceName),
    /// Upgrades the pipeline to a version.
    Upgrade(String),
}

/// What is kept of all entries, by key.
pub type Book = BTreeMap<String, Kept>;

/// What is kept of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Of the entry that it was kept for.
    pub fingerprint: String,
    /// Since when it is known. Moments before it are nobody's business.
    pub since: Timestamp,
    /// The last moment that was settled without a run: too late, or nothing to do.
    pub settled: Option<Timestamp>,
    /// The last thing that a person may want to know.
    pub note: Option<Note>,
}

/// Why a moment was not served, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The planned moment.
    pub planned_at: Timestamp,
    /// It is not over: the moment may still be served.
    pub waits: bool,
    /// Why.
    pub text: String,
}

impl Kept {
    /// Of an entry that is seen for the first time, or has changed.
    pub fn new(entry: &Entry, now: Timestamp) -> Self {
        Self { fingerprint: entry.fingerprint.clone(), since: now, settled: None, note: None }
    }
}

/// One run for an entry, as its journal tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The moment that it serves.
    pub planned_at: Timestamp,
    /// Its journal is not at its end.
    pub open: bool,
    /// It was undone because it was asked to stop or cut off.
    pub stopped: bool,
}

/// What is to be done about an entry now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Wait,
    /// Begin a run for this moment.
    Begin(Timestamp),
    /// Settle this moment without a run: it is too late.
    GiveUp(Timestamp),
    /// Start afresh from now: what is kept is from a clock that was wrong.
    Restart,
}

/// Decides, from what is kept and from the entry's runs in any order. Pure.
pub fn decide(entry: &Entry, kept: &Kept, attempts: &[Attempt], now: Timestamp) -> Decision {
    let sane = attempts.iter().filter(|attempt| attempt.planned_at.duration_since(now) <= CLOCK_TOLERANCE);
    let latest = sane.clone().map(|attempt| attempt.planned_at).max();
    let at_latest: Vec<&Attempt> = sane.filter(|attempt| Some(attempt.planned_at) == latest).collect();
    if attempts.iter().any(|attempt| attempt.open) {
        return Decision::Wait;
    }
    // What was stopped is tried again: a restart of the daemon in the middle of a snapshot must not cost the snapshot.
    // An upgrade is not: whoever stopped it had a reason.
    let again = matches!(entry.job, Job::Snapshot(_))
        && at_latest.len() < TRIES
        && at_latest.iter().all(|attempt| attempt.stopped);
    let served = latest.map(|planned| if again { planned - SignedDuration::from_nanos(1) } else { planned });
    let mark = [Some(kept.since), kept.settled, served].into_iter().flatten().max().unwrap_or(kept.since);
    match entry.timetable.is_due(mark, now) {
        Due::NotYet => Decision::Wait,
        Due::Now { planned } => Decision::Begin(planned),
        Due::Missed { planned } => Decision::GiveUp(planned),
        Due::ClockWentBack => Decision::Restart,
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::due::Expression;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn entry(job: Job) -> Entry {
        let timetable = Timetable {
            expression: Expression::parse("30 3 * * *").unwrap(),
            zone: TimeZone::UTC,
            delay: SignedDuration::ZERO,
            catch_up: SignedDuration::from_hours(1),
        };
        Entry { key: "nightly/staging".into(), job, timetable, fingerprint: "f".into() }
    }

    fn snapshot() -> Entry {
        entry(Job::Snapshot(InstanceName::new("staging").unwrap()))
    }

    fn decided(entry: &Entry, attempts: &[Attempt], now: &str) -> Decision {
        decide(entry, &Kept::new(entry, at("20T12:00:00")), attempts, at(now))
    }

    const DONE: Attempt = Attempt { planned_at: Timestamp::UNIX_EPOCH, open: false, stopped: false };

    #[test]
    fn a_moment_is_served_once_whatever_became_of_it() {
        let planned_at = at("21T03:30:00");
        let now = "21T03:30:02";
        assert_eq!(decided(&snapshot(), &[], "21T03:29:59"), Decision::Wait);
        assert_eq!(decided(&snapshot(), &[], now), Decision::Begin(planned_at));
        assert_eq!(decided(&snapshot(), &[], "21T04:31:00"), Decision::GiveUp(planned_at));
        let done = Attempt { planned_at, ..DONE };
        assert_eq!(decided(&snapshot(), from_ref(&done), now), Decision::Wait);
        assert_eq!(decided(&snapshot(), &[Attempt { open: true, ..done.clone() }], now), Decision::Wait);
        let yesterday = Attempt { planned_at: at("20T03:30:00"), ..DONE };
        assert_eq!(decided(&snapshot(), &[yesterday], now), Decision::Begin(planned_at));
    }

    #[test]
    fn a_snapshot_that_was_stopped_is_taken_all_the_same_but_not_for_ever() {
        let planned_at = at("21T03:30:00");
        let stopped = Attempt { planned_at, open: false, stopped: true };
        let now = "21T03:40:00";
        assert_eq!(decided(&snapshot(), from_ref(&stopped), now), Decision::Begin(planned_at));
        assert_eq!(decided(&snapshot(), &vec![stopped.clone(); 3], now), Decision::Wait);
        assert_eq!(decided(&snapshot(), from_ref(&stopped), "21T04:31:00"), Decision::GiveUp(planned_at));
        let failed = Attempt { stopped: false, ..stopped.clone() };
        assert_eq!(decided(&snapshot(), &[stopped.clone(), failed], now), Decision::Wait);
        assert_eq!(decided(&entry(Job::Upgrade("v2".into())), &[stopped], now), Decision::Wait);
    }

    #[test]
    fn a_schedule_that_is_new_or_from_a_wrong_clock_starts_from_now() {
        let entry = snapshot();
        let now = at("21T03:40:00");
        assert_eq!(decide(&entry, &Kept::new(&entry, now), &[], now), Decision::Wait, "03:30 was before it was known");
        let ahead = Kept { settled: Some(at("25T03:30:00")), ..Kept::new(&entry, at("20T12:00:00")) };
        assert_eq!(decide(&entry, &ahead, &[], now), Decision::Restart);
        let ahead = Attempt { planned_at: at("25T03:30:00"), ..DONE };
        assert_eq!(decided(&entry, &[ahead], "21T03:40:00"), Decision::Begin(at("21T03:30:00")));
    }
}
