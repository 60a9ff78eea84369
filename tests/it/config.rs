//! The configuration as a person meets it: the file, the variables, and the text of what is wrong.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate::config::{ByteSize, CheckKind, Config, Environment, Kind, Origin, Place, StoreUrl, TEMPLATE};
use tidegate::model::ids::InstanceName;

/// The least that is whole.
const LEAST: &str = "[instances.staging]\ncontainer = \"app\"\nurl = \"http://127.0.0.1\"\n";

/// Loads `text` from `tidegate.toml` in a folder of its own.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path, &environment(variables))
        .map_err(|error| error.to_string().replace(&*folder.path().to_string_lossy(), "/etc/tidegate"))
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/tidegate"), &Environment::default()).unwrap()
}

fn instance(name: &str) -> InstanceName {
    InstanceName::new(name).unwrap()
}

/// The template with every setting taken into use.
fn whole_template() -> String {
    let setting = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line != "#";
    let line = |line| if setting(line) { &line[1..] } else { line };
    TEMPLATE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_least_configuration_has_a_default_for_all_the_rest() {
    let config = load(LEAST, &[]).unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/tidegate"));
    assert_eq!(config.store.url, StoreUrl::Folder("/var/lib/tidegate/store".into()));
    assert_eq!(config.store.part_size, ByteSize(8 << 20));
    assert!(!config.store.path_style);
    assert_eq!(config.ready.ceiling, Duration::from_secs(4 * 3600));
    assert!(config.pipeline.is_none());
    let staging = &config.instances[&instance("staging")];
    assert_eq!(staging.kind, Kind::Appsmith);
    assert_eq!(staging.stop_grace, Duration::from_secs(120));
    assert!(!staging.production);
}

#[test]
fn the_template_is_valid_as_it_is_and_with_every_setting_in_use() {
    let config = parse(TEMPLATE);
    assert!(config.instances[&instance("production")].production);
    assert!(!config.instances[&instance("staging")].production);
    let config = parse(&whole_template());
    assert_eq!(config.instances[&instance("wiki")].kind, Kind::Generic);
    assert_eq!(config.instances[&instance("wiki")].parts[0].cover.include, [""]);
}

/// An unknown key in the template is an error of the test above; this is the other direction.
#[test]
fn the_template_shows_every_setting_and_its_default() {
    let whole = parse(&whole_template());
    // A setting is shown once, whichever instance it is shown for, and in a list for the first item.
    let general = |key: &str| match key.strip_prefix("instances.").and_then(|rest| rest.split_once('.')) {
        Some((_, key)) => format!("instances.*.{key}"),
        None => key.replace("schedule[1]", "schedule[0]"),
    };
    let mut shown: BTreeMap<String, bool> = BTreeMap::new();
    for setting in whole.settings() {
        *shown.entry(general(&setting.key)).or_default() |= setting.origin != Origin::Default;
    }
    let missing: Vec<_> = shown.iter().filter(|(_, shown)| !**shown).map(|(key, _)| key).collect();
    assert!(missing.is_empty(), "not in the template: {missing:?}");
    assert!(shown.len() > 40, "{}", shown.len());

    // It depends on `store.endpoint`, which the whole template sets.
    let depends = ["store.path_style"];
    let defaults = parse(TEMPLATE);
    for default in defaults.settings().iter().filter(|setting| setting.origin == Origin::Default) {
        let shown = whole.settings().iter().find(|setting| setting.key == default.key).unwrap();
        if default.value.is_some() && !depends.contains(&default.key.as_str()) {
            assert_eq!(shown.value, default.value, "{}", default.key);
        }
    }
    let production = &whole.instances[&instance("production")];
    let query = production.checks.iter().find_map(|check| match &check.what {
        CheckKind::Query(query) => Some(query),
        _ => None,
    });
    let query = query.unwrap();
    assert_eq!((query.params.0.len(), query.equals.as_ref().unwrap().0.as_str()), (2, Some("open")));
    // The lists have no defaults above, since without the list nobody looks for their keys.
    let part = "[[instances.x.parts]]\nname = \"a\"\nmount = \"/a\"\n";
    let check = "[[instances.x.checks]]\nname = \"a\"\n";
    let bare = format!("[instances.x]\nkind = \"generic\"\ncontainer = \"x\"\nurl = \"http://x\"\n{part}{check}");
    for (key, list) in [
        ("include", "wiki.parts"),
        ("type", "production.checks"),
        ("path", "production.checks"),
        ("status", "production.checks"),
        ("timeout", "production.checks"),
    ] {
        let shown =
            whole.settings().iter().find(|setting| setting.key == format!("instances.{list}[0].{key}")).unwrap();
        let bare = parse(&bare);
        let (_, list) = list.split_once('.').unwrap();
        let default =
            bare.settings().iter().find(|setting| setting.key == format!("instances.x.{list}[0].{key}")).unwrap();
        assert_eq!(shown.value, default.value, "{key}");
    }
}

#[test]
fn every_problem_is_named_at_once_with_its_line_and_its_cure() {
    let error = load(
        r#"state_dir = 5
stor = "x"

[store]
url = "s3://AKIA:hunter2@bucket"
part_sise = "8 MiB"
part_size = "8 MB"
parts_in_flight = 17
stall_timeout = 90
checksums = "never"
path_style = "yes"
secret_access_key = "hunter2"

[docker]
host = "ssh://host"

[snapshot]
compression_level = 1.5

[ready]
stall = "1s"

[pipeline]
image = "appsmith/appsmith-ce:v2.5"
stages = ["staging", "staging"]

[instances]
Prod = {}
wiki = 3

[instances.staging]
url = "https://root:hunter2@app.example"
stop_grace = "2x"
login_user = "a"
login_password = "hunter2"
rest = [["sync"]]
acknowledge_mounts = ["tmp"]

[[instances.staging.checks]]
name = "front"
path = "index.html"
status = 99

[[instances.staging.checks]]
name = "front"
typ = "http"

[instances.other]
kind = "generic"
container = "/app"
wake = [[]]
parts = "all"
checks = [1]
"#,
        &[],
    )
    .unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    insta::assert_snapshot!(error);
}

#[test]
fn what_does_not_fit_together_is_named() {
    let error = load(
        r#"
state_dir = "/srv/store/state"
[store]
url = "file:///srv/store"
access_key_id = "AKIA"
[pipeline]
image = "appsmith/appsmith-ce"
stages = ["a", "b", "c"]
approval = ["a"]
[ready]
stable_for = "1h"
ceiling = "30m"
[instances.a]
container = "app"
url = "http://127.0.0.1"
[instances.b]
container = "app"
url = "http://127.0.0.1"
login_password_file = "password"
"#,
        &[],
    )
    .unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    insta::assert_snapshot!(error);
}

#[test]
fn a_stage_that_is_no_instance_is_named() {
    let text = format!("[pipeline]\nimage = \"a/b\"\n{LEAST}");
    let error = load(&text, &[]).unwrap_err();
    insta::assert_snapshot!(error);
}

#[test]
fn everything_wrong_with_schedules_is_named() {
    let schedules = [
        "name = \"a\"\ncron = \"61 * * * *\"\nzone = \"Europe/Berlim\"\ncatch_up = \"1s\"\njiter = \"1m\"",
        "name = \"b\"\ncron = \"@daily\"\nversion = \"v2.1\"\ninstances = [\"stagin\"]",
        "name = \"b\"\ncron = \"0 0 30 2 *\"\naction = \"upgrade\"\nversion = \"latest\"",
        "name = \"b\"\ncron = \"0 0 * * *\"\naction = \"upgrade\"\nversion = \"v2.1\"",
        "action = \"prune\"",
    ];
    let text: String = schedules.iter().map(|schedule| format!("[[schedule]]\n{schedule}\n")).collect();
    let error = load(&format!("{text}{LEAST}"), &[]).unwrap_err();
    for wanted in [
        "line 3: `schedule[0].cron`: `\"61 * * * *\"` is not a cron expression; write minute, hour",
        "line 4: `schedule[0].zone`: `\"Europe/Berlim\"` is not a time zone; write an IANA name, such as `\"Europe/Berlin\"`; \
         did you mean `Europe/Berlin`?",
        "line 5: `schedule[0].catch_up`: must be from `\"1m\"`",
        "line 6: `schedule[0].jiter` is not a setting; did you mean `jitter`?",
        "`schedule[1].version`: only for `action = \"upgrade\"`",
        "`schedule[1].instances`: `stagin` is no instance",
        "(it names no moment that ever comes)",
        "`schedule[2].version`: is a tag that moves",
        "`schedule[3].name`: another one is called `b` already",
        "`schedule[3].action`: needs a `[pipeline]`",
        "`schedule[4].name` is missing",
        "`schedule[4].cron` is missing",
        "`schedule[4].action`: `\"prune\"` is not something that can be scheduled",
    ] {
        assert!(error.contains(wanted), "{wanted}\n{error}");
    }
}

#[test]
fn an_empty_file_says_what_is_missing() {
    let error = load("", &[]).unwrap_err();
    insta::assert_snapshot!(error);
    let error = load("[pipeline]\n[instances.a]\n", &[]).unwrap_err();
    insta::assert_snapshot!(error);
}

#[test]
fn mistakes_in_the_syntax_have_line_and_column_and_do_not_show_the_line() {
    let error = load("[store]\nurl = \"s3://bücket\" hunter2\n\n[docker\n", &[]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    insta::assert_snapshot!(error);
}

#[test]
fn variables_override_the_file() {
    let config = load(
        LEAST,
        &[
            ("TIDEGATE_STATE_DIR", "state"),
            ("TIDEGATE_STORE__PART_SIZE", "16 MiB"),
            ("TIDEGATE_STORE__PARTS_IN_FLIGHT", "2"),
            ("TIDEGATE_STORE__REGION", ""),
            ("TIDEGATE_INSTANCES__STAGING__URL", "http://app.example/"),
            ("TIDEGATE_INSTANCES__STAGING__PRODUCTION", "true"),
            ("TIDEGATE_INSTANCES__STAGING__ACKNOWLEDGE_MOUNTS", r#"["/tmp/a"]"#),
            ("TIDEGATE_LOG", "debug"),
            ("HOME__X", "1"),
        ],
    )
    .unwrap();
    assert_eq!(config.store.part_size, ByteSize(16 << 20));
    assert_eq!(config.store.parts_in_flight, 2);
    assert_eq!(config.store.region, None);
    assert!(config.state_dir.ends_with("state") && config.state_dir.is_absolute());
    let staging = &config.instances[&instance("staging")];
    assert_eq!(staging.url.as_deref(), Some("http://app.example"));
    assert!(staging.production);
    assert_eq!(staging.acknowledge_mounts, ["/tmp/a"]);
    let setting = config.settings().iter().find(|setting| setting.key == "store.part_size").unwrap();
    assert_eq!(setting.origin, Origin::Given(Place::Variable("TIDEGATE_STORE__PART_SIZE".into())));
    assert_eq!(setting.value.as_deref(), Some("\"16 MiB\""));
}

#[test]
fn a_pipeline_may_come_from_variables_alone() {
    let text = format!("{LEAST}[instances.production]\ncontainer = \"b\"\nurl = \"http://b\"\n");
    let config = load(&text, &[("TIDEGATE_PIPELINE__IMAGE", "a/b")]).unwrap();
    assert_eq!(config.pipeline.unwrap().stages.len(), 2);
}

#[test]
fn a_wrong_variable_is_named() {
    let error = load(
        LEAST,
        &[
            ("TIDEGATE_STORE__PART_SISE", "1 MiB"),
            ("TIDEGATE_STORE__PART_SIZE", "1 MB"),
            ("TIDEGATE_STORE__PARTS_IN_FLIGHT", "many"),
            ("TIDEGATE_STORE__SECRET_ACCESS_KEY", "hunter2"),
            ("TIDEGATE_INSTANCES__OTHER__URL", "http://x"),
            ("TIDEGATE_INSTANCES__STAGING__URL", "hunter2"),
        ],
    )
    .unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    insta::assert_snapshot!(error);
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let text = format!("[store]\nca_file = \"ca.pem\"\n{LEAST}login_user = \"a\"\nlogin_password_file = \"../p\"\n");
    let config = parse(&text);
    assert_eq!(config.store.ca_file, Some(PathBuf::from("/etc/tidegate/ca.pem")));
    let login = config.instances[&instance("staging")].login.clone().unwrap();
    assert_eq!(login.password_file, Path::new("/etc/tidegate/../p"));
}

#[test]
fn a_configuration_prints_without_the_arguments_of_its_commands() {
    let text = whole_template().replace("\"wiki-cli\", \"read-only\", \"on\"", "\"wiki-cli\", \"hunter2\"");
    let printed = format!("{:?}", parse(&text));
    assert!(printed.contains("wiki-cli") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/nowhere/tidegate.toml"), &Environment::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration `/nowhere/tidegate.toml`");
}

#[test]
fn what_a_query_check_must_and_must_not_have_is_named() {
    let error = load(
        r#"[instances.staging]
container = "staging"
url = "http://127.0.0.1:8080"

[[instances.staging.checks]]
name = "orders"
type = "query"
params = { "Input1.text" = [1] }
min_rows = 5
max_rows = 4
equals = 3
max_latency = "0s"

[[instances.staging.checks]]
name = "orders"
type = "query"
app = "Orders"
query = "getOrders"
json_pointer = "0/id"
min_rows = -1
status = 200

[instances.wiki]
kind = "generic"
container = "wiki"
url = "http://127.0.0.1:8090"
[[instances.wiki.parts]]
name = "data"
mount = "/data"
[[instances.wiki.checks]]
name = "orders"
type = "query"
app = "Orders"
query = "getOrders"
"#,
        &[],
    );
    insta::assert_snapshot!(error.unwrap_err());
}
