//! Engine, store and journal of one process that may die at every call.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tidegate::engine::fake::FakeEngine;
use tidegate::engine::{
    Answer, ContainerEngine, ContainerView, EngineError, EngineInfo, ExecResult, HelperMount, ImageView, Job, Labels,
    LockAnswer, LockOwner, PorterRequest, Talk,
};
use tidegate::model::definition::{Definition, MountSource, RestartPolicy};
use tidegate::model::ids::ImageId;
use tidegate::model::layout::ObjectKey;
use tidegate::ops::notes::Notes;
use tidegate::store::memory::MemoryStore;
use tidegate::store::{ObjectInfo, ObjectStore, PutReceipt, StoreError};
use tidegate::stream::{ByteStream, StreamError};
use tidegate::workflow::{FileJournal, Journal, JournalError, Record};
use tokio_util::sync::CancellationToken;

use super::life::{Act, Kind, Life, When};

/// The engine, as one process reaches it.
#[derive(Clone)]
pub struct MortalEngine {
    /// The engine that outlives it.
    pub inner: FakeEngine,
    /// The process.
    pub life: Life,
    /// The porters' containers: a process that dies leaves them behind.
    pub porters: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for MortalEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MortalEngine").finish_non_exhaustive()
    }
}

fn no_engine(action: &str) -> EngineError {
    EngineError::Request { action: action.to_owned(), source: "failed on purpose".into() }
}

impl MortalEngine {
    async fn around<T>(
        &self,
        what: String,
        changes: bool,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        if self.life.meet(Kind::Engine, &what, When::Before, changes).await == Act::Fail {
            return Err(no_engine(&what));
        }
        let answer = call.await;
        if self.life.meet(Kind::Engine, &what, When::After, changes).await == Act::Fail {
            return Err(no_engine(&what));
        }
        answer
    }
}

