//! The supervisor's socket: one JSON line asks, one JSON line answers. (The real one speaks XML-RPC there.)

use super::{Fault, State, Supervisor};
use crate::failure::{Failure, Result};
use crate::paths;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// The state of every program.
    Status,
    /// Start one program.
    Start { name: String },
    /// Stop one program.
    Stop { name: String },
    /// mongod's `shutdownTimeoutMillisForSignaledShutdown`, set through a client of the database.
    ShutdownTimeout { millis: u64 },
    /// All documents, as a client of the database reads them.
    Dump,
    /// Drops these collections and puts the documents in their place.
    Load { documents: Documents },
}

/// Documents by collection.
pub type Documents = BTreeMap<String, Vec<serde_json::Value>>;

/// What it is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// It was done.
    pub done: bool,
    /// Something to print.
    pub text: String,
    /// How a start or stop ended.
    pub fault: Option<Fault>,
    /// Every program, by name.
    pub programs: Vec<Info>,
    /// The database.
    #[serde(default)]
    pub documents: Documents,
}

/// One program in a reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// What `status` prints behind the state.
    pub description: String,
}

impl Reply {
    /// A bare success.
    pub fn done() -> Self {
        Self { done: true, ..Self::default() }
    }
}

/// Asks process 1. The caller waits for as long as it takes: a start takes its `startsecs`.
pub fn ask(order: &Order) -> io::Result<Reply> {
    let mut stream = std::os::unix::net::UnixStream::connect(paths::SOCKET)?;
    let mut line = serde_json::to_string(order)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Begins to listen. A socket that a killed process left behind is replaced.
pub fn listen() -> Result<UnixListener> {
    let path = Path::new(paths::SOCKET);
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).map_err(Failure::at("listen on", path))
}

/// Serves clients, each in its own task, until the container ends.
pub async fn serve(listener: UnixListener, supervisor: Arc<Supervisor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(async move {
            // A client that hangs up has lost interest; its order is carried out all the same.
            let _ = answer(stream, &supervisor).await;
        });
    }
}

async fn answer(stream: UnixStream, supervisor: &Supervisor) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read).read_line(&mut line).await?;
    let reply = supervisor.obey(serde_json::from_str(&line)?).await;
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await
}
