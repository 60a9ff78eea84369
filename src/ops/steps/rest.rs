//! Rest and wake: data stands still only in a stopped container, with its restart policy off.

use async_trait::async_trait;

use super::back::take_back;
use super::look::survey;
use super::{At, sources};
use crate::engine::PorterRequest;
use crate::instance::{Cleanliness, InstanceError};
use crate::model::definition::{Definition, RestartPolicy};
use crate::model::layout::helper_target;
use crate::model::manifest::Manifest;
use crate::model::part::mounts_of;
use crate::ops::notes::{Life, Notes};
use crate::stream::StreamError;
use crate::workflow::{LeftAsIs, RunCx, Step, StepError, UndoKind, chain};

/// Brings an instance to rest. Its undo wakes it: the one that must never fail to run.
#[derive(Debug)]
pub struct Rest {
    /// Where.
    pub at: At,
    /// What is wanted.
    pub manner: Manner,
}

/// How much a rest insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// An unclean stop is noted. Waking does not wait until the app is ready.
    Snapshot,
    /// An unclean stop fails. Waking is done only when the app is ready again.
    Upgrade,
    /// The container may be broken, or gone: whatever happens inside it, it is stopped.
    Restore,
}

#[async_trait]
impl Step<Notes> for Rest {
    fn name(&self) -> String {
        self.at.step("rest")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::Service
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let Some(before) = at.before(cx, &notes.of(&at.instance))? else { return Ok(()) };
        notes.of_mut(&at.instance).down_at = Some(cx.now());
        let mut clean = self.stop(cx, notes).await?;
        let again = self.manner != Manner::Restore && before.answers();
        if let (Cleanliness::Unclean { reason }, true) = (&clean, again) {
            cx.warn(format!(
                "`{}` did not shut down cleanly ({reason}); it is started and stopped once more",
                at.instance
            ));
            at.engine().start(at.container()).await?;
            let tell = |text| cx.note(text);
            tokio::select! {
                ready = at.adapter()?.ready(at.engine(), None, &tell) => ready?,
                () = cx.cancel.cancelled() => return Err(Box::new(StreamError::Cancelled)),
            }
            clean = self.stop(cx, notes).await?;
        }
        if let Cleanliness::Unclean { reason } = &clean {
            match self.manner {
                Manner::Upgrade => return Err(format!("`{}` does not shut down cleanly: {reason}", at.instance).into()),
                Manner::Snapshot => cx.warn(format!("the snapshot is marked as unclean: {reason}")),
                Manner::Restore => {}
            }
        }
        notes.of_mut(&at.instance).clean = Some(clean);
        Ok(())
    }

    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        let built_on = ["start", "create", "set aside", "park"];
        if let Err(left) = self.at.rests_on(cx, &built_on, "the old container would run on foreign data") {
            return Err(salvage(&self.at, cx, notes, left).await.into());
        }
        wake(&self.at, cx, notes, self.manner).await
    }
}

impl Rest {
    async fn stop(&self, cx: &RunCx, notes: &mut Notes) -> Result<Cleanliness, StepError> {
        let (at, adapter) = (&self.at, self.at.adapter()?);
        at.engine().set_restart_policy(at.container(), &RestartPolicy::no()).await?;
        if let Err(error) = adapter.rest(at.engine()).await {
            if self.manner != Manner::Restore {
                return Err(error.into());
            }
            cx.warn(format!("{}; its container is stopped all the same", chain(&error)));
        }
        at.engine().stop(at.container(), adapter.stop_grace()).await?;
        let Some(view) = at.engine().find(at.container()).await? else { return Ok(Cleanliness::Clean) };
        if self.manner == Manner::Restore {
            return Ok(Cleanliness::Clean);
        }
        let listings = survey(at, cx, &view, false).await?;
        let known = notes.of_mut(&at.instance);
        known.rested = Some(Life::of(&view));
        // What came while it still ran belongs to the snapshot, too.
        known.parts = Some(adapter.parts(&view, &listings)?);
        Ok(adapter.is_clean(&view, &listings))
    }
}

