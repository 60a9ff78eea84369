//! The engine's methods, in memory.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::FakeEngine;
use super::containers::{helper_mounts, missing, no_image, refused};
use super::control::with_named_volumes;
use super::files::{self, Roots};
use super::state::{Container, given_labels};
use crate::engine::{
    Answer, ContainerEngine, ContainerView, EngineError, EngineInfo, ExecResult, HelperMount, ImageView, Job, Labels,
    LockAnswer, LockOwner, PorterRequest, Talk,
};
use crate::model::definition::{Definition, Mount, MountSource, RestartPolicy};
use crate::model::ids::ImageId;
use crate::model::layout::LABEL_ROLE;
use crate::stream::ByteStream;

/// Docker sends about this much at a time.
const BLOCK_BYTES: usize = 32 * 1024;

#[async_trait]
impl ContainerEngine for FakeEngine {
    async fn probe(&self) -> Result<EngineInfo, EngineError> {
        let info = EngineInfo {
            version: "20.10.24".into(),
            api_version: "1.41".into(),
            id: "FAKE".into(),
            architecture: "x86_64".into(),
        };
        self.enter("probe", "", false)?.leave(Ok(info))
    }

    async fn find(&self, container: &str) -> Result<Option<ContainerView>, EngineError> {
        let ticket = self.enter("find", container, false)?;
        let state = self.state();
        ticket.leave(Ok(state.container(container).map(|found| state.view(found))))
    }

    async fn definition(&self, container: &str) -> Result<Definition, EngineError> {
        let ticket = self.enter("definition", container, false)?;
        let state = self.state();
        let found = state.container(container).ok_or_else(|| missing(container))?;
        if state.view(found).auto_remove {
            let reason = "it is removed as soon as it stops (`--rm`)".into();
            return Err(EngineError::CannotCarry { container: container.into(), reason });
        }
        ticket.leave(Ok(with_named_volumes(&found.definition)))
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageView>, EngineError> {
        let ticket = self.enter("image", reference, false)?;
        ticket.leave(Ok(self.state().image(reference).map(|image| image.view.clone())))
    }

    async fn pull(&self, reference: &str) -> Result<ImageView, EngineError> {
        let ticket = self.enter("pull", reference, true)?;
        tokio::task::yield_now().await;
        let Some(mut image) = self.state().registry.get(reference).cloned() else { return Err(no_image(reference)) };
        if reference.contains('@') && !image.view.digests.iter().any(|digest| digest == reference) {
            image.view.digests.push(reference.to_owned());
        }
        let view = image.view.clone();
        if reference.contains('@') {
            self.state().images.insert(view.id.clone(), image);
        } else {
            self.add_image(reference, image);
        }
        ticket.leave(Ok(view))
    }

    async fn tag(&self, image: &ImageId, tag: &str) -> Result<(), EngineError> {
        let ticket = self.enter("tag", tag, true)?;
        let mut state = self.state();
        if !state.images.contains_key(image) {
            return Err(no_image(image.as_str()));
        }
        state.tags.insert(tag.to_owned(), image.clone());
        ticket.leave(Ok(()))
    }

    async fn untag(&self, tag: &str) -> Result<(), EngineError> {
        let ticket = self.enter("untag", tag, true)?;
        let mut state = self.state();
        if let Some(id) = state.tags.get(tag).cloned() {
            let others = state.tags.iter().any(|(name, other)| name != tag && *other == id);
            let used = state.containers.values().any(|container| container.definition.image_id == id);
            // As the real one: the only name of an image in use stays, that of an unused image takes it along.
            if others || !used {
                state.tags.remove(tag);
            }
            if !others && !used {
                state.images.remove(&id);
            }
        }
        ticket.leave(Ok(()))
    }

    async fn hold(&self, container: &str, image: &ImageId, labels: &Labels) -> Result<(), EngineError> {
        let ticket = self.enter("hold", container, true)?;
        ticket.leave(self.hold_now(container, image, labels))
    }

    async fn create(&self, definition: &Definition) -> Result<(), EngineError> {
        let ticket = self.enter("create", &definition.container, true)?;
        ticket.leave(self.create_now(definition))
    }

    async fn try_out(&self, trial: &str, definition: &Definition, labels: &Labels) -> Result<Vec<String>, EngineError> {
        let ticket = self.enter("try_out", trial, true)?;
        ticket.leave(self.try_out_now(trial, definition, labels))
    }

    async fn writers_of(&self, source: &MountSource) -> Result<Vec<String>, EngineError> {
        let ticket = self.enter("writers_of", &source.to_string(), false)?;
        let state = self.state();
        let writes = |container: &Container| {
            container.definition.mounts.iter().any(|mount| mount.writable && mount.source == *source)
        };
        let ours = |container: &Container| given_labels(&container.definition).contains_key(LABEL_ROLE);
        let all = state.containers.iter().filter(|(_, found)| found.is_up() && writes(found) && !ours(found));
        ticket.leave(Ok(all.map(|(name, _)| name.clone()).collect()))
    }

    async fn start(&self, container: &str) -> Result<(), EngineError> {
        let ticket = self.enter("start", container, true)?;
        ticket.leave(self.start_now(container))
    }

    async fn stop(&self, container: &str, _grace: Duration) -> Result<(), EngineError> {
        let ticket = self.enter("stop", container, true)?;
        ticket.leave(self.stop_now(container))
    }

    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let ticket = self.enter("remove", container, true)?;
        ticket.leave(self.remove_now(container))
    }

