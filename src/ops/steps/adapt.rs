//! Puts a snapshot in place otherwise than it was taken, and proves that it can be used there.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::At;
use super::data::fetched;
use crate::engine::HelperMount;
use crate::instance::adapt::{Adapted, Given, KeyProof, Taken};
use crate::instance::files::{SmallFile, read_file};
use crate::instance::mounts::{below, locate};
use crate::model::definition::Definition;
use crate::model::ids::InstanceName;
use crate::model::layout::{self, helper_target};
use crate::model::manifest::Manifest;
use crate::model::part::{PartPlan, mounts_of};
use crate::ops::notes::Notes;
use crate::stream::ByteStream;
use crate::stream::tar::pick;
use crate::workflow::{RunCx, Step, StepError, UndoKind, chain};

/// No file of settings has as much.
const SETTINGS_BYTES_MAX: usize = 1 << 20;

/// Decides what of the snapshot is put in place otherwise than it was taken, before anything is stopped: the settings
/// that say what the instance is, where the data is another's, and a cache that is to begin empty.
#[derive(Debug)]
pub struct Adapt {
    /// Where to.
    pub at: At,
    /// The data is another instance's.
    pub of_another: bool,
    /// The cache begins empty.
    pub empty_cache: bool,
}

/// What [`Adapt`] decided. Holds the settings, so it lies in a file of mode 0600.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adaptation {
    adapted: Adapted,
    /// The settings file that is written in the place of the snapshot's: mount, path in it, and how the instance's own
    /// was kept.
    file: Option<(String, String, SmallFile)>,
}

/// The data of the one does not fit in the place of the other.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot keeps {theirs} in one place, and `{instance}` has something else mounted at {ours}")]
pub struct OtherLayout {
    /// Where to.
    pub instance: InstanceName,
    /// A mount of the snapshot.
    pub theirs: String,
    /// A mount of the instance.
    pub ours: String,
}

#[async_trait]
impl Step<Notes> for Adapt {
    fn name(&self) -> String {
        self.at.step("adapt the snapshot to")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let (at, adapter) = (&self.at, self.at.adapter()?);
        let (manifest, definition) = fetched(at, cx, notes)?;
        let parts: Vec<PartPlan> = manifest.parts.iter().map(|part| part.plan.clone()).collect();
        let path = adapter.settings_file();
        let config = at.tools.repository.read_definition(&manifest).await?.config;
        let file = match path {
            Some(path) => taken_file(at, &manifest, path).await?,
            None => None,
        };
        let given = Given { config, file: file.map(|file| String::from_utf8_lossy(&file).into_owned()) };
        let mut own = None;
        let mut own_file = None;
        if self.of_another {
            self.same_layout(&definition, &parts)?;
            if let Some(path) = path {
                own_file = self.own_file(cx, &definition, &parts, path).await?;
            }
            let text = own_file.as_ref().map(|file| String::from_utf8_lossy(&file.content).into_owned());
            own = Some(Given { config: definition.config.clone(), file: text });
        }
        let taken = Taken { given: &given, parts: &parts, own: own.as_ref(), empty_cache: self.empty_cache };
        let adapted = adapter.adapt(taken)?;
        if !adapted.carried.is_empty() {
            cx.note(format!(
                "{} come with the data; every other setting stays as `{}` has it",
                adapted.carried.join(", "),
                at.instance
            ));
        }
        let place = path.and_then(|path| {
            let mounts = mounts_of(&parts);
            let (index, rest) = locate(mounts.iter().map(String::as_str), path)?;
            Some((mounts[index].clone(), rest))
        });
        let file = match (&adapted.settings, place, own_file) {
            (Some(text), Some((mount, rest)), Some(own)) => {
                Some((mount, rest, SmallFile { content: text.clone().into_bytes(), ..own }))
            }
            (Some(_), ..) => return Err("there is no place for the settings of the instance".into()),
            (None, ..) => None,
        };
        let adaptation = Adaptation { adapted: Adapted { settings: None, ..adapted }, file };
        let kept = at.tools.state.attach(&cx.run, &format!("adaptation-{}", at.instance), &adaptation)?;
        notes.of_mut(&at.instance).adaptation = Some(kept);
        Ok(())
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    async fn undo(&self, cx: &RunCx, _notes: &Notes) -> Result<(), StepError> {
        self.at.clear_helpers(cx).await
    }
}

impl Adapt {
    /// What is mounted below the place of a part would hide it.
    fn same_layout(&self, definition: &Definition, parts: &[PartPlan]) -> Result<(), OtherLayout> {
        let theirs = mounts_of(parts);
        for mount in &definition.mounts {
            let ours = &mount.destination;
            let over = theirs.iter().find(|it| *it != ours && below(it, ours).is_some());
            if let Some(over) = over.filter(|_| !theirs.contains(ours)) {
                return Err(OtherLayout {
                    instance: self.at.instance.clone(),
                    theirs: over.clone(),
                    ours: ours.clone(),
                });
            }
        }
        Ok(())
    }

