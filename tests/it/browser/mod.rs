//! The browser check against a real Chromium. There must be one: where none is installed, these tests fail.

mod site;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site::{PATIENT, Site, check};
use tempfile::TempDir;
use tidegate::model::observation::SeenResult;
use tidegate::ops::doctor::{Doctor, Level};
use tidegate::smoke::browser::picture::{Picture, difference};
use tidegate::smoke::browser::{
    Allow, Browser, BrowserCheck, BrowserError, BrowserOptions, Browsing, Cookie, Evidence, Viewed, WaitFor, find,
};
use tokio::time::Instant;

fn options(folder: &TempDir) -> BrowserOptions {
    BrowserOptions::new(find(None).unwrap(), folder.path().to_owned())
}

async fn launched(folder: &TempDir) -> Browser {
    Browser::launch(&options(folder)).await.unwrap()
}

fn verdict(viewed: &Viewed, site: &Site) -> String {
    let verdict = match &viewed.seen.result {
        SeenResult::Pass => "pass".to_owned(),
        SeenResult::Fail { reason } => format!("fail: {reason}"),
        SeenResult::Error { reason } => format!("error: {reason}"),
    };
    let port = |url: &url::Url| url.port().unwrap().to_string();
    verdict.replace(&port(&site.base), "PORT").replace(&port(&site.nowhere), "NOWHERE")
}

/// What is left of a browser: processes that have its profile among their arguments or in their environment, and
/// what lies in the folder.
fn left(folder: &Path) -> Vec<String> {
    let marks = folder.to_str().unwrap().as_bytes();
    let has_mark = |text: Vec<u8>| text.windows(marks.len()).any(|window| window == marks);
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let text = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        has_mark(text("cmdline")) || has_mark(text("environ"))
    });
    let files = std::fs::read_dir(folder).unwrap().flatten();
    processes.chain(files).map(|entry| entry.path().display().to_string()).collect()
}

async fn nothing_left(folder: &Path) {
    let deadline = Instant::now() + PATIENT;
    while !left(folder).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", left(folder));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn each_thing_that_a_page_does_wrong_is_seen() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = Browser::launch(&BrowserOptions { pages_at_once: 4, ..options(&folder) }).await.unwrap();
    let selector =
        |path: &str, selector: &str| BrowserCheck { wait_for: WaitFor::Selector(selector.into()), ..check(path) };
    let soon = |check: BrowserCheck| BrowserCheck { limit: Duration::from_secs(5), ..check };
    let allowing = |path: &str, allow: Allow| BrowserCheck { allow: vec![allow], ..check(path) };
    let checks = [
        check("/good"),
        selector("/good", "#title"),
        check("/moved"),
        selector("/late", ".late"),
        check("/drawn"),
        check("/shadow"),
        check("/blank"),
        check("/hidden"),
        check("/below"),
        check("/white"),
        check("/console"),
        allowing("/console", Allow::Console("no orders".into())),
        check("/throws"),
        check("/rejects"),
        check("/api-500"),
        allowing("/api-500", Allow::Request("/api/broken".into())),
        check("/api-gone"),
        check("/socket-gone"),
        soon(selector("/good", "#orders")),
        soon(check("/endless")),
        check("/alert"),
        check("/down"),
        check("/elsewhere"),
        check("/download"),
        selector("/good", "#"),
        BrowserCheck { url: site.nowhere.to_string(), ..check("/nobody") },
    ];
    let mut table = String::new();
    let views = checks.iter().map(|check| check.run(&browser, Some(&site.base), &[]));
    let views = futures::future::join_all(views).await;
    for (check, viewed) in checks.iter().zip(views) {
        let viewed = viewed.unwrap();
        let wait_for = match &check.wait_for {
            WaitFor::Selector(selector) => format!(" {selector}"),
            WaitFor::NetworkIdle => String::new(),
        };
        let allow = if check.allow.is_empty() { "" } else { " (allowed)" };
        table.push_str(&format!("{}{wait_for}{allow}\n    {}\n", check.name, verdict(&viewed, &site)));
    }
    browser.close().await;
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn evidence_shows_the_page_and_nothing_secret() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = launched(&folder).await;
    let cookie = |value: &str| Cookie { name: "SESSION".into(), value: value.into(), domain: None, path: "/".into() };
    let view =
        async |path: &str, cookies: &[Cookie]| check(path).run(&browser, Some(&site.base), cookies).await.unwrap();

    // The session is sent, though no script can read it, and it is in nothing that is kept.
    let me = view("/me", &[cookie("s3ss10n")]).await;
    assert_eq!(me.evidence.console_errors, ["I am SESSION=… "].map(str::trim_end));
    assert!(!format!("{me:?}").contains("s3ss10n"));
    // It was lent to that page alone.
    assert_eq!(view("/me", &[]).await.evidence.console_errors, ["I am nobody"]);
    assert_eq!(left_by("SESSION", folder.path()), Vec::<String>::new());

    let broken = view("/api-500", &[]).await.evidence;
    assert_eq!(broken.failed_requests[0].status, Some(500));
    assert_eq!(broken.failed_requests[0].url, site.base.join("/api/broken").unwrap().as_str());
    assert!(!format!("{broken:?}").contains("t0k3n"));

    let picture = |evidence: Evidence| Picture::from_png(&evidence.screenshot.unwrap()).unwrap();
    let good = view("/good?x=1", &[]).await.evidence;
    assert_eq!(good.at.as_deref(), Some(site.base.join("/good").unwrap().as_str()));
    let (good, again) = (picture(good), picture(view("/good", &[]).await.evidence));
    let blank = picture(view("/blank", &[]).await.evidence);
    assert_eq!(difference(&good, &again, 0).share, 0.0);
    let changed = difference(&good, &blank, 16).share;
    assert!(changed > 0.0 && changed < 0.5, "{changed}");
    assert!(blank.is_plain() && !good.is_plain());
    browser.close().await;
}

