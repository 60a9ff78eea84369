//! P8: bad input touches nothing, and gets one clear error with what to do next.

use super::pair::{GOOD, Make, Pair, STRICT};
use super::running::Ended;

fn shown(pair: &Pair, ended: &Ended) -> String {
    let text = format!("exit code {}\n{}{}", ended.code.unwrap_or(-1), ended.stdout, ended.stderr);
    pair.without_names(&text)
}

/// restic#4087: exit code 0 for a snapshot that is not there.
/// appsmith#19542: an update that nobody had planned broke the instance.
/// appsmith#23624: `latest` was broken; a tag that moves is refused.
/// appsmith#20469: the tag that was to be stepped to is not there.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_touches_nothing_and_says_what_to_do() {
    let pair = Pair::start("refusals", Make { both: true, ..Make::default() }).await;
    let sites = [&pair.staging, &pair.production];
    let mut settings = insta::Settings::clone_current();
    for (pattern, word) in [
        (r"(snapshot|upgrade)-\d{8}-\d{6}-[0-9a-f]{4}", "RUN"),
        (r"\b[0-9a-f]{8}\b", "ID"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
        (r"\d+ s ago *", "SECONDS ago "),
        (r" +\d+\.\d s\n", " SECONDS\n"),
        (r"\d+\.\d MiB", "SIZE"),
    ] {
        settings.add_filter(pattern, word);
    }
    let _bound = settings.bind_to_scope();
    let ids = [sites[0].id().await, sites[1].id().await];
    let mut seen = Vec::new();
    let mut note = |name: &str, ended: &Ended| seen.push(format!("## {name}\n{}", shown(&pair, ended)));

    let ended = pair.run(&["restore", "staging", "latest"]).await;
    note("no repository there", &ended);
    ended.expect(10);
    pair.snapshot(sites[0]).await;
    let runs = pair.run_count();

    let ended = pair.run(&["snapshot", "stagging"]).await;
    note("unknown instance", &ended);
    ended.expect(2);
    let ended = pair.run(&["restore", "staging", "zzzz"]).await;
    note("unknown snapshot", &ended);
    ended.expect(12);
    let ended = pair.run(&["restore", "production", "latest", "--confirm", "production"]).await;
    note("no snapshot of that instance", &ended);
    ended.expect(12);
    let ended = pair.run(&["restore", "staging"]).await;
    note("no snapshot named, and nobody to ask", &ended);
    ended.expect(2);
    let ended = pair.run(&["upgrade", "latest"]).await;
    note("a tag that moves", &ended);
    ended.expect(2);
    let ended = pair.run(&["upgrade", "v1.50"]).await;
    note("an older version", &ended);
    ended.expect(9);
    let ended = pair.run(&["upgrade", "v2.9.9"]).await;
    note("a version that the registry does not have", &ended);
    ended.expect(1);

    let mut command = pair.command(&["upgrade", GOOD]);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let ended = pair.finish(command).await;
    note("no engine", &ended);
    ended.expect(7);
    // What was taken can be looked at all the same.
    let mut command = pair.command(&["snapshots", "staging", "--json"]);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let listed = pair.finish(command).await.expect(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let mut command = pair.command(&["restore", "stagin", "latest"]);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let ended = pair.finish(command).await;
    note("a slip of the hand while the engine is away", &ended);
    ended.expect(2);
    pair.configure_with("not the secret", "");
    let ended = pair.run(&["snapshot", "staging"]).await;
    note("wrong secret of the store", &ended);
    ended.expect(7);
    pair.configure("colour = \"blue\"\n");
    let ended = pair.run(&["snapshot", "staging"]).await;
    note("a setting that does not exist", &ended);
    ended.expect(2);

    assert_eq!([sites[0].id().await, sites[1].id().await], ids);
    for site in sites {
        let state = &site.inspect().await.unwrap()["State"];
        assert_eq!((&state["Running"], &state["Restarting"]), (&true.into(), &false.into()));
        pair.nothing_is_left(site).await;
    }
    // The one run that was begun found no such image and undid its nothing.
    assert_eq!(pair.run_count(), runs + 1);
    insta::assert_snapshot!("refusals", seen.join("\n"));
}

/// appsmith#42225: v2.5.1 reads docker.env as data, and does not start where a shell was needed for it. That is found
/// before anything is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_new_version_does_not_take_stop_no_old_one() {
    let pair = Pair::start("strict", Make { tags: &[STRICT, GOOD], ..Make::default() }).await;
    let site = &pair.staging;
    let id = site.id().await;
    super::clone::set(site, "APPSMITH_CUSTOM_DOMAIN=$(hostname --secret)").await;
    let ended = pair.run(&["upgrade", STRICT, "--only", "staging"]).await.expect(1);
    assert!(ended.stderr.contains("`staging` would not start on v2.5.1: line "), "{}", ended.stderr);
    assert!(ended.stderr.contains("(APPSMITH_CUSTOM_DOMAIN) of its docker.env"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("--secret") && ended.stderr.contains("nothing was touched"), "{}", ended.stderr);
    assert_eq!(site.id().await, id);
    assert_eq!(site.restart_policy().await, site.restart);
    pair.nothing_is_left(site).await;
    // What a version reads with a shell is none of its business.
    pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
}
