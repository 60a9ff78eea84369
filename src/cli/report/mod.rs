//! Reports of checks: as text, JSON, JUnit XML, and one HTML file that needs nothing else.

mod html;
mod junit;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::render::Render;
use super::{exit, logs};
use crate::app::App;
use crate::config::Config;
use crate::model::ids::RunId;
use crate::model::verdict::Verdict;
use crate::ops::history;
use crate::ops::report::{self, Looked, Report};
use crate::ops::state::StateDir;
use crate::workflow::StepError;

/// Show what the checks of a run saw, and write it as a report
///
/// What an upgrade, a restore or an undo of one judged by: each check and each thing, as it was before and as it was
/// after, with pictures of the pages that were opened in a browser.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tidegate report\n  \
    tidegate report upgrade-2026 --html report.html --junit report.xml\n  tidegate report upgrade-2026 --json\n\n\
    Exit codes: 0 the checks passed, 9 they did not")]
pub struct ReportArgs {
    /// The run, or the beginning of its id; without it the newest one that came to its checks
    pub run: Option<String>,
    /// Where it is written beside
    #[command(flatten)]
    pub files: Files,
}

/// Where reports go.
#[derive(clap::Args, Debug)]
pub struct Files {
    /// Write one HTML file with everything in it, pictures too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write JUnit XML, as CI systems read it
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

impl Files {
    /// Pictures are looked at only where they are shown.
    pub(super) async fn report(&self, state: &StateDir, run: Option<RunId>, looked: Looked) -> Report {
        match self.html {
            Some(_) => Report::of(state, run, looked).await,
            None => Report::without_pictures(run, looked),
        }
    }
}

/// A report could not be written. What it reports on is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the report `{}`", path.display())]
pub struct NotWritten {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// The run came to no checks.
#[derive(Debug, thiserror::Error)]
#[error("{run} compared nothing: it is no upgrade, restore or undo, or it has not come to its checks")]
pub struct NothingCompared {
    run: RunId,
}

/// Reads the journal and what lies beside it; asks neither engine nor store.
pub async fn run(args: &ReportArgs, config: &Config, out: &mut Render) -> Result<u8, StepError> {
    let state = App::state(config)?;
    let (run, looks) = match &args.run {
        Some(run) => {
            let run = logs::find(&state, Some(run))?;
            let looks = report::of_run(&state, &run)?;
            (run, looks)
        }
        None => newest(&state)?,
    };
    if looks.is_empty() {
        return Err(Box::new(NothingCompared { run }));
    }
    if args.run.is_none() {
        out.say(&format!("the checks of {run}"));
    }
    let mut reports = Vec::new();
    for looked in looks {
        reports.push(args.files.report(&state, Some(run.clone()), looked).await);
    }
    tell(&reports, &args.files, out)
}

/// The newest run that came to its checks; else the newest one.
fn newest(state: &StateDir) -> Result<(RunId, Vec<Looked>), StepError> {
    for run in history::runs(state)?.into_iter().flatten().rev() {
        let looks = report::of_run(state, &run.run)?;
        if !looks.is_empty() {
            return Ok((run.run, looks));
        }
    }
    Ok((logs::find(state, None)?, Vec::new()))
}

/// Shows reports and writes the files that are wanted. Says with which code to exit.
pub(super) fn tell(reports: &[Report], files: &Files, out: &mut Render) -> Result<u8, StepError> {
    if out.is_json() {
        out.data(&reports.iter().map(|report| &report.looked).collect::<Vec<_>>());
    } else {
        for report in reports {
            out.text(&text(&report.looked));
        }
    }
    if let Some(path) = &files.html {
        write(path, html::page(reports).as_bytes())?;
        out.say(&format!("written: {}", path.display()));
    }
    if let Some(path) = &files.junit {
        write(path, junit::xml(reports)?.as_bytes())?;
        out.say(&format!("written: {}", path.display()));
    }
    let pass = reports.iter().all(|report| report.looked.verdict.is_pass());
    Ok(if pass { exit::DONE } else { exit::REFUSED })
}

/// For its owner: names of apps and pages, and pictures of them, are nobody else's business.
fn write(path: &Path, bytes: &[u8]) -> Result<(), NotWritten> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(|source| NotWritten { path: path.to_owned(), source })
}

fn text(looked: &Looked) -> String {
    let against = looked.against.as_deref().map_or_else(
        || "compared with nothing: whatever does not work counts".to_owned(),
        |against| format!("compared with {against}"),
    );
    let state = if looked.verdict.is_pass() { "passed" } else { "FAILED" };
    let mut text = format!("{}: {state}, {against}\n", looked.instance);
    for line in looked.verdict.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// How many items of a verdict are of each kind, in words.
fn counts(verdict: &Verdict) -> Vec<(&'static str, usize)> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for item in &verdict.items {
        let (word, _) = item.outcome.word();
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::observation::{Observation, Seen, SeenResult};
    use crate::model::verdict::compare;
    use crate::ops::album::PageNotes;
    use crate::ops::report::Page;

    pub fn example() -> Report {
        let seen = |title: &str, result| Seen { title: title.into(), result };
        let fail = |reason: &str| SeenResult::Fail { reason: reason.into() };
        let mut before = Observation::default();
        before.checks.insert("ready".into(), seen("`staging` answers", SeenResult::Pass));
        before.checks.insert("browser:home".into(), seen("browser check `home`", SeenResult::Pass));
        before.checks.insert("http:old".into(), seen("http check `old`", fail("it answered 500 instead of 200")));
        let mut now = before.clone();
        let reason = "it is blank; console: <script>alert(1)</script> & \"more\"";
        now.checks.insert("browser:home".into(), seen("browser check `home`", fail(reason)));
        let looked = Looked {
            instance: crate::model::ids::InstanceName::new("staging").unwrap(),
            at: "2026-11-21T03:15:00Z".into(),
            against: Some("how it was before this run".into()),
            verdict: compare(&before, &now),
            baseline: Some(before),
            now,
        };
        let page = Page {
            check: "browser:home".into(),
            title: "browser check `home`".into(),
            before: Some(b"one".to_vec()),
            after: Some(b"two".to_vec()),
            difference: Some(b"three".to_vec()),
            share: Some(0.25),
            notes: PageNotes {
                console_errors: vec!["TypeError: <b>x</b>".into()],
                failed_requests: vec!["GET http://h/a.js answered 404".into()],
                at: Some("http://h/app".into()),
                took_ms: 1234,
            },
        };
        Report { run: None, looked, pages: vec![page], left_out: 0 }
    }

    #[test]
    fn a_person_reads_what_failed_and_against_what() {
        insta::assert_snapshot!(text(&example().looked), @r#"
        staging: FAILED, compared with how it was before this run
          1 passed, 1 failed, 1 warned
          fail: browser check `home`: it is blank; console: <script>alert(1)</script> & "more"
          known bad: http check `old`: it answered 500 instead of 200
        "#);
    }
}
