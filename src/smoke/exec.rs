//! A command inside the container that must end well.

use std::fmt;
use std::time::Duration;

use crate::engine::ContainerEngine;
use crate::model::chain::chain;
use crate::model::observation::{Seen, SeenResult};

/// A command inside the container that must end as expected. No shell.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecCheck {
    /// Names it in verdicts; unique within an instance.
    pub name: String,
    /// The program and its arguments, which may be secret and are told nowhere.
    pub command: Vec<String>,
    /// The exit code that is right.
    pub exit_code: i64,
    /// What its standard output must hold, of which the last 256 KiB are looked at.
    pub contains: Option<String>,
    /// How long it may take; it is ended then.
    pub limit: Duration,
}

impl fmt::Debug for ExecCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.command.first();
        f.debug_struct("ExecCheck").field("name", &self.name).field("program", &program).finish_non_exhaustive()
    }
}

/// How much of what a failed command said is told.
const SAID_CHARS: usize = 300;

impl ExecCheck {
    /// The id of its result among an observation's checks.
    pub fn id(&self) -> String {
        format!("exec:{}", self.name)
    }

    /// Runs it once. An engine that fails says nothing about the app, so that is an error and no failure.
    pub async fn run(&self, engine: &dyn ContainerEngine, container: &str) -> Seen {
        let title = format!("exec check `{}`", self.name);
        let result = match engine.exec(container, &self.command, self.limit).await {
            Ok(ended) => self.judge(ended.exit_code, &ended.stdout, &ended.stderr),
            Err(error) => SeenResult::Error { reason: chain(&error) },
        };
        Seen { title, result }
    }

    fn judge(&self, exit_code: i64, stdout: &str, stderr: &str) -> SeenResult {
        if exit_code != self.exit_code {
            let said = if stderr.trim().is_empty() { stdout } else { stderr };
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let said: String = said.chars().take(SAID_CHARS).collect();
            let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
            return SeenResult::Fail {
                reason: format!("it ended with {exit_code} instead of {}; {said}", self.exit_code),
            };
        }
        match &self.contains {
            Some(wanted) if !stdout.contains(wanted.as_str()) => {
                SeenResult::Fail { reason: format!("its output does not hold `{wanted}`") }
            }
            _ => SeenResult::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> ExecCheck {
        let command = vec!["psql".into(), "--password=hunter2".into()];
        let limit = Duration::from_secs(5);
        ExecCheck { name: "db".into(), command, exit_code: 0, contains: Some("1 row".into()), limit }
    }

    #[test]
    fn code_and_output_are_judged() {
        assert_eq!(check().judge(0, "(1 row)\n", ""), SeenResult::Pass);
        let reason = |result| match result {
            SeenResult::Fail { reason } => reason,
            other => panic!("{other:?}"),
        };
        insta::assert_snapshot!(reason(check().judge(0, "(0 rows)", "")), @"its output does not hold `1 row`");
        insta::assert_snapshot!(reason(check().judge(2, "out", "no such\n  table\n")), @"it ended with 2 instead of 0; it said: no such table");
        insta::assert_snapshot!(reason(check().judge(1, "", " ")), @"it ended with 1 instead of 0; it said nothing");
        assert_eq!(ExecCheck { exit_code: 3, contains: None, ..check() }.judge(3, "", ""), SeenResult::Pass);
    }

    #[test]
    fn arguments_are_not_told() {
        assert!(!format!("{:?}", check()).contains("hunter2"));
    }
}
