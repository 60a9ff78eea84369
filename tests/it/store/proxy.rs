//! A TCP proxy that breaks connections on demand.
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection, in the order in which they are made; those after the last plan pass.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// Cut after so many bytes of answers.
    CutAnswers(usize),
    /// The first request with this text in its head is carried out, and its answer is swallowed with the connection.
    LoseAnswerTo(&'static str),
}

#[derive(Clone, Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    plans: Arc<Mutex<VecDeque<Plan>>>,
    forever: Option<Plan>,
    connections: Arc<AtomicUsize>,
    parts: Arc<Parts>,
}

/// Parts whose answer has not come, and how many those were when an upload was aborted.
#[derive(Debug, Default)]
struct Parts {
    in_flight: AtomicUsize,
    at_abort: Mutex<Vec<usize>>,
}

impl Proxy {
    pub async fn start(upstream: SocketAddr, plans: &[Plan], forever: Option<Plan>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            plans: Arc::new(Mutex::new(plans.iter().copied().collect())),
            forever,
            connections: Arc::default(),
            parts: Arc::default(),
        };
        let running = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                running.connections.fetch_add(1, Ordering::SeqCst);
                let plan = running.plans.lock().unwrap().pop_front().or(running.forever);
                tokio::spawn(carry(client, upstream, plan, running.parts.clone()));
            }
        });
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// For every abort, how many parts were in flight.
    pub fn in_flight_at_aborts(&self) -> Vec<usize> {
        self.parts.at_abort.lock().unwrap().clone()
    }

    pub fn plans_left(&self) -> usize {
        self.plans.lock().unwrap().len()
    }
}

async fn carry(client: TcpStream, upstream: SocketAddr, plan: Option<Plan>, parts: Arc<Parts>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lose = Arc::new(Mutex::new(false));
    let pattern = match plan {
        Some(Plan::LoseAnswerTo(text)) => Some(text),
        _ => None,
    };
    let limit = match plan {
        Some(Plan::CutAnswers(bytes)) => bytes,
        _ => usize::MAX,
    };
    // One request at a time on a connection. A part that the client gives up stays in flight: the server may have it.
    let sending = AtomicUsize::new(0);
    // Whichever side ends first takes the other with it.
    tokio::select! {
        () = requests(from_client, to_server, pattern, lose.clone(), &parts, &sending) => {}
        () = answers(from_server, to_client, limit, lose, &parts, &sending) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    pattern: Option<&str>,
    lose: Arc<Mutex<bool>>,
    parts: &Parts,
    sending: &AtomicUsize,
) {
    let mut block = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut block).await {
        let head = String::from_utf8_lossy(&block[..length.min(300)]);
        if head.starts_with("PUT /") && head.contains("partNumber=") {
            sending.fetch_add(1, Ordering::SeqCst);
            parts.in_flight.fetch_add(1, Ordering::SeqCst);
        } else if head.starts_with("DELETE /") && head.contains("uploadId=") {
            parts.at_abort.lock().unwrap().push(parts.in_flight.load(Ordering::SeqCst));
        }
        if pattern.is_some_and(|text| String::from_utf8_lossy(&block[..length]).contains(text)) {
            *lose.lock().unwrap() = true;
        }
        if to.write_all(&block[..length]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    limit: usize,
    lose: Arc<Mutex<bool>>,
    parts: &Parts,
    sending: &AtomicUsize,
) {
    let (mut block, mut left) = (vec![0; 16 << 10], limit);
    while let Ok(length @ 1..) = from.read(&mut block).await {
        parts.in_flight.fetch_sub(sending.swap(0, Ordering::SeqCst), Ordering::SeqCst);
        if *lose.lock().unwrap() {
            return;
        }
        let passed = length.min(left);
        left -= passed;
        if to.write_all(&block[..passed]).await.is_err() || left == 0 {
            return;
        }
    }
}
