//! Undoes a restore: brings back the data, the image and the definition that it had replaced.
//!
//! What is there now is set aside by the same steps as in a restore, so that an undo destroys nothing either, and can
//! itself be undone. Nothing is fetched and nothing is copied: it needs the journal of the restore and what lies in the
//! volume, not the store.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::history::{self, RunSummary};
use super::notes::{Before, Notes, Recall};
use super::run::Plan;
use super::state::StateError;
use super::steps::{
    Aside, At, Await, Baseline, BringBack, Check, Create, Expects, From, LetGo, Look, Manner, Open, Park, Purpose,
    Recollect, Reopen, Rest, Settle, Start,
};
use super::{Tools, UnknownInstance};
use crate::engine::EngineError;
use crate::model::definition::{Definition, MountSource};
use crate::model::ids::{InstanceName, RunId};
use crate::model::manifest::Manifest;
use crate::model::part::mounts_of;
use crate::workflow::{JournalError, Outcome, Record, Step};

/// What an undo run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoPlan {
    /// Which instance.
    pub instance: InstanceName,
    /// Its container.
    pub container: String,
    /// The run that is undone: a restore, or an undo of one.
    pub undoes: RunId,
    /// When that began, RFC 3339.
    pub undoes_at: String,
    /// What comes back, for people: version and image.
    pub to: String,
    /// The image that runs now; `None` where there is no container.
    pub from: Option<String>,
    /// The mounts that data comes back to.
    pub places: Vec<String>,
    /// What a person should think about before going on.
    pub warnings: Vec<String>,
    /// It is opened without waiting until it is ready and without checks, for a state that is known not to pass.
    pub no_checks: bool,
}

/// Its steps.
pub(super) fn steps(tools: &Arc<Tools>, plan: &UndoPlan) -> Vec<Box<dyn Step<Notes>>> {
    let at = || At { tools: tools.clone(), instance: plan.instance.clone(), stage: 0 };
    let mut steps: Vec<Box<dyn Step<Notes>>> = vec![
        Box::new(Recollect { at: at(), undoes: plan.undoes.clone() }),
        Box::new(Look { at: at(), purpose: Purpose::Restore }),
        Box::new(Rest { at: at(), manner: Manner::Restore }), // users are out from here
        Box::new(Park { at: at() }),
        Box::new(Aside { at: at() }),
        Box::new(BringBack { at: at() }),
        Box::new(Settle { at: at() }),
        Box::new(Create { at: at(), from: From::Snapshot }),
        Box::new(Start { at: at(), puts_data_back: false }),
    ];
    if !plan.no_checks {
        steps.push(Box::new(Await { at: at(), expects: Expects::Snapshot }));
        steps.push(Box::new(Check { at: at(), baseline: Baseline::Recalled }));
    }
    steps.push(Box::new(Reopen { at: at(), counts: false })); // nothing is undone by a crash from here
    steps.push(Box::new(Open { at: at() }));
    steps.push(Box::new(LetGo { at: at() }));
    steps
}

/// What a person wants undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest restore on this host, of whatever instance.
    Newest,
    /// The newest of that instance.
    Of(InstanceName),
    /// That run.
    Run(RunId),
}

