//! A small site on loopback whose pages go wrong in one way each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::smoke::browser::{BrowserCheck, WaitFor};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use url::Url;

/// Longer than any page takes, however busy the machine is.
pub const PATIENT: Duration = Duration::from_secs(60);

/// A page that works.
const GOOD: &str =
    "<h1 id=title>Orders</h1><p>Three orders are open.</p><script>fetch('/api/orders?token=t0k3n')</script>";

/// What the site notices of its visitors.
#[derive(Default)]
pub struct Visits {
    /// Requests that wait for an answer that never comes.
    pub stuck: AtomicUsize,
    /// The most of them at one time.
    pub most_stuck: AtomicUsize,
    /// Rung when one gets stuck, or free.
    pub rung: Notify,
    /// Answers the stuck ones, one for each permit.
    pub release: Notify,
    /// How often the page was asked for that waits for a connection which nobody takes.
    pub clogged: AtomicUsize,
}

pub struct Site {
    pub base: Url,
    pub visits: Arc<Visits>,
    /// An address where nobody listens, and nobody else can.
    pub nowhere: Url,
    _taken: TcpSocket,
    clog: Clog,
}

/// A port whose queue is full, so that connecting takes until somebody takes the connections.
struct Clog {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Clog {
    async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queue = Vec::new();
        let connect = || TcpStream::connect(listener.local_addr().unwrap());
        while let Ok(connected) = tokio::time::timeout(Duration::from_millis(500), connect()).await {
            queue.push(connected.unwrap());
        }
        Self { listener, _queue: queue }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}

impl Site {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let visits = Arc::new(Visits::default());
        let taken = TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let nowhere = Url::parse(&format!("http://{}/", taken.local_addr().unwrap())).unwrap();
        let clog = Clog::open().await;
        let ports = [base.port().unwrap(), nowhere.port().unwrap(), clog.port()];
        let seen = Arc::clone(&visits);
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                tokio::spawn(serve(peer, ports, Arc::clone(&seen)));
            }
        });
        Self { base, visits, nowhere, _taken: taken, clog }
    }

    /// Answers whoever connects to the port whose queue is full, until dropped.
    pub async fn unclog(&self) {
        while let Ok((peer, _)) = self.clog.listener.accept().await {
            tokio::spawn(serve(peer, [0; 3], Arc::clone(&self.visits)));
        }
    }

    /// Waits until exactly so many requests are stuck.
    pub async fn stuck(&self, count: usize) {
        let arrived = async {
            loop {
                let rung = self.visits.rung.notified();
                if self.visits.stuck.load(Ordering::SeqCst) == count {
                    return;
                }
                rung.await;
            }
        };
        tokio::time::timeout(PATIENT, arrived).await.expect("the requests did not come");
    }
}

/// A check of one of its pages.
pub fn check(path: &str) -> BrowserCheck {
    let name = path.trim_start_matches('/').to_owned();
    BrowserCheck {
        name,
        url: path.to_owned(),
        wait_for: WaitFor::NetworkIdle,
        limit: PATIENT,
        allow: Vec::new(),
        logged_in: true,
    }
}

/// One request, one answer.
async fn serve(peer: TcpStream, ports: [u16; 3], visits: Arc<Visits>) -> std::io::Result<()> {
    let mut peer = BufReader::new(peer);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if peer.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    if path == "/stuck" {
        let stuck = visits.stuck.fetch_add(1, Ordering::SeqCst) + 1;
        visits.most_stuck.fetch_max(stuck, Ordering::SeqCst);
        visits.rung.notify_waiters();
        visits.release.notified().await;
        visits.stuck.fetch_sub(1, Ordering::SeqCst);
        visits.rung.notify_waiters();
    }
    if path == "/clogged" {
        visits.clogged.fetch_add(1, Ordering::SeqCst);
    }
    let (status, more, body) = answer(&path, &head, ports);
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/html; charset=utf-8\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    peer.get_mut().write_all(answer.as_bytes()).await?;
    peer.get_mut().shutdown().await
}

fn answer(path: &str, head: &str, [port, nowhere, clog]: [u16; 3]) -> (u16, String, String) {
    let page = |body: &str| (200, String::new(), format!("<!doctype html><title>t</title>{body}"));
    let script = |script: &str| page(&format!("<h1>Orders</h1><script>{script}</script>"));
    match path {
        "/good" => page(GOOD),
        // What an API check would be happy with: its parts are there, its data is asked for and comes.
        "/blank" => page("<div id=root></div><script>fetch('/api/orders')</script>"),
        "/hidden" => page("<div style='opacity:0'>Orders</div><div style='display:none'>Orders</div>"),
        "/below" => page("<div style='margin-top:5000px'>Orders</div>"),
        "/white" => page("<div style='color:#fff'>Orders</div>"),
        "/drawn" => page(
            "<canvas width=90 height=90></canvas><script>document.querySelector('canvas').getContext('2d').fillRect(9,9,9,9)</script>",
        ),
        "/shadow" => page(
            "<div id=host></div><script>document.getElementById('host').attachShadow({mode:'open'}).innerHTML='<p>Orders</p>'</script>",
        ),
        "/console" => script("console.error('no orders', {a: 1}, 'see http://h/x?token=t0k3n')"),
        "/throws" => script("throw new Error('no orders')"),
        "/rejects" => script("Promise.reject(new Error('no orders'))"),
        "/api-500" => script("fetch('/api/broken?token=t0k3n')"),
        "/api-gone" => script(&format!("fetch('http://127.0.0.1:{nowhere}/orders').catch(() => {{}})")),
        "/socket-gone" => script(&format!("new WebSocket('ws://127.0.0.1:{nowhere}/live')")),
        "/late" => page(
            "<p>Loading</p><script>setTimeout(() => document.body.innerHTML = '<h1 class=late>Orders</h1>', 300)</script>",
        ),
        "/clogged" => script(&format!("fetch('http://127.0.0.1:{clog}/good', {{ mode: 'no-cors' }})")),
        "/endless" => script("fetch('/stuck')"),
        "/loop" => script("addEventListener('load', () => setTimeout(() => { for (;;) {} }, 0))"),
        "/alert" => script("alert('hello')"),
        "/down" => (503, String::new(), "<h1>Sorry</h1>".to_owned()),
        "/moved" => (302, "location: /good\r\n".to_owned(), String::new()),
        "/elsewhere" => (302, format!("location: http://localhost:{port}/good?token=t0k3n\r\n"), String::new()),
        "/download" => {
            (200, "content-disposition: attachment; filename=a.html\r\n".to_owned(), "<h1>Orders</h1>".to_owned())
        }
        "/greedy" => script(
            "const kept = []; setInterval(() => kept.push(new Uint8Array(64 << 20).fill(1)), 20); fetch('/stuck')",
        ),
        "/me" => {
            let cookie = head.lines().find_map(|line| line.strip_prefix("Cookie: ")).unwrap_or("nobody");
            script(&format!(
                "console.error('I am', '{cookie}', document.cookie); document.querySelector('h1').dataset.who = '{cookie}'"
            ))
        }
        "/api/broken" => (500, String::new(), "{}".to_owned()),
        "/api/orders" | "/stuck" => (200, String::new(), "[]".to_owned()),
        _ => (404, String::new(), String::new()),
    }
}
