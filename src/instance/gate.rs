//! What every ready gate needs: options, and small pure judges of what was seen at one moment.
//!
//! Time is always the time since the gate began, given by the caller, so that all of this is tested
//! without waiting.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::engine::{ContainerState, ContainerView};
use crate::instance::secret::mask_addresses;

/// How patiently to wait for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyOptions {
    /// How long it must stay well before it counts as ready.
    pub stable_for: Duration,
    /// The pause between two looks.
    pub poll: Duration,
    /// Gives up when nothing has moved for so long: no log line, no new phase, no process getting older.
    pub stall: Duration,
    /// Gives up after so long whatever moves. A migration has no upper bound, so this is hours.
    pub ceiling: Duration,
}

impl Default for ReadyOptions {
    fn default() -> Self {
        Self {
            stable_for: Duration::from_secs(30),
            poll: Duration::from_secs(2),
            stall: Duration::from_secs(15 * 60),
            ceiling: Duration::from_secs(4 * 3600),
        }
    }
}

/// A good answer counts only from the third in a row on.
const GOOD_LOOKS: u32 = 3;

/// Whether it has been well for long enough, without a break.
#[derive(Debug, Default)]
pub struct Stability {
    since: Option<Duration>,
    looks: u32,
}

impl Stability {
    /// Notes a good look at `now`, and says whether that is enough.
    pub fn good(&mut self, now: Duration, stable_for: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        self.looks += 1;
        self.looks >= GOOD_LOOKS && now.saturating_sub(since) >= stable_for
    }

    /// Notes a bad look: all begins again.
    pub fn bad(&mut self) {
        *self = Self::default();
    }