/// An undo that cannot be planned. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// It is not configured.
    #[error("{0}")]
    Unknown(#[from] UnknownInstance),
    /// No restore that ended well is known.
    #[error("no restore{} is known on this host", of.as_ref().map(|of| format!(" of `{of}`")).unwrap_or_default())]
    Nothing {
        /// Of which instance; `None` for any.
        of: Option<InstanceName>,
    },
    /// Only restores and undos set aside what they replace.
    #[error("{run} was {what}; only a restore, or an undo of one, that ended well can be undone")]
    NotARestore {
        /// What was asked for.
        run: RunId,
        /// What it was.
        what: String,
    },
    /// The data that is there now is not what that run left.
    #[error("{run} cannot be undone any more: {by} has changed `{instance}` since")]
    Overtaken {
        /// The restore.
        run: RunId,
        /// The later run.
        by: RunId,
        /// Whose data it is.
        instance: InstanceName,
    },
    /// There was nothing that could run again.
    #[error("{run} cannot be undone: {reason}; what it set aside lies in `.tidegate/{run}` of its volume")]
    NoWayBack {
        /// The restore.
        run: RunId,
        /// Why not.
        reason: String,
    },
    /// A journal cannot be read.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The state directory failed.
    #[error("{0}")]
    State(#[from] StateError),
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

/// Plans an undo. Makes no state-changing call.
pub async fn plan(tools: &Tools, wanted: &Wanted, no_checks: bool) -> Result<UndoPlan, UndoError> {
    let runs: Vec<RunSummary> = history::runs(&tools.state)?.into_iter().flatten().collect();
    let summary = choose(wanted, &runs)?;
    let recalled = recollect(tools, &summary.run)?;
    let Remembered { instance, recall, definition, manifest } = recalled;
    let container = tools.instance(&instance)?.container().to_owned();
    if definition.container != container {
        let reason =
            format!("`{instance}` was the container `{}` then, and is `{container}` now", definition.container);
        return Err(UndoError::NoWayBack { run: summary.run.clone(), reason });
    }
    let view = tools.engine.find(&container).await?;
    let mut warnings = Vec::new();
    if let Some(reason) = recall.before.unhealthy_because.as_ref().filter(|_| !no_checks) {
        warnings.push(format!(
            "it was not well when it was replaced ({reason}); if it does not come up, this is rolled back, unless you say --no-checks"
        ));
    }
    let version = recall.before.version.as_ref().map(|version| format!("{version}, ")).unwrap_or_default();
    let plans: Vec<_> = manifest.parts.iter().map(|part| part.plan.clone()).collect();
    Ok(UndoPlan {
        instance,
        container,
        undoes: summary.run.clone(),
        undoes_at: summary.started_at.clone(),
        to: format!("{version}{}", recall.before.image.reference),
        from: view.map(|view| view.image_ref),
        places: mounts_of(&plans),
        warnings,
        no_checks,
    })
}

/// The run that is meant, if nothing has changed its instance since.
fn choose<'a>(wanted: &Wanted, runs: &'a [RunSummary]) -> Result<&'a RunSummary, UndoError> {
    let can_be_undone =
        |run: &RunSummary| is_restore(run) && run.outcome == Some(Outcome::Completed) && !run.instances.is_empty();
    let found = match wanted {
        Wanted::Newest => runs.iter().rev().find(|run| can_be_undone(run)),
        Wanted::Of(instance) => runs.iter().rev().find(|run| can_be_undone(run) && run.instances.contains(instance)),
        Wanted::Run(id) => {
            let found = runs.iter().find(|run| run.run == *id);
            if let Some(run) = found.filter(|run| !can_be_undone(run)) {
                let outcome = run.outcome.map_or_else(|| "is open".to_owned(), |outcome| outcome.to_string());
                let what = format!("a run of `{}` that {outcome}", run.workflow);
                return Err(UndoError::NotARestore { run: id.clone(), what });
            }
            found
        }
    };
    let of = if let Wanted::Of(instance) = wanted { Some(instance.clone()) } else { None };
    let found = found.ok_or(UndoError::Nothing { of })?;
    let instance = &found.instances[0];
    // A stuck run has left the instance in a state that only a person knows.
    let has_changed_it = |run: &RunSummary| {
        run.reopened.contains(instance) || (run.outcome == Some(Outcome::Stuck) && run.instances.contains(instance))
    };
    let later = |run: &&RunSummary| run.run != found.run && run.started_at >= found.started_at && has_changed_it(run);
    match runs.iter().rev().find(later) {
        Some(by) => {
            let (run, by) = (found.run.clone(), by.run.clone());
            Err(UndoError::Overtaken { run, by, instance: instance.clone() })
        }
        None => Ok(found),
    }
}

fn is_restore(run: &RunSummary) -> bool {
    matches!(run.workflow.as_str(), "restore" | "undo")
}

/// What the journal of a restore remembers of what it replaced.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) instance: InstanceName,
    pub(super) recall: Recall,
    /// What comes back.
    pub(super) definition: Definition,
    /// Says which data was replaced.
    pub(super) manifest: Manifest,
}

