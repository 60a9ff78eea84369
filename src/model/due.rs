//! When a schedule is due. Pure: asked again at every tick and at every start, so a tick that was missed, doubled or
//! late changes nothing.
//!
//! A *planned moment* is one that the cron expression names in its zone. What was served is kept as a *mark*, the last
//! planned moment that is settled; nothing up to it is ever due again, whatever the clock does.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How far ahead of the clock a mark may lie. A clock that is set back by less only waits until it is there again; a
/// mark from farther ahead was written by a clock that was wrong, and would silence its schedule.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// A cron expression: minute, hour, day of month, month, day of week, with the second in front if there are six.
#[derive(Clone)]
pub struct Expression {
    text: String,
    cron: Cron,
}

/// A text that is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// No day fits it, such as the 30th of February.
    #[error("it names no moment that ever comes")]
    Never,
}

impl Expression {
    /// Reads five or six fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub fn parse(text: &str) -> Result<Self, BadExpression> {
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| BadExpression::Unreadable(error.to_string()))?;
        let first = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        cron.find_next_occurrence(&first, true).map_err(|_| BadExpression::Never)?;
        Ok(Self { text: text.to_owned(), cron })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// What a schedule waits for.
#[derive(Clone, Debug)]
pub struct Timetable {
    /// Which moments.
    pub expression: Expression,
    /// On whose clock.
    pub zone: TimeZone,
    /// How much later than planned it begins; see [`share`].
    pub delay: SignedDuration,
    /// How long after that it is still worth beginning.
    pub catch_up: SignedDuration,
}

/// What is to be done about a schedule now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    NotYet,
    /// Serve this moment.
    Now {
        /// The mark once it is served.
        planned: Timestamp,
    },
    /// This moment, and all before it, are too long ago: settle them without a run.
    Missed {
        /// The mark once it is settled.
        planned: Timestamp,
    },
    /// The mark is from a clock that was wrong: the schedule starts afresh from now.
    ClockWentBack,
}

impl Timetable {
    /// What is to be done at `now`, when everything up to `mark` is settled. Several moments that were missed count
    /// as one, the latest.
    pub fn is_due(&self, mark: Timestamp, now: Timestamp) -> Due {
        if mark.duration_since(now) > CLOCK_TOLERANCE {
            return Due::ClockWentBack;
        }
        let Some(planned) = self.latest(now) else { return Due::NotYet };
        if planned <= mark {
            Due::NotYet
        } else if now.duration_since(planned) - self.delay > self.catch_up {
            Due::Missed { planned }
        } else {
            Due::Now { planned }
        }
    }

    /// The last planned moment whose time, with the delay, has come.
    pub fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        let until = now.checked_sub(self.delay).ok()?.to_zoned(self.zone.clone());
        let found = self.expression.cron.find_previous_occurrence(&until, true).ok()?;
        Some(found.timestamp())
    }

    /// When it begins next after `now`, with the delay.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let after = now.checked_sub(self.delay).ok()?.to_zoned(self.zone.clone());
        let found = self.expression.cron.find_next_occurrence(&after, false).ok()?;
        found.timestamp().checked_add(self.delay).ok()
    }
}

