//! `appsmithctl restore` in a closed container: waits until the app answers, loads an archive, waits again, rests.
//!
//! Facts of its sources:
//!
//! * From v2.4.1 it takes flags. Before, it reads its answers from the terminal, and ends with 0 where it did nothing.
//! * It needs `git-storage` to be there, and moves it beside. A second run would move it *into* what the first has moved.
//! * It starts the backend again at its end, whatever came of it, and does not wait until that answers.
//! * It keeps the keys of the settings that are there. Those are the snapshot's, since its files lie there already.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tool::{self, Attended};
use crate::engine::{ContainerEngine, ContainerState, EngineError, ExecResult, Job};
use crate::instance::appsmith::rest;
use crate::instance::gate::ReadyOptions;
use crate::instance::hot::Grown;
use crate::instance::secret::mask_addresses;
use crate::model::version::Version;

/// From here on it asks nothing where it is told so.
const UNATTENDED: [u64; 3] = [2, 4, 1];
const QUESTION_LIMIT: Duration = Duration::from_secs(60);
/// Deleting clones takes its time.
const DELETE_LIMIT: Duration = Duration::from_secs(1800);
const DONE: &str = "Appsmith instance successfully restored.";

/// Why an archive is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The app or its tool says no.
    #[error("{0}")]
    Refused(String),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

fn refused(reason: impl Into<String>) -> LoadError {
    LoadError::Refused(reason.into())
}

/// A closed container and how patiently to treat it.
pub struct Closed<'a> {
    pub engine: &'a dyn ContainerEngine,
    pub container: &'a str,
    pub ready: &'a ReadyOptions,
    pub stop: &'a CancellationToken,
    pub tell: &'a (dyn Fn(String) + Send + Sync),
}

impl Closed<'_> {
    /// Loads the archive of that name, and leaves the programs at rest and the container running.
    pub async fn load(&self, name: &str, quick_mongod_stop: bool) -> Result<(), LoadError> {
        self.until_it_answers("before its backup is loaded").await?;
        let said = self.run(&["appsmithctl", "version"], QUESTION_LIMIT).await?;
        let version = said.stdout.lines().last().and_then(|line| Version::parse(line.trim()).ok());
        let version = version.ok_or_else(|| refused("its appsmithctl does not say its version"))?;
        let beside = leftovers(name);
        let places: Vec<&str> = beside.iter().map(String::as_str).collect();
        self.must(&["mkdir", "-p", "/appsmith-stacks/git-storage"]).await?;
        self.must(&[&["rm", "-rf", "--"], &places[..]].concat()).await?;
        (self.tell)("loading the backup by its own tool".into());
        let (script, job) = (Script::new(name), job(&version, name));
        let (Self { engine, container, ready, stop, .. }, mut answer) = (self, |text: &str| script.answer(text));
        let (answer, grown, stall): (_, Grown<'_>, _) = (&mut answer, &|| Box::pin(async { None }), ready.stall);
        let ended =
            tool::attend(Attended { engine: *engine, container, job: &job, answer, stall, grown, stop }).await?;
        judge(&ended.map_err(refused)?).map_err(refused)?;
        self.until_it_answers("after its backup was loaded").await?;
        self.must(&[&["rm", "-rf", "--"], &places[..]].concat()).await?;
        rest::rest(self.engine, self.container, quick_mongod_stop).await.map_err(|error| match error {
            rest::RestError::Refused(reason) => refused(reason),
            rest::RestError::Engine(error) => error.into(),
        })
    }

    /// Asked inside, since nobody outside can reach it. The loading page answers, too, but not in JSON.
    async fn until_it_answers(&self, when: &str) -> Result<(), LoadError> {
        (self.tell)(format!("waiting until the closed container answers {when}"));
        let (began, mut since) = (Instant::now(), None::<Instant>);
        let ask = ["curl", "-sS", "--max-time", "5", "http://localhost/api/v1/users/me"];
        while since.is_none_or(|since| since.elapsed() < self.ready.stable_for) {
            let view = self.engine.find(self.container).await?;
            if view.is_none_or(|view| view.state != ContainerState::Running) {
                let log = self.engine.logs(self.container, 10).await.unwrap_or_default();
                return Err(refused(format!("the closed container ended {when}: {}", mask_addresses(log.trim()))));
            }
            if began.elapsed() > self.ready.ceiling {
                return Err(refused(format!("it did not answer within {} s {when}", self.ready.ceiling.as_secs())));
            }
            let said = self.run(&ask, QUESTION_LIMIT).await?;
            let answer: Option<serde_json::Value> = serde_json::from_str(said.stdout.trim()).ok();
            let well = said.exit_code == 0 && answer.is_some_and(|it| it["responseMeta"]["success"] == true);
            since = if well { since.or_else(|| Some(Instant::now())) } else { None };
            tokio::select! {
                () = tokio::time::sleep(self.ready.poll) => {}
                () = self.stop.cancelled() => {
                    return Err(EngineError::Stopped { container: self.container.to_owned(), command: "curl".into() }.into());
                }
            }
        }
        Ok(())
    }

    async fn run(&self, words: &[&str], limit: Duration) -> Result<ExecResult, EngineError> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        self.engine.exec(self.container, &words, limit).await
    }

    async fn must(&self, words: &[&str]) -> Result<(), LoadError> {
        let said = self.run(words, DELETE_LIMIT).await?;
        if said.exit_code == 0 {
            return Ok(());
        }
        Err(refused(format!("`{}` ended with {}: {}", words[0], said.exit_code, said.stderr.trim())))
    }
}

