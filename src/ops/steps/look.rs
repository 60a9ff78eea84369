//! Looks at an instance before anything is touched, and writes down how it was.

use async_trait::async_trait;

use super::{At, sources};
use crate::engine::{ContainerState, ContainerView, EngineError, HelperMount, Listing, PorterRequest};
use crate::instance::NoWay;
use crate::model::definition::{Definition, MountSource};
use crate::model::ids::InstanceName;
use crate::model::layout;
use crate::model::manifest::ImageRecord;
use crate::model::part::{PartPlan, mounts_of};
use crate::model::version::Version;
use crate::ops::album::{FolderAlbum, Moment};
use crate::ops::notes::{Before, Life, Notes};
use crate::smoke::album::{Album, NoAlbum};
use crate::workflow::{LeftAsIs, RunCx, Step, StepError, UndoKind, chain};

/// Looks at an instance: container, definition, files, health. Touches nothing.
#[derive(Debug)]
pub struct Look {
    /// Where.
    pub at: At,
    /// What it is looked at for.
    pub purpose: Purpose,
}

/// What an instance is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its container must be there.
    Snapshot,
    /// Its container must run, and its app have a tool for that.
    HotSnapshot,
    /// It must be well, and have room to be rolled back.
    Upgrade {
        /// It need not be well.
        forced: bool,
    },
    /// It may be in any state, even gone.
    Restore,
}

/// It cannot be upgraded as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotFit {
    /// There is nothing.
    #[error("there is no container `{container}` for `{instance}`")]
    NoContainer {
        /// Which.
        instance: InstanceName,
        /// Its name.
        container: String,
    },
    /// It does not run.
    #[error("`{instance}` does not run, so it cannot be snapshotted while it runs")]
    NotRunning {
        /// Which.
        instance: InstanceName,
    },
    /// Its app cannot do that.
    #[error("`{instance}` cannot be snapshotted while it runs: its app has no tool that Tidegate knows")]
    NoHotTool {
        /// Which.
        instance: InstanceName,
    },
    /// The archive of its tool would not fit beside its data.
    #[error(
        "{source_text} of `{instance}` has {free_bytes} bytes free, and a backup by its own tool needs {needed_bytes}"
    )]
    NoRoomForArchive {
        /// Which.
        instance: InstanceName,
        /// The volume or folder.
        source_text: String,
        /// What is there.
        free_bytes: u64,
        /// What is needed.
        needed_bytes: u64,
    },
    /// It is not well already.
    #[error("`{instance}` is not healthy, so an upgrade could not be judged: {reason}")]
    Unhealthy {
        /// Which.
        instance: InstanceName,
        /// Why.
        reason: String,
    },
    /// A stop would remove it.
    #[error("the container `{container}` was started with --rm: a stop would remove it")]
    AutoRemove {
        /// Its name.
        container: String,
    },
    /// The container that is to come cannot be had on this host.
    #[error("a container like `{container}` cannot be created on this host")]
    CannotCreate {
        /// Its name.
        container: String,
        /// Why not.
        #[source]
        source: EngineError,
    },
    /// Something that was given to the container cannot be given to its successor.
    #[error("`{container}` would lose {} when it is created anew", fields.join(", "))]
    Lossy {
        /// Which instance.
        instance: InstanceName,
        /// Its container.
        container: String,
        /// Names of fields, such as `MacAddress`.
        fields: Vec<String>,
    },
    /// Its data is not its own.
    #[error("`{writer}` runs and may write to {source_text} of `{instance}`")]
    OtherWriter {
        /// Which instance.
        instance: InstanceName,
        /// The volume or folder.
        source_text: String,
        /// The container's name.
        writer: String,
    },
    /// The next snapshot would hardly fit where snapshots go.
    #[error("the store {store} has {free_bytes} bytes free, and the last snapshot of `{instance}` took {last_bytes}")]
    NoRoomInStore {
        /// Which.
        instance: InstanceName,
        /// The store.
        store: String,
        /// What is there.
        free_bytes: u64,
        /// What the newest snapshot took.
        last_bytes: u64,
    },
    /// Data cannot be set aside beside its replacement.
    #[error(
        "{source_text} of `{instance}` has {free_bytes} bytes free, and putting its data back needs {needed_bytes}"
    )]
    NoRoom {
        /// Which.
        instance: InstanceName,
        /// The volume or folder.
        source_text: String,
        /// What is there.
        free_bytes: u64,
        /// What is needed.
        needed_bytes: u64,
    },
    /// There is room for its bytes and not for its files.
    #[error("{source_text} of `{instance}` has room for {free} more files, and putting its data back needs {needed}")]
    NoInodes {
        /// Which.
        instance: InstanceName,
        /// The volume or folder.
        source_text: String,
        /// Inodes that are free.
        free: u64,
        /// Files, folders and links of the data.
        needed: u64,
    },
}

