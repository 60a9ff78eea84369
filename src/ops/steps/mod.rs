//! The steps that workflows are made of. Each may be run again after any partial run, and so may its undo.

mod adapt;
mod back;
mod check;
mod data;
mod fit;
mod hot;
mod image;
mod load;
mod look;
mod meter;
pub mod promotion;
mod read;
mod recall;
mod rest;
mod swap;

pub use adapt::{Adapt, OtherLayout, ProveKeys, WrongKeys};
pub use check::{Await, Baseline, Check, ChecksFailed, Expects, Gate, GateShut};
pub use data::{Aside, FetchSnapshot, Fill, Settle, VerifySnapshot};
pub use hot::{Archive, ClearArchive, PART as ARCHIVE_PART, Prepare};
pub use image::{Finish, ImageGone, Pull, RestoreImage};
pub use load::{Load, Unload};
pub use look::{Look, NotFit, Purpose};
pub(super) use meter::Meter;
pub use read::{Publish, Read, Tidy, Verify};
pub use recall::{BringBack, LetGo, Recollect};
pub use rest::{Manner, Rest, Wake};
pub use swap::{Create, From, Open, Park, Reopen, Start};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tools;
use super::notes::{Before, InstanceNotes, Life, Notes};
use crate::engine::{
    Answer, ContainerEngine, ContainerState, ContainerView, HelperMount, Labels, Listing, PorterRequest,
};
use crate::instance::InstanceAdapter;
use crate::model::definition::{Definition, MountSource, RestartPolicy};
use crate::model::ids::{InstanceName, RunId};
use crate::model::layout;
use crate::model::manifest::Manifest;
use crate::model::part::mounts_of;
use crate::workflow::{LeftAsIs, RunCx, StepError, chain};

/// What every step of one instance needs.
#[derive(Clone, Debug)]
pub struct At {
    /// Engine, repository, state.
    pub tools: Arc<Tools>,
    /// Which instance.
    pub instance: InstanceName,
    /// Its place in the run.
    pub stage: usize,
}

impl At {
    fn engine(&self) -> &dyn ContainerEngine {
        &*self.tools.engine
    }

    fn adapter(&self) -> Result<&Arc<dyn InstanceAdapter>, StepError> {
        Ok(self.tools.instance(&self.instance)?)
    }

    fn container(&self) -> &str {
        self.tools.container(&self.instance)
    }

    fn step(&self, verb: &str) -> String {
        format!("{verb} {}", self.instance)
    }

    fn labels(&self, run: &RunId, role: &str) -> Labels {
        BTreeMap::from([
            (layout::LABEL_ROLE.to_owned(), role.to_owned()),
            (layout::LABEL_RUN.to_owned(), run.to_string()),
            (layout::LABEL_INSTANCE.to_owned(), self.instance.to_string()),
            (layout::LABEL_CONTAINER.to_owned(), self.container().to_owned()),
        ])
    }

    fn before(&self, cx: &RunCx, notes: &InstanceNotes) -> Result<Option<Before>, StepError> {
        notes.before.as_ref().map(|file| Ok(self.tools.state.attached(&cx.run, file)?)).transpose()
    }

    fn before_or_fail(&self, cx: &RunCx, notes: &Notes) -> Result<Before, StepError> {
        let none = || format!("nothing is known of `{}` from before", self.instance);
        Ok(self.before(cx, &notes.of(&self.instance))?.ok_or_else(none)?)
    }

    /// Fails if somebody started the container since it came to rest: what was or will be read is torn then.
    async fn still_rests(&self, notes: &Notes) -> Result<(), StepError> {
        let Some(rested) = notes.of(&self.instance).rested else { return Ok(()) };
        let now = self.engine().find(self.container()).await?;
        match now {
            Some(view) if !view.is_up() && Life::of(&view) == rested => Ok(()),
            _ => {
                Err(format!("somebody started, replaced or removed `{}` while it was at rest", self.container()).into())
            }
        }
    }

    /// The distinct things that data of the instance lies at: that of before, and that of a snapshot put in its place.
    fn data_sources(&self, cx: &RunCx, known: &InstanceNotes) -> Result<Vec<MountSource>, StepError> {
        let mut all = Vec::new();
        if let Some(before) = self.before(cx, known)? {
            all.extend(sources(&before, &mounts_of(&before.parts)));
        }
        if let (Some(manifest), Some(definition)) = (&known.manifest, &known.definition) {
            let manifest: Manifest = self.tools.state.attached(&cx.run, manifest)?;
            let definition: Definition = self.tools.state.attached(&cx.run, definition)?;
            let data = data::data_mounts(&definition.mounts, &manifest)?;
            all.extend(data.into_iter().map(|(_, source)| source));
        }
        let mut seen = Vec::new();
        all.retain(|source| {
            !seen.contains(source) && {
                seen.push(source.clone());
                true
            }
        });
        Ok(all)
    }

