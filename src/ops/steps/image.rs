//! Gets the image that an instance is to run on, pins it, and lets old pins go.

use std::sync::Arc;

use async_trait::async_trait;

use super::At;
use crate::engine::{ContainerView, EngineError, ImageView};
use crate::model::ids::{ImageId, InstanceName};
use crate::model::layout::{self, LABEL_CONTAINER, LABEL_ROLE, LABEL_RUN};
use crate::model::manifest::{ImageRecord, Manifest};
use crate::model::version::Version;
use crate::ops::Tools;
use crate::ops::notes::{Notes, Target};
use crate::workflow::{RunCx, Step, StepError, UndoKind, chain};

/// Pulls the target once for all stages and pins what came: everything after this goes by the engine's id of it, so
/// a tag that moves changes nothing.
#[derive(Debug)]
pub struct Pull {
    /// Engine.
    pub tools: Arc<Tools>,
    /// Such as `appsmith/appsmith-ce:v2.5.1`.
    pub reference: String,
    /// The stages.
    pub instances: Vec<InstanceName>,
}

#[async_trait]
impl Step<Notes> for Pull {
    fn name(&self) -> String {
        "pull".into()
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let image = self.tools.engine.pull(&self.reference).await?;
        let target = target(&self.reference, &image);
        for instance in &self.instances {
            self.tools.engine.tag(&image.id, &layout::pin_tag(self.tools.container(instance), &image.id)).await?;
            notes.of_mut(instance).target = Some(target.clone());
        }
        let version = target.version.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string());
        cx.note(format!("{} is {version}, image {}", self.reference, image.id.short()));
        Ok(())
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    /// What runs on the image holds it by itself.
    async fn undo(&self, _cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        for instance in &self.instances {
            if let Some(target) = notes.of(instance).target {
                self.tools.engine.untag(&layout::pin_tag(self.tools.container(instance), &target.id)).await?;
            }
        }
        Ok(())
    }
}

fn target(reference: &str, image: &ImageView) -> Target {
    let by_label = image.labels.get("org.opencontainers.image.version").and_then(|text| Version::parse(text).ok());
    let tag = reference.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let by_tag = tag.and_then(|tag| Version::parse(tag).ok());
    Target {
        reference: reference.to_owned(),
        id: image.id.clone(),
        digests: image.digests.clone(),
        // A base image's label may be inherited; the tag is what the operator asked for.
        version: by_tag.or(by_label),
    }
}

/// Finds the snapshot's image: on this host by its id, else at its registry by digest.
#[derive(Debug)]
pub struct RestoreImage {
    /// Where.
    pub at: At,
}

/// The image of a snapshot is nowhere to be had.
#[derive(Debug, thiserror::Error)]
#[error("the image {reference} ({}) of the snapshot is not on this host, and its registry does not give it", id.short())]
pub struct ImageGone {
    /// As the operator wrote it.
    pub reference: String,
    /// The engine's id of it.
    pub id: ImageId,
    /// What the registry said last.
    #[source]
    pub source: Option<EngineError>,
}

#[async_trait]
impl Step<Notes> for RestoreImage {
    fn name(&self) -> String {
        self.at.step("find the image for")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let known = notes.of_mut(&at.instance);
        let file = known.manifest.as_ref().ok_or("the snapshot was not fetched before this step")?;
        let manifest: Manifest = at.tools.state.attached(&cx.run, file)?;
        known.target = Some(find_image(at, &manifest.image, manifest.version.clone()).await?);
        Ok(())
    }
}

/// An image that an instance ran on once, on this host by its id, else from its registry by digest; pinned.
pub(super) async fn find_image(at: &At, record: &ImageRecord, version: Option<Version>) -> Result<Target, StepError> {
    let mut image = at.engine().image(record.id.as_str()).await?;
    let mut refused = None;
    for digest in &record.digests {
        if image.is_some() {
            break;
        }
        match at.engine().pull(digest).await {
            Ok(found) => image = Some(found),
            Err(error) => refused = Some(error),
        }
    }
    let gone = || ImageGone { reference: record.reference.clone(), id: record.id.clone(), source: refused };
    let image = image.ok_or_else(gone)?;
    at.engine().tag(&image.id, &layout::pin_tag(at.container(), &image.id)).await?;
    Ok(Target { version, ..target(&record.reference, &image) })
}

/// Lets the pins of earlier upgrades go. The image of before this one stays held until the next has ended, so that a
/// restore to before the upgrade finds it even after `docker image prune -a`.
#[derive(Debug)]
pub struct Finish {
    /// Engine.
    pub tools: Arc<Tools>,
    /// The stages.
    pub instances: Vec<InstanceName>,
}

#[async_trait]
impl Step<Notes> for Finish {
    fn name(&self) -> String {
        "finish".into()
    }

    /// Everything is done by now: what cannot be tidied is left for the next upgrade, with a warning.
    async fn run(&self, cx: &RunCx, _notes: &mut Notes) -> Result<(), StepError> {
        if let Err(error) = self.tidy(cx).await {
            cx.warn(format!("pins of earlier upgrades stay: {}", chain(&error)));
        }
        Ok(())
    }
}

impl Finish {
    async fn tidy(&self, cx: &RunCx) -> Result<(), EngineError> {
        for instance in &self.instances {
            let container = self.tools.container(instance);
            let labels = [(LABEL_ROLE, "holder"), (LABEL_CONTAINER, container)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let holders = self.tools.engine.labelled(&labels).await?;
            let is_ours =
                |holder: &ContainerView| holder.labels.get(LABEL_RUN).is_some_and(|run| run == cx.run.as_str());
            let kept: Vec<ImageId> =
                holders.iter().filter(|holder| is_ours(holder)).map(|holder| holder.image_id.clone()).collect();
            for holder in holders {
                if !is_ours(&holder) {
                    self.tools.engine.remove(&holder.name).await?;
                    if !kept.contains(&holder.image_id) {
                        self.tools.engine.untag(&layout::pin_tag(container, &holder.image_id)).await?;
                    }
                }
            }
        }
        Ok(())
    }
}