    /// How long it has been well.
    pub fn held(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

/// Whether it is still the container of the first look, and runs.
#[derive(Debug, Default)]
pub struct ContainerWatch {
    first: Option<(String, u64)>,
}

impl ContainerWatch {
    /// Says what is wrong with the container, if anything. None of these mend themselves.
    pub fn check(&mut self, view: Option<&ContainerView>) -> Result<(), String> {
        let Some(view) = view else {
            return Err("its container is gone".into());
        };
        let (id, restarts) = self.first.get_or_insert_with(|| (view.id.clone(), view.restart_count));
        if *id != view.id {
            return Err("its container was replaced by another one while we waited".into());
        }
        let ended = || match (view.oom_killed, view.exit_code) {
            (true, _) => " for want of memory".to_owned(),
            (false, Some(code)) => format!(" with exit code {code}"),
            (false, None) => String::new(),
        };
        match view.state {
            ContainerState::Restarting => Err(format!("its container ended{} and is started again and again", ended())),
            _ if view.restart_count != *restarts => {
                Err("its container ended and was started again by the engine".into())
            }
            ContainerState::Running => Ok(()),
            ContainerState::Exited | ContainerState::Dead => Err(format!("its container ended{}", ended())),
            ContainerState::Paused => Err("its container is paused".into()),
            ContainerState::Created | ContainerState::Removing => Err("its container does not run".into()),
        }
    }
}

/// Whether anything still moves.
#[derive(Debug, Default)]
pub struct Patience {
    mark: Option<u64>,
    moved_at: Duration,
}

impl Patience {
    /// Notes what was seen at `now`: whatever is not exactly as before is a movement.
    pub fn note(&mut self, now: Duration, seen: impl Hash) {
        let mut hasher = DefaultHasher::new();
        seen.hash(&mut hasher);
        let mark = Some(hasher.finish());
        if self.mark != mark {
            self.mark = mark;
            self.moved_at = now;
        }
    }

    /// Why to wait no longer, if so.
    pub fn spent(&self, now: Duration, options: &ReadyOptions) -> Option<String> {
        if now >= options.ceiling {
            return Some(format!("it is not ready after {}", span(options.ceiling)));
        }
        let still = now.saturating_sub(self.moved_at);
        (still >= options.stall).then(|| format!("nothing has moved for {}", span(options.stall)))
    }
}

/// A duration for people: `90 s`, `15 min`, `250 ms`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        _ if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

const EXCERPT_LINES: usize = 12;
const EXCERPT_CHARS_PER_LINE: usize = 300;

/// The last lines of a log, short enough for a message and with the passwords of addresses hidden.
pub fn excerpt(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(EXCERPT_LINES);
    let cut =
        |line: &&str| mask_addresses(line).chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_PER_LINE).collect();
    lines[from..].iter().map(cut).collect::<Vec<String>>().join("\n")
}

/// A reason with the end of the log under it.
pub fn with_excerpt(reason: &str, log: &str) -> String {
    match excerpt(log) {
        lines if lines.is_empty() => format!("{reason}; it has written nothing"),
        lines => format!("{reason}; its last lines:\n{lines}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::testing::view_with;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn stable_means_long_enough_and_often_enough_without_a_break() {
        let mut stability = Stability::default();
        assert!(!stability.good(S(0), S(10)));
        assert!(!stability.good(S(20), S(10)), "two looks are not enough");
        stability.bad();
        for at in 21..=30 {
            assert!(!stability.good(S(at), S(10)), "{at}");
        }
        assert!(stability.good(S(31), S(10)));
        assert_eq!(stability.held(S(31)), S(10));
    }

    #[test]
    fn nothing_is_ever_stable_at_the_first_look() {
        let mut stability = Stability::default();
        assert!(!stability.good(S(0), S(0)));
        assert!(!stability.good(S(0), S(0)));
        assert!(stability.good(S(0), S(0)));
    }

    /// docker-updater#13: `restarting` was counted as healthy.
    /// appsmith#28209: after an update the container ended.
    /// appsmith#29769: the same.
    #[test]
    fn a_container_that_is_not_the_same_and_running_is_named() {
        let running = view_with(Vec::new());
        let mut watch = ContainerWatch::default();
        assert_eq!(watch.check(Some(&running)), Ok(()));
        let wrong = |change: fn(&mut ContainerView)| {
            let mut watch = ContainerWatch::default();
            watch.check(Some(&running)).unwrap();
            let mut view = running.clone();
            change(&mut view);
            watch.check(Some(&view)).unwrap_err()
        };
        assert!(wrong(|view| view.restart_count += 1).contains("started again by the engine"));
        assert!(wrong(|view| view.id = "other".into()).contains("replaced"));
        assert!(wrong(|view| view.state = ContainerState::Restarting).contains("again and again"));
        let ended = wrong(|view| (view.state, view.exit_code) = (ContainerState::Exited, Some(1)));
        assert_eq!(ended, "its container ended with exit code 1");
        let killed = wrong(|view| (view.state, view.oom_killed) = (ContainerState::Exited, true));
        assert_eq!(killed, "its container ended for want of memory");
        assert!(watch.check(None).is_err());
    }

    #[test]
    fn patience_ends_without_movement_and_at_the_ceiling() {
        let options = ReadyOptions { stall: S(10), ceiling: S(60), ..ReadyOptions::default() };
        let mut patience = Patience::default();
        patience.note(S(0), "a");
        patience.note(S(9), "a");
        assert_eq!(patience.spent(S(9), &options), None);
        assert_eq!(patience.spent(S(10), &options).unwrap(), "nothing has moved for 10 s");
        patience.note(S(9), "b");
        assert_eq!(patience.spent(S(18), &options), None);
        assert_eq!(patience.spent(S(60), &options).unwrap(), "it is not ready after 60 s");
    }

    #[test]
    fn an_excerpt_is_short_and_hides_passwords() {
        let log: String = (0..100).map(|line| format!("line {line} mongodb://u:pw@h/{}\n", "x".repeat(500))).collect();
        let excerpt = excerpt(&log);
        assert_eq!(excerpt.lines().count(), 12);
        assert!(excerpt.ends_with('x') && excerpt.contains("line 99 mongodb://…@h/"));
        assert!(excerpt.lines().all(|line| line.chars().count() <= 300));
    }
}
