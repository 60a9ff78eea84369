//! What happened: the runs of this host, read from their journals.

use serde::Serialize;

use super::notes::Notes;
use super::run::Plan;
use super::state::{StateDir, StateError};
use crate::model::ids::{InstanceName, RunId, SnapshotId};
use crate::model::plan::choose::UpgradeState;
use crate::workflow::{FileJournal, Header, JournalError, Occasion, Outcome, Record, Wait, chain, is_finished};

/// The one workflow that neither stops an instance nor changes its image.
const PROMOTE: &str = "promote";

/// One run, for lists.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Its id.
    pub run: RunId,
    /// Which workflow.
    pub workflow: String,
    /// The instances that it was about.
    pub instances: Vec<InstanceName>,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When its last record was written, RFC 3339.
    pub last_at: String,
    /// How it ended; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// The first step that failed, with the reason.
    pub failure: Option<String>,
    /// The step that it is at, or was cut off in.
    pub at_step: Option<String>,
    /// Seconds that each instance was down, where it was and came back.
    pub down_seconds: Vec<(InstanceName, f64)>,
    /// Done with the checks and the gate off.
    pub forced: bool,
    /// The snapshot that a snapshot run took.
    pub snapshot: Option<Taken>,
    /// The first undo that failed, with the reason and with what is left running.
    pub undo_failure: Option<String>,
    /// The instances that were stopped, changed, and are back as they were.
    pub rolled_back: Vec<InstanceName>,
    /// The instances that were opened to their users on what the run brought them.
    pub reopened: Vec<InstanceName>,
    /// The moment of a schedule that it serves.
    pub occasion: Option<Occasion>,
    /// What it waits for; `None` unless it is at rest until a person says something.
    pub waiting: Option<Wait>,
    /// It was undone because it was asked to stop or cut off, not because a step failed.
    pub stopped: bool,
    /// What has changed its instances since, as far as it was looked for: see [`with_what_came_after`].
    pub changed_since: Vec<Later>,
}

#[cfg(test)]
impl RunSummary {
    /// One of which nothing is known yet, for tests.
    pub fn begun(run: &str) -> Self {
        Self {
            run: RunId::new(run).unwrap(),
            workflow: run.split('-').next().unwrap_or_default().to_owned(),
            instances: Vec::new(),
            started_at: String::new(),
            last_at: String::new(),
            outcome: None,
            failure: None,
            at_step: None,
            down_seconds: Vec::new(),
            forced: false,
            snapshot: None,
            undo_failure: None,
            rolled_back: Vec::new(),
            reopened: Vec::new(),
            occasion: None,
            waiting: None,
            stopped: false,
            changed_since: Vec::new(),
        }
    }
}

/// The last run that brought an instance something else, after the one that is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Later {
    /// Which instance.
    pub instance: InstanceName,
    /// By which run.
    pub run: RunId,
}

/// A snapshot that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    /// Its id.
    pub id: SnapshotId,
    /// Of which instance.
    pub instance: InstanceName,
    /// Bytes before compression.
    pub plain_bytes: u64,
    /// Bytes in the store.
    pub stored_bytes: u64,
}

impl RunSummary {
    /// Whether it is at work or was cut off. One that waits for a person is neither.
    pub fn is_open(&self) -> bool {
        self.outcome.is_none() && self.waiting.is_none()
    }

    /// How it ended, or that it has not.
    pub fn state_word(&self) -> String {
        match (self.outcome, &self.waiting) {
            (Some(outcome), _) => outcome.to_string(),
            (None, Some(_)) => "waits".into(),
            (None, None) => "open".into(),
        }
    }

    /// Whether the instance is no longer as the run has left it.
    pub fn is_changed_since(&self, instance: &InstanceName) -> bool {
        self.changed_since.iter().any(|later| later.instance == *instance)
    }

    /// In which state a run that failed has left the instances, as one sentence without a full stop.
    pub fn state_text(&self) -> String {
        let names =
            |names: &[InstanceName]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
        if self.workflow == PROMOTE {
            return match (self.reopened.first(), self.rolled_back.first()) {
                (Some(production), _) => format!("`{production}` has what was promoted"),
                (None, Some(production)) => format!("what was promoted is taken back from `{production}`"),
                (None, None) => "production was not touched".into(),
            };
        }
        let (rolled_back, reopened) = (self.as_left(&self.rolled_back), self.as_left(&self.reopened));
        let untouched: Vec<InstanceName> = self
            .instances
            .iter()
            .filter(|name| !self.rolled_back.contains(name) && !self.reopened.contains(name))
            .cloned()
            .collect();
        let mut parts = Vec::new();
        if !rolled_back.is_empty() {
            let verb = if rolled_back.len() > 1 { "run" } else { "runs" };
            // A snapshot only reads.
            let on = if self.workflow == "snapshot" { "" } else { ", on the old image and data" };
            parts.push(format!("{} {verb} as before{on}", names(&rolled_back)));
        }
        if !reopened.is_empty() {
            let verb = if reopened.len() > 1 { "stay" } else { "stays" };
            parts.push(format!("{} {verb} upgraded", names(&reopened)));
        }
        for Later { instance, run } in &self.changed_since {
            let was = if self.reopened.contains(instance) { "upgraded" } else { "rolled back" };
            parts.push(format!("`{instance}` was {was}, and changed since by {run}"));
        }
        if !untouched.is_empty() {
            let verb = if untouched.len() > 1 { "were" } else { "was" };
            parts.push(format!("{} {verb} not touched", names(&untouched)));
        }
        parts.join("; ")
    }

