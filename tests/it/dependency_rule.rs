//! Who may name whom. Reads the sources and lists every place that breaks the rule:
//!
//! ```text
//! cli, daemon -> app -> ops -> {workflow, repository, engine, store, instance, smoke, promote} -> stream, model
//! ```
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod source;

use std::collections::BTreeSet;
use std::path::Path;

use source::Named;

/// A module at the top of `src` and those that it may name besides itself. Code under `#[cfg(test)]` is free.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("stream", &["model"]),
    // The first two know no other; the workflow engine knows no Docker and no S3.
    ("engine", &["stream", "model"]),
    ("store", &["stream", "model"]),
    ("workflow", &["stream", "model"]),
    ("repository", &["store", "stream", "model"]),
    ("smoke", &["engine", "stream", "model"]),
    ("instance", &["engine", "smoke", "stream", "model"]),
    ("promote", &["instance", "engine", "smoke", "stream", "model"]),
    ("ops", OPS),
    ("config", &["model"]),
    ("telemetry", &[]),
    (
        "app",
        &[
            "config",
            "ops",
            "workflow",
            "repository",
            "engine",
            "store",
            "instance",
            "smoke",
            "promote",
            "stream",
            "model",
        ],
    ),
    ("cli", CLI),
    ("daemon", TOP),
    ("main", &["cli", "app", "config", "promote", "telemetry"]),
];
const OPS: &[&str] = &["workflow", "repository", "engine", "store", "instance", "smoke", "promote", "stream", "model"];
const CLI: &[&str] = &[
    "daemon",
    "app",
    "config",
    "telemetry",
    "ops",
    "workflow",
    "repository",
    "engine",
    "store",
    "instance",
    "smoke",
    "promote",
    "stream",
    "model",
];
const TOP: &[&str] = &[
    "app",
    "config",
    "telemetry",
    "ops",
    "workflow",
    "repository",
    "engine",
    "store",
    "instance",
    "smoke",
    "promote",
    "stream",
    "model",
];

/// What only its own module and `app.rs` may name, so that everything else works with any adapter.
const CONCRETE: &[(&str, &[&str])] = &[
    ("engine", &["docker", "fake", "DockerEngine", "DockerOptions", "FakeEngine"]),
    ("store", &["s3", "dir", "memory", "faulty", "S3Store", "S3Options", "DirStore", "MemoryStore", "FaultyStore"]),
    ("instance", &["appsmith", "generic", "Appsmith", "AppsmithOptions", "Generic", "GenericOptions"]),
];

/// An outside crate, or the start of the names of several, and where it lives.
const HOMES: &[(&str, &[&str])] = &[
    ("aws_*", &["src/store/s3"]),
    ("axum", &["src/daemon"]),
    ("base64", &["src/smoke/browser", "src/cli/report", "src/promote"]),
    ("bollard", &["src/engine/docker"]),
    ("clap", &["src/cli", "src/main.rs"]),
    ("clap_*", &["src/cli/completions.rs"]),
    ("command_fds", &["src/smoke/browser"]),
    ("croner", &["src/model/due.rs"]),
    ("flate2", &["src/stream"]),
    ("git2", &["src/promote"]),
    ("indicatif", &["src/cli"]),
    ("maud", &["src/cli/report"]),
    ("png", &["src/smoke/browser"]),
    ("quick_junit", &["src/cli/report"]),
    ("reqwest", &["src/instance", "src/smoke"]),
    ("ring", &["src/instance/appsmith/refused.rs", "src/promote/known_hosts.rs"]),
    // The last two make or read one small file in memory, as the engine's archive endpoints want it.
    ("tar", &["src/stream", "src/engine/fake", "src/engine/docker/porter.rs", "src/instance/files.rs"]),
    ("tokio_cron_scheduler", &["src/daemon/ticker.rs"]),
    ("toml", &["src/config"]),
    ("tracing_subscriber", &["src/telemetry.rs"]),
];

/// The only places that print.
const PRINTS: (&[&str], &[&str]) = (&["print", "println", "eprint", "eprintln", "dbg"], &["src/cli/render.rs"]);

/// What the pure part does not name: no async, no I/O, no clock.
const NOT_IN_MODEL: &[&str] = &[
    "tokio",
    "futures",
    "async_trait",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

#[test]
fn the_sources_keep_the_dependency_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read(root, Path::new("src"), &mut files);
    assert!(files.len() > 20, "only {} files were found", files.len());
    let broken = violations(&files);
    assert!(broken.is_empty(), "the dependency rule is broken in {} places:\n{}", broken.len(), broken.join("\n"));
}

fn read(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if root.join(&path).is_dir() {
            read(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((path.to_str().unwrap().to_owned(), std::fs::read_to_string(root.join(&path)).unwrap()));
        }
    }
    files.sort();
}