/// The part of `jitter` that falls to one schedule of one host: always the same, so that a restart moves nothing, and
/// spread evenly over the hosts that share a store.
pub fn share(jitter: SignedDuration, host: &str, schedule: &str) -> SignedDuration {
    use sha2::{Digest, Sha256};
    let hash = Sha256::new().chain_update(host).chain_update([0]).chain_update(schedule).finalize();
    let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let seconds = u64::try_from(jitter.as_secs()).unwrap_or_default();
    SignedDuration::from_secs(i64::try_from(number % (seconds + 1)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// With a gap of an hour, of half an hour, on the other half of the earth, around Ramadan, and without any.
    const ZONES: [&str; 6] =
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland", "Africa/Casablanca", "UTC"];
    const CRONS: [&str; 6] =
        ["30 2 * * *", "*/15 * * * *", "0 0 * * *", "0 3 * * SUN", "15 30 1,2,3 * * *", "0 * * * *"];

    fn timetable(cron: &str, zone: &str) -> Timetable {
        Timetable {
            expression: Expression::parse(cron).unwrap(),
            zone: TimeZone::get(zone).unwrap(),
            delay: SignedDuration::ZERO,
            catch_up: SignedDuration::from_hours(1),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// All planned moments of one day, in UTC and without the date.
    fn planned(cron: &str, zone: &str, day: &str) -> Vec<String> {
        let table = timetable(cron, zone);
        let start = format!("{day}T00:00:00[{zone}]").parse::<jiff::Zoned>().unwrap();
        let end = start.tomorrow().unwrap().timestamp();
        let mut all = Vec::new();
        let mut now = start.timestamp() - SignedDuration::from_secs(1);
        while let Some(next) = table.next(now).filter(|next| *next < end) {
            all.push(next.to_string()[11..16].to_owned());
            now = next;
        }
        all
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_counts_when_it_has_jumped() {
        // 02:00 becomes 03:00, which is 01:00 in UTC.
        assert_eq!(planned("30 2 * * *", "Europe/Berlin", "2026-03-29"), ["01:00"]);
        assert_eq!(planned("0 * * * *", "Europe/Berlin", "2026-03-29").len(), 23);
        // The 30th of December 2011 did not take place there; what comes after it is found all the same.
        let latest = timetable("0 12 * * *", "Pacific/Apia").latest(at("2011-12-31T01:00:00Z"));
        assert_eq!(latest, Some(at("2011-12-30T22:00:00Z")));
    }

    #[test]
    fn a_time_that_comes_twice_counts_once_but_every_hour_is_every_hour() {
        // 03:00 becomes 02:00 again; 02:30 is 00:30 and 01:30 in UTC.
        assert_eq!(planned("30 2 * * *", "Europe/Berlin", "2026-10-25"), ["00:30"]);
        assert_eq!(planned("0 * * * *", "Europe/Berlin", "2026-10-25").len(), 25);
        let table = timetable("30 2 * * *", "Europe/Berlin");
        let served = at("2026-10-25T00:30:00Z");
        assert_eq!(table.is_due(served, at("2026-10-25T01:30:10Z")), Due::NotYet);
    }

    #[test]
    fn what_was_missed_is_caught_up_for_a_while() {
        let table = timetable("30 3 * * *", "UTC");
        let planned = at("2026-11-21T03:30:00Z");
        let mark = at("2026-11-19T03:30:00Z");
        let due = |now| table.is_due(mark, at(now));
        assert_eq!(due("2026-11-21T03:30:00Z"), Due::Now { planned });
        assert_eq!(due("2026-11-21T04:30:00Z"), Due::Now { planned });
        assert_eq!(due("2026-11-21T04:30:01Z"), Due::Missed { planned });
        assert_eq!(table.is_due(planned, at("2026-11-21T04:00:00Z")), Due::NotYet);
    }

    #[test]
    fn a_mark_from_a_clock_that_was_wrong_does_not_silence_the_schedule() {
        let table = timetable("30 3 * * *", "UTC");
        let now = at("2026-11-21T03:40:00Z");
        assert_eq!(table.is_due(at("2026-11-22T03:30:00Z"), now), Due::NotYet);
        assert_eq!(table.is_due(at("2030-01-01T03:30:00Z"), now), Due::ClockWentBack);
    }

    #[test]
    fn every_host_has_its_own_share_of_the_jitter_and_keeps_it() {
        let jitter = SignedDuration::from_mins(30);
        let share_of = |host: usize| share(jitter, &format!("host-{host}"), "nightly");
        let all: BTreeSet<SignedDuration> = (0..40).map(share_of).collect();
        assert!(all.len() > 30, "{all:?}");
        assert!(all.iter().all(|share| *share >= SignedDuration::ZERO && *share <= jitter));
        assert_eq!(share_of(7), share_of(7));
        assert_eq!(share(SignedDuration::ZERO, "host", "nightly"), SignedDuration::ZERO);
        let table = Timetable { delay: SignedDuration::from_mins(10), ..timetable("30 3 * * *", "UTC") };
        let mark = at("2026-11-20T12:00:00Z");
        assert_eq!(table.is_due(mark, at("2026-11-21T03:39:59Z")), Due::NotYet);
        let planned = at("2026-11-21T03:30:00Z");
        assert_eq!(table.is_due(mark, at("2026-11-21T03:40:00Z")), Due::Now { planned });
        assert_eq!(table.next(at("2026-11-21T03:39:59Z")), Some(at("2026-11-21T03:40:00Z")));
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        for bad in ["", "* * * *", "60 * * * *", "* * * * * * *", "@often", "x * * * *", "30 2 * * MOND"] {
            assert!(matches!(Expression::parse(bad), Err(BadExpression::Unreadable(_))), "{bad}");
        }
        assert_eq!(Expression::parse("0 0 30 2 *").unwrap_err(), BadExpression::Never);
        for good in ["*/5 * * * *", "0 30 3 * * MON-FRI", "@daily", "0 0 29 2 *"] {
            assert!(Expression::parse(good).is_ok(), "{good}");
        }
    }

    /// A moment near a change of the clock, or anywhere within some years.
    fn moment() -> impl Strategy<Value = Timestamp> {
        // Of Berlin, New York, New York, Lord Howe and Auckland, Casablanca.
        let changes = [1_774_746_000, 1_793_235_600, 1_772_953_200, 1_775_314_800, 1_771_120_800];
        let near = (0..changes.len(), -200_000_i64..200_000).prop_map(move |(index, off)| changes[index] + off);
        prop_oneof![near, 1_700_000_000_i64..1_900_000_000].prop_map(|seconds| Timestamp::from_second(seconds).unwrap())
    }

    proptest! {
        #[test]
        fn planned_moments_are_the_same_from_both_sides(zone in 0..ZONES.len(), cron in 0..CRONS.len(), now in moment()) {
            let table = timetable(CRONS[cron], ZONES[zone]);
            let (latest, next) = (table.latest(now).unwrap(), table.next(now).unwrap());
            prop_assert!(latest <= now && now < next);
            prop_assert_eq!(table.latest(latest), Some(latest));
            prop_assert_eq!(table.latest(next), Some(next));
            prop_assert_eq!(table.latest(next - SignedDuration::from_secs(1)), Some(latest));
            prop_assert_eq!(table.next(latest), Some(next));
        }

        /// Ticks come late, twice or not at all, the clock jumps to and fro: no moment is served twice, and none is lost
        /// that a tick has seen in time.
        #[test]
        fn no_tick_serves_a_moment_twice_or_loses_one(
            zone in 0..ZONES.len(),
            cron in 0..CRONS.len(),
            start in moment(),
            jumps in prop::collection::vec(prop_oneof![4 => 0_i64..3_000, 1 => -7_200_i64..0, 1 => 3_000_i64..90_000], 1..60),
        ) {
            let table = timetable(CRONS[cron], ZONES[zone]);
            let (mut now, mut mark) = (start, start);
            let (mut served, mut seen) = (BTreeSet::new(), BTreeSet::new());
            for jump in jumps {
                now += SignedDuration::from_secs(jump);
                let latest = table.latest(now).unwrap();
                if latest > start && now.duration_since(latest) <= table.catch_up && mark < latest {
                    seen.insert(latest);
                }
                for _doubled in 0..2 {
                    match table.is_due(mark, now) {
                        Due::Now { planned } => {
                            prop_assert!(served.insert(planned), "{} twice", planned);
                            mark = planned;
                        }
                        Due::Missed { planned } => mark = planned,
                        Due::NotYet => {}
                        Due::ClockWentBack => prop_assert!(false, "not by two hours"),
                    }
                }
            }
            prop_assert_eq!(served, seen);
        }
    }
}
