//! How much a look at a large instance costs: counted, not timed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::instance::InstanceAdapter;
use tidegate::instance::appsmith::{Appsmith, AppsmithOptions};
use tidegate::model::observation::SeenResult;
use tidegate::smoke::album::NoAlbum;
use tidegate::smoke::browser::{Browser, BrowserCheck, BrowserOptions, WaitFor, find};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::ready;
use super::world::{Make, World};
use crate::docker::engine;

const APPS: usize = 200;
const PAGES: usize = 5;

/// 30 s of calls that are 20 ms apart.
const CALLS_MAX: usize = 1500;

/// Stands before an instance and counts requests, and those that were refused for the rate.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicUsize,
    refused: AtomicUsize,
}

/// Starts it; it ends with the runtime of the test.
async fn counting(server: SocketAddr) -> (SocketAddr, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, server, Arc::clone(&shared)));
        }
    });
    (address, counts)
}

async fn forward(client: TcpStream, server: SocketAddr, counts: Arc<Counts>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((client_read, client_write), (server_read, server_write)) = (client.into_split(), server.into_split());
    tokio::join!(
        pass(client_read, server_write, b" HTTP/1.1\r\n", &counts.requests),
        pass(server_read, client_write, b"HTTP/1.1 429 ", &counts.refused),
    );
}

/// Passes everything on and counts how often `word` occurs, also across two reads.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    word: &[u8],
    count: &AtomicUsize,
) {
    let mut block = vec![0; 64 * 1024];
    let mut tail: Vec<u8> = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut block).await {
        tail.extend_from_slice(&block[..read]);
        count.fetch_add(tail.windows(word.len()).filter(|window| *window == word).count(), Ordering::SeqCst);
        tail.drain(..tail.len().saturating_sub(word.len() - 1));
        if to.write_all(&block[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_instance_is_looked_at_within_half_of_what_the_server_allows_in_30_s() {
    let (apps, pages) = (APPS.to_string(), PAGES.to_string());
    let world = World::start("many", Make { seeds: &["--apps", &apps, "--pages", &pages], ..Make::default() }).await;
    let server: SocketAddr = world.url.trim_start_matches("http://").parse().unwrap();
    let (address, counts) = counting(server).await;
    let app = Appsmith::new(AppsmithOptions { url: format!("http://{address}"), ..world.options() }).unwrap();
    ready(&app, "v1.99").await.unwrap();
    counts.requests.store(0, Ordering::SeqCst);

    let seen = app.observe(&engine(), Some(&NoAlbum)).await.unwrap();
    let kinds = |kind: &str| seen.inventory.things[kind].len();
    assert_eq!((kinds("application"), kinds("page")), (APPS, APPS * PAGES));
    assert_eq!(kinds("js-object"), APPS * PAGES);
    assert!(kinds("query") >= 2 * APPS * PAGES, "{}", kinds("query"));
    let bad: Vec<_> = seen.checks.iter().filter(|(_, seen)| seen.result != SeenResult::Pass).take(3).collect();
    assert!(bad.is_empty() && seen.checks.len() > APPS * (PAGES + 2), "{bad:?}");
    assert_eq!(seen.took_ms.len(), APPS * (PAGES + 1));

    let requests = counts.requests.load(Ordering::SeqCst);
    assert_eq!(counts.refused.load(Ordering::SeqCst), 0, "the server refused some for the rate");
    // One for each page, one for each application in the editor, few for all the rest.
    assert!((APPS * (PAGES + 1)..=APPS * (PAGES + 1) + 20).contains(&requests), "{requests} requests");
    assert!(requests <= CALLS_MAX);
    let report = report_of(&world).await;
    assert!(report.matches("<tr").count() > APPS * (PAGES + 2), "{} rows", report.matches("<tr").count());
    opens_in_a_browser(report).await;
    world.remove().await;
}

/// What `tidegate smoke` writes of it.
async fn report_of(world: &World) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (config, html) = (folder.path().join("tidegate.toml"), folder.path().join("report.html"));
    let text = format!(
        "state_dir = {:?}\n[instances.staging]\ncontainer = {:?}\nurl = {:?}\nlogin_user = \"admin@standin.test\"\n\
         login_password_file = {:?}\n",
        folder.path().join("state"),
        world.name,
        world.url,
        world.password_file(),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["smoke", "staging", "--against", "nothing", "--html"]).arg(&html).arg("-c").arg(&config);
    let ended = command.output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    std::fs::read_to_string(&html).unwrap()
}

/// Chromium draws it and runs its script without an error. The picture stays in the target directory, to be looked at.
async fn opens_in_a_browser(report: String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = url::Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.read(&mut [0; 4096]).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{report}", report.len());
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let browser = BrowserOptions::new(find(None).unwrap(), folder.path().to_owned());
    let browser = Browser::launch(&browser).await.unwrap();
    let check = BrowserCheck {
        name: "report".into(),
        title: None,
        url: "/".into(),
        wait_for: WaitFor::Selector("#shown:not(:empty)".into()),
        limit: Duration::from_secs(60),
        allow: Vec::new(),
        logged_in: false,
    };
    let viewed = check.run(&browser, Some(&base), &[]).await.unwrap();
    browser.close().await;
    let picture = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-of-a-large-instance.png");
    std::fs::write(picture, viewed.evidence.screenshot.unwrap()).unwrap();
    assert_eq!(viewed.seen.result, SeenResult::Pass);
}
