//! Stands before the S3 server and can hold a transfer at a chosen byte. It changes nothing, so signatures hold.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where to hold.
#[derive(Clone, Debug)]
pub struct Trap {
    /// `PUT` or `GET`.
    pub method: &'static str,
    /// What the path must hold.
    pub path: String,
    /// How many such requests pass before.
    pub pass: usize,
    /// How many bytes of its body pass: up for PUT, down for GET.
    pub after_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    trap: Option<Trap>,
}

/// Ended when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    holds: watch::Sender<bool>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Proxy {
    /// Forwards to `server`.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let holds = watch::Sender::new(false);
        let (shared, sender) = (state.clone(), holds.clone());
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    Ok((client, _)) = listener.accept() => {
                        tokio::spawn(forward(client, server, shared.clone(), sender.clone()));
                    }
                }
            }
        });
        Self { address, state, holds, _stop: stop }
    }

    /// Sets a trap; the one before is forgotten.
    pub fn set(&self, trap: Trap) {
        self.state.lock().unwrap().trap = Some(trap);
    }

    /// Waits until the trap has caught a transfer, which stands still from then on.
    pub async fn caught(&self) {
        let mut holds = self.holds.subscribe();
        let caught = tokio::time::timeout(super::LIMIT, holds.wait_for(|holds| *holds)).await;
        caught.unwrap_or_else(|_| panic!("nothing was caught: {:?}", self.state.lock().unwrap())).unwrap();
    }

    /// Lets what was caught go on.
    pub fn release(&self) {
        self.holds.send_replace(false);
    }
}

/// Says how many bytes of this request may pass, if it is the one that is waited for.
fn look(state: &Mutex<State>, head: &[u8]) -> Option<(&'static str, usize)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" HTTP/1.1")?;
    let mut state = state.lock().unwrap();
    let trap = state.trap.as_mut()?;
    if !line.starts_with(trap.method) || !line.contains(&trap.path) {
        return None;
    }
    if trap.pass > 0 {
        trap.pass -= 1;
        return None;
    }
    let caught = (trap.method, trap.after_bytes);
    state.trap = None;
    Some(caught)
}

async fn forward(client: TcpStream, server: SocketAddr, state: Arc<Mutex<State>>, holds: watch::Sender<bool>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // How many more bytes may go down before the hold.
    let (budget, mut down) = watch::channel(None::<usize>);
    let hold = async |holds: &watch::Sender<bool>| {
        holds.send_replace(true);
        let mut waiting = holds.subscribe();
        let _ = waiting.wait_for(|holds| !holds).await;
    };
    let up = async {
        let mut block = vec![0; 64 << 10];
        let mut left = None;
        while let Ok(count @ 1..) = from_client.read(&mut block).await {
            match look(&state, &block[..count]) {
                Some(("GET", after)) => {
                    budget.send_replace(Some(after));
                }
                Some((_, after)) => left = Some(after),
                None => {}
            }
            if let Some(left_bytes) = left {
                left = left_bytes.checked_sub(count);
                if left.is_none() {
                    hold(&holds).await;
                }
            }
            if to_server.write_all(&block[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let mut block = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut block).await {
            let left = *down.borrow_and_update();
            if let Some(left_bytes) = left {
                let next = left_bytes.checked_sub(count);
                budget.send_replace(next);
                if next.is_none() {
                    hold(&holds).await;
                }
            }
            if to_client.write_all(&block[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, back);
}