    /// The instance's own settings, as they are now.
    async fn own_file(
        &self,
        cx: &RunCx,
        definition: &Definition,
        parts: &[PartPlan],
        path: &str,
    ) -> Result<Option<SmallFile>, StepError> {
        let (at, destinations) = (&self.at, mounts_of(parts));
        let helper = layout::helper_container(&cx.run, &at.instance);
        let data = super::data::sources_of(&definition.mounts, &destinations)?;
        let mounts: Vec<HelperMount> =
            data.into_iter().map(|(_, source)| HelperMount { source, writable: false }).collect();
        at.engine().remove(&helper).await?;
        at.engine().open_helper(&helper, &mounts, &at.labels(&cx.run, "helper")).await?;
        let read = read_file(at.engine(), &helper, &destinations, path, SETTINGS_BYTES_MAX).await;
        at.engine().remove(&helper).await?;
        Ok(read?)
    }
}

/// The settings file as the snapshot has it.
async fn taken_file(at: &At, manifest: &Manifest, path: &str) -> Result<Option<Vec<u8>>, StepError> {
    let mounts = mounts_of(&manifest.parts.iter().map(|part| part.plan.clone()).collect::<Vec<_>>());
    let Some((index, rest)) = locate(mounts.iter().map(String::as_str), path) else { return Ok(None) };
    let covers = |plan: &PartPlan| {
        let at = |list: &[String]| list.iter().any(|it| below(it, &rest).is_some() || it.is_empty());
        plan.mount == mounts[index] && at(&plan.cover.include) && !at(&plan.cover.exclude)
    };
    let Some(record) = manifest.parts.iter().find(|record| covers(&record.plan)) else { return Ok(None) };
    let tar = at.tools.repository.read_part(record).await?;
    let tar = crate::stream::stall(tar, at.tools.settings.stall_timeout);
    Ok(pick(tar, &rest, SETTINGS_BYTES_MAX).await?)
}

/// What [`Adapt`] has decided, if it was a step of this run.
pub(super) fn adaptation(at: &At, cx: &RunCx, notes: &Notes) -> Result<Option<Adaptation>, StepError> {
    let file = notes.of(&at.instance).adaptation;
    file.map(|file| Ok(at.tools.state.attached(&cx.run, &file)?)).transpose()
}

impl Adaptation {
    /// Only the folders of that part are put in place.
    pub(super) fn empties(&self, part: &PartPlan) -> bool {
        self.adapted.emptied.contains(&part.name)
    }

    /// The settings as an archive that is unpacked at `/` of a helper with those mounts.
    pub(super) fn settings(&self, mounts: &[String]) -> Result<Option<ByteStream>, StepError> {
        let Some((mount, path, file)) = &self.file else { return Ok(None) };
        let index = mounts.iter().position(|it| it == mount).ok_or("a settings file without a mount")?;
        let name = format!("{}/{path}", helper_target(index).trim_start_matches('/'));
        let archive = Bytes::from(file.archive(&name)?);
        Ok(Some(stream::iter([Ok(archive)]).boxed()))
    }
}

/// Lets the app open one secret of its data. With the wrong keys everything is listed and nothing works.
#[derive(Debug)]
pub struct ProveKeys {
    /// Where.
    pub at: At,
}

/// What is encrypted in the data cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the encryption keys of `{instance}` do not open its data: {by}: {reason}")]
pub struct WrongKeys {
    /// Which.
    pub instance: InstanceName,
    /// What could not be opened.
    pub by: String,
    /// In the app's words.
    pub reason: String,
}

#[async_trait]
impl Step<Notes> for ProveKeys {
    fn name(&self) -> String {
        self.at.step("prove the keys of")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, _notes: &mut Notes) -> Result<(), StepError> {
        let instance = self.at.instance.clone();
        match self.at.adapter()?.prove_keys().await {
            Ok(KeyProof::Proved { by }) => cx.note(format!("its keys open its data: {by}")),
            Ok(KeyProof::Unknown { reason }) => cx.note(format!("its keys were not proved: {reason}")),
            Ok(KeyProof::Refuted { by, reason }) => return Err(Box::new(WrongKeys { instance, by, reason })),
            // Its users' passwords may be those of the snapshot. What cannot be asked takes nothing back.
            Err(error) => cx.warn(format!("whether its keys open its data was not proved: {}", chain(&error))),
        }
        Ok(())
    }
}