/// Every place in `files`, by path and text, that breaks the rule, as `file:line: what`.
fn violations(files: &[(String, String)]) -> Vec<String> {
    let tests: BTreeSet<String> = files.iter().flat_map(|(path, text)| test_files(path, text)).collect();
    let is_test = |path: &str| tests.iter().any(|test| within(path, test));
    files.iter().filter(|(path, _)| !is_test(path)).flat_map(|(path, text)| file_violations(path, text)).collect()
}

/// The files and folders, without `.rs`, of the modules that the file declares for tests alone.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let folder = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let folder = if matches!(folder, "src/lib" | "src/main") { "src" } else { folder };
    source::test_modules(text).iter().map(|module| format!("{folder}/{module}")).collect()
}

/// Whether `path` is the file `place`, with or without `.rs`, or lies in the folder `place`.
fn within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| matches!(rest, "" | ".rs") || rest.starts_with('/'))
}

fn file_violations(path: &str, text: &str) -> Vec<String> {
    let modules = module_path(path);
    let Some(layer) = modules.first().map(String::as_str).filter(|layer| *layer != "lib") else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{path}:1: `{layer}` is a module without a row in the dependency rule")];
    };
    let tokens = source::tokens(text);
    let named = source::named(&tokens);
    let ours: BTreeSet<&str> = named
        .iter()
        .filter(|named| named.imported && own(named, &modules).is_some())
        .filter_map(|named| named.path.last().map(String::as_str))
        .collect();

    let mut broken = Vec::new();
    let mut say = |line: usize, what: String| broken.push(format!("{path}:{line}: {what}"));
    for named in &named {
        match own(named, &modules) {
            Some(target) => {
                let Some(module) = target.first().filter(|module| LAYERS.iter().any(|(name, _)| name == module)) else {
                    continue;
                };
                if module != layer && !allowed.contains(&module.as_str()) {
                    say(named.line, format!("`{layer}` must not name `{}`", target.join("::")));
                }
                let concrete = CONCRETE.iter().find(|(name, _)| name == module).map_or(&[][..], |(_, names)| names);
                let hidden = target.get(1).is_some_and(|name| concrete.contains(&name.as_str()));
                if hidden && module != layer && layer != "app" {
                    say(named.line, format!("`{}` is named only in `src/app.rs`", target.join("::")));
                }
            }
            None if named.imported || named.path.len() > 1 => {
                for what in outside(path, layer, named).filter(|_| !ours.contains(named.path[0].as_str())) {
                    say(named.line, what);
                }
            }
            None => {}
        }
    }
    let (macros, printers) = PRINTS;
    for pair in tokens.windows(2) {
        let name = pair[0].text.as_str();
        if pair[1].text == "!" && macros.contains(&name) && !printers.iter().any(|home| within(path, home)) {
            say(pair[0].line, format!("`{name}!` belongs in {}", printers.join(" or ")));
        }
        if layer == "model" && name == "async" {
            say(pair[0].line, "`model` must not be async".into());
        }
    }
    broken
}

/// What is wrong with naming something of another crate there.
fn outside<'a>(path: &'a str, layer: &'a str, named: &'a Named) -> impl Iterator<Item = String> + 'a {
    let first = named.path[0].as_str();
    let is = move |rule: &str| match rule.strip_suffix('*') {
        Some(start) => first.starts_with(start),
        None => first == rule,
    };
    let strays = HOMES.iter().filter(move |(name, homes)| is(name) && !homes.iter().any(|home| within(path, home)));
    let strays = strays.map(move |(_, homes)| format!("`{first}` belongs in {}", homes.join(" or ")));
    let whole = format!("{}::", named.path.join("::"));
    let impure = NOT_IN_MODEL.iter().filter(move |name| layer == "model" && whole.starts_with(&format!("{name}::")));
    strays.chain(impure.map(|name| format!("`model` is pure and must not name `{name}`")))
}

/// `src/engine/docker/mod.rs` is `[engine, docker]`.
fn module_path(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.trim_end_matches("/mod").split('/').map(str::to_owned).collect()
}

/// What of our own a path names, from the top of `src`; `None` for other crates.
fn own(named: &Named, modules: &[String]) -> Option<Vec<String>> {
    let (first, rest) = named.path.split_first()?;
    let mut from: Vec<String> = match first.as_str() {
        "crate" | "tidegate" => Vec::new(),
        "self" => modules.to_vec(),
        "super" => modules[..modules.len() - 1].to_vec(),
        _ => return None,
    };
    for part in rest {
        match part.as_str() {
            "super" => drop(from.pop()),
            "self" => {}
            _ => from.push(part.clone()),
        }
    }
    Some(from)
}

/// The violations of one made-up file.
fn broken(path: &str, text: &str) -> Vec<String> {
    violations(&[(path.to_owned(), text.to_owned())])
}