#[async_trait]
impl ContainerEngine for MortalEngine {
    async fn probe(&self) -> Result<EngineInfo, EngineError> {
        self.around("probe".into(), false, self.inner.probe()).await
    }
    async fn find(&self, container: &str) -> Result<Option<ContainerView>, EngineError> {
        self.around(format!("find {container}"), false, self.inner.find(container)).await
    }
    async fn definition(&self, container: &str) -> Result<Definition, EngineError> {
        self.around(format!("definition {container}"), false, self.inner.definition(container)).await
    }
    async fn image(&self, reference: &str) -> Result<Option<ImageView>, EngineError> {
        self.around(format!("image {reference}"), false, self.inner.image(reference)).await
    }
    async fn pull(&self, reference: &str) -> Result<ImageView, EngineError> {
        self.around(format!("pull {reference}"), true, self.inner.pull(reference)).await
    }
    async fn tag(&self, image: &ImageId, tag: &str) -> Result<(), EngineError> {
        self.around(format!("tag {tag}"), true, self.inner.tag(image, tag)).await
    }
    async fn untag(&self, tag: &str) -> Result<(), EngineError> {
        self.around(format!("untag {tag}"), true, self.inner.untag(tag)).await
    }
    async fn hold(&self, container: &str, image: &ImageId, labels: &Labels) -> Result<(), EngineError> {
        self.around(format!("hold {container}"), true, self.inner.hold(container, image, labels)).await
    }
    async fn create(&self, definition: &Definition) -> Result<(), EngineError> {
        self.around(format!("create {}", definition.container), true, self.inner.create(definition)).await
    }
    async fn try_out(&self, trial: &str, definition: &Definition, labels: &Labels) -> Result<Vec<String>, EngineError> {
        self.around(format!("try_out {trial}"), true, self.inner.try_out(trial, definition, labels)).await
    }
    async fn writers_of(&self, source: &MountSource) -> Result<Vec<String>, EngineError> {
        self.around(format!("writers_of {source}"), false, self.inner.writers_of(source)).await
    }
    async fn start(&self, container: &str) -> Result<(), EngineError> {
        self.around(format!("start {container}"), true, self.inner.start(container)).await
    }
    async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        self.around(format!("stop {container}"), true, self.inner.stop(container, grace)).await
    }
    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let call = async {
            self.inner.remove(container).await?;
            self.porters.lock().unwrap().remove(container);
            Ok(())
        };
        self.around(format!("remove {container}"), true, call).await
    }
    async fn vacate(&self, container: &str, labels: &Labels) -> Result<(), EngineError> {
        self.around(format!("vacate {container}"), true, self.inner.vacate(container, labels)).await
    }
    async fn set_restart_policy(&self, container: &str, policy: &RestartPolicy) -> Result<(), EngineError> {
        let what = format!("set_restart_policy {container}");
        self.around(what, true, self.inner.set_restart_policy(container, policy)).await
    }
    async fn exec(&self, container: &str, command: &[String], limit: Duration) -> Result<ExecResult, EngineError> {
        let changes = matches!(command.first().map(String::as_str), Some("quiet" | "wake"));
        let what = format!("exec {container} {}", command.join(" "));
        self.around(what, changes, self.inner.exec(container, command, limit)).await
    }
    async fn perform(
        &self,
        container: &str,
        job: &Job,
        talk: Talk<'_>,
        stop: &CancellationToken,
    ) -> Result<ExecResult, EngineError> {
        let what = format!("perform {container} {}", job.command.join(" "));
        self.around(what, true, self.inner.perform(container, job, talk, stop)).await
    }
    async fn end_commands(&self, container: &str, command: &[String]) -> Result<u64, EngineError> {
        self.around(format!("end_commands {container}"), true, self.inner.end_commands(container, command)).await
    }
    async fn logs(&self, container: &str, lines: u32) -> Result<String, EngineError> {
        self.around(format!("logs {container}"), false, self.inner.logs(container, lines)).await
    }
    async fn layer_changes(&self, container: &str) -> Result<Vec<String>, EngineError> {
        self.around(format!("layer_changes {container}"), false, self.inner.layer_changes(container)).await
    }
    async fn open_helper(&self, helper: &str, mounts: &[HelperMount], labels: &Labels) -> Result<(), EngineError> {
        self.around(format!("open_helper {helper}"), true, self.inner.open_helper(helper, mounts, labels)).await
    }
    async fn archive_out(&self, helper: &str, path: &str) -> Result<ByteStream, EngineError> {
        self.around(format!("archive_out {helper}{path}"), false, self.inner.archive_out(helper, path)).await
    }
    async fn archive_in(&self, helper: &str, tar: ByteStream) -> Result<(), EngineError> {
        let what = format!("archive_in {helper}");
        let call = async {
            let act = self.life.look(Kind::Engine, &what, When::Half, true);
            if matches!(act, Act::Pass | Act::Cancel) {
                return self.inner.archive_in(helper, tar).await;
            }
            let half = half(tar).await;
            let broken = self.inner.archive_in(helper, half).await;
            self.life.suffer(act).await;
            broken
        };
        self.around(what.clone(), true, call).await
    }
    async fn porter(
        &self,
        container: &str,
        mounts: &[HelperMount],
        labels: &Labels,
        request: &PorterRequest,
    ) -> Result<Answer, EngineError> {
        let changes = !matches!(request, PorterRequest::List { .. });
        let what =
            format!("porter {} {}", verb(request), mounts.first().map_or(String::new(), |m| m.source.to_string()));
        self.porters.lock().unwrap().insert(container.to_owned());
        let answer = self.around(what, changes, self.inner.porter(container, mounts, labels, request)).await;
        self.porters.lock().unwrap().remove(container);
        answer
    }
    async fn lock(&self, lock: &str, owner: &LockOwner) -> Result<LockAnswer, EngineError> {
        self.around(format!("lock {lock}"), true, self.inner.lock(lock, owner)).await
    }
    async fn lock_owner(&self, lock: &str) -> Result<Option<LockOwner>, EngineError> {
        self.around(format!("lock_owner {lock}"), false, self.inner.lock_owner(lock)).await
    }
    async fn unlock(&self, lock: &str, owner: &LockOwner) -> Result<(), EngineError> {
        self.around(format!("unlock {lock}"), true, self.inner.unlock(lock, owner)).await
    }
    async fn labelled(&self, labels: &Labels) -> Result<Vec<ContainerView>, EngineError> {
        self.around("labelled".into(), false, self.inner.labelled(labels)).await
    }
}

fn verb(request: &PorterRequest) -> &'static str {
    match request {
        PorterRequest::List { .. } => "list",
        PorterRequest::Aside { .. } => "aside",
        PorterRequest::Recall { .. } => "recall",
        PorterRequest::Settle { .. } => "settle",
        PorterRequest::Back { .. } => "back",
        PorterRequest::Remove { .. } => "remove",
        PorterRequest::Drop { .. } => "drop",
    }
}

/// The first half of a stream, and then an error.
async fn half(body: ByteStream) -> ByteStream {
    let blocks: Vec<_> = body.collect().await;
    let whole: Vec<u8> = blocks.into_iter().filter_map(Result::ok).flatten().collect();
    let bytes = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let cut = StreamError::Source { bytes: bytes.len() as u64, source: "cut on purpose".into() };
    stream::iter([Ok(bytes), Err(cut)]).boxed()
}

/// The store, as one process reaches it.
#[derive(Debug)]
pub struct MortalStore {
    /// The store that outlives it.
    pub inner: MemoryStore,
    /// The process.
    pub life: Life,
}

