//! Reads and writes files through helpers: containers that mount an instance's data and never start.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bollard::errors::Error;
use bollard::models::HostConfig;
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::DockerEngine;
use super::errors::{is_disk_full, message, not_in_time, status, unexpected};
use super::ours::helper_mounts;
use crate::engine::{ContainerState, EngineError, HelperMount, Labels};
use crate::model::layout::{LABEL_ROLE, helper_target};
use crate::stream::{ByteStream, StreamError};

/// An upload may take this long; whether anything moves is watched besides.
const UPLOAD_LIMIT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

impl DockerEngine {
    pub(super) async fn open_helper(
        &self,
        helper: &str,
        mounts: &[HelperMount],
        labels: &Labels,
    ) -> Result<(), EngineError> {
        // A helper of an earlier try with other mounts is replaced, so two rounds at the most.
        for _ in 0..2 {
            let host = HostConfig { mounts: Some(helper_mounts(helper, mounts)?), ..Default::default() };
            let Some(view) = self.create_empty(helper, host, labels).await? else { return Ok(()) };
            if view.state != ContainerState::Created || !view.labels.contains_key(LABEL_ROLE) {
                return Err(EngineError::NameTaken { container: helper.to_owned(), image: view.image_ref });
            }
            let has = |index: usize, mount: &HelperMount| {
                let at = helper_target(index);
                let found = view.mounts.iter().find(|found| found.destination == at);
                found.is_some_and(|found| found.source == mount.source && found.writable == mount.writable)
            };
            let as_wanted =
                view.mounts.len() == mounts.len() && mounts.iter().enumerate().all(|(index, mount)| has(index, mount));
            if as_wanted {
                return Ok(());
            }
            self.remove_id(helper, &view.id).await?;
        }
        Err(unexpected(format!("create `{helper}`"), "its name was taken again and again"))
    }

    pub(super) async fn archive_out(&self, helper: &str, path: &str) -> Result<ByteStream, EngineError> {
        let action = || format!("read `{path}` in `{helper}`");
        let id = self.needed_id_of(helper).await?;
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut body = self.docker.download_from_container(&id, Some(options)).boxed();
        // The answer's head comes as the first item, so that what is missing is known before anything is made of it.
        match body.next().await {
            Some(Ok(first)) => Ok(counted(stream::iter([Ok(first)]).chain(body).boxed())),
            Some(Err(error)) if is_no_path(&error) => {
                Err(EngineError::NoSuchPath { container: helper.to_owned(), path: path.to_owned() })
            }
            Some(Err(error)) => Err(self.container_trouble(action(), helper, error)),
            None => Err(unexpected(action(), "the engine sent nothing")),
        }
    }

    pub(super) async fn archive_in(&self, helper: &str, tar: ByteStream) -> Result<(), EngineError> {
        let action = || format!("fill `{helper}`");
        let id = self.needed_id_of(helper).await?;
        // The engine only ever learns that the body broke off; the reason is kept here.
        let reason: Arc<Mutex<Option<StreamError>>> = Arc::default();
        let keep = Arc::clone(&reason);
        let moved = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&moved);
        let body = tar.map(move |block| {
            count.fetch_add(1, Ordering::Relaxed);
            block.map_err(|error| {
                let text = std::io::Error::other(error.to_string());
                *keep.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                text
            })
        });
        let options = UploadToContainerOptionsBuilder::default().path("/").no_overwrite_dir_non_dir("1").build();
        let docker = self.patient(UPLOAD_LIMIT);
        let mut upload = pin!(docker.upload_to_container(&id, Some(options), bollard::body_try_stream(body)));
        // A source that gives nothing ends by itself, and earlier; this is for an engine that takes nothing.
        let uploaded = loop {
            let seen = moved.load(Ordering::Relaxed);
            match tokio::time::timeout(self.options.upload_stall, &mut upload).await {
                Ok(uploaded) => break uploaded,
                Err(_) if moved.load(Ordering::Relaxed) != seen => {}
                Err(_) => return Err(not_in_time(action(), "the engine took nothing", self.options.upload_stall)),
            }
        };
        let reason = reason.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match (uploaded, reason) {
            (_, Some(source)) => Err(EngineError::Request { action: action(), source: Box::new(source) }),
            (Ok(()), None) => Ok(()),
            (Err(error), None) if is_disk_full(message(&error)) => {
                Err(EngineError::DiskFull { action: action(), source: Box::new(error) })
            }
            (Err(error), None) => Err(self.container_trouble(action(), helper, error)),
        }
    }
}

/// What is not there, or would lie below a file; the latter the engine calls a fault of its own.
fn is_no_path(error: &Error) -> bool {
    let message = message(error);
    match status(error) {
        Some(404) => !message.contains("No such container"),
        Some(500) => message.starts_with("lstat ") && message.contains("not a directory"),
        _ => false,
    }
}

/// Says with an error how many bytes came before it, and then ends.
fn counted(body: BoxStream<'static, Result<Bytes, Error>>) -> ByteStream {
    stream::unfold(Some((body, 0_u64)), |state| async move {
        let (mut body, bytes) = state?;
        match body.next().await? {
            Ok(block) => {
                let bytes = bytes + block.len() as u64;
                Some((Ok(block), Some((body, bytes))))
            }
            Err(source) => Some((Err(StreamError::Source { bytes, source: Box::new(source) }), None)),
        }
    })
    .boxed()
}
