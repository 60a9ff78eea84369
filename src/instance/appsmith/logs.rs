//! What the container's log tells although everything answers. Pure.
//!
//! Sources: contract of Appsmith's image: supervisord's own lines, Mongock's marks for a change unit that failed, the
//! entry point's and the backend's refusals, mongod's JSON lines with severity `F`.

use std::collections::BTreeMap;

use crate::instance::secret::mask_addresses;
use crate::model::observation::{Seen, SeenResult};

/// How many lines from the end are looked at. Each request leaves one, too.
pub const LINES: u32 = 4000;

/// Lines that say more than a state, and what they mean.
const MEANINGS: &[(&str, &str)] = &[
    ("skipped some required update", "a checkpoint version was jumped over"),
    ("CHECKPOINT MISSED", "a checkpoint version was jumped over"),
    ("ABORTED MIGRATION", "a migration failed"),
    ("MongoDB Replica Set is not enabled", "its outside MongoDB is no replica set"),
    ("Unable to load environment configuration", "docker.env does not follow the strict rules of v2.5.1 and later"),
    ("No space left on device", "its disk is full"),
];

/// Of those, what counts as a failed migration although the app answers.
const MIGRATION: &[&str] = &["ABORTED MIGRATION", "CHECKPOINT MISSED", "skipped some required update"];

/// What mongod says when its data or its machine is no good.
const MONGO: &[&str] = &[
    "\"s\":\"F\"",
    "Fatal assertion",
    "UPGRADE PROBLEM",
    "Illegal instruction",
    "WT_PANIC",
    "Data corruption detected",
];

/// A program that had come up and ended by itself so often is in a loop. Ends before it came up do not count: while the
/// databases start, the backend ends and is started again, and that is how it waits.
const ENDS: u32 = 3;

/// How much of the log a reason shows.
const EXCERPT_LINES: usize = 3;
const EXCERPT_CHARS: usize = 240;

/// Explains a failure by the log, where a line of it says more.
pub fn explained(reason: String, log: &str) -> String {
    match MEANINGS.iter().find(|(line, _)| log.contains(line)) {
        Some((_, meaning)) => format!("{reason}; by its log, {meaning}"),
        None => reason,
    }
}

/// One check for each kind of thing that a log tells.
pub fn checks(log: &str) -> Vec<(String, Seen)> {
    let check = |id: &str, title: &str, trouble: Option<String>| {
        let result = trouble.map_or(SeenResult::Pass, |reason| SeenResult::Fail { reason });
        (format!("log:{id}"), Seen { title: format!("its log, for {title}"), result })
    };
    vec![
        check(
            "migrations",
            "migrations that failed",
            said(log, |line| MIGRATION.iter().any(|mark| line.contains(mark))),
        ),
        check(
            "mongodb",
            "what MongoDB cannot live with",
            said(log, |line| is_mongo(line) && MONGO.iter().any(|mark| line.contains(mark))),
        ),
        check("programs", "programs that end again and again", loops(log)),
    ]
}

/// Lines are forwarded with the program's name before them.
fn is_mongo(line: &str) -> bool {
    line.trim_start().starts_with("mongo")
}

/// The first lines of that kind, with what they mean.
fn said(log: &str, is_bad: impl Fn(&str) -> bool) -> Option<String> {
    let mut lines = log.lines().filter(|line| is_bad(line)).peekable();
    lines.peek()?;
    let excerpt: Vec<String> = lines.take(EXCERPT_LINES).map(shown).collect();
    Some(explained(excerpt.join(" / "), log))
}

fn shown(line: &str) -> String {
    let line = mask_addresses(line.trim());
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// The programs that came up and ended by themselves, again and again, by supervisord's own lines: `success: rts entered
/// RUNNING state, …` and `exited: rts (exit status 1; not expected)`.
fn loops(log: &str) -> Option<String> {
    // Whether it is up, how often it has ended, and the last line about that.
    let mut programs: BTreeMap<&str, (bool, u32, &str)> = BTreeMap::new();
    for line in log.lines() {
        let about = |mark: &str| line.split_once(mark).and_then(|(_, rest)| rest.split([' ', '(']).next());
        if let Some(name) = about("success: ").filter(|_| line.contains("entered RUNNING state")) {
            programs.entry(name).or_default().0 = true;
        } else if let Some(name) = about("exited: ").filter(|_| line.contains("not expected")) {
            let known = programs.entry(name).or_default();
            *known = (false, known.1 + u32::from(known.0), line);
        }
    }
    let bad = programs.iter().filter(|(_, (_, ends, _))| *ends >= ENDS);
    let reasons: Vec<String> = bad
        .map(|(name, (_, ends, line))| format!("its program `{name}` ended {ends} times by itself: {}", shown(line)))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(log: &str) -> Vec<String> {
        let reason = |(id, seen): (String, Seen)| match seen.result {
            SeenResult::Fail { reason } => Some(format!("{id}: {reason}")),
            _ => None,
        };
        checks(log).into_iter().filter_map(reason).collect()
    }

    /// appsmith#42225: docker.env has to follow stricter rules.
    #[test]
    fn a_telling_line_explains_a_failure() {
        let log = "backend stdout | ABORTED MIGRATION of 079\n";
        assert_eq!(explained("its program".into(), log), "its program; by its log, a migration failed");
        assert_eq!(explained("its program".into(), "quiet"), "its program");
        let strict = "stdout | Unable to load environment configuration: line 12\n";
        let meant = "it ended; by its log, docker.env does not follow the strict rules of v2.5.1 and later";
        assert_eq!(explained("it ended".into(), strict), meant);
    }

    #[test]
    fn a_quiet_log_and_a_backend_that_waits_for_its_databases_are_well() {
        assert_eq!(failed(""), Vec::<String>::new());
        let waiting =
            "INFO spawned: 'backend' with pid 7\nWARN exited: backend (exit status 1; not expected)\n".repeat(9);
        let log = format!(
            "{waiting}INFO success: backend entered RUNNING state, process has stayed up\nbackend stdout | \"s\":\"F\"\n"
        );
        assert_eq!(failed(&log), Vec::<String>::new());
        assert_eq!(checks(&log).len(), 3, "each is there, so that one which vanishes is noticed");
    }

    #[test]
    fn what_failed_is_shown_with_its_line_and_its_meaning_and_without_passwords() {
        let log = "backend stdout | ABORTED MIGRATION of 079 at mongodb://me:pw@localhost/x\n";
        assert_eq!(
            failed(log),
            [
                "log:migrations: backend stdout | ABORTED MIGRATION of 079 at mongodb://…@localhost/x; by its log, a migration failed"
            ]
        );
        let log = "mongodb stdout | {\"s\":\"F\", \"msg\":\"Wrong mongod version\"}\n";
        assert_eq!(failed(log), ["log:mongodb: mongodb stdout | {\"s\":\"F\", \"msg\":\"Wrong mongod version\"}"]);
    }

    #[test]
    fn a_program_that_comes_up_and_ends_again_and_again_is_a_loop() {
        let cycle = "success: rts entered RUNNING state, process has stayed up for > than 0 seconds (startsecs)\nexited: rts (exit status 1; not expected)\n";
        assert_eq!(failed(&cycle.repeat(2)), Vec::<String>::new());
        assert_eq!(
            failed(&cycle.repeat(3)),
            ["log:programs: its program `rts` ended 3 times by itself: exited: rts (exit status 1; not expected)"]
        );
    }
}
