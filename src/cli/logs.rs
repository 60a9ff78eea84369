//! `logs`: what one run did, told for people.

use jiff::Timestamp;

use super::render::{Render, moment};
use super::{Usage, exit};
use crate::app::App;
use crate::config::Config;
use crate::model::ids::RunId;
use crate::ops::history::{self, RunSummary, Story};
use crate::ops::state::StateDir;
use crate::ops::told::{Told, told};
use crate::workflow::{Outcome, Record, StepError};

/// Tell what a run did: each step, when, how long, what was undone, and why it failed
///
/// Read from its journal; works without Docker and without the store. Holds no secrets.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate logs\n  tidegate logs upgrade-20261121-101530-7f3a\n  \
    tidegate logs upgrade-2026 --json")]
pub struct LogsArgs {
    /// The run, or the beginning of its id; without it the newest one
    pub run: Option<String>,
}

/// Reads the journal; touches nothing.
pub fn run(args: &LogsArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let state = App::state(config)?;
    let run = find(&state, args.run.as_deref())?;
    let story = history::story(&state, &run)?;
    let summary = history::with_what_came_after(&state, history::summary(&story));
    let said = told(&state, &run);
    if out.is_json() {
        out.data(&serde_json::json!({
            "header": story.header, "records": story.records, "told": said, "summary": summary,
        }));
    } else {
        out.text(&text(&story, &summary, &said));
    }
    Ok(exit::DONE)
}

/// The run with that id, the only one whose id begins so, or the newest.
pub(super) fn find(state: &StateDir, wanted: Option<&str>) -> Result<RunId, StepError> {
    let usage = |text: String| -> StepError { Box::new(Usage(text)) };
    let Some(wanted) = wanted else {
        let newest = history::runs(state)?.into_iter().flatten().next_back();
        return newest.map(|run| run.run).ok_or_else(|| usage("nothing has been done yet".into()));
    };
    let known = state.runs()?;
    if let Some(exact) = known.iter().find(|run| run.as_str() == wanted) {
        return Ok(exact.clone());
    }
    let mut found = known.into_iter().filter(|run| !wanted.is_empty() && run.as_str().starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (Some(_), Some(_)) => Err(usage(format!("several runs begin with `{wanted}`; `tidegate runs` lists them"))),
        (None, _) => Err(usage(format!("there is no run `{wanted}`; `tidegate runs` lists them"))),
    }
}

fn text(story: &Story, summary: &RunSummary, said: &[Told]) -> String {
    let mut text = head(summary);
    let mut said = said.iter().peekable();
    let mut tell_until = |text: &mut String, at: &str| {
        // RFC 3339 in UTC from one clock; with fractions of different lengths only as times in order.
        let at: Option<Timestamp> = at.parse().ok();
        while let Some(line) =
            said.next_if(|line| at.is_none_or(|at| line.at.parse().is_ok_and(|said: Timestamp| said <= at)))
        {
            let warning = if line.warning { "warning: " } else { "" };
            text.push_str(&indented(&format!("{warning}{}", line.text)));
        }
    };
    let name = |step: usize| story.header.steps.get(step).map_or("?", String::as_str);
    let numbered = |step: usize| format!("{:>2}/{} {}", step + 1, story.header.steps.len(), name(step));
    let mut began: Option<(&str, String)> = None;
    text.push('\n');
    for record in &story.records {
        let at = record.at();
        let mut ended = |text: &mut String, what: String, how: &str| {
            let from = began.take().map_or(at, |(from, _)| from);
            text.push_str(&format!("{}  {what:<46} {:>9}{how}\n", clock(from), seconds(from, at)));
        };
        match record {
            Record::Started { step, .. } => began = Some((at, numbered(*step))),
            Record::UndoStarted { step, .. } => began = Some((at, format!("      undo of {}", name(*step)))),
            Record::Done { step, .. } => ended(&mut text, numbered(*step), ""),
            Record::Reopened { step, .. } => ended(&mut text, numbered(*step), "  users are in from here"),
            Record::Failed { step, error, .. } => {
                ended(&mut text, numbered(*step), "  FAILED");
                text.push_str(&indented(error));
            }
            Record::UndoDone { step, .. } => ended(&mut text, format!("      undo of {}", name(*step)), ""),
            Record::UndoFailed { step, error, .. } => {
                ended(&mut text, format!("      undo of {}", name(*step)), "  FAILED");
                text.push_str(&indented(error));
            }
            Record::Waiting { step, wait, .. } => {
                ended(&mut text, numbered(*step), "  waits");
                text.push_str(&indented(&format!("{}, until {}", wait.reason, moment(&wait.until))));
            }
            Record::Approved { approval, .. } => {
                text.push_str(&format!("{}  approved by {}: {}\n", clock(at), approval.by, approval.reason));
            }
            Record::RollBack { reason, .. } => {
                cut_off(&mut text, began.take());
                text.push_str(&format!("{}  rolling back: {reason}\n", clock(at)));
            }
            Record::RetryUndo { .. } => text.push_str(&format!("{}  its undos are tried once more\n", clock(at))),
            Record::Finished { outcome, .. } => text.push_str(&format!("{}  {outcome}\n", clock(at))),
        }
        if began.is_none() {
            tell_until(&mut text, at);
        }
    }
    cut_off(&mut text, began);
    tell_until(&mut text, "");
    text
}

/// A step that began and of which nothing more is known.
fn cut_off(text: &mut String, began: Option<(&str, String)>) {
    if let Some((at, what)) = began {
        text.push_str(&format!("{}  {what:<46} did not end, or goes on\n", clock(at)));
    }
}