    /// One porter job at one mount of the instance.
    async fn porter(&self, cx: &RunCx, source: &MountSource, request: &PorterRequest) -> Result<Answer, StepError> {
        let name = layout::porter_container(&cx.run, &self.instance);
        let writable = !matches!(request, PorterRequest::List { .. });
        let mounts = [HelperMount { source: source.clone(), writable }];
        let labels = self.labels(&cx.run, "porter");
        match self.engine().porter(&name, &mounts, &labels, request).await? {
            Answer::Failed { error, disk_full } => {
                Err(Box::new(PorterFailed { source_text: source.to_string(), error, disk_full }))
            }
            answer => Ok(answer),
        }
    }

    async fn list(&self, cx: &RunCx, source: &MountSource, request: PorterRequest) -> Result<Listing, StepError> {
        match self.porter(cx, source, &request).await? {
            Answer::Listing(listing) => Ok(listing),
            other => Err(format!("the porter answered {other:?} to a question for a listing").into()),
        }
    }

    /// Fails while a marker says that files of this instance are set aside or half filled. Looked at before each start.
    async fn nothing_is_half_filled(&self, cx: &RunCx, sources: &[MountSource]) -> Result<(), StepError> {
        for source in sources {
            let request =
                PorterRequest::List { root: layout::helper_target(0), cover: Default::default(), stat: Vec::new() };
            if let Some(run) = self.list(cx, source, request).await?.filling {
                return Err(Box::new(HalfFilled {
                    instance: self.instance.clone(),
                    source_text: source.to_string(),
                    run,
                }));
            }
        }
        Ok(())
    }

    /// Removes what this run made on the engine to read, fill and try. They hold nothing of worth.
    async fn clear_helpers(&self, cx: &RunCx) -> Result<(), StepError> {
        use layout::{helper_container, porter_container, trial_container};
        for name in [helper_container, trial_container, porter_container] {
            self.engine().remove(&name(&cx.run, &self.instance)).await?;
        }
        Ok(())
    }

    /// The same where all else is done: what cannot be removed is left, with a warning.
    async fn clear_helpers_if_possible(&self, cx: &RunCx) {
        if let Err(error) = self.clear_helpers(cx).await {
            cx.warn(format!("a container of this run is left on the engine: {}", chain(&*error)));
        }
    }

    /// Stops it, and sees to it that no restart of the engine starts it again.
    async fn hold_still(&self) -> Result<(), StepError> {
        let Some(view) = self.engine().find(self.container()).await? else { return Ok(()) };
        if view.restart != RestartPolicy::no() {
            self.engine().set_restart_policy(self.container(), &RestartPolicy::no()).await?;
        }
        Ok(self.engine().stop(self.container(), self.adapter()?.stop_grace()).await?)
    }

    /// An undo that rests on the undo of `step` must not go on if that one failed.
    fn rests_on(&self, cx: &RunCx, verbs: &[&str], danger: &str) -> Result<(), LeftAsIs> {
        let failed = verbs.iter().map(|verb| self.step(verb)).find(|step| cx.undo_failed.contains(step));
        match failed {
            Some(step) => Err(LeftAsIs { reason: format!("`{step}` could not be undone, and {danger}") }),
            None => Ok(()),
        }
    }
}

/// The distinct things that are mounted at `destinations`.
fn sources(before: &Before, destinations: &[String]) -> Vec<MountSource> {
    destinations.iter().filter_map(|destination| before.source_of(destination).cloned()).collect()
}

/// A container as it would be if it were created from that and not started: for adapters, which look at its mounts.
fn view_of(definition: &Definition) -> ContainerView {
    ContainerView {
        id: String::new(),
        name: definition.container.clone(),
        state: ContainerState::Created,
        exit_code: None,
        oom_killed: false,
        restart_count: 0,
        started_at: None,
        health: None,
        image_id: definition.image_id.clone(),
        image_ref: definition.image_ref.clone(),
        labels: Labels::new(),
        restart: definition.restart.clone(),
        auto_remove: false,
        mounts: definition.mounts.clone(),
    }
}

/// A porter job gave up.
#[derive(Debug, thiserror::Error)]
#[error("at {source_text}: {error}")]
pub struct PorterFailed {
    /// The volume or folder.
    pub source_text: String,
    /// In the porter's words.
    pub error: String,
    /// There is no room.
    pub disk_full: bool,
}

/// Nothing may be started on data that is half filled.
#[derive(Debug, thiserror::Error)]
#[error("{source_text} of `{instance}` is half filled by run {run}; nothing may be started on it")]
pub struct HalfFilled {
    /// Which.
    pub instance: InstanceName,
    /// The volume or folder.
    pub source_text: String,
    /// The run that has to be ended first.
    pub run: String,
}
