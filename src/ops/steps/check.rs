//! Waits until an instance is ready, checks it against how it was, and weighs the gate.

use async_trait::async_trait;

use super::At;
use super::recall::recall;
use crate::instance::InstanceError;
use crate::model::gate::{Condition, weigh};
use crate::model::ids::InstanceName;
use crate::model::manifest::Manifest;
use crate::model::observation::Observation;
use crate::model::verdict::{self, Verdict, compare};
use crate::ops::album::{FolderAlbum, Moment};
use crate::ops::gate;
use crate::ops::notes::{Notes, VerdictNotes};
use crate::ops::report::Looked;
use crate::stream::StreamError;
use crate::workflow::{RunCx, Step, StepError, Wait, Waits, chain};

/// Waits until the app is ready and has stayed so.
#[derive(Debug)]
pub struct Await {
    /// Where.
    pub at: At,
    /// Which version must answer.
    pub expects: Expects,
}

/// Which version must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// That of the image.
    Target,
    /// That of the snapshot. Its data may be older than the password that the checks log in with: that is a warning.
    Snapshot,
    /// The one of before. An app that was not well before need not be so now, and one that does not come back is a
    /// warning: the snapshot is taken and the container runs.
    AsBefore,
}

#[async_trait]
impl Step<Notes> for Await {
    fn name(&self) -> String {
        self.at.step("wait for")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (at, adapter) = (&self.at, self.at.adapter()?);
        let known = notes.of(&at.instance);
        let version = match self.expects {
            Expects::Target | Expects::Snapshot => known.target.and_then(|target| target.version),
            Expects::AsBefore => {
                let before = at.before_or_fail(cx, notes)?;
                if !known.was_up || !before.answers() {
                    return Ok(());
                }
                before.version
            }
        };
        let tell = |text| cx.note(text);
        // Nothing is left half done by a wait that is given up.
        let ready = tokio::select! {
            ready = adapter.ready(at.engine(), version.as_ref(), &tell) => ready,
            () = cx.cancel.cancelled() => return Err(Box::new(StreamError::Cancelled)),
        };
        match (ready, self.expects) {
            (Ok(()), _) => {
                // It has answered all through the time that it was watched.
                let up_at = (at.tools.now)().checked_sub(at.tools.settings.stable_for);
                notes.of_mut(&at.instance).up_at = Some(up_at.map_or_else(|_| cx.now(), |at| at.to_string()));
            }
            (Err(error), Expects::AsBefore) => {
                cx.warn(format!("the snapshot is taken, but `{}` has not come back: {}", at.instance, chain(&error)));
            }
            (Err(error @ InstanceError::LoginRefused { .. }), Expects::Snapshot) => {
                cx.warn(format!("{error}; its data may be older than that password"));
                notes.of_mut(&at.instance).up_at = Some(cx.now());
            }
            (Err(error), Expects::Target | Expects::Snapshot) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Compares what the checks see now with what they saw before.
#[derive(Debug)]
pub struct Check {
    /// Where.
    pub at: At,
    /// Against what.
    pub baseline: Baseline,
}

/// What the checks are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// What they saw before this run touched the instance.
    Before,
    /// What they saw when the snapshot was taken.
    Snapshot,
    /// The same, of another instance: what the configuration says to check there need not be here.
    SnapshotOfAnother,
    /// What they saw before the restore that is undone.
    Recalled,
}

/// What passed before does not pass now.
#[derive(Debug, thiserror::Error)]
#[error("{} of the checks on `{instance}` failed:\n  {}", lines.len(), lines.join("\n  "))]
pub struct ChecksFailed {
    /// Where.
    pub instance: InstanceName,
    /// One line each.
    pub lines: Vec<String>,
}

#[async_trait]
impl Step<Notes> for Check {
    fn name(&self) -> String {
        self.at.step("check")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (at, adapter) = (&self.at, self.at.adapter()?);
        let baseline = self.observation(cx, notes)?;
        let album = FolderAlbum::begin(&at.tools.state.pictures(&cx.run, &at.instance), Moment::After).await;
        let now = match (adapter.observe(at.engine(), Some(&album)).await, self.baseline) {
            (Ok(now), _) => now,
            (
                Err(error @ InstanceError::LoginRefused { .. }),
                Baseline::Snapshot | Baseline::SnapshotOfAnother | Baseline::Recalled,
            ) => {
                cx.warn(format!("its pages were not checked: {error}"));
                return Ok(());
            }
            (Err(error), _) => return Err(error.into()),
        };
        let Some(baseline) = baseline else {
            cx.warn(format!(
                "nothing is known of how `{}` was when it was well; only its readiness was checked",
                at.instance
            ));
            let verdict = VerdictNotes { pass: true, passed_count: now.passed_count(), lines: Vec::new() };
            notes.of_mut(&at.instance).verdict = Some(verdict);
            return Ok(());
        };
        let baseline =
            if self.baseline == Baseline::SnapshotOfAnother { baseline.without_configured(&now) } else { baseline };
        let verdict = compare(&baseline, &now).allowing(&at.tools.settings.allow_change);
        self.keep(cx, baseline, now, &verdict);
        for item in verdict.warnings() {
            cx.warn(item.to_string());
        }
        let lines: Vec<String> = verdict.blocking().map(ToString::to_string).collect();
        let passed_count = verdict.items.iter().filter(|item| item.outcome == verdict::Outcome::Pass).count();
        cx.note(format!("{passed_count} of {} checks passed on `{}`", verdict.items.len(), at.instance));
        let pass = verdict.is_pass();
        notes.of_mut(&at.instance).verdict = Some(VerdictNotes { pass, passed_count, lines: lines.clone() });
        if pass { Ok(()) } else { Err(Box::new(ChecksFailed { instance: at.instance.clone(), lines })) }
    }
}

impl Check {
    /// For a report. The outcome does not depend on it.
    fn keep(&self, cx: &RunCx, baseline: Observation, now: Observation, verdict: &Verdict) {
        let at = &self.at;
        let against = match self.baseline {
            Baseline::Before => "how it was before this run",
            Baseline::SnapshotOfAnother => "how the other was when the snapshot was taken",
            Baseline::Snapshot => "how it was when the snapshot was taken",
            Baseline::Recalled => "how it was before the restore",
        };
        let looked = Looked {
            instance: at.instance.clone(),
            at: cx.now(),
            against: Some(against.into()),
            baseline: Some(baseline),
            now,
            verdict: verdict.clone(),
        };
        if let Err(error) = at.tools.state.keep_look(&cx.run, &looked) {
            cx.warn(format!("there will be no report: {}", chain(&error)));
        }
    }

    fn observation(&self, cx: &RunCx, notes: &Notes) -> Result<Option<Observation>, StepError> {
        let known = notes.of(&self.at.instance);
        Ok(match self.baseline {
            Baseline::Before => self.at.before_or_fail(cx, notes)?.observation,
            Baseline::Recalled => recall(&self.at, cx, notes)?.before.observation,
            Baseline::Snapshot | Baseline::SnapshotOfAnother => {
                let file = known.manifest.as_ref().ok_or("the snapshot was not fetched before this step")?;
                self.at.tools.state.attached::<Manifest>(&cx.run, file)?.observation
            }
        })
    }
}

/// Opens only if the same image passed on the stage before, that evidence is fresh, and it still stands.
#[derive(Debug)]
pub struct Gate {
    /// The stage that is to be upgraded.
    pub at: At,
    /// The stage that must have passed.
    pub previous: InstanceName,
    /// It also needs a person.
    pub approval: bool,
}

/// The gate stays shut.
#[derive(Debug, thiserror::Error)]
#[error("the gate before `{instance}` is shut: {}", shut.iter().map(|condition| condition.text.as_str()).collect::<Vec<_>>().join("; "))]
pub struct GateShut {
    /// The stage behind it.
    pub instance: InstanceName,
    /// What does not hold.
    pub shut: Vec<Condition>,
}

#[async_trait]
impl Step<Notes> for Gate {
    fn name(&self) -> String {
        self.at.step("gate before")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let target = notes.of(&at.instance).target.ok_or("no image was pulled before this step")?;
        let facts = gate::facts(&at.tools, &self.previous, &at.instance, target.id).await?;
        let conditions = weigh(&facts);
        for condition in conditions.iter().filter(|condition| condition.holds) {
            cx.note(format!("holds: {}", condition.text));
        }
        let shut: Vec<Condition> = conditions.into_iter().filter(|condition| !condition.holds).collect();
        if !shut.is_empty() {
            return Err(Box::new(GateShut { instance: at.instance.clone(), shut }));
        }
        if !self.approval || facts.is_approved(cx.approval.as_ref()) {
            if let Some(approval) = cx.approval.as_ref().filter(|_| self.approval) {
                cx.note(format!("holds: {} approved it: {}", approval.by, approval.reason));
            }
            return Ok(());
        }
        Err(Box::new(Waits(Wait {
            reason: format!("`{}` needs the approval of a person", at.instance),
            evidence: facts.fingerprint(),
            until: facts.expires_at().unwrap_or(facts.now).to_string(),
        })))
    }
}