#[test]
fn every_way_to_break_the_rule_is_found() {
    let cases = [
        ("src/model/plan.rs", "use crate::engine::EngineError;", "`model` must not name `engine::EngineError`"),
        ("src/model/plan.rs", "use super::super::stream::BoxError;", "`model` must not name `stream::BoxError`"),
        ("src/model/plan.rs", "fn f() { tokio::spawn(g()) }", "`model` is pure and must not name `tokio`"),
        ("src/model/plan.rs", "use std::{fmt, fs};", "`model` is pure and must not name `std::fs`"),
        ("src/model/plan.rs", "async fn f() {}", "`model` must not be async"),
        ("src/engine/mod.rs", "pub use super::store::StoreError;", "`engine` must not name `store::StoreError`"),
        ("src/ops/upgrade.rs", "use crate::{model::ids, config::{Config}};", "`ops` must not name `config::Config`"),
        ("src/ops/upgrade.rs", "fn f(e: &crate::engine::DockerEngine) {}", "only in `src/app.rs`"),
        ("src/cli/snapshot.rs", "use crate::store::s3::Anything;", "`store::s3::Anything` is named only in"),
        (
            "src/cli/doctor.rs",
            "use crate::instance::{InstanceError, Appsmith};",
            "`instance::Appsmith` is named only in",
        ),
        ("src/engine/mod.rs", "use bollard::Docker;", "`bollard` belongs in src/engine/docker"),
        ("src/engine/dockers.rs", "use bollard as b;", "`bollard` belongs in src/engine/docker"),
        ("src/store/dir.rs", "fn f(b: aws_smithy_types::Blob) {}", "`aws_smithy_types` belongs in src/store/s3"),
        ("src/app.rs", "use {clap::Parser, std::fmt};", "`clap` belongs in src/cli"),
        ("src/engine/docker/archive.rs", "fn f() { ::tar::Builder::new(x) }", "`tar` belongs in src/stream"),
        ("src/cli/mod.rs", "fn f() { std::println!(\"x\") }", "`println!` belongs in src/cli/render.rs"),
        ("src/main.rs", "use tidegate::ops::upgrade;", "`main` must not name `ops::upgrade`"),
        ("src/extra/mod.rs", "", "`extra` is a module without a row"),
    ];
    for (path, text, what) in cases {
        let found = broken(path, &format!("//! Made up.\n\n{text}\n"));
        let line = if text.is_empty() { 1 } else { 3 };
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:{line}: ")) && found[0].contains(what), "{text}: {found:?}");
    }
}

#[test]
fn what_the_rule_allows_is_not_found() {
    let cases = [
        ("src/model/plan.rs", "use crate::model::ids; use tidegate_porter::protocol::Cover; use std::time::Duration;"),
        ("src/model/plan.rs", "/// See [`crate::engine`].\nconst A: &str = \"crate::engine::X\"; // use tokio::spawn;"),
        ("src/model/plan.rs", "const A: &str = r#\"\"crate::engine::X\"#; const B: char = '\"'; /* tokio::x /* */ */"),
        ("src/model/plan.rs", "#[cfg(test)]\nmod tests { use crate::engine::FakeEngine; fn f() { println!() } }"),
        ("src/app.rs", "use crate::{engine::docker::DockerEngine, config::Config, store::s3::S3Store};"),
        ("src/engine/docker/mod.rs", "use super::super::engine::docker; use bollard::Docker; use super::fake;"),
        ("src/ops/restore.rs", "use crate::stream::{self, tar}; fn f() { tar::walk(stream::x) }"),
        ("src/cli/render.rs", "fn f<'a>(x: &'a str) { println!(\"{x}\") }"),
        ("src/config/instances.rs", "enum Kind { Appsmith } fn f() -> Kind { Kind::Appsmith } use toml::de;"),
        ("src/lib.rs", "pub mod app;"),
    ];
    for (path, text) in cases {
        assert_eq!(broken(path, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_file_that_is_only_for_tests_is_free() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let testing = file("src/instance/testing.rs", "use crate::engine::FakeEngine;");
    let declared = file("src/instance/mod.rs", "#[cfg(test)]\npub(crate) mod testing;");
    assert_eq!(violations(&[declared, testing.clone()]), Vec::<String>::new());
    assert_eq!(violations(&[file("src/instance/mod.rs", "mod testing;"), testing]).len(), 1);
}

#[test]
fn every_violation_is_listed_with_its_line() {
    let text = "use bollard::Docker;\nuse crate::{\n    config::Config,\n    engine::DockerEngine,\n};\n";
    let found = broken("src/ops/mod.rs", text);
    assert_eq!(
        found,
        [
            "src/ops/mod.rs:1: `bollard` belongs in src/engine/docker",
            "src/ops/mod.rs:3: `ops` must not name `config::Config`",
            "src/ops/mod.rs:4: `engine::DockerEngine` is named only in `src/app.rs`",
        ]
    );
}
