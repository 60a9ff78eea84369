//! Whether production is well with what came, and the mark that it is.

use async_trait::async_trait;

use super::{Ahead, known};
use crate::model::chain::chain;
use crate::model::observation::Observation;
use crate::model::verdict::{self, compare};
use crate::ops::album::{FolderAlbum, Moment};
use crate::ops::notes::{Notes, VerdictNotes};
use crate::ops::report::Looked;
use crate::ops::steps::ChecksFailed;
use crate::workflow::{RunCx, Step, StepError};

/// Compares what the checks see with what they saw before. Of the promoted app other pages and queries are expected, but
/// whatever it has now must work. Once it passed, nothing is taken back any more.
#[derive(Debug)]
pub struct Judge(Ahead);

impl Judge {
    /// Of that app.
    pub fn new(ahead: Ahead) -> Self {
        Self(ahead)
    }
}

#[async_trait]
impl Step<Notes> for Judge {
    fn name(&self) -> String {
        self.0.step("check")
    }

    fn stage(&self) -> Option<usize> {
        Some(0)
    }

    fn reopens(&self) -> bool {
        true
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (tools, plan) = (&self.0.tools, &self.0.plan);
        let instance = &plan.production.instance;
        let file = known(notes).baseline.ok_or("nothing is known of how production was before")?;
        let baseline: Observation = tools.state.attached(&cx.run, &file)?;
        let album = FolderAlbum::begin(&tools.state.pictures(&cx.run, instance), Moment::After).await;
        let now = tools.instance(instance)?.observe(&*tools.engine, Some(&album)).await?;
        let verdict = compare(&baseline, &now).of_promoted(&plan.target.base_id, &baseline, &now);
        let verdict = verdict.allowing(&tools.settings.allow_change);
        let looked = Looked {
            instance: instance.clone(),
            at: cx.now(),
            against: Some("how it was before this run".into()),
            baseline: Some(baseline),
            now,
            verdict: verdict.clone(),
        };
        if let Err(error) = tools.state.keep_look(&cx.run, &looked) {
            cx.warn(format!("there will be no report: {}", chain(&error)));
        }
        for item in verdict.warnings() {
            cx.warn(item.to_string());
        }
        let lines: Vec<String> = verdict.blocking().map(ToString::to_string).collect();
        let passed_count = verdict.items.iter().filter(|item| item.outcome == verdict::Outcome::Pass).count();
        cx.note(format!("{passed_count} of {} checks passed on `{instance}`", verdict.items.len()));
        let pass = verdict.is_pass();
        notes.of_mut(instance).verdict = Some(VerdictNotes { pass, passed_count, lines: lines.clone() });
        if pass { Ok(()) } else { Err(Box::new(ChecksFailed { instance: instance.clone(), lines })) }
    }
}

/// Tags what went live. Nothing rests on it.
#[derive(Debug)]
pub struct Mark(Ahead);

impl Mark {
    /// Of that app.
    pub fn new(ahead: Ahead) -> Self {
        Self(ahead)
    }
}

/// As in a reference: what Git does not take there becomes `-`.
fn tag(app: &str, at: jiff::Timestamp) -> String {
    let word: String =
        app.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let word = match word.trim_matches('-') {
        "" => "app",
        word => word,
    };
    format!("refs/tags/tidegate/{word}/{}", at.strftime("%Y%m%d-%H%M%S"))
}

#[async_trait]
impl Step<Notes> for Mark {
    fn name(&self) -> String {
        self.0.step("mark")
    }

    fn stage(&self) -> Option<usize> {
        Some(0)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let Some(made) = known(notes).made else { return Ok(()) };
        let reference = tag(&self.0.plan.app, self.0.plan.at);
        let name = reference.trim_start_matches("refs/tags/").to_owned();
        let address = self.0.address()?;
        let push = self.0.git()?.with(&address, move |mirror, bounds| mirror.push(&made, &reference, bounds));
        match push.await {
            Ok(()) => cx.note(format!("tagged as {name}")),
            Err(error) => cx.warn(format!("it was not tagged: {}", chain(&error))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_reference_whatever_the_app_is_called() {
        let at = "2026-11-22T03:04:05Z".parse().unwrap();
        for (app, word) in [("Orders", "orders"), ("Support Desk: Ü..", "support-desk"), ("a@{b", "a--b"), ("Ü", "app")]
        {
            let reference = tag(app, at);
            assert_eq!(reference, format!("refs/tags/tidegate/{word}/20261122-030405"));
            assert!(git2::Reference::is_valid_name(&reference));
        }
    }
}
