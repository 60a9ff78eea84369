//! A.1, A.3, A.5, A.7, A.9, B.2: what is seen of the container, and of the web server in front.

use crate::docker::{exec, inspect};
use crate::http::expect;
use crate::lab::Lab;
use crate::report::Report;
use crate::version::Version;

pub async fn test(lab: &Lab, report: &mut Report) {
    report.test("A.3", "any path answers 200 with a page", any_path(lab).await);
    if lab.since(1, 9, 51) {
        report.test("A.3", "a static file that is missing is 404", missing_file(lab).await);
        report.test("A.9", "/info has the image's version", info(lab).await);
    }
    if lab.since(1, 9, 3) {
        report.test("A.7", "health answers that all systems are up", health(lab).await);
    } else {
        let missing = lab.http.get("api/v1/health", None).await.and_then(|reply| reply.is_status(404));
        report.test("A.7", "before v1.9.3 there is no health", missing);
    }
    let Some(name) = &lab.options.container else {
        report.observe("A.5", "no container is given, so what is seen from inside is not tested");
        return;
    };
    report.test("A.1", "/appsmith-stacks is a volume of the image", volume(name).await);
    match inspect(name, r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#).await {
        Ok(label) if label.is_empty() => report.observe("A.1", "the image has no version label"),
        label => {
            let right = label.and_then(|label| same_version(lab, &label));
            report.test("A.1", "the image's label is its version", right);
        }
    }
    report.test("A.5", "supervisorctl status shows the programs of this release RUNNING", programs(lab, name).await);
    let unknown = exec(name, &["supervisorctl", "status", "no-such-program"]).await;
    let unknown = unknown.and_then(|said| expect(said.code == 4, || format!("exit code {}", said.code)));
    report.test("A.5", "status of an unknown program exits 4", unknown);
    let version = exec(name, &["appsmithctl", "version"]).await;
    let version = version.and_then(|said| same_version(lab, said.out.lines().last().unwrap_or_default()));
    report.test("A.9", "appsmithctl version prints the version", version);
    let unknown = exec(name, &["appsmithctl", "no-such-command"]).await;
    let unknown = unknown.and_then(|said| expect(said.code == 0, || format!("exit code {}", said.code)));
    report.test("B.2", "an unknown command of appsmithctl exits 0", unknown);
    if lab.options.may_make_backups && !lab.options.read_only {
        if lab.since(1, 10, 0) {
            backup(lab, name, report).await;
        } else {
            report.observe("B.3", "before v1.10 a backup stops the backend, so none is taken");
        }
    }
    if let Ok(health) = inspect(name, "{{with .State.Health}}{{.Status}}{{end}}").await {
        report.observe("A.7", format!("the engine says {health:?} of an instance that answers"));
    }
}

async fn any_path(lab: &Lab) -> Result<(), String> {
    let reply = lab.http.get("no/such/page", None).await?;
    reply.is_status(200)?;
    expect(reply.is_html(), || "it is no page".to_owned())
}

async fn missing_file(lab: &Lab) -> Result<(), String> {
    lab.http.get("static/js/no-such-file.js", None).await?.is_status(404)
}

async fn info(lab: &Lab) -> Result<(), String> {
    let info = lab.http.get("info", None).await?.json()?;
    same_version(lab, info["version"].as_str().unwrap_or_default())
}

async fn health(lab: &Lab) -> Result<(), String> {
    let data = lab.http.get("api/v1/health", None).await?.data()?;
    expect(data == "All systems are up", || format!("data is {data}"))
}

async fn volume(name: &str) -> Result<(), String> {
    let volumes = inspect(name, "{{json .Config.Volumes}}").await?;
    expect(volumes.contains("/appsmith-stacks"), || format!("its volumes are {volumes}"))
}

async fn programs(lab: &Lab, name: &str) -> Result<(), String> {
    let said = exec(name, &["supervisorctl", "status"]).await?;
    let running = |program: &str| {
        let mut lines = said.out.lines().map(|line| line.split_whitespace());
        lines.any(|mut words| words.next() == Some(program) && words.next() == Some("RUNNING"))
    };
    let mut wanted = vec!["backend", "editor", "rts"];
    if lab.since(2, 0, 0) {
        wanted.push("mcp");
    }
    let missing: Vec<&str> = wanted.into_iter().filter(|program| !running(program)).collect();
    expect(missing.is_empty() && said.code == 0, || {
        format!("exit code {}, not running: {missing:?}, in\n{}", said.code, said.out.trim_end())
    })
}

fn same_version(lab: &Lab, found: &str) -> Result<(), String> {
    expect(Version::read(found) == Some(lab.version), || format!("{found:?} in place of {}", lab.options.version))
}

/// B.2, B.3: nothing is stopped and nothing is changed but for one archive, which stays: only its owner may delete it.
async fn backup(lab: &Lab, name: &str, report: &mut Report) {
    let set = exec(name, &["appsmithctl", "check-replica-set"]).await;
    let set = set.and_then(|said| expect(said.code == 0, || format!("exit code {}", said.code)));
    report.test("B.2", "check-replica-set exits 0", set);
    let up_before = programs_up(name).await;
    let Some(archive) = report.test("B.3", "backup exits 0 and names an archive", take_backup(name).await) else {
        return;
    };
    report.test("B.3", "a backup is named by its moment", named_by_moment(&archive));
    let same = match (up_before, programs_up(name).await) {
        (Ok(before), Ok(after)) => expect(before == after, || format!("{before:?} ran before and {after:?} after")),
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    report.test("B.3", "a backup restarts no program", same);
    // Before that, a restore asks, and starts the backend whatever is answered.
    if lab.since(2, 4, 1) {
        let words = ["appsmithctl", "restore", "--non-interactive", "--backup-file=no-such-file.tar.gz"];
        let refused =
            exec(name, &words).await.and_then(|said| expect(said.code == 1, || format!("exit code {}", said.code)));
        report.test("B.6", "an archive that is not there is exit 1", refused);
    }
}

async fn take_backup(name: &str) -> Result<String, String> {
    let said = exec(name, &["appsmithctl", "backup", "--non-interactive"]).await?;
    expect(said.code == 0, || format!("exit code {}", said.code))?;
    let path = said.out.split_whitespace().rfind(|word| word.contains("/data/backup/appsmith-backup-"));
    path.map(str::to_owned).ok_or_else(|| format!("it names none: {}", said.out))
}

/// `…/appsmith-backup-2024-01-08T10-11-12.345Z.tar.gz`
fn named_by_moment(path: &str) -> Result<(), String> {
    let moment = path.strip_prefix("/appsmith-stacks/data/backup/appsmith-backup-");
    let moment = moment.and_then(|rest| rest.strip_suffix("Z.tar.gz")).unwrap_or_default();
    let shape: String = moment.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    expect(shape == "0000-00-00T00-00-00.000", || format!("it is {path}"))
}

/// The processes of the programs that a backup could stop.
async fn programs_up(name: &str) -> Result<Vec<String>, String> {
    let said = exec(name, &["supervisorctl", "status", "backend", "rts", "mongodb"]).await?;
    let pid = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.iter().position(|word| *word == "pid").and_then(|at| Some(format!("{} {}", words[0], words.get(at + 1)?)))
    };
    Ok(said.out.lines().filter_map(pid).collect())
}
