//! Whether an Appsmith is ready, decided from what was seen at one moment and before. Pure: the loop around it only looks.
//!
//! ```text
//! entry point ─► programs start ─► backend migrates ─► settles (well for `stable_for`) ─► login ─► ready
//!      └──────────────┴───────────────┴───────────────────┴─► given up: container ended or replaced, program FATAL,
//!                                                             wrong version, backend ends again and again, stall, ceiling
//! ```
//!
//! Docker's "healthy", `/info` and a 200 at `/` prove little: a loading page answers 200 while nothing else does.

use std::fmt;
use std::time::Duration;

use super::supervisor::{Program, ProgramState};
use crate::engine::ContainerView;
use crate::instance::gate::{ContainerWatch, Patience, ReadyOptions, Stability, span};
use crate::model::version::Version;

/// What was seen at one moment. An `Err` says in words why nothing could be seen.
#[derive(Clone, Debug)]
pub struct Look {
    /// The container.
    pub view: Option<ContainerView>,
    /// Its programs.
    pub programs: Result<Vec<Program>, String>,
    /// The version that `/info` claims; `None` where it claims none.
    pub info: Result<Option<Version>, String>,
    /// The backend's own health check.
    pub health: Result<(), String>,
    /// Whether it says that it still migrates.
    pub migrating: Result<bool, String>,
    /// The end of its log.
    pub log: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Look again.
    Wait,
    /// All is well but a login; try it once.
    LogIn,
    /// It is ready.
    Ready,
    /// It will not become ready.
    GiveUp(String),
}

/// How far a start has come, in words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The entry point works; there are no programs yet.
    Entry(String),
    /// Not all programs run yet.
    Programs(String),
    /// All programs run, and the backend does not answer: it starts or migrates.
    Backend(String),
    /// It answers and says that it still migrates.
    Migrating,
    /// It does not say which version it is.
    Version(String),
    /// All is well, but not for long enough.
    Settling,
    /// Well for long enough.
    Settled,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(why) => write!(f, "the container prepares itself ({why})"),
            Self::Programs(which) => write!(f, "its programs start: {which}"),
            Self::Backend(why) => write!(f, "all programs run, the backend starts or migrates ({why})"),
            Self::Migrating => f.write_str("the backend answers and still migrates"),
            Self::Version(why) => write!(f, "the backend answers, its version is not known ({why})"),
            Self::Settling => f.write_str("everything answers; waiting whether it stays so"),
            Self::Settled => f.write_str("everything answers and has stayed so"),
        }
    }
}

/// The backend may end so often before we call it a loop. Supervisor itself gives up only on one that ends at once.
const BACKEND_ENDS: u32 = 3;

/// One wait for one start.
#[derive(Debug)]
pub struct Gate<'a> {
    options: &'a ReadyOptions,
    expected: Option<&'a Version>,
    wants_login: bool,
    container: ContainerWatch,
    patience: Patience,
    stability: Stability,
    backend: BackendWatch,
    phase: Option<Phase>,
}

impl<'a> Gate<'a> {
    /// Begins to wait. `expected` is the version that must answer; `wants_login` if a login can be tried.
    pub fn new(options: &'a ReadyOptions, expected: Option<&'a Version>, wants_login: bool) -> Self {
        Self {
            options,
            expected,
            wants_login,
            container: ContainerWatch::default(),
            patience: Patience::default(),
            stability: Stability::default(),
            backend: BackendWatch::default(),
            phase: None,
        }
    }

    /// The phase of the last look.
    pub fn phase(&self) -> Option<&Phase> {
        self.phase.as_ref()
    }

    /// Takes note of a login that worked: it is asked for once.
    pub fn logged_in(&mut self) {
        self.wants_login = false;
    }

    /// Takes note that it stopped to answer while a login was tried.
    pub fn lost(&mut self) {
        self.stability.bad();
    }