    async fn vacate(&self, container: &str, labels: &Labels) -> Result<(), EngineError> {
        let ticket = self.enter("vacate", container, true)?;
        ticket.leave(self.vacate_now(container, labels))
    }

    async fn set_restart_policy(&self, container: &str, policy: &RestartPolicy) -> Result<(), EngineError> {
        let ticket = self.enter("set_restart_policy", container, true)?;
        let mut state = self.state();
        let found = state.containers.get_mut(container).ok_or_else(|| missing(container))?;
        found.definition.restart = policy.clone();
        ticket.leave(Ok(()))
    }

    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<ExecResult, EngineError> {
        let ticket = self.enter("exec", container, true)?;
        ticket.leave(self.exec_now(container, command, limit))
    }

    async fn perform(
        &self,
        container: &str,
        job: &Job,
        talk: Talk<'_>,
        _stop: &CancellationToken,
    ) -> Result<ExecResult, EngineError> {
        let ticket = self.enter("perform", container, true)?;
        let done = self.exec_now(container, &job.command, Duration::ZERO);
        if let Ok(result) = &done {
            talk(&result.stdout);
        }
        ticket.leave(done)
    }

    /// Here a command has ended before anybody could die.
    async fn end_commands(&self, container: &str, _command: &[String]) -> Result<u64, EngineError> {
        let ticket = self.enter("end_commands", container, true)?;
        ticket.leave(Ok(0))
    }

    async fn logs(&self, container: &str, lines: u32) -> Result<String, EngineError> {
        let ticket = self.enter("logs", container, false)?;
        let state = self.state();
        let log = &state.containers.get(container).ok_or_else(|| missing(container))?.log;
        let skip = log.len().saturating_sub(usize::try_from(lines).unwrap_or(usize::MAX));
        ticket.leave(Ok(log[skip..].iter().map(|line| format!("{line}\n")).collect()))
    }

    async fn layer_changes(&self, container: &str) -> Result<Vec<String>, EngineError> {
        let ticket = self.enter("layer_changes", container, false)?;
        let state = self.state();
        ticket.leave(Ok(state.containers.get(container).ok_or_else(|| missing(container))?.layer_changes.clone()))
    }

    async fn open_helper(&self, helper: &str, mounts: &[HelperMount], labels: &Labels) -> Result<(), EngineError> {
        let ticket = self.enter("open_helper", helper, true)?;
        ticket.leave(self.helper_now(helper, mounts, labels))
    }

    async fn archive_out(&self, helper: &str, path: &str) -> Result<ByteStream, EngineError> {
        let ticket = self.enter("archive_out", helper, false)?;
        let (roots, _) = self.roots(helper)?;
        let (wanted, first) = (path.to_owned(), files::last_name(path));
        let packed = blocking(move || files::locate(&roots, &wanted).map(|at| files::pack(&at, &first))).await;
        let Some(packed) = packed.map_err(|source| failed("read", helper, source))? else {
            return Err(EngineError::NoSuchPath { container: helper.into(), path: path.into() });
        };
        let mut rest = Bytes::from(packed.map_err(|source| failed("read", helper, source))?);
        let blocks = std::iter::from_fn(move || {
            let next = rest.split_to(rest.len().min(BLOCK_BYTES));
            (!next.is_empty()).then_some(Ok(next))
        });
        ticket.leave(Ok(stream::iter(blocks).boxed()))
    }