impl MortalStore {
    fn lost(&self) -> StoreError {
        StoreError::Unreachable { store: self.describe(), source: "failed on purpose".into() }
    }

    async fn around<T>(
        &self,
        what: String,
        changes: bool,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.life.meet(Kind::Store, &what, When::Before, changes).await == Act::Fail {
            return Err(self.lost());
        }
        let answer = call.await;
        if self.life.meet(Kind::Store, &what, When::After, changes).await == Act::Fail {
            return Err(self.lost());
        }
        answer
    }

    fn damage(&self, key: &ObjectKey) {
        let mut objects = self.inner.objects();
        if let Some(bytes) = objects.get(key) {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            objects.insert(key.clone(), bytes.into());
        }
    }
}

#[async_trait]
impl ObjectStore for MortalStore {
    async fn put_stream(&self, key: &ObjectKey, body: ByteStream) -> Result<PutReceipt, StoreError> {
        let what = format!("put_stream {key}");
        let call = async {
            let act = self.life.look(Kind::Store, &what, When::Half, true);
            let body = if matches!(act, Act::Fail | Act::Die) { half(body).await } else { body };
            let answer = self.inner.put_stream(key, body).await;
            self.life.suffer(act).await;
            if act == Act::Damage {
                self.damage(key);
            }
            answer
        };
        self.around(what.clone(), true, call).await
    }
    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError> {
        self.around(format!("put {key}"), true, self.inner.put(key, body)).await
    }
    async fn get_stream(&self, key: &ObjectKey) -> Result<ByteStream, StoreError> {
        let what = format!("get_stream {key}");
        let call = async {
            if self.life.look(Kind::Store, &what, When::Half, false) == Act::Damage {
                self.damage(key);
            }
            self.inner.get_stream(key).await
        };
        self.around(what.clone(), false, call).await
    }
    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.around(format!("get {key}"), false, self.inner.get(key, limit_bytes)).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.around(format!("head {key}"), false, self.inner.head(key)).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.around(format!("list {prefix}"), false, self.inner.list(prefix)).await
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.around(format!("delete {key}"), true, self.inner.delete(key)).await
    }
    async fn sweep(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        self.around(format!("sweep {prefix}"), true, self.inner.sweep(prefix, age)).await
    }
    fn describe(&self) -> String {
        "the store of the matrix".into()
    }
}

/// Told of each record once it is durable, with the name of its step.
pub type Durable = Box<dyn Fn(&Record<Notes>, &str) + Send + Sync>;

/// The journal, as one process writes it: the real file.
pub struct MortalJournal {
    /// The file.
    pub inner: FileJournal<Notes>,
    /// The process.
    pub life: Life,
    /// The world goes on as soon as a record is durable.
    pub durable: Durable,
}

impl MortalJournal {
    fn full(&self) -> JournalError {
        let source = std::io::Error::other("failed on purpose");
        JournalError::Io { action: "append to", path: "the journal".into(), source }
    }
}

#[async_trait]
impl Journal<Notes> for MortalJournal {
    async fn append(&mut self, record: &Record<Notes>) -> Result<(), JournalError> {
        let (what, step) = described(record, &self.inner.header().steps);
        if self.life.meet(Kind::Journal, &what, When::Before, true).await == Act::Fail {
            return Err(self.full());
        }
        self.inner.append(record).await?;
        (self.durable)(record, &step);
        if self.life.meet(Kind::Journal, &what, When::After, true).await == Act::Fail {
            return Err(self.full());
        }
        Ok(())
    }

    fn records(&self) -> &[Record<Notes>] {
        self.inner.records()
    }
}

fn described(record: &Record<Notes>, steps: &[String]) -> (String, String) {
    let (kind, step) = match record {
        Record::Started { step, .. } => ("started", Some(*step)),
        Record::Done { step, .. } => ("done", Some(*step)),
        Record::Reopened { step, .. } => ("reopened", Some(*step)),
        Record::Failed { step, .. } => ("failed", Some(*step)),
        Record::Waiting { step, .. } => ("waiting", Some(*step)),
        Record::Approved { step, .. } => ("approved", Some(*step)),
        Record::RollBack { .. } => ("roll back", None),
        Record::UndoStarted { step, .. } => ("undo started", Some(*step)),
        Record::UndoDone { step, .. } => ("undo done", Some(*step)),
        Record::UndoFailed { step, .. } => ("undo failed", Some(*step)),
        Record::RetryUndo { .. } => ("retry undo", None),
        Record::Finished { .. } => ("finished", None),
    };
    let name = step.and_then(|step| steps.get(step)).cloned().unwrap_or_default();
    (format!("{kind} {name}"), name)
}