/// What the tool leaves beside what it replaces, in the container.
pub fn leftovers(archive: &str) -> [String; 2] {
    let name = archive.strip_suffix(".tar.gz").unwrap_or(archive);
    [format!("/appsmith-stacks/git-storage-{name}"), format!("/appsmith-stacks/configuration/docker.env.{name}")]
}

fn job(version: &Version, name: &str) -> Job {
    let terminal = version.numbers() < UNATTENDED;
    let flags = ["--non-interactive".to_owned(), format!("--backup-file={name}")];
    let flags = flags.into_iter().filter(|_| !terminal);
    let command = ["appsmithctl", "restore"].map(str::to_owned).into_iter().chain(flags).collect();
    Job { command, environment: Vec::new(), terminal }
}

/// Whether it has done all of it. Its exit code alone proves nothing.
fn judge(result: &ExecResult) -> Result<(), String> {
    let said = mask_addresses(&format!("{}\n{}", result.stdout, result.stderr));
    if result.exit_code == 0 && said.contains(DONE) {
        return Ok(());
    }
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    Err(format!("appsmithctl restore ended with {} and is not done: {last}", result.exit_code))
}

/// The answers to its questions, in the order in which it asks.
struct Script {
    name: String,
    state: std::sync::Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    said: String,
    answered: Vec<&'static str>,
}

/// More than its list of archives.
const KEPT_BYTES: usize = 256 << 10;

impl Script {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: std::sync::Mutex::default() }
    }

    fn answer(&self, text: &str) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.said.len() < KEPT_BYTES {
            state.said.push_str(text);
        }
        let questions = [
            ("enter the backup file index", self.index(&state.said)),
            // The version is another: that is for a person to decide.
            ("to cancel the restore process", Some("c".to_owned())),
            ("to continue with existing encryption keys", Some(String::new())),
            // Keys and passwords are not typed by us. What is no key makes it fail, or is never read.
            ("Enter the APPSMITH_ENCRYPTION_PASSWORD", Some(String::new())),
            ("Enter the APPSMITH_ENCRYPTION_SALT", Some(String::new())),
        ];
        let open =
            |(question, _): &(&'static str, _)| state.said.contains(question) && !state.answered.contains(question);
        let (question, answer) = questions.into_iter().find(open)?;
        state.answered.push(question);
        // An answer that it cannot take makes it end.
        Some(format!("{}\n", answer.unwrap_or_else(|| "none of these".into())))
    }

    /// The number of the archive in the list that it prints.
    fn index(&self, said: &str) -> Option<String> {
        let rows = said.lines().filter_map(|line| line.split_once("\t|\t"));
        let mut named = rows.filter(|(_, name)| name.split_whitespace().next() == Some(&self.name));
        named.next().map(|(index, _)| index.trim().to_owned()).filter(|index| index.parse::<u32>().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "appsmith-backup-2024-01-08T10-11-12.345Z.tar.gz";

    #[test]
    fn the_number_is_that_of_our_archive_in_the_list_and_each_question_is_answered_once() {
        let script = Script::new(NAME);
        let list = format!(
            "3 Appsmith backup file(s) found\r\nIndex\t|\tAppsmith Backup Archive File\r\n0\t|\tappsmith-backup-2023-01-08T10-11-12.345Z.tar.gz\r\n\
             1\t|\t{NAME}\r\n2\t|\tappsmith-backup-2025-01-08T10-11-12.345Z.tar.gz <--Most recent backup\r\n"
        );
        assert_eq!(script.answer(&list), None);
        assert_eq!(script.answer("Please enter the backup "), None);
        assert_eq!(script.answer("file index: ").as_deref(), Some("1\n"));
        assert_eq!(script.answer("1\r\n"), None);
        assert_eq!(script.answer("Press Enter to continue with existing encryption keys\r\n").as_deref(), Some("\n"));
        let other = Script::new("appsmith-backup-2026-01-08T10-11-12.345Z.tar.gz");
        assert_eq!(
            other.answer(&format!("{list}Please enter the backup file index: ")).as_deref(),
            Some("none of these\n")
        );
        assert_eq!(other.answer("Or Type \"c\" to cancel the restore process.").as_deref(), Some("c\n"));
    }

    #[test]
    fn flags_from_v2_4_1_and_a_terminal_before() {
        let job = |version: &str| job(&Version::parse(version).unwrap(), NAME);
        assert!(job("v2.4.0").terminal && job("v2.4.0").command == ["appsmithctl", "restore"]);
        let flags = job("v2.4.1");
        assert!(!flags.terminal && flags.command[3] == format!("--backup-file={NAME}"));
    }

    #[test]
    fn an_end_with_0_proves_nothing() {
        let ended =
            |exit_code, stdout: &str| judge(&ExecResult { exit_code, stdout: stdout.into(), stderr: String::new() });
        assert_eq!(ended(0, &format!("{DONE}\nbackend: started\n")), Ok(()));
        assert!(ended(0, "Invalid input, please try the command again").unwrap_err().contains("Invalid input"));
        assert!(ended(1, DONE).is_err());
    }
}