    /// Those of them that are still as the run has left them.
    fn as_left(&self, instances: &[InstanceName]) -> Vec<InstanceName> {
        instances.iter().filter(|instance| !self.is_changed_since(instance)).cloned().collect()
    }
}

/// Everything in a journal.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its first line.
    pub header: Header,
    /// All others.
    pub records: Vec<Record<Notes>>,
}

/// Reads one run.
pub fn story(state: &StateDir, run: &RunId) -> Result<Story, JournalError> {
    let (header, records) = FileJournal::<Notes>::load(&state.journal(run))?;
    Ok(Story { header, records })
}

/// The runs that have not ended, oldest first, as [`runs`] has them. Of those that have, next to nothing is read.
pub fn unended(state: &StateDir) -> Result<Vec<Result<RunSummary, JournalError>>, StateError> {
    let ids = state.runs()?;
    let unended: Vec<_> = ids.into_iter().filter(|run| !is_finished(&state.journal(run))).collect();
    Ok(in_order(state, &unended))
}

/// All runs, oldest first. One whose journal cannot be read is shown with the reason, not hidden.
pub fn runs(state: &StateDir) -> Result<Vec<Result<RunSummary, JournalError>>, StateError> {
    Ok(in_order(state, &state.runs()?))
}

fn in_order(state: &StateDir, ids: &[RunId]) -> Vec<Result<RunSummary, JournalError>> {
    let mut runs: Vec<_> = ids.iter().map(|run| story(state, run).map(|story| summary(&story))).collect();
    runs.sort_by_key(|run| run.as_ref().map(|run| run.started_at.clone()).unwrap_or_default());
    runs
}

/// When a run was begun, as its id says: to the second, as text that sorts.
fn time_in(run: &RunId) -> Option<&str> {
    run.as_str().split_once('-').map(|(_, time)| time)
}

/// Fills in which later runs of this host have changed its instances. Where that cannot be looked for, nothing is said.
pub fn with_what_came_after(state: &StateDir, summary: RunSummary) -> RunSummary {
    let newer =
        |ids: Vec<RunId>| ids.into_iter().filter(|run| time_in(run) >= time_in(&summary.run)).collect::<Vec<_>>();
    match state.runs().map(newer) {
        Ok(ids) => came_after(summary, in_order(state, &ids).into_iter().flatten()),
        Err(error) => {
            tracing::warn!(run = %summary.run, error = %chain(&error), "later runs cannot be looked at");
            summary
        }
    }
}

/// While a run is at work no other touches its instances, so what began later on one of them came later to it.
fn came_after(mut summary: RunSummary, others: impl Iterator<Item = RunSummary>) -> RunSummary {
    let mut later: Vec<RunSummary> =
        others.filter(|other| other.started_at > summary.started_at && other.workflow != "snapshot").collect();
    later.sort_by(|one, other| other.started_at.cmp(&one.started_at));
    let touched = summary.rolled_back.iter().chain(&summary.reopened);
    summary.changed_since = touched
        .filter_map(|instance| {
            let last = later.iter().find(|other| other.reopened.contains(instance))?;
            Some(Later { instance: instance.clone(), run: last.run.clone() })
        })
        .collect();
    summary
}