fn head(summary: &RunSummary) -> String {
    let instances: Vec<&str> = summary.instances.iter().map(|name| name.as_str()).collect();
    let mut text = format!("{}: {} of {}", summary.run, summary.workflow, instances.join(", "));
    text.push_str(if summary.forced { ", forced past gate and checks\n" } else { "\n" });
    let mut line = |name: &str, what: &str| text.push_str(&format!("  {name:<8} {what}\n"));
    line("began", &moment(&summary.started_at));
    match summary.outcome {
        Some(outcome) => {
            let took = seconds(&summary.started_at, &summary.last_at);
            line("ended", &format!("{}, after {took}: {outcome}", moment(&summary.last_at)));
        }
        None if summary.waiting.is_some() => line("waits", &super::upgrade::answers(&summary.run)),
        None => {
            let at = summary.at_step.as_deref().unwrap_or("its beginning");
            line("open", &format!("at {at}; `tidegate resume {}` ends it, unless its process lives", summary.run));
        }
    }
    for (instance, seconds) in &summary.down_seconds {
        line("down", &format!("{instance} {seconds:.1} s"));
    }
    if let Some(failure) = &summary.failure {
        line("failed", failure.lines().next().unwrap_or_default().trim_end_matches(':'));
    }
    if let Some(failure) = &summary.undo_failure {
        line("stuck", failure.lines().next().unwrap_or_default());
    }
    if matches!(summary.outcome, Some(Outcome::RolledBack)) {
        line("state", &summary.state_text());
    }
    if let Some(taken) = &summary.snapshot {
        line("snapshot", &format!("{} of {}; `tidegate show {}`", taken.id, taken.instance, taken.id));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("               {}\n", line.trim_end())).collect()
}

/// The time of day of a time in RFC 3339.
fn clock(at: &str) -> String {
    at.parse().map_or_else(|_| at.to_owned(), |at: Timestamp| at.strftime("%H:%M:%S").to_string())
}

fn seconds(from: &str, to: &str) -> String {
    let times = from.parse::<Timestamp>().ok().zip(to.parse::<Timestamp>().ok());
    times.map_or_else(String::new, |(from, to)| format!("{:.1} s", to.duration_since(from).as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::notes::Notes;
    use crate::workflow::{Header, JOURNAL_FORMAT};

    fn story(records: Vec<Record<Notes>>) -> Story {
        let steps =
            ["look at staging", "rest staging", "create staging", "start staging", "reopen staging", "open staging"];
        let header = Header {
            format: JOURNAL_FORMAT,
            run: RunId::new("restore-20260320-030000-7f3a").unwrap(),
            workflow: "restore".into(),
            version: 1,
            steps: steps.map(str::to_owned).to_vec(),
            parameters: serde_json::json!({
                "workflow": "restore", "instance": "staging", "container": "app", "snapshot": "3fa4c1d2", "why": "asked for",
                "taken_at": "2026-03-19T03:00:00Z", "version": "v2.1", "plain_bytes": 1, "stored_bytes": 1, "places": [],
                "from": null, "warnings": [], "no_checks": false,
            }),
            started_at: at(0),
            occasion: None,
        };
        Story { header, records }
    }

    fn told_of(story: &Story, said: &[Told]) -> String {
        text(story, &history::summary(story), said)
    }

    fn at(second: u32) -> String {
        format!("2026-03-20T03:00:{second:02}.5Z")
    }

    fn began(step: usize, second: u32) -> Record<Notes> {
        Record::Started { step, at: at(second) }
    }

    fn done(step: usize, second: u32) -> Record<Notes> {
        Record::Done { step, at: at(second), notes: Notes::default() }
    }

    fn said(second: u32, warning: bool, text: &str) -> Told {
        Told { at: format!("2026-03-20T03:00:{second:02}.4Z"), warning, text: text.into() }
    }

    #[test]
    fn a_run_that_was_rolled_back_is_told_from_beginning_to_end() {
        let error = "2 of the checks on `staging` failed:\n  app `Shop`: gone\n  page `Orders`: gone".to_owned();
        let records = vec![
            began(0, 1),
            done(0, 2),
            began(1, 2),
            done(1, 9),
            began(2, 9),
            done(2, 10),
            began(3, 10),
            Record::Failed { step: 3, at: at(30), error },
            Record::UndoStarted { step: 3, at: at(30) },
            Record::UndoDone { step: 3, at: at(33) },
            Record::UndoStarted { step: 2, at: at(33) },
            Record::UndoFailed { step: 2, at: at(34), error: "cannot remove `app`: it is busy".into() },
            Record::Finished { at: at(40), outcome: Outcome::Stuck },
        ];
        let said =
            [said(2, true, "`staging` is not healthy: its login fails"), said(20, false, "0 of 2 checks passed")];
        insta::assert_snapshot!(told_of(&story(records), &said));
    }

    #[test]
    fn a_run_that_was_cut_off_says_where() {
        let records = vec![began(0, 1), done(0, 2), began(1, 2)];
        insta::assert_snapshot!(told_of(&story(records), &[said(3, false, "stopping")]));
    }

    #[test]
    fn the_moment_when_users_are_in_is_told() {
        let mut records = Vec::new();
        for step in 0..4 {
            records.extend([began(step, 1), done(step, 2)]);
        }
        let notes = Notes::default();
        records.extend([began(4, 20), Record::Reopened { step: 4, at: at(20), notes }, began(5, 20), done(5, 21)]);
        records.push(Record::Finished { at: at(21), outcome: Outcome::Completed });
        insta::assert_snapshot!(told_of(&story(records), &[]));
    }
}