/// Starts the container that is there, if it ran before, and gives it its restart policy back.
async fn wake(at: &At, cx: &RunCx, notes: &Notes, manner: Manner) -> Result<(), StepError> {
    let known = notes.of(&at.instance);
    let Some(before) = at.before(cx, &known)? else { return Ok(()) };
    let policy = &before.definition.restart;
    if !known.was_up {
        return Ok(at.engine().set_restart_policy(at.container(), policy).await?);
    }
    // A snapshot only reads, so that nothing but the engine is needed to undo it.
    if manner != Manner::Snapshot {
        at.nothing_is_half_filled(cx, &sources(&before, &mounts_of(&before.parts))).await?;
    }
    let view = at.engine().find(at.container()).await?;
    let never_stopped = view.is_some_and(|view| view.is_up() && Life::of(&view) == before.life);
    at.engine().start(at.container()).await?;
    at.engine().set_restart_policy(at.container(), policy).await?;
    let adapter = at.adapter()?;
    if never_stopped && let Err(error) = adapter.wake(at.engine()).await {
        // It was left half way to rest. A start from the beginning wakes all of its programs.
        cx.warn(format!("{}; its container is started anew", chain(&error)));
        at.engine().set_restart_policy(at.container(), &RestartPolicy::no()).await?;
        at.engine().stop(at.container(), adapter.stop_grace()).await?;
        at.engine().start(at.container()).await?;
        at.engine().set_restart_policy(at.container(), policy).await?;
    }
    if manner != Manner::Snapshot && before.answers() {
        match adapter.ready(at.engine(), before.version.as_ref(), &|text| cx.note(text)).await {
            Ok(()) => {}
            // Says nothing of the app, so it is worth another try.
            Err(InstanceError::Engine(error)) => return Err(error.into()),
            Err(error) => {
                let reason = format!("the old container runs on the old data, but is not ready: {}", chain(&error));
                return Err(LeftAsIs { reason }.into());
            }
        }
    }
    Ok(())
}

/// Something below could not be undone, so the old state cannot be had, or not for sure. Whatever consistent state can
/// run is left running.
async fn salvage(at: &At, cx: &RunCx, notes: &Notes, left: LeftAsIs) -> LeftAsIs {
    let running = match stand_in(at, cx, notes).await {
        Ok(running) => running.to_owned(),
        Err(error) => format!("nothing runs: {}", chain(&*error)),
    };
    LeftAsIs { reason: format!("{}; {running}", left.reason) }
}

/// Brings up the one state that is whole. Which one that is follows from the undos that failed:
///
/// | failed | the data in place | what runs |
/// |---|---|---|
/// | `start` | what the new image made, once a roll back that was begun is taken back | the new container |
/// | `create`, upgrade | that of before | nothing: its name is taken by a container that must not touch it |
/// | `create`, restore | the snapshot's | the new container |
/// | others | that of before, or else half of both | the old container, or nothing |
async fn stand_in(at: &At, cx: &RunCx, notes: &Notes) -> Result<&'static str, StepError> {
    let known = notes.of(&at.instance);
    let failed = |verb: &str| cx.undo_failed.contains(&at.step(verb));
    let before = at.before(cx, &known)?;
    let snapshot = known.definition.as_ref().map(|file| at.tools.state.attached::<Definition>(&cx.run, file));
    let snapshot = snapshot.transpose()?;
    let mounts = at.data_sources(cx, &known)?;
    let is_new = failed("start") || (failed("create") && snapshot.is_some());
    if !is_new {
        if failed("create") {
            return Err("the container that is there belongs to a newer image, and the data to the old one".into());
        }
        if failed("load") {
            return Err("the container that loads an archive may still run on the data".into());
        }
        if failed("set aside") {
            for source in &mounts {
                at.porter(cx, source, &PorterRequest::Back { root: helper_target(0), run: cx.run.to_string() }).await?;
            }
        }
        let Some(before) = &before else {
            return Ok("its data is that of before; nothing runs, as before");
        };
        at.engine().create(&before.definition).await?;
        at.nothing_is_half_filled(cx, &mounts).await?;
        wake(at, cx, notes, Manner::Snapshot).await?;
        return Ok(match known.was_up {
            true => "the old container was started on the data of before",
            false => "the old container is there and stopped, as before",
        });
    }
    at.tools.state.drop_evidence(&at.instance)?;
    let up = at.engine().find(at.container()).await?.is_some_and(|view| view.is_up());
    if let (false, None, Some(before), Some(file)) = (up, &snapshot, &before, &known.manifest) {
        let manifest: Manifest = at.tools.state.attached(&cx.run, file)?;
        take_back(at, cx, &before.definition.mounts, &manifest).await?;
    }
    at.nothing_is_half_filled(cx, &mounts).await?;
    at.engine().create(&at.to_come(cx, notes)?).await?;
    at.engine().start(at.container()).await?;
    let policy = snapshot.map(|definition| definition.restart).or(known.restart);
    if let Some(policy) = policy {
        at.engine().set_restart_policy(at.container(), &policy).await?;
    }
    Ok("the new container was started on the data that belongs to it")
}

/// Wakes an instance as a step of its own, when a snapshot has read all it needs.
#[derive(Debug)]
pub struct Wake {
    /// Where.
    pub at: At,
}

#[async_trait]
impl Step<Notes> for Wake {
    fn name(&self) -> String {
        self.at.step("wake")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        wake(&self.at, cx, notes, Manner::Snapshot).await
    }
}
