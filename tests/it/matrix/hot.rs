//! How the app of the matrix is snapshotted while it runs: `archive` puts its rows into one file.

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::Timestamp;
use tidegate::engine::{ContainerEngine, ContainerView, Job, Listing};
use tidegate::instance::hot::{Grown, Hot};
use tidegate::instance::{InstanceAdapter, InstanceError};
use tidegate::model::ids::RunId;
use tidegate::model::part::PartPlan;
use tidegate::stream::ByteStream;
use tokio_util::sync::CancellationToken;

use super::app::{App, part};
use super::world::now;

/// Where archives go.
pub const FOLDER: &str = "/data/archives";
/// One of the operator's, which nobody may delete.
pub const THEIRS: &str = "archives/archive-1";

/// The name of an archive that is begun now.
pub fn new_name() -> String {
    format!("archive-{}", now().as_second())
}

fn failed(app: &App, reason: impl ToString) -> InstanceError {
    InstanceError::NotHot { instance: app.name().clone(), reason: reason.to_string() }
}

#[async_trait]
impl Hot for App {
    fn archive_folder(&self) -> &'static str {
        FOLDER
    }

    fn archive_time(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_second(name.strip_prefix("archive-")?.parse().ok()?).ok()
    }

    fn parts(&self, _: &ContainerView, _: &[(String, Listing)]) -> Result<Vec<PartPlan>, InstanceError> {
        Ok(vec![part("configuration", "/data", "conf")])
    }

    fn needed_bytes(&self, _: &[(String, Listing)]) -> u64 {
        1
    }

    async fn preflight(
        &self,
        _: &dyn ContainerEngine,
        _: &str,
        _: &[String],
        _: &[(String, Listing)],
    ) -> Result<(), InstanceError> {
        Ok(())
    }

    async fn make_archive(
        &self,
        engine: &dyn ContainerEngine,
        _: &RunId,
        _: Grown<'_>,
        stop: &CancellationToken,
    ) -> Result<String, InstanceError> {
        let job = Job { command: vec!["archive".into()], environment: Vec::new(), terminal: false };
        Ok(engine.perform(self.container(), &job, &mut |_| None, stop).await?.stdout)
    }

    async fn end_left(&self, engine: &dyn ContainerEngine, _: &RunId) -> Result<(), InstanceError> {
        Ok(engine.end_commands(self.container(), &["archive".into()]).await.map(drop)?)
    }

    fn replaced(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    async fn load_archive(
        &self,
        _: &dyn ContainerEngine,
        _: &str,
        _: &str,
        _: &(dyn Fn(String) + Send + Sync),
        _: &CancellationToken,
    ) -> Result<(), InstanceError> {
        Err(failed(self, "it is loaded on a real engine only"))
    }

    async fn check_archive(&self, tar: ByteStream) -> Result<(), InstanceError> {
        let blocks: Vec<bytes::Bytes> = tar.try_collect().await.map_err(|error| failed(self, error))?;
        let text = String::from_utf8_lossy(&blocks.concat()).into_owned();
        if text.contains("rows of") { Ok(()) } else { Err(failed(self, "there are no rows in it")) }
    }
}