/// Reads it from the journal and the files beside it.
pub(super) fn recollect(tools: &Tools, run: &RunId) -> Result<Remembered, UndoError> {
    let story = history::story(&tools.state, run)?;
    let no_way = |reason: &str| UndoError::NoWayBack { run: run.clone(), reason: reason.into() };
    let plan: Plan = serde_json::from_value(story.header.parameters.clone())
        .map_err(|error| no_way(&format!("its plan cannot be read: {error}")))?;
    let Some(instance) = plan.instances().into_iter().next() else {
        return Err(no_way("it was about no instance"));
    };
    let notes: Notes = story.records.iter().rev().find_map(Record::notes).cloned().unwrap_or_default();
    let known = notes.of(&instance);
    let Some(before) = known.before else {
        return Err(no_way("there was no container before it, so there is none to go back to"));
    };
    let (Some(manifest), Some(definition)) = (known.manifest, known.definition) else {
        return Err(no_way("its journal does not say what it put in place"));
    };
    let before: Before = tools.state.attached(run, &before)?;
    let manifest: Manifest = tools.state.attached(run, &manifest)?;
    let put: Definition = tools.state.attached(run, &definition)?;
    for mount in mounts_of(&manifest.parts.iter().map(|part| part.plan.clone()).collect::<Vec<_>>()) {
        let source = |definition: &Definition| -> Option<MountSource> {
            definition.mounts.iter().find(|it| it.destination == mount).map(|it| it.source.clone())
        };
        if source(&before.definition) != source(&put) {
            return Err(no_way(&format!("it brought another volume for {mount} than the container had before")));
        }
    }
    // What it set aside was what its snapshot covered, what was data then, and, if it was an undo, what had been before.
    let mut parts = before.parts.clone();
    if let Some(earlier) = known.recall {
        parts.extend(tools.state.attached::<Recall>(run, &earlier)?.parts);
    }
    let definition = before.definition.clone();
    Ok(Remembered { instance, definition, manifest, recall: Recall { run: run.clone(), before, parts } })
}

/// Until when what a run has set aside is kept for sure.
pub fn kept_until(tools: &Tools, begun: &str) -> Option<Timestamp> {
    begun.parse::<Timestamp>().ok()?.checked_add(tools.settings.keep_aside).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run: &str, second: u32, outcome: Option<Outcome>) -> RunSummary {
        let instance = InstanceName::new(run.rsplit('-').next().unwrap()).unwrap();
        RunSummary {
            instances: vec![instance.clone()],
            started_at: format!("2026-03-20T03:00:{second:02}Z"),
            outcome,
            reopened: if outcome == Some(Outcome::Completed) && !run.starts_with("snapshot") {
                vec![instance]
            } else {
                vec![]
            },
            ..RunSummary::begun(run)
        }
    }

    fn chosen(wanted: &Wanted, runs: &[RunSummary]) -> Result<String, String> {
        choose(wanted, runs).map(|run| run.run.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_the_newest_restore_unless_something_came_after() {
        const DONE: Option<Outcome> = Some(Outcome::Completed);
        let of = |name: &str| Wanted::Of(InstanceName::new(name).unwrap());
        let id = |id: &str| Wanted::Run(RunId::new(id).unwrap());
        let mut runs = vec![
            run("restore-1-staging", 1, DONE),
            run("restore-2-production", 2, DONE),
            run("upgrade-3-staging", 3, Some(Outcome::RolledBack)),
            run("snapshot-4-staging", 4, DONE),
            run("restore-5-staging", 5, Some(Outcome::RolledBack)),
        ];
        assert_eq!(chosen(&Wanted::Newest, &runs).unwrap(), "restore-2-production");
        assert_eq!(chosen(&of("staging"), &runs).unwrap(), "restore-1-staging");
        assert!(chosen(&id("restore-5-staging"), &runs).unwrap_err().contains("that rolled back"));
        assert!(chosen(&id("snapshot-4-staging"), &runs).unwrap_err().contains("a run of `snapshot`"));
        assert!(chosen(&of("other"), &runs).unwrap_err().contains("no restore of `other`"));
        // An undo is undone by the next; what it undid is gone.
        runs.push(run("undo-6-staging", 6, DONE));
        assert_eq!(chosen(&of("staging"), &runs).unwrap(), "undo-6-staging");
        assert!(chosen(&id("restore-1-staging"), &runs).unwrap_err().contains("undo-6-staging has changed"));
        for outcome in [Outcome::Completed, Outcome::Stuck] {
            let later = [runs.clone(), vec![run("upgrade-7-staging", 7, Some(outcome))]].concat();
            assert!(chosen(&of("staging"), &later).unwrap_err().contains("upgrade-7-staging has changed"));
        }
    }
}