    /// Decides from a look at `now`, the time since the gate began.
    pub fn weigh(&mut self, now: Duration, look: &Look) -> Decision {
        match self.verdict(now, look) {
            Ok(decision) => decision,
            Err(reason) => Decision::GiveUp(reason),
        }
    }

    fn verdict(&mut self, now: Duration, look: &Look) -> Result<Decision, String> {
        self.container.check(look.view.as_ref())?;
        if let Ok(programs) = &look.programs {
            if let Some(program) = programs.iter().find(|it| it.state == ProgramState::Fatal) {
                return Err(format!("its program {program}"));
            }
            if self.backend.ended(programs) {
                self.stability.bad();
            }
            if self.backend.ends >= BACKEND_ENDS {
                return Err(format!("its backend ended {} times and is started again and again", self.backend.ends));
            }
        }
        if let (Some(expected), Ok(Some(found))) = (self.expected, &look.info)
            && expected != found
        {
            return Err(format!("it is {found} and should be {expected}"));
        }
        let blocked = self.blocked(look);
        let well = blocked.is_none();
        let stable = if well { self.stability.good(now, self.options.stable_for) } else { false };
        if !well {
            self.stability.bad();
        }
        let phase = blocked.unwrap_or(if stable { Phase::Settled } else { Phase::Settling });
        let uptime = look.programs.as_ref().ok().and_then(|programs| backend_of(programs)?.uptime);
        self.patience.note(now, (&phase, &look.log, uptime));
        self.phase = Some(phase.clone());
        match (stable, self.patience.spent(now, self.options)) {
            (true, _) if self.wants_login => Ok(Decision::LogIn),
            (true, _) => Ok(Decision::Ready),
            (false, Some(why)) => Err(format!("{why}: {phase}{}", self.expectation())),
            (false, None) => Ok(Decision::Wait),
        }
    }

    fn expectation(&self) -> String {
        let held = self.options.stable_for;
        if self.phase == Some(Phase::Settling) { format!(" for {}", span(held)) } else { String::new() }
    }

    /// The first thing that keeps it from being well.
    fn blocked(&self, look: &Look) -> Option<Phase> {
        let programs = match &look.programs {
            Ok(programs) => programs,
            Err(why) => return Some(Phase::Entry(why.clone())),
        };
        let waiting: Vec<String> =
            programs.iter().filter(|it| it.state != ProgramState::Running).map(ToString::to_string).collect();
        if !waiting.is_empty() {
            return Some(Phase::Programs(waiting.join(", ")));
        }
        if backend_of(programs).is_none() {
            return Some(Phase::Programs("there is no `backend`".into()));
        }
        if let Err(why) = &look.health {
            return Some(Phase::Backend(why.clone()));
        }
        match &look.migrating {
            Ok(false) => {}
            Ok(true) => return Some(Phase::Migrating),
            Err(why) => return Some(Phase::Backend(why.clone())),
        }
        match (&look.info, self.expected) {
            (Err(why), _) => Some(Phase::Version(why.clone())),
            (Ok(None), Some(expected)) => Some(Phase::Version(format!("it should be {expected}"))),
            _ => None,
        }
    }
}

fn backend_of(programs: &[Program]) -> Option<&Program> {
    programs.iter().find(|it| it.name == "backend")
}

/// Counts how often the backend's process ended.
#[derive(Debug, Default)]
struct BackendWatch {
    pid: Option<u32>,
    uptime: Option<Duration>,
    ends: u32,
}

impl BackendWatch {
    /// True where it is another process than at the look before, or a younger one.
    fn ended(&mut self, programs: &[Program]) -> bool {
        let Some(backend) = backend_of(programs) else { return false };
        let (Some(pid), Some(uptime)) = (backend.pid, backend.uptime) else { return false };
        let other = self.pid.is_some_and(|before| before != pid);
        let younger = self.uptime.is_some_and(|before| before > uptime);
        (self.pid, self.uptime) = (Some(pid), Some(uptime));
        self.ends += u32::from(other);
        other || younger
    }
}