/// What a list shows of a run. Of what came after it nothing is known here.
pub fn summary(story: &Story) -> RunSummary {
    let Story { header, records } = story;
    let plan: Option<Plan> = serde_json::from_value(header.parameters.clone()).ok();
    let notes = records.iter().rev().find_map(Record::notes).cloned().unwrap_or_default();
    let name = |step: usize| header.steps.get(step).cloned().unwrap_or_else(|| format!("step {step}"));
    let failure = records.iter().find_map(|record| match record {
        Record::Failed { step, error, .. } => Some(format!("{}: {error}", name(*step))),
        Record::RollBack { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let outcome = match records.last() {
        Some(Record::Finished { outcome, .. }) => Some(*outcome),
        _ => None,
    };
    let waiting = match records.last() {
        Some(Record::Waiting { wait, .. }) => Some(wait.clone()),
        _ => None,
    };
    let at_step = records.iter().rev().find_map(|record| match record {
        Record::Started { step, .. } => Some(name(*step)),
        Record::UndoStarted { step, .. } => Some(format!("undo of {}", name(*step))),
        _ => None,
    });
    // The cause, and what was made of it: the undo of `rest` says what is left running.
    let retried = records.iter().rposition(|record| matches!(record, Record::RetryUndo { .. })).unwrap_or_default();
    let undo_failures: Vec<String> = records[retried..]
        .iter()
        .filter_map(|record| match record {
            Record::UndoFailed { step, error, .. } => Some(format!("{}: {error}", name(*step))),
            _ => None,
        })
        .collect();
    let (first, others) = undo_failures.split_first().map_or((None, &[][..]), |(first, others)| (Some(first), others));
    let rest = others.iter().filter(|failure| failure.starts_with("rest "));
    let undo_failure = first.map(|first| std::iter::once(first).chain(rest).cloned().collect::<Vec<_>>().join("; "));
    // The steps of an instance end in its name; the one that begins to touch it is `rest`.
    let steps_of = |verb: &str, wanted: fn(&Record<Notes>) -> Option<usize>| -> Vec<InstanceName> {
        let done = records.iter().filter_map(wanted).map(name);
        done.filter_map(|step| InstanceName::new(step.strip_prefix(verb)?.strip_prefix(' ')?).ok()).collect()
    };
    // Of a promotion, which rests nobody, it is the merge; and its checks are the end of it for users.
    let (begins, opens) = if header.workflow == PROMOTE { ("merge", "check") } else { ("rest", "reopen") };
    let rolled_back = steps_of(begins, |record| match record {
        Record::UndoDone { step, .. } => Some(*step),
        _ => None,
    });
    let reopened = steps_of(opens, |record| match record {
        Record::Reopened { step, .. } => Some(*step),
        _ => None,
    });
    let taken = notes.instances.iter().find_map(|(instance, known)| {
        let (snapshot, _) = known.snapshot.as_ref().zip(known.manifest.as_ref())?;
        Some(Taken {
            id: snapshot.id.clone(),
            instance: instance.clone(),
            plain_bytes: snapshot.parts.iter().map(|part| part.plain_bytes).sum(),
            stored_bytes: snapshot.parts.iter().map(|part| part.object.stored_bytes).sum(),
        })
    });
    let seconds = |from: &str, to: &str| {
        let (from, to) = (from.parse::<jiff::Timestamp>().ok()?, to.parse::<jiff::Timestamp>().ok()?);
        Some(to.duration_since(from).as_secs_f64())
    };
    // An instance that was rolled back was down until its rest was undone; else until it answered, or was started.
    let ended = |verb: &str, instance: &InstanceName| {
        let wanted = format!("{verb} {instance}");
        records.iter().rev().find_map(|record| match record {
            Record::UndoDone { step, at } if verb == "rest" && name(*step) == wanted => Some(at.clone()),
            Record::Done { step, at, .. } if verb == "wake" && name(*step) == wanted => Some(at.clone()),
            _ => None,
        })
    };
    let down = |(instance, known): (&InstanceName, &super::notes::InstanceNotes)| {
        let to = ended("rest", instance).or_else(|| known.up_at.clone()).or_else(|| ended("wake", instance))?;
        Some((instance.clone(), seconds(known.down_at.as_deref()?, &to)?))
    };
    let first_trouble = records.iter().find(|record| matches!(record, Record::Failed { .. } | Record::RollBack { .. }));
    RunSummary {
        run: header.run.clone(),
        workflow: header.workflow.clone(),
        instances: plan.as_ref().map(Plan::instances).unwrap_or_default(),
        started_at: header.started_at.clone(),
        last_at: records.last().map_or(&header.started_at[..], Record::at).to_owned(),
        outcome,
        failure,
        at_step: if outcome.is_none() { at_step } else { None },
        down_seconds: notes.instances.iter().filter_map(down).collect(),
        snapshot: taken,
        undo_failure,
        rolled_back,
        reopened,
        occasion: header.occasion.clone(),
        waiting,
        stopped: outcome == Some(Outcome::RolledBack) && matches!(first_trouble, Some(Record::RollBack { .. })),
        forced: matches!(plan, Some(Plan::Upgrade(plan)) if plan.forced),
        changed_since: Vec::new(),
    }
}

/// How the upgrade that a snapshot was taken for went, as far as this host knows.
pub fn upgrade_state(state: &StateDir, run: &RunId) -> UpgradeState {
    let Ok(story) = story(state, run) else { return UpgradeState::Unknown };
    let summary = summary(&story);
    match summary.outcome {
        None => UpgradeState::Open,
        Some(Outcome::Stuck) => UpgradeState::Stuck,
        Some(Outcome::RolledBack) => UpgradeState::RolledBack,
        Some(Outcome::Completed) if summary.forced => UpgradeState::Forced,
        Some(Outcome::Completed) => UpgradeState::Completed,
    }
}
