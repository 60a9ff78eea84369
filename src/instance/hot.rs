//! Snapshots of an app that runs on meanwhile: a tool of its own puts what cannot be copied while it is used into one
//! archive, and the rest is read as it lies.

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::engine::{ContainerEngine, ContainerView, Listing};
use crate::instance::InstanceError;
use crate::model::ids::RunId;
use crate::model::part::PartPlan;
use crate::stream::ByteStream;

/// An app with such a tool. Holds no state of a run.
#[async_trait]
pub trait Hot: Send + Sync {
    /// Where the tool puts its archives, in the instance's container.
    fn archive_folder(&self) -> &'static str;

    /// When the archive of that name was begun; `None` for any other file.
    fn archive_time(&self, name: &str) -> Option<Timestamp>;

    /// What a snapshot holds beside the archive. Fails closed, as [`InstanceAdapter::parts`](super::InstanceAdapter::parts).
    fn parts(&self, view: &ContainerView, listings: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError>;

    /// Bytes that must be free beside the data before the tool begins.
    fn needed_bytes(&self, listings: &[(String, Listing)]) -> u64;

    /// Refuses, before anything is done, where such a snapshot would not hold what it should, or where making it would
    /// not leave the app alone. Settings are read through a helper that has `mounts` at `/v0`, `/v1` and so on.
    async fn preflight(
        &self,
        engine: &dyn ContainerEngine,
        helper: &str,
        mounts: &[String],
        listings: &[(String, Listing)],
    ) -> Result<(), InstanceError>;

    /// Makes an archive in the running container and gives its name. No archive that was there before is deleted.
    /// Gives up when nothing moves any more: `grown` says how many bytes of archives there are by now. When `stop` fires,
    /// the tool is ended; what it has written by then stays.
    async fn make_archive(
        &self,
        engine: &dyn ContainerEngine,
        run: &RunId,
        grown: Grown<'_>,
        stop: &CancellationToken,
    ) -> Result<String, InstanceError>;

    /// Ends what a process of this run that died has left running in the container.
    async fn end_left(&self, engine: &dyn ContainerEngine, run: &RunId) -> Result<(), InstanceError>;

    /// Places in the instance's container that loading an archive makes anew, and what it leaves beside them: they have to
    /// be out of the way before.
    fn replaced(&self, archive: &str) -> Vec<String>;

    /// Loads the archive of that name, which lies in its folder, into an app that has begun empty in `container`, and that
    /// nobody else reaches. Waits until it answers, before and after. At the end its programs rest. Says nothing well
    /// unless all of it is loaded; may be called again after any partial call, in a container that was started anew.
    async fn load_archive(
        &self,
        engine: &dyn ContainerEngine,
        container: &str,
        archive: &str,
        tell: &(dyn Fn(String) + Send + Sync),
        stop: &CancellationToken,
    ) -> Result<(), InstanceError>;

    /// Reads an archive to its end and fails where anything is missing. `tar` holds that file, as the engine sends it.
    async fn check_archive(&self, tar: ByteStream) -> Result<(), InstanceError>;
}

/// Says how many bytes of archives there are by now; `None` where that cannot be found out.
pub type Grown<'a> = &'a (dyn Fn() -> BoxFuture<'a, Option<u64>> + Send + Sync);
