//! Faults on demand, **for tests**: a decorator over any store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::{ObjectInfo, ObjectStore, PutReceipt, StoreError};
use crate::model::layout::ObjectKey;
use crate::stream::{ByteStream, StreamError};

/// The verbs of [`ObjectStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`ObjectStore::put_stream`].
    PutStream,
    /// [`ObjectStore::put`].
    Put,
    /// [`ObjectStore::get_stream`].
    GetStream,
    /// [`ObjectStore::get`].
    Get,
    /// [`ObjectStore::head`].
    Head,
    /// [`ObjectStore::list`].
    List,
    /// [`ObjectStore::delete`].
    Delete,
    /// [`ObjectStore::sweep`].
    Sweep,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The call fails as if nobody answered; nothing reaches the store.
    Unreachable,
    /// The call is carried out, but its answer is lost.
    AnswerLost,
    /// The body of a streaming call breaks off after so many bytes.
    BodyBreaks {
        /// Bytes that still pass.
        after_bytes: u64,
    },
    /// A read body ends *cleanly* after so many bytes, against the contract: what a bad store would do.
    BodyShort {
        /// Bytes that still pass.
        after_bytes: u64,
    },
    /// The call waits first.
    Slow(Duration),
}

#[derive(Debug)]
struct Planned {
    verb: Verb,
    /// Calls of this verb that still pass before the fault.
    passes: usize,
    fault: Fault,
}

/// Passes everything on, but for the faults that were planned. Each fault happens once.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    planned: Mutex<Vec<Planned>>,
}

impl FaultyStore {
    /// Without faults.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, planned: Mutex::default() }
    }

    /// The `nth` call of `verb` from now on, counted from 1, meets `fault`.
    pub fn plan(&self, verb: Verb, nth: usize, fault: Fault) {
        let passes = nth.saturating_sub(1);
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push(Planned { verb, passes, fault });
    }

    fn due(&self, verb: Verb) -> Option<Fault> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let due = planned.iter().position(|fault| fault.verb == verb && fault.passes == 0);
        planned
            .iter_mut()
            .filter(|fault| fault.verb == verb)
            .for_each(|fault| fault.passes = fault.passes.saturating_sub(1));
        due.map(|index| planned.remove(index).fault)
    }

    /// What to do to the answer and to the body.
    async fn meet(&self, verb: Verb) -> Result<Option<Fault>, StoreError> {
        match self.due(verb) {
            Some(Fault::Unreachable) => Err(self.lost()),
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    fn lost(&self) -> StoreError {
        StoreError::Unreachable { store: self.describe(), source: "a planned fault".into() }
    }

    fn answer<T>(&self, fault: Option<Fault>, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(fault, Some(Fault::AnswerLost)) { Err(self.lost()) } else { answer }
    }
}

/// The first `after_bytes`, and then an error, or just the end.
fn broken(body: ByteStream, after_bytes: u64, honest: bool) -> ByteStream {
    let state = (body, after_bytes);
    stream::try_unfold(state, move |(mut body, left)| async move {
        if left == 0 {
            let source = "a planned fault".into();
            return if honest { Err(StreamError::Source { bytes: after_bytes, source }) } else { Ok(None) };
        }
        let Some(mut block) = body.try_next().await? else { return Ok(None) };
        block.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - block.len() as u64;
        Ok(Some((block, (body, left))))
    })
    .boxed()
}

fn changed(body: ByteStream, fault: Option<&Fault>) -> ByteStream {
    match fault {
        Some(Fault::BodyBreaks { after_bytes }) => broken(body, *after_bytes, true),
        Some(Fault::BodyShort { after_bytes }) => broken(body, *after_bytes, false),
        _ => body,
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_stream(&self, key: &ObjectKey, body: ByteStream) -> Result<PutReceipt, StoreError> {
        let fault = self.meet(Verb::PutStream).await?;
        let done = self.inner.put_stream(key, changed(body, fault.as_ref())).await;
        self.answer(fault, done)
    }
    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), StoreError> {
        let fault = self.meet(Verb::Put).await?;
        let done = self.inner.put(key, body).await;
        self.answer(fault, done)
    }
    async fn get_stream(&self, key: &ObjectKey) -> Result<ByteStream, StoreError> {
        let fault = self.meet(Verb::GetStream).await?;
        let body = self.inner.get_stream(key).await.map(|body| changed(body, fault.as_ref()));
        self.answer(fault, body)
    }
    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let fault = self.meet(Verb::Get).await?;
        let done = self.inner.get(key, limit_bytes).await;
        self.answer(fault, done)
    }
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let fault = self.meet(Verb::Head).await?;
        let done = self.inner.head(key).await;
        self.answer(fault, done)
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let fault = self.meet(Verb::List).await?;
        let done = self.inner.list(prefix).await;
        self.answer(fault, done)
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let fault = self.meet(Verb::Delete).await?;
        let done = self.inner.delete(key).await;
        self.answer(fault, done)
    }
    async fn sweep(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        let fault = self.meet(Verb::Sweep).await?;
        let done = self.inner.sweep(prefix, age).await;
        self.answer(fault, done)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}