#[async_trait]
impl Step<Notes> for Look {
    fn name(&self) -> String {
        self.at.step("look at")
    }

    fn stage(&self) -> Option<usize> {
        Some(self.at.stage)
    }

    async fn run(&self, cx: &RunCx, notes: &mut Notes) -> Result<(), StepError> {
        let at = &self.at;
        let container = at.container().to_owned();
        let Some(view) = at.engine().find(&container).await? else {
            if self.purpose == Purpose::Restore {
                cx.note(format!("there is no container `{container}`; it will be created from the snapshot"));
                return Ok(());
            }
            return Err(Box::new(NotFit::NoContainer { instance: at.instance.clone(), container }));
        };
        let upgrades = matches!(self.purpose, Purpose::Upgrade { .. });
        if self.purpose == Purpose::HotSnapshot && view.state != ContainerState::Running {
            return Err(Box::new(NotFit::NotRunning { instance: at.instance.clone() }));
        }
        if view.auto_remove && self.purpose != Purpose::HotSnapshot {
            return Err(Box::new(NotFit::AutoRemove { container }));
        }
        let target = notes.of(&at.instance).target.and_then(|target| target.version);
        let before = self.before(cx, &view, target.as_ref().filter(|_| upgrades)).await?;
        at.nobody_else_writes(&sources(&before, &mounts_of(&before.parts))).await?;
        if let Purpose::Upgrade { forced } = self.purpose {
            // Single checks that fail already are known bad and stay so; an app that does not answer cannot be judged.
            if let (false, Some(reason), false) = (before.answers(), &before.unhealthy_because, forced) {
                return Err(Box::new(NotFit::Unhealthy { instance: at.instance.clone(), reason: reason.clone() }));
            }
            if let (Some(from), Some(to)) = (&before.version, target) {
                // What runs may be older than its tag says, or have a tag that says nothing.
                if let [first, _, ..] = at.adapter()?.hops(from, &to)?.as_slice() {
                    let reason = format!("{first} has to come first: upgrade to it, then to {to}");
                    return Err(Box::new(NoWay { from: from.clone(), to, reason }));
                }
            }
            self.has_room(&before)?;
            let target = notes.of(&at.instance).target.ok_or("no image was pulled before this step")?;
            at.can_be_created(cx, &before.definition.on_image(&target.reference, &target.id)).await?;
            let mut changes = at.engine().layer_changes(&container).await?;
            changes.retain(|path| !is_fleeting(path));
            if !changes.is_empty() {
                cx.warn(format!(
                    "{} files outside its volumes are lost when `{container}` is created anew, such as {}",
                    changes.len(),
                    changes[0]
                ));
            }
        }
        if let Some(reason) = &before.unhealthy_because {
            cx.warn(format!("`{}` is not healthy: {reason}", at.instance));
        }
        let known = notes.of_mut(&at.instance);
        known.was_up = view.is_up();
        known.restart = Some(before.definition.restart.clone());
        known.before = Some(at.tools.state.attach(&cx.run, &format!("before-{}", at.instance), &before)?);
        Ok(())
    }