#[cfg(test)]
mod tests {
    use super::super::supervisor::parse_status;
    use super::*;
    use crate::engine::ContainerState;
    use crate::instance::testing::view_with;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn options() -> ReadyOptions {
        ReadyOptions { stable_for: S(10), poll: S(1), stall: S(60), ceiling: S(600) }
    }

    fn programs(backend: &str) -> Result<Vec<Program>, String> {
        parse_status(&format!(
            "editor RUNNING pid 1, uptime 0:01:00\nbackend {backend}\nmongodb RUNNING pid 2, uptime 0:01:00"
        ))
    }

    /// All is well, and the backend has run for so many seconds as process `pid`.
    fn well(pid: u32, uptime: u64) -> Look {
        Look {
            view: Some(view_with(Vec::new())),
            programs: programs(&format!("RUNNING pid {pid}, uptime 0:00:{uptime:02}")),
            info: Ok(Some(v("v2.5.1"))),
            health: Ok(()),
            migrating: Ok(false),
            log: "backend stdout | hello".into(),
        }
    }

    fn down(look: Look) -> Look {
        Look { health: Err("502 Bad Gateway".into()), migrating: Err("502 Bad Gateway".into()), ..look }
    }

    /// Looks once a second and says when and how it ended, or how it stood at the end.
    fn run(gate: &mut Gate<'_>, looks: impl IntoIterator<Item = Look>) -> (u64, Decision) {
        let mut last = (0, Decision::Wait);
        for (second, look) in looks.into_iter().enumerate() {
            last = (second as u64, gate.weigh(S(second as u64), &look));
            if last.1 != Decision::Wait {
                break;
            }
        }
        last
    }

    fn gave_up(decision: Decision) -> String {
        let Decision::GiveUp(reason) = decision else { panic!("{decision:?}") };
        reason
    }

    #[test]
    fn well_for_long_enough_then_one_login_then_ready() {
        let (options, target) = (options(), v("v2.5.1"));
        let mut gate = Gate::new(&options, Some(&target), true);
        assert_eq!(run(&mut gate, (0..60).map(|s| well(7, s))), (10, Decision::LogIn));
        gate.logged_in();
        assert_eq!(gate.weigh(S(11), &well(7, 11)), Decision::Ready);
    }

    /// appsmith#23312: Docker called an instance unhealthy that worked.
    /// appsmith#29766: the same.
    #[test]
    fn what_docker_thinks_of_its_health_decides_nothing() {
        let (options, target) = (options(), v("v2.5.1"));
        for (health, look) in [("unhealthy", well(7, 1)), ("starting", well(7, 1)), ("healthy", down(well(7, 1)))] {
            let view = look.view.clone().map(|view| ContainerView { health: Some(health.into()), ..view });
            let mut gate = Gate::new(&options, Some(&target), false);
            let (_, decision) = run(&mut gate, std::iter::repeat_n(Look { view, ..look }, 50));
            assert_eq!(decision == Decision::Ready, health != "healthy", "{health}: {decision:?}");
        }
    }

    #[test]
    fn nothing_of_an_early_start_opens_the_gate() {
        let options = options();
        let early = [
            ("no supervisord yet", Look { programs: Err("no such file".into()), ..well(7, 1) }),
            ("a program starts", Look { programs: programs("STARTING"), ..well(7, 1) }),
            ("a program fails for now", Look { programs: programs("BACKOFF Exited too quickly"), ..well(7, 1) }),
            ("a program is stopped", Look { programs: programs("STOPPED Nov 21 10:15 AM"), ..well(7, 1) }),
            ("migration before the server listens", down(well(7, 1))),
            ("migration by its own word", Look { migrating: Ok(true), ..well(7, 1) }),
            ("a page instead of data", Look { health: Err("200 with a page instead of data".into()), ..well(7, 1) }),
            ("no version", Look { info: Ok(None), ..well(7, 1) }),
            ("no backend", Look { programs: parse_status("editor RUNNING pid 1, uptime 0:00:01"), ..well(7, 1) }),
        ];
        let target = v("v2.5.1");
        for (what, look) in early {
            let mut gate = Gate::new(&options, Some(&target), false);
            let (_, decision) = run(&mut gate, std::iter::repeat_n(look, 50));
            assert_eq!(decision, Decision::Wait, "{what}");
        }
    }