/// The files below that hold the text.
fn left_by(text: &str, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(left_by(text, &entry.path()));
        } else if std::fs::read(entry.path())
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn two_pages_are_open_at_once_and_the_third_waits_for_its_turn() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = Browser::launch(&BrowserOptions { pages_at_once: 2, ..options(&folder) }).await.unwrap();
    let finished = Mutex::new(Vec::new());
    let view = async |name: &'static str, check: BrowserCheck| {
        let viewed = check.run(&browser, Some(&site.base), &[]).await.unwrap();
        finished.lock().unwrap().push((name, viewed.seen.result == SeenResult::Pass));
    };
    let short = async {
        view("short", BrowserCheck { limit: Duration::from_secs(8), ..check("/endless") }).await;
        // So the long one cannot have been the first.
        site.visits.release.notify_waiters();
    };
    // Both get stuck together, and with its turn the third would have been the first to finish by far.
    tokio::join!(view("long", check("/endless")), short, view("good", check("/good")), site.stuck(2));
    assert_eq!(finished.lock().unwrap().first(), Some(&("short", false)));
    assert_eq!(site.visits.most_stuck.load(Ordering::SeqCst), 2);
    browser.close().await;
    assert_eq!(left(folder.path()), Vec::<String>::new());
}

/// Chromium breaks off what connects while an address of the host comes or goes, and Docker gives and takes one with each
/// container. That is not the page's fault.
#[tokio::test]
async fn a_network_that_changes_is_no_failure_of_a_page() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = launched(&folder).await;
    let link = Link::make();
    let looks = || site.visits.clogged.load(Ordering::SeqCst);
    let change = async {
        let deadline = Instant::now() + PATIENT;
        for last in 1_u8.. {
            // Looked at again: now it may connect.
            if looks() > 1 {
                return site.unclog().await;
            }
            assert!(Instant::now() < deadline, "looked at {} times", looks());
            link.give(last);
            let seen = async {
                while looks() < 2 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(4), seen).await;
        }
    };
    let clogged = check("/clogged");
    let viewed = tokio::select! {
        viewed = clogged.run(&browser, Some(&site.base), &[]) => viewed.unwrap(),
        () = change => unreachable!("it answers until it is dropped"),
    };
    assert_eq!((verdict(&viewed, &site).as_str(), looks() > 1), ("pass", true));
    browser.close().await;
}

/// An interface of this host that nothing uses, gone when dropped.
struct Link(String);

impl Link {
    fn make() -> Self {
        let link = Self(format!("tg{}", std::process::id()));
        let peer = format!("{}p", link.0);
        link.ip(&["link", "add", &link.0, "type", "veth", "peer", "name", &peer]);
        link.ip(&["link", "set", &peer, "up"]);
        link.ip(&["link", "set", &link.0, "up"]);
        link
    }

    /// Gives it one more address.
    fn give(&self, last: u8) {
        self.ip(&["addr", "add", &format!("198.18.77.{last}/32"), "dev", &self.0]);
    }

