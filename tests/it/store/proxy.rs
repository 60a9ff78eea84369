//! A TCP proxy that breaks connections on demand.
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection, in the order in which they are made; those after the last plan pass.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// Nothing.
    Pass,
    /// Cut after so many bytes of answers.
    CutAnswers(usize),
    /// Cut after so many bytes of requests.
    CutRequests(usize),
    /// After so many bytes of answers no more come, and the connection stays.
    StopAnswers(usize),
    /// After so many bytes of requests no more are taken, and the connection stays.
    StopRequests(usize),
    /// So long a pause after each [`BLOCK_BYTES`] in both directions.
    Slow(Duration),
    /// The first request with this text in its head is carried out, and its answer is swallowed with the connection.
    LoseAnswerTo(&'static str),
    /// Requests with this text in their head are not carried out but answered so; the connection is closed after it.
    Refuse { what: &'static str, status: u16, code: &'static str },
}

/// What is carried at once.
pub const BLOCK_BYTES: usize = 16 << 10;

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
                let plan = running.plans.lock().unwrap().pop_front().or(running.forever).unwrap_or(Plan::Pass);
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

/// One connection. One request at a time is on it.
struct Carried {
    plan: Plan,
    parts: Arc<Parts>,
    lose: AtomicBool,
    /// A part that the client gives up stays in flight: the server may have it.
    sending: AtomicUsize,
}

async fn carry(client: TcpStream, upstream: SocketAddr, plan: Plan, parts: Arc<Parts>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, mut to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let carried = Carried { plan, parts, lose: AtomicBool::new(false), sending: AtomicUsize::new(0) };
    // Whichever side ends first takes the other with it.
    let refusal = tokio::select! {
        refusal = carried.requests(from_client, to_server) => refusal,
        () = carried.answers(from_server, &mut to_client) => None,
    };
    if let Some(answer) = refusal {
        let _ = to_client.write_all(answer.as_bytes()).await;
    }
}

impl Carried {
    /// Ends with an answer of our own, or with none.
    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Option<String> {
        let (mut block, mut passed) = (vec![0; BLOCK_BYTES], 0);
        while let Ok(length @ 1..) = from.read(&mut block).await {
            let head = String::from_utf8_lossy(&block[..length]);
            if head.starts_with("PUT /") && head.contains("partNumber=") {
                self.sending.fetch_add(1, Ordering::SeqCst);
                self.parts.in_flight.fetch_add(1, Ordering::SeqCst);
            } else if head.starts_with("DELETE /") && head.contains("uploadId=") {
                let in_flight = self.parts.in_flight.load(Ordering::SeqCst);
                self.parts.at_abort.lock().unwrap().push(in_flight);
            }
            match self.plan {
                Plan::LoseAnswerTo(text) if head.contains(text) => self.lose.store(true, Ordering::SeqCst),
                Plan::Refuse { what, status, code } if is_head(&head) && head.contains(what) => {
                    drain(&head, length, &mut from).await;
                    return Some(refusal(&head, status, code));
                }
                Plan::CutRequests(limit) if passed + length >= limit => {
                    let _ = to.write_all(&block[..limit - passed]).await;
                    return None;
                }
                Plan::StopRequests(limit) if passed + length >= limit => {
                    let _ = to.write_all(&block[..limit - passed]).await;
                    std::future::pending::<()>().await;
                }
                Plan::Slow(pause) => tokio::time::sleep(pause).await,
                _ => {}
            }
            passed += length;
            if to.write_all(&block[..length]).await.is_err() {
                return None;
            }
        }
        None
    }

    async fn answers(&self, mut from: OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let (mut block, mut passed) = (vec![0; BLOCK_BYTES], 0);
        while let Ok(length @ 1..) = from.read(&mut block).await {
            self.parts.in_flight.fetch_sub(self.sending.swap(0, Ordering::SeqCst), Ordering::SeqCst);
            if self.lose.load(Ordering::SeqCst) {
                return;
            }
            let limit = match self.plan {
                Plan::CutAnswers(limit) | Plan::StopAnswers(limit) => limit,
                _ => usize::MAX,
            };
            let taken = length.min(limit - passed);
            passed += taken;
            if to.write_all(&block[..taken]).await.is_err() {
                return;
            }
            match self.plan {
                Plan::CutAnswers(_) if passed == limit => return,
                Plan::StopAnswers(_) if passed == limit => std::future::pending::<()>().await,
                Plan::Slow(pause) => tokio::time::sleep(pause).await,
                _ => {}
            }
        }
        // What was refused is answered by the other side.
        if matches!(self.plan, Plan::Refuse { .. }) {
            std::future::pending::<()>().await;
        }
    }
}

fn refusal(head: &str, status: u16, code: &str) -> String {
    let region = if status == 301 { "x-amz-bucket-region: eu-central-1\r\n" } else { "" };
    let body = format!("<Error><Code>{code}</Code><Message>as planned</Message></Error>");
    let body = if head.starts_with("HEAD ") { "" } else { &body };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Planned\r\n{region}Content-Type: application/xml\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn is_head(text: &str) -> bool {
    ["GET /", "PUT /", "POST /", "HEAD /", "DELETE /"].iter().any(|verb| text.starts_with(verb))
}

/// Reads the rest of a request, so that its sender does not break off before it reads the answer.
async fn drain(head: &str, length: usize, from: &mut OwnedReadHalf) {
    let Some((fields, _)) = head.split_once("\r\n\r\n") else { return };
    let announced = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut left = (announced.unwrap_or(0) + fields.len() + 4).saturating_sub(length);
    let mut block = vec![0; BLOCK_BYTES];
    while left > 0 {
        match from.read(&mut block).await {
            Ok(length @ 1..) => left = left.saturating_sub(length),
            _ => return,
        }
    }
}
