//! What `supervisorctl` says about the programs in the container.
//!
//! Its exit code says little: 0 for a program that fails again and again, 0 for an error to start one. So the text counts.

use std::fmt;
use std::time::Duration;

use crate::engine::{ContainerEngine, EngineError};

/// A program of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Such as `backend`.
    pub name: String,
    /// What it does.
    pub state: ProgramState,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// For how long it has run.
    pub uptime: Option<Duration>,
    /// What supervisorctl adds, such as `Exited too quickly (process log may have details)`.
    pub detail: String,
}

/// Supervisor's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramState {
    /// Stopped by request, or never started.
    Stopped,
    /// Started, and not yet up for as long as it must be to count.
    Starting,
    /// Up.
    Running,
    /// Ended too early; is started again.
    Backoff,
    /// Is being stopped.
    Stopping,
    /// Ended.
    Exited,
    /// Ended too early too often; nobody starts it any more.
    Fatal,
    /// Supervisor itself does not know.
    Unknown,
}

impl ProgramState {
    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "STOPPED" => Self::Stopped,
            "STARTING" => Self::Starting,
            "RUNNING" => Self::Running,
            "BACKOFF" => Self::Backoff,
            "STOPPING" => Self::Stopping,
            "EXITED" => Self::Exited,
            "FATAL" => Self::Fatal,
            "UNKNOWN" => Self::Unknown,
            _ => return None,
        })
    }

    /// Has a process, or will have one without anybody's help.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Backoff | Self::Stopping | Self::Unknown)
    }
}

impl fmt::Display for ProgramState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}", self.name, self.state)?;
        if self.state == ProgramState::Running || self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.detail)
        }
    }
}

/// The order in which programs are started: what others need comes first. Unknown ones come last.
const START_ORDER: [&str; 7] = ["redis", "mongodb", "postgres", "rts", "mcp", "backend", "editor"];

/// The programs that keep data in files.
pub const DATA_PROGRAMS: [&str; 3] = ["mongodb", "redis", "postgres"];

/// An event listener of supervisor's own that carries logs; it is left alone.
const LISTENER: &str = "stdout";

/// Its place in the order of starts.
pub fn start_rank(name: &str) -> usize {
    START_ORDER.iter().position(|known| *known == name).unwrap_or(START_ORDER.len())
}

/// Reads what `supervisorctl status` wrote. An error where supervisord did not answer.
pub fn parse_status(text: &str) -> Result<Vec<Program>, String> {
    let programs: Vec<Program> = text.lines().filter_map(parse_line).filter(|it| it.name != LISTENER).collect();
    if !programs.is_empty() {
        return Ok(programs);
    }
    let said = text.lines().map(str::trim).find(|line| !line.is_empty());
    Err(said.map_or_else(|| "supervisorctl said nothing".into(), |line| line.chars().take(200).collect()))
}

fn parse_line(line: &str) -> Option<Program> {
    let mut words = line.split_whitespace();
    // A program in a group is written `group:name`.
    let name = words.next()?.rsplit(':').next()?.to_owned();
    let state = ProgramState::read(words.next()?)?;
    let detail = words.collect::<Vec<_>>().join(" ");
    let pid = detail.strip_prefix("pid ").and_then(|rest| rest.split(',').next()?.parse().ok());
    let uptime = detail.split_once("uptime ").and_then(|(_, text)| parse_uptime(text));
    Some(Program { name, state, pid, uptime, detail })
}

/// `0:01:23`, `1 day, 0:01:23` or `2 days, 13:01:23`.
fn parse_uptime(text: &str) -> Option<Duration> {
    let (days, clock) = match text.split_once(" day") {
        Some((days, rest)) => (days.trim().parse().ok()?, rest.trim_start_matches('s').trim_start_matches(',').trim()),
        None => (0, text.trim()),
    };
    let mut seconds: u64 = days;
    let places: Vec<u64> = clock.split(':').map(|place| place.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, rest] = places[..] else { return None };
    seconds = seconds.checked_mul(86_400)?.checked_add(hours.checked_mul(3600)? + minutes * 60 + rest)?;
    Some(Duration::from_secs(seconds))
}

const STATUS_LIMIT: Duration = Duration::from_secs(20);
/// Every program may take its ten seconds, some of them more.
const CHANGE_LIMIT: Duration = Duration::from_secs(180);

/// The programs and their states, or why supervisord cannot be asked.
pub async fn status(
    engine: &dyn ContainerEngine,
    container: &str,
) -> Result<Result<Vec<Program>, String>, EngineError> {
    let said = run(engine, container, &["status"], STATUS_LIMIT).await?;
    Ok(parse_status(&said))
}

/// Asks for a stop or start of these programs and waits for it. What came of it only `status` knows.
pub async fn change(
    engine: &dyn ContainerEngine,
    container: &str,
    verb: &str,
    programs: &[&str],
) -> Result<String, EngineError> {
    let words: Vec<&str> = std::iter::once(verb).chain(programs.iter().copied()).collect();
    run(engine, container, &words, CHANGE_LIMIT).await
}

async fn run(
    engine: &dyn ContainerEngine,
    container: &str,
    words: &[&str],
    limit: Duration,
) -> Result<String, EngineError> {
    let command: Vec<String> =
        std::iter::once("supervisorctl").chain(words.iter().copied()).map(str::to_owned).collect();
    let result = engine.exec(container, &command, limit).await?;
    Ok(if result.stderr.trim().is_empty() { result.stdout } else { format!("{}\n{}", result.stdout, result.stderr) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
backend                          STARTING  
editor                           RUNNING   pid 512, uptime 0:01:23
mongodb                          FATAL     Exited too quickly (process log may have details)
redis                            RUNNING   pid 88, uptime 1 day, 2:00:05
rts                              STOPPED   Nov 21 10:15 AM
stdout                           RUNNING   pid 87, uptime 12:01:23
temporal:worker                  BACKOFF   Exited too quickly (process log may have details)
";

    #[test]
    fn the_text_is_read_and_the_listener_left_out() {
        let programs = parse_status(STATUS).unwrap();
        let names: Vec<(&str, ProgramState)> = programs.iter().map(|it| (it.name.as_str(), it.state)).collect();
        use ProgramState as S;
        let expected = [
            ("backend", S::Starting),
            ("editor", S::Running),
            ("mongodb", S::Fatal),
            ("redis", S::Running),
            ("rts", S::Stopped),
            ("worker", S::Backoff),
        ];
        assert_eq!(names, expected);
        assert_eq!((programs[1].pid, programs[1].uptime), (Some(512), Some(Duration::from_secs(83))));
        assert_eq!(programs[3].uptime, Some(Duration::from_secs(86_400 + 7205)));
        assert_eq!(programs[2].to_string(), "`mongodb` is FATAL (Exited too quickly (process log may have details))");
    }

    #[test]
    fn an_absent_supervisord_is_an_error_in_its_own_words() {
        let said = parse_status("unix:///tmp/appsmith/supervisor.sock no such file\n").unwrap_err();
        assert_eq!(said, "unix:///tmp/appsmith/supervisor.sock no such file");
        assert_eq!(parse_status("\n").unwrap_err(), "supervisorctl said nothing");
    }

    #[test]
    fn uptimes() {
        assert_eq!(parse_uptime("2 days, 13:01:01"), Some(Duration::from_secs(2 * 86_400 + 13 * 3600 + 61)));
        for bad in ["", "1:2", "a:b:c", "x days, 1:1:1"] {
            assert_eq!(parse_uptime(bad), None, "{bad}");
        }
    }
}