    #[test]
    fn one_bad_answer_begins_the_count_anew() {
        let options = options();
        let mut gate = Gate::new(&options, None, false);
        let looks = (0..60).map(|s| if s == 8 { down(well(7, s)) } else { well(7, s) });
        assert_eq!(run(&mut gate, looks), (19, Decision::Ready));
    }

    #[test]
    fn a_backend_that_was_started_again_begins_the_count_anew_and_thrice_is_a_loop() {
        let options = options();
        let mut gate = Gate::new(&options, None, false);
        let once = (0..60).map(|s| if s < 8 { well(7, s) } else { well(8, s - 8) });
        assert_eq!(run(&mut gate, once), (18, Decision::Ready));
        let mut gate = Gate::new(&options, None, false);
        let again_and_again = (0..60).map(|s| well(7 + s as u32 / 8, s % 8));
        let (second, decision) = run(&mut gate, again_and_again);
        assert_eq!(
            (second, gave_up(decision).as_str()),
            (24, "its backend ended 3 times and is started again and again")
        );
    }

    #[test]
    fn what_cannot_mend_itself_is_given_up_at_once() {
        let (options, target) = (options(), v("v2.5.1"));
        let at_once = |look: Look| {
            let mut gate = Gate::new(&options, Some(&target), false);
            gate.weigh(S(0), &well(7, 1));
            gave_up(gate.weigh(S(1), &look))
        };
        let mut exited = well(7, 2);
        let view = exited.view.as_mut().unwrap();
        (view.state, view.exit_code) = (ContainerState::Exited, Some(1));
        assert_eq!(at_once(exited), "its container ended with exit code 1");
        let fatal =
            Look { programs: programs("FATAL Exited too quickly (process log may have details)"), ..well(7, 2) };
        assert_eq!(
            at_once(fatal),
            "its program `backend` is FATAL (Exited too quickly (process log may have details))"
        );
        let older = Look { info: Ok(Some(v("v2.4.2"))), ..well(7, 2) };
        assert_eq!(at_once(older), "it is v2.4.2 and should be v2.5.1");
        assert_eq!(at_once(Look { view: None, ..well(7, 2) }), "its container is gone");
    }

    #[test]
    fn a_silent_stall_ends_the_wait_and_a_growing_log_does_not() {
        let options = options();
        let stuck = || Look { programs: Err("no such file".into()), ..well(7, 1) };
        let mut gate = Gate::new(&options, None, false);
        let (second, decision) = run(&mut gate, (0..200).map(|_| stuck()));
        let reason = gave_up(decision);
        assert_eq!(
            (second, reason.as_str()),
            (60, "nothing has moved for 60 s: the container prepares itself (no such file)")
        );
        let mut gate = Gate::new(&options, None, false);
        let busy = |s: u64| Look { log: format!("migrated {s}"), ..stuck() };
        assert_eq!(run(&mut gate, (0..200).map(busy)), (199, Decision::Wait));
    }

    /// DockMon#7: a good but slow start was rolled back after 10 s.
    #[test]
    fn a_migration_may_take_hours_but_not_for_ever() {
        let options = options();
        let mut gate = Gate::new(&options, None, false);
        let migrating = |s: u64| {
            let mut look = down(well(7, 1));
            look.programs = programs(&format!("RUNNING pid 7, uptime 0:{:02}:{:02}", s / 60, s % 60));
            look
        };
        let (second, decision) = run(&mut gate, (0..2000).map(migrating));
        assert_eq!(second, 600);
        assert!(
            gave_up(decision)
                .starts_with("it is not ready after 10 min: all programs run, the backend starts or migrates")
        );
    }
}