    async fn archive_in(&self, helper: &str, mut tar: ByteStream) -> Result<(), EngineError> {
        let ticket = self.enter("archive_in", helper, true)?;
        let (roots, mounts) = self.roots(helper)?;
        if mounts.iter().any(|mount| !mount.writable) {
            return Err(refused(format!("fill `{helper}`"), "mounted volume is marked read-only"));
        }
        self.state().watch(helper, &mounts, false);
        let (mut bytes, mut broken) = (Vec::new(), None);
        while let Some(block) = tar.next().await {
            match block {
                Ok(block) => bytes.extend_from_slice(&block),
                Err(source) => {
                    broken =
                        Some(EngineError::Request { action: format!("fill `{helper}`"), source: Box::new(source) });
                    break;
                }
            }
        }
        let unpacked = blocking(move || files::unpack(&roots, &bytes)).await;
        let unpacked = unpacked.and_then(|done| done).map_err(|source| failed("fill", helper, source));
        ticket.leave(broken.map_or(unpacked, Err))
    }

    async fn porter(
        &self,
        container: &str,
        mounts: &[HelperMount],
        _labels: &Labels,
        request: &PorterRequest,
    ) -> Result<Answer, EngineError> {
        let changes = !matches!(request, PorterRequest::List { .. });
        // What was set aside is nobody's data any more: it is deleted beside a running app.
        let touches_data = changes && !matches!(request, PorterRequest::Drop { .. } | PorterRequest::Remove { .. });
        let ticket = self.enter("porter", container, changes)?;
        let mut request = request.clone();
        let root = match &mut request {
            PorterRequest::List { root, .. }
            | PorterRequest::Aside { root, .. }
            | PorterRequest::Recall { root, .. }
            | PorterRequest::Settle { root, .. }
            | PorterRequest::Back { root, .. }
            | PorterRequest::Remove { root, .. }
            | PorterRequest::Drop { root, .. } => root,
        };
        let mounts = helper_mounts(mounts);
        let mount = mounts.iter().find(|mount| mount.destination == *root);
        let mount =
            mount.ok_or_else(|| refused(format!("run the porter `{container}`"), "nothing is mounted there"))?;
        if changes {
            let mut state = self.state();
            if touches_data {
                state.watch(container, std::slice::from_ref(mount), false);
            }
            if !mount.writable {
                return ticket.leave(Ok(Answer::Failed { error: "read-only file system".into(), disk_full: false }));
            }
        }
        let folder = self.state().folder(&mount.source).unwrap_or_default();
        *root = folder.to_string_lossy().into_owned();
        let answer = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            Ok(tidegate_porter::run(&request))
        });
        let answer = answer.await.and_then(|answer: std::io::Result<Answer>| answer);
        ticket.leave(answer.map_err(|source| failed("run the porter", container, source)))
    }

    async fn lock(&self, lock: &str, owner: &LockOwner) -> Result<LockAnswer, EngineError> {
        let ticket = self.enter("lock", lock, true)?;
        tokio::task::yield_now().await;
        ticket.leave(self.lock_now(lock, owner))
    }

    async fn lock_owner(&self, lock: &str) -> Result<Option<LockOwner>, EngineError> {
        let ticket = self.enter("lock_owner", lock, false)?;
        ticket.leave(Ok(self.lock_owner_now(lock)))
    }

    async fn unlock(&self, lock: &str, owner: &LockOwner) -> Result<(), EngineError> {
        let ticket = self.enter("unlock", lock, true)?;
        if self.lock_owner_now(lock).is_some_and(|holder| holder.is_same(owner)) {
            self.state().containers.remove(lock);
        }
        ticket.leave(Ok(()))
    }

    async fn labelled(&self, labels: &Labels) -> Result<Vec<ContainerView>, EngineError> {
        let ticket = self.enter("labelled", "", false)?;
        let state = self.state();
        let views = state.containers.values().map(|container| state.view(container));
        ticket.leave(Ok(views
            .filter(|view| labels.iter().all(|(key, value)| view.labels.get(key) == Some(value)))
            .collect()))
    }
}

impl FakeEngine {
    /// The folders behind a container's mounts, by name, and the mounts.
    fn roots(&self, helper: &str) -> Result<(Roots, Vec<Mount>), EngineError> {
        let state = self.state();
        let mounts = state.containers.get(helper).ok_or_else(|| missing(helper))?.definition.mounts.clone();
        let name = |mount: &Mount| mount.destination.trim_start_matches('/').to_owned();
        let roots = mounts.iter().filter_map(|mount| Some((name(mount), state.folder(&mount.source)?))).collect();
        Ok((roots, mounts))
    }
}

fn failed(verb: &str, container: &str, source: std::io::Error) -> EngineError {
    EngineError::Request { action: format!("{verb} `{container}`"), source: Box::new(source) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)
}
