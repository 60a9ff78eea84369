//! Checks outside of runs, and reports.

use std::os::unix::fs::PermissionsExt;

use super::pair::{BAD, Make, Pair};

/// A look in a real browser is part of it, and of the report. Nothing is changed, whatever comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_checks_of_an_instance_are_run_and_reported() {
    let pair = Pair::start("smoke", Make::default()).await;
    let id = pair.staging.id().await;
    let check = |kind: &str| format!("[[instances.staging.checks]]\nname = \"my {kind}\"\ntype = \"{kind}\"\n");
    let port = format!("port = {}\n", pair.staging.port);
    let command = "command = [\"supervisorctl\", \"status\", \"backend\"]\ncontains = \"RUNNING\"\n";
    let all = [check("browser"), check("exec"), command.into(), check("tcp"), port.clone()].concat();
    pair.configure(&all);

    let (html, junit) = (pair.state().join("smoke.html"), pair.state().join("smoke.xml"));
    let files = ["--html", html.to_str().unwrap(), "--junit", junit.to_str().unwrap()];
    let passed = pair.run(&[&["smoke", "staging", "-vv"][..], &files].concat()).await.expect(0);
    assert!(passed.stdout.starts_with("staging: passed, compared with nothing"), "{}", passed.stdout);
    let page = std::fs::read_to_string(&html).unwrap();
    for part in ["browser check `my browser`", "data:image/png;base64,", "exec check `my exec`", "tcp check `my tcp`"] {
        assert!(page.contains(part), "{part} is missing");
    }
    let mode = std::fs::metadata(&html).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");

    // A snapshot is the baseline from now on. The check of a port is then pointed at one that is closed.
    pair.snapshot(&pair.staging).await;
    pair.reconfigure(&port, "port = 1\n");
    let failed = pair.run(&[&["smoke", "staging"][..], &files].concat()).await.expect(9);
    assert!(failed.stdout.starts_with("staging: FAILED, compared with snapshot "), "{}", failed.stdout);
    assert!(
        failed.stdout.contains("fail: tcp check `my tcp`: 127.0.0.1 takes no connection at port 1"),
        "{}",
        failed.stdout
    );
    assert!(std::fs::read_to_string(&junit).unwrap().contains("failures=\"1\""));
    pair.reconfigure("port = 1\n", "port = 1\n[[smoke.allow_change]]\ncheck = \"tcp:*\"\nreason = \"it moves\"\n");
    let allowed = pair.run(&["smoke", "staging"]).await.expect(0);
    assert!(allowed.stdout.contains("allowed: tcp check `my tcp`: fail: 127.0.0.1"), "{}", allowed.stdout);

    pair.run(&["smoke", "stagin"]).await.expect(2);
    assert_eq!((pair.staging.id().await, pair.run_count()), (id, 1), "smoke is no run and touches nothing");
    pair.nothing_is_left(&pair.staging).await;
}

/// What an upgrade was rolled back for can be read afterwards, by people and by other programs, without an engine.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upgrade_leaves_a_report() {
    let pair = Pair::start("report", Make { both: true, tags: &[BAD], ..Make::default() }).await;
    pair.configure("[[instances.staging.checks]]\nname = \"front\"\ntype = \"browser\"\n");
    let nothing = pair.run(&["report"]).await.expect(2);
    assert!(nothing.stderr.contains("nothing has been done yet"), "{}", nothing.stderr);
    pair.run(&["upgrade", BAD, "-vv"]).await.expect(5);
    let html = pair.state().join("report.html");
    let mut command = pair.command(&["report", "--html", html.to_str().unwrap(), "--json"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let report = pair.finish(command).await.expect(9);
    let looks = report.json();
    assert_eq!((looks.as_array().map(Vec::len), &looks[0]["instance"]), (Some(1), &"staging".into()));
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("Orders") && page.contains(">fail</span>"), "the broken app is not named");
    // The one of before, the one of after; what differs is the version that the page shows.
    assert_eq!(page.matches("data:image/png;base64,").count(), 3);
    // A run that compared nothing is not in its way, and says so when it is asked for.
    pair.run(&["snapshot", "staging"]).await.expect(0);
    let newest = pair.run(&["report"]).await.expect(9);
    assert!(newest.stderr.contains("the checks of upgrade-"), "{}", newest.stderr);
    let none = pair.run(&["report", "snapshot-"]).await.expect(2);
    assert!(none.stderr.contains("compared nothing"), "{}", none.stderr);
}

/// An API that answers well, and a page that shows nothing. Only a browser sees that; with one the upgrade is taken back, and
/// without one it goes through.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_behind_a_good_api_is_seen_in_a_browser_alone() {
    const BLANK: &str = "v1.99";
    let pair = Pair::start("blank", Make { tags: &[], ..Make::default() }).await;
    pair.push(BLANK, &["--broken", "blank-page"]).await;
    pair.configure("[smoke.browser]\nappsmith_pages = \"first\"\ntimeout = \"20s\"\n");
    let taken_back = pair.run(&["upgrade", BLANK, "--only", "staging"]).await.expect(5);
    assert!(
        taken_back
            .stderr
            .contains("of app `Orders` in a browser: `[class*='t--widget-']` was not there within 20000 ms"),
        "{}",
        taken_back.stderr
    );
    let report = pair.run(&["report", "--json"]).await.expect(9).json();
    let items = report[0]["verdict"]["items"].as_array().unwrap();
    let failed: Vec<&str> =
        items.iter().filter(|item| item["outcome"]["is"] == "fail").map(|item| item["id"].as_str().unwrap()).collect();
    assert!(failed.len() == 4 && failed.iter().all(|id| id.starts_with("browser:app:")), "{failed:?}");
    pair.configure("");
    pair.run(&["upgrade", BLANK, "--only", "staging"]).await.expect(0);
}