    fn ip(&self, words: &[&str]) {
        let ended = std::process::Command::new("ip").args(words).status().unwrap();
        assert!(ended.success(), "ip {words:?}");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["link", "del", &self.0]).status();
    }
}

#[tokio::test]
async fn doctor_starts_it_and_says_which_it_is() {
    let folder = TempDir::new().unwrap();
    let profiles = folder.path().join("browser");
    let browsing =
        Browsing { program: None, folder: profiles.clone(), jit: false, memory_limit_bytes: 2 << 30, pages_at_once: 1 };
    let mut doctor = Doctor::new(|_| None);
    doctor.browser(&browsing).await;
    let [found] = &doctor.findings[..] else { panic!("{:?}", doctor.findings) };
    let starts = format!("`{}` starts: Chrome/", find(None).unwrap().display());
    assert_eq!((found.level, found.area.as_str()), (Level::Ok, "browser"), "{found:?}");
    assert!(found.text.starts_with(&starts) && found.text.ends_with("without its compiler for scripts)"), "{found:?}");
    assert_eq!(left(&profiles), Vec::<String>::new());
}

/// As under the systemd unit, which forbids memory that is writable and executable.
#[tokio::test]
async fn without_the_compiler_for_scripts_it_works_where_memory_is_never_writable_and_executable() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let program = tempfile::Builder::new().prefix("mdwe").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/browser/mdwe.c");
    let to = program.path().join("chromium");
    let define = format!("-DPROGRAM=\"{}\"", find(None).unwrap().display());
    let made = std::process::Command::new("cc").arg(define).arg("-o").args([&to, &source]).output();
    let made = made.expect("a C compiler");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let browser = Browser::launch(&BrowserOptions { program: to, jit: false, ..options(&folder) }).await.unwrap();
    for path in ["/good", "/drawn"] {
        let viewed = check(path).run(&browser, Some(&site.base), &[]).await.unwrap();
        assert_eq!(verdict(&viewed, &site), "pass", "{path}");
    }
    browser.close().await;
    assert_eq!(left(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_whose_script_never_pauses_is_given_up_and_others_go_on() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = launched(&folder).await;
    let stuck =
        BrowserCheck { limit: Duration::from_secs(3), wait_for: WaitFor::Selector("#never".into()), ..check("/loop") };
    let viewed = stuck.run(&browser, Some(&site.base), &[]).await.unwrap();
    assert_eq!(verdict(&viewed, &site), "fail: `#never` was not there within 3000 ms; it does not respond");
    let good = check("/good").run(&browser, Some(&site.base), &[]).await.unwrap();
    assert_eq!(good.seen.result, SeenResult::Pass);
    browser.close().await;
    assert_eq!(left(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_browser_that_is_killed_is_an_error_and_leaves_nothing() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = launched(&folder).await;
    let endless = check("/endless");
    let kill = async {
        site.stuck(1).await;
        kill(Pid::from_raw(browser.process_id()), Signal::SIGKILL).unwrap();
    };
    let (viewed, ()) = tokio::join!(endless.run(&browser, Some(&site.base), &[]), kill);
    let error = viewed.unwrap_err();
    assert_eq!(error.to_string(), "the browser is gone: it ended by itself, signal: 9 (SIGKILL)");
    // Not closed, still there, and yet nothing of it is left.
    nothing_left(folder.path()).await;
    let after = endless.run(&browser, Some(&site.base), &[]).await.unwrap_err();
    assert!(matches!(after, BrowserError::Gone { .. }), "{after}");
}

#[tokio::test]
async fn a_browser_that_takes_too_much_memory_is_ended() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let options = BrowserOptions { memory_limit_bytes: 700 * 1024 * 1024, ..options(&folder) };
    let browser = Browser::launch(&options).await.unwrap();
    let error = check("/greedy").run(&browser, Some(&site.base), &[]).await.unwrap_err().to_string();
    assert!(error.starts_with("the browser is gone: it took ") && error.ends_with("700 are allowed"), "{error}");
    nothing_left(folder.path()).await;
}

#[tokio::test]
async fn a_browser_that_is_dropped_in_mid_load_leaves_nothing() {
    let (folder, site) = (TempDir::new().unwrap(), Site::open().await);
    let browser = launched(&folder).await;
    assert!(!left(folder.path()).is_empty(), "what is looked for is never found");
    let endless = check("/endless");
    tokio::select! {
        viewed = endless.run(&browser, Some(&site.base), &[]) => panic!("{viewed:?}"),
        () = site.stuck(1) => {}
    }
    drop(browser);
    nothing_left(folder.path()).await;
}