    fn undo_kind(&self) -> UndoKind {
        UndoKind::CleanUp
    }

    /// Runs last of all undos of the stage: what was set aside by a roll back that succeeded is not needed any more.
    async fn undo(&self, cx: &RunCx, notes: &Notes) -> Result<(), StepError> {
        let at = &self.at;
        at.clear_helpers(cx).await?;
        if let Some(failed) = cx.undo_failed.iter().find(|step| step.ends_with(at.instance.as_str())) {
            // Not done, so that it is tried again when the others are.
            let reason = format!("`{failed}` could not be undone, so all that was set aside stays");
            return Err(LeftAsIs { reason }.into());
        }
        for source in at.data_sources(cx, &notes.of(&at.instance))? {
            let listing = at.list(cx, &source, list_request(Default::default(), Vec::new())).await?;
            for run in listing.asides.into_iter().filter(|aside| aside.starts_with(cx.run.as_str())) {
                at.porter(cx, &source, &PorterRequest::Drop { root: layout::helper_target(0), run }).await?;
            }
        }
        at.clear_helpers(cx).await?;
        at.engine().remove(&layout::holder_container(&cx.run, &at.instance, "before")).await?;
        Ok(())
    }
}

impl Look {
    async fn before(&self, cx: &RunCx, view: &ContainerView, target: Option<&Version>) -> Result<Before, StepError> {
        let at = &self.at;
        let adapter = at.adapter()?;
        let definition = at.engine().definition(at.container()).await?;
        let image = at.engine().image(view.image_id.as_str()).await?;
        let listings = survey(at, cx, view, self.purpose == Purpose::Restore).await?;
        let hot = self.purpose == Purpose::HotSnapshot;
        let parts = if hot { at.hot()?.parts(view, &listings) } else { adapter.parts(view, &listings) };
        let parts = match parts {
            Ok(parts) => parts,
            // A restore must work on data that is torn or foreign; its parts come from the snapshot.
            Err(error) if self.purpose == Purpose::Restore => {
                cx.warn(chain(&error));
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        self.preflight(cx, &definition, &parts, &listings, target).await?;
        let label = image.as_ref().and_then(|image| image.labels.get("org.opencontainers.image.version"));
        let by_label = label.and_then(|text| Version::parse(text).ok());
        let (observation, unhealthy_because) = if view.is_up() {
            let album = FolderAlbum::begin(&at.tools.state.pictures(&cx.run, &at.instance), Moment::Before).await;
            // A snapshot is not judged, so nobody would look at its pictures.
            let judged = !matches!(self.purpose, Purpose::Snapshot | Purpose::HotSnapshot);
            let album: &dyn Album = if judged { &album } else { &NoAlbum };
            match adapter.observe(at.engine(), Some(album)).await {
                Ok(seen) => (Some(seen.clone()), seen.first_failure()),
                // An engine that did not answer says nothing about the app. A restore needs neither.
                Err(error)
                    if self.purpose != Purpose::Restore
                        && ((cx.retry.hiccup)(&error) || (cx.retry.outage)(&error).is_some()) =>
                {
                    return Err(error.into());
                }
                Err(error) => (None, Some(chain(&error))),
            }
        } else {
            (None, Some("its container does not run".into()))
        };
        let version = if view.is_up() { adapter.version(at.engine()).await.unwrap_or_default() } else { None };
        Ok(Before {
            life: Life::of(view),
            image: ImageRecord {
                id: view.image_id.clone(),
                reference: view.image_ref.clone(),
                digests: image.map(|image| image.digests).unwrap_or_default(),
            },
            definition,
            version: version.or(by_label),
            parts,
            listings,
            observation,
            unhealthy_because,
        })
    }

    /// Asks the store whether it takes objects, and the app's own settings, through a helper, whether its mounts hold
    /// all of its data.
    async fn preflight(
        &self,
        cx: &RunCx,
        definition: &Definition,
        parts: &[PartPlan],
        listings: &[(String, Listing)],
        target: Option<&Version>,
    ) -> Result<(), StepError> {
        let at = &self.at;
        if self.purpose == Purpose::Restore {
            return Ok(());
        }
        // What the store would refuse later must not cost the instance a rest.
        let repository = &at.tools.repository;
        repository.probe(&at.instance).await?;
        if let Some((last_bytes, free_bytes)) = repository.too_little_room(&at.instance).await? {
            let (instance, store) = (at.instance.clone(), repository.describe());
            return Err(Box::new(NotFit::NoRoomInStore { instance, store, free_bytes, last_bytes }));
        }
        let helper = layout::helper_container(&cx.run, &at.instance);
        let destinations = mounts_of(parts);
        let source_of = |destination: &String| definition.mounts.iter().find(|mount| mount.destination == *destination);
        let sources = destinations.iter().filter_map(source_of);
        let mounts: Vec<HelperMount> =
            sources.map(|mount| HelperMount { source: mount.source.clone(), writable: false }).collect();
        at.engine().remove(&helper).await?;
        at.engine().open_helper(&helper, &mounts, &at.labels(&cx.run, "helper")).await?;
        let asked = match self.purpose {
            Purpose::HotSnapshot => at.hot()?.preflight(at.engine(), &helper, &destinations, listings).await,
            _ => at.adapter()?.preflight(at.engine(), &helper, &destinations, target).await,
        };
        at.engine().remove(&helper).await?;
        Ok(asked?)
    }

    fn has_room(&self, before: &Before) -> Result<(), NotFit> {
        for (mount, listing) in &before.listings {
            let cover_bytes: u64 =
                listing.entries.iter().filter(|entry| !entry.path.contains('/')).map(|entry| entry.bytes).sum();
            let needed_bytes = cover_bytes + cover_bytes / 10;
            if listing.free_bytes < needed_bytes {
                return Err(NotFit::NoRoom {
                    instance: self.at.instance.clone(),
                    source_text: before.source_of(mount).map(ToString::to_string).unwrap_or_default(),
                    free_bytes: listing.free_bytes,
                    needed_bytes,
                });
            }
        }
        Ok(())
    }
}

/// Places that every program takes for gone after a start.
fn is_fleeting(path: &str) -> bool {
    let below = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    ["/tmp", "/run", "/var/run", "/var/tmp", "/dev/shm"].into_iter().any(below) || path == "/var"
}

/// What lies at the mounts that the adapter asks about. Refuses mounts that are half filled by another run, unless
/// that does not matter.
pub(super) async fn survey(
    at: &At,
    cx: &RunCx,
    view: &ContainerView,
    half_filled_is_fine: bool,
) -> Result<Vec<(String, Listing)>, StepError> {
    let mut listings = Vec::new();
    for wanted in at.adapter()?.survey(view) {
        let Some(mount) = view.mounts.iter().find(|mount| mount.destination == wanted.mount) else { continue };
        if !matches!(mount.source, MountSource::Volume(_) | MountSource::Bind(_)) {
            continue;
        }
        let listing = at.list(cx, &mount.source, list_request(wanted.cover, wanted.stat)).await?;
        if let Some(run) =
            listing.filling.clone().filter(|run| !half_filled_is_fine && !run.starts_with(cx.run.as_str()))
        {
            return Err(Box::new(super::HalfFilled {
                instance: at.instance.clone(),
                source_text: mount.source.to_string(),
                run,
            }));
        }
        listings.push((wanted.mount, listing));
    }
    Ok(listings)
}

pub(super) fn list_request(cover: crate::model::part::Cover, stat: Vec<String>) -> PorterRequest {
    PorterRequest::List { root: layout::helper_target(0), cover, stat }
}
