//! A real Docker engine, spoken to through its API. bollard is known only here.
//!
//! Facts that shape this module (measured on Docker 20.10 with bollard 0.21):
//!
//! * bollard's time-out covers a whole upload, stop or wait, since the answer comes after it: those go through
//!   clones with their own limits. It does not cover the body of a download: a stage of `stream` watches that.
//! * Reading an archive locks its container, so files are read and written through helpers that never start.
//! * Dropping the stream of a command leaves the command running; see `exec`.
//! * bollard asks for unversioned paths, so an engine answers in its newest API, and fields may be missing.

mod archive;
mod containers;
mod create;
mod definition;
mod errors;
mod exec;
mod images;
mod job;
mod lock;
mod options;
mod ours;
mod porter;
mod raw;
mod trial;

use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use tokio_util::sync::CancellationToken;

pub use self::options::{DockerOptions, PorterSource};
use super::{
    Answer, ContainerEngine, ContainerView, EngineError, EngineInfo, ExecResult, HelperMount, ImageView, Job, Labels,
    LockAnswer, LockOwner, PorterRequest, Talk,
};
use crate::model::definition::{Definition, MountSource, RestartPolicy};
use crate::model::ids::ImageId;
use crate::stream::ByteStream;

/// A Docker engine. Cheap to clone; holds no state of a run.
#[derive(Clone, Debug)]
pub struct DockerEngine {
    docker: Docker,
    address: String,
    options: DockerOptions,
}

#[async_trait]
impl ContainerEngine for DockerEngine {
    async fn probe(&self) -> Result<EngineInfo, EngineError> {
        Self::probe(self).await
    }
    async fn find(&self, container: &str) -> Result<Option<ContainerView>, EngineError> {
        Self::find(self, container).await
    }
    async fn definition(&self, container: &str) -> Result<Definition, EngineError> {
        Self::definition(self, container).await
    }
    async fn image(&self, reference: &str) -> Result<Option<ImageView>, EngineError> {
        Self::image(self, reference).await
    }
    async fn pull(&self, reference: &str) -> Result<ImageView, EngineError> {
        Self::pull(self, reference).await
    }
    async fn tag(&self, image: &ImageId, tag: &str) -> Result<(), EngineError> {
        Self::tag(self, image, tag).await
    }
    async fn untag(&self, tag: &str) -> Result<(), EngineError> {
        Self::untag(self, tag).await
    }
    async fn hold(&self, container: &str, image: &ImageId, labels: &Labels) -> Result<(), EngineError> {
        Self::hold(self, container, image, labels).await
    }
    async fn create(&self, definition: &Definition) -> Result<(), EngineError> {
        Self::create(self, definition).await
    }
    async fn try_out(&self, trial: &str, definition: &Definition, labels: &Labels) -> Result<Vec<String>, EngineError> {
        Self::try_out(self, trial, definition, labels).await
    }
    async fn writers_of(&self, source: &MountSource) -> Result<Vec<String>, EngineError> {
        Self::writers_of(self, source).await
    }
    async fn start(&self, container: &str) -> Result<(), EngineError> {
        Self::start(self, container).await
    }
    async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        Self::stop(self, container, grace).await
    }
    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        Self::remove(self, container).await
    }
    async fn vacate(&self, container: &str, labels: &Labels) -> Result<(), EngineError> {
        Self::vacate(self, container, labels).await
    }
    async fn set_restart_policy(&self, container: &str, policy: &RestartPolicy) -> Result<(), EngineError> {
        Self::set_restart_policy(self, container, policy).await
    }
    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<ExecResult, EngineError> {
        Self::exec(self, container, command, limit).await
    }
    async fn perform(
        &self,
        container: &str,
        job: &Job,
        talk: Talk<'_>,
        stop: &CancellationToken,
    ) -> Result<ExecResult, EngineError> {
        Self::perform(self, container, job, talk, stop).await
    }
    async fn end_commands(&self, container: &str, command: &[String]) -> Result<u64, EngineError> {
        Self::end_commands(self, container, command).await
    }
    async fn logs(&self, container: &str, lines: u32) -> Result<String, EngineError> {
        Self::logs(self, container, lines).await
    }
    async fn layer_changes(&self, container: &str) -> Result<Vec<String>, EngineError> {
        Self::layer_changes(self, container).await
    }
    async fn open_helper(&self, helper: &str, mounts: &[HelperMount], labels: &Labels) -> Result<(), EngineError> {
        Self::open_helper(self, helper, mounts, labels).await
    }
    async fn archive_out(&self, helper: &str, path: &str) -> Result<ByteStream, EngineError> {
        Self::archive_out(self, helper, path).await
    }
    async fn archive_in(&self, helper: &str, tar: ByteStream) -> Result<(), EngineError> {
        Self::archive_in(self, helper, tar).await
    }
    async fn porter(
        &self,
        container: &str,
        mounts: &[HelperMount],
        labels: &Labels,
        request: &PorterRequest,
    ) -> Result<Answer, EngineError> {
        Self::porter(self, container, mounts, labels, request).await
    }
    async fn lock(&self, lock: &str, owner: &LockOwner) -> Result<LockAnswer, EngineError> {
        Self::lock(self, lock, owner).await
    }
    async fn lock_owner(&self, lock: &str) -> Result<Option<LockOwner>, EngineError> {
        Self::lock_owner(self, lock).await
    }
    async fn unlock(&self, lock: &str, owner: &LockOwner) -> Result<(), EngineError> {
        Self::unlock(self, lock, owner).await
    }
    async fn labelled(&self, labels: &Labels) -> Result<Vec<ContainerView>, EngineError> {
        Self::labelled(self, labels).await
    }
}
