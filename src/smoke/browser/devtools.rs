//! The DevTools protocol: JSON messages, each ended by a zero byte, one pipe for each direction.
//!
//! Only what a check needs is spoken, about two dozen methods.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::error::BrowserError;

/// The longest message that is read. The largest are screenshots, which take a few MB.
const LONGEST_MESSAGE_BYTES: u64 = 64 * 1024 * 1024;

/// How many messages may wait to be written.
const WRITE_QUEUE: usize = 64;

/// How many events of one session may wait to be seen. More than that is a page that floods.
const EVENT_QUEUE: usize = 4096;

/// One connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Devtools {
    to: mpsc::Sender<Vec<u8>>,
    state: Arc<Mutex<State>>,
}

/// Something that happened on a page.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) method: String,
    pub(super) params: Value,
}

#[derive(Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Value, String>>>,
    sessions: HashMap<String, mpsc::Sender<Event>>,
    ended: bool,
}

// What waits to be said may hold cookies; what was said, anything.
impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("last_id", &self.last_id).field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    id: Option<u64>,
    session_id: Option<String>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Devtools {
    /// Talks over these pipes until one of them ends or the last clone is dropped.
    pub(super) fn over(
        from: impl AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
        let state = Arc::new(Mutex::new(State::default()));
        // Both end by themselves: the writer with the last clone, the reader with the browser.
        tokio::spawn(write(to, receiver));
        tokio::spawn(read(from, Arc::clone(&state)));
        Self { to: sender, state }
    }

    /// Calls a method, of the browser or of one session, and waits for its result, for as long as that takes: the
    /// limit is the caller's. Cancel-safe: a call that is given up may still be carried out.
    ///
    /// # Errors
    /// `Gone` where the browser has ended; the reason is the caller's to find out.
    pub(super) async fn call(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, BrowserError> {
        let gone = || BrowserError::Gone { why: format!("it ended during `{method}`") };
        let (sender, answer) = oneshot::channel();
        let call = {
            let mut state = self.state();
            if state.ended {
                return Err(gone());
            }
            state.last_id += 1;
            let id = state.last_id;
            state.waiting.insert(id, sender);
            Call { id, state: &self.state }
        };
        self.to.send(message(call.id, session, method, &params)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(|message| BrowserError::Refused { method, message })
    }

    /// Calls a method and does not care what comes of it. Never waits.
    pub(super) fn tell(&self, session: Option<&str>, method: &'static str, params: Value) {
        let id = {
            let mut state = self.state();
            state.last_id += 1;
            state.last_id
        };
        let _ = self.to.try_send(message(id, session, method, &params));
    }

    /// The events of a session from now on. They end with the browser, or where they are not read for so long that
    /// too many wait.
    pub(super) fn follow(&self, session: &str) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
        let mut state = self.state();
        if !state.ended {
            state.sessions.insert(session.to_owned(), sender);
        }
        receiver
    }

    /// Forgets a session.
    pub(super) fn leave(&self, session: &str) {
        self.state().sessions.remove(session);
    }

    /// Whether the browser has ended its side.
    pub(super) fn ended(&self) -> bool {
        self.state().ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A call that waits; forgotten when it is dropped.
struct Call<'a> {
    id: u64,
    state: &'a Mutex<State>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        lock(self.state).waiting.remove(&self.id);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(id: u64, session: Option<&str>, method: &str, params: &Value) -> Vec<u8> {
    let mut message = json!({ "id": id, "method": method, "params": params });
    if let Some(session) = session {
        message["sessionId"] = session.into();
    }
    let mut bytes = message.to_string().into_bytes();
    bytes.push(0);
    bytes
}

async fn write(mut to: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = messages.recv().await {
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}

async fn read(from: impl AsyncRead + Unpin, state: Arc<Mutex<State>>) {
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut from).take(LONGEST_MESSAGE_BYTES).read_until(0, &mut bytes).await {
            Ok(_) if bytes.pop() == Some(0) => take_in(&state, &bytes),
            // The end, a broken pipe, or a message without one.
            Ok(_) | Err(_) => break,
        }
    }
    let mut state = lock(&state);
    state.ended = true;
    state.waiting.clear();
    state.sessions.clear();
}

fn take_in(state: &Mutex<State>, bytes: &[u8]) {
    // What cannot be read is nothing that was asked for; who waits for it has a limit.
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else { return };
    let mut state = lock(state);
    match (message.id, message.method, message.session_id) {
        (Some(id), ..) => {
            let answer = message.error.map_or(Ok(message.result), |refusal| Err(refusal.message));
            if let Some(waiting) = state.waiting.remove(&id) {
                let _ = waiting.send(answer);
            }
        }
        (None, Some(method), Some(session)) => {
            let event = Event { method, params: message.params };
            let full = state.sessions.get(&session).is_some_and(|events| events.try_send(event).is_err());
            if full {
                state.sessions.remove(&session);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// A connection and the browser's two ends of it.
    fn pipes() -> (Devtools, BufReader<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1 << 16);
        let (from, to) = duplex(1 << 16);
        (Devtools::over(ours, to), BufReader::new(from), theirs)
    }

    async fn heard(from: &mut BufReader<DuplexStream>) -> Value {
        let mut bytes = Vec::new();
        from.read_until(0, &mut bytes).await.unwrap();
        assert_eq!(bytes.pop(), Some(0));
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn answers_find_their_calls_in_any_order() {
        let (devtools, mut from, mut to) = pipes();
        let browser = async {
            let (first, second) = (heard(&mut from).await, heard(&mut from).await);
            assert_eq!(second["sessionId"], "s");
            let refused = json!({ "id": second["id"], "error": { "code": -1, "message": "no" } });
            let done = json!({ "id": first["id"], "result": { "x": 1 } });
            to.write_all(format!("{refused}\0not json\0{{\"id\":99,\"result\":{{}}}}\0{done}\0").as_bytes())
                .await
                .unwrap();
        };
        let (first, second, ()) =
            tokio::join!(devtools.call(None, "A.a", json!({})), devtools.call(Some("s"), "B.b", json!({})), browser);
        assert_eq!(first.unwrap(), json!({ "x": 1 }));
        assert_eq!(second.unwrap_err().to_string(), "the browser refuses `B.b`: no");
        assert!(devtools.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn an_end_is_told_to_all_that_wait_and_all_that_come_later() {
        let (devtools, from, to) = pipes();
        let mut events = devtools.follow("s");
        let end = async { drop((from, to)) };
        let (answer, ()) = tokio::join!(devtools.call(None, "A.a", json!({})), end);
        assert!(matches!(answer, Err(BrowserError::Gone { .. })), "{answer:?}");
        assert!(events.recv().await.is_none() && devtools.ended());
        assert!(matches!(devtools.call(None, "A.a", json!({})).await, Err(BrowserError::Gone { .. })));
        assert!(devtools.follow("s").recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_leaves_nothing_behind() {
        let (devtools, _from, _to) = pipes();
        let call = devtools.call(None, "A.a", json!({}));
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), call).await.is_err());
        assert!(devtools.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_flood_of_events_ends_them_and_costs_no_memory() {
        let (devtools, _from, mut to) = pipes();
        let mut events = devtools.follow("s");
        let mut other = devtools.follow("t");
        for _ in 0..EVENT_QUEUE + 1 {
            to.write_all(b"{\"method\":\"X.x\",\"sessionId\":\"s\"}\0").await.unwrap();
        }
        to.write_all(b"{\"method\":\"Y.y\",\"sessionId\":\"t\",\"params\":{\"n\":1}}\0").await.unwrap();
        let event = other.recv().await.unwrap();
        assert_eq!((event.method.as_str(), event.params), ("Y.y", json!({ "n": 1 })));
        let mut seen = 0;
        while events.recv().await.is_some() {
            seen += 1;
        }
        assert_eq!(seen, EVENT_QUEUE);
    }
}
