//! What no single key can tell.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Reader, did_you_mean};
use super::store::StoreUrl;
use super::units::format_duration;
use super::{Action, Config, Environments, Kind, Ready};
use crate::model::ids::InstanceName;

/// Notes everything that does not fit together. Runs also when single keys are wrong.
pub(super) fn cross_check(config: &Config, reader: &mut Reader<'_>) {
    instances(config, reader);
    pipeline(config, reader);
    ready(&config.ready, reader);
    schedules(config, reader);
    environments(config, reader);
    if let StoreUrl::Folder(store) = &config.store.url
        && config.state_dir.starts_with(store)
    {
        let text = format!("must not lie inside the store `{}`", store.display());
        reader.problem("state_dir", text);
    }
}

fn instances(config: &Config, reader: &mut Reader<'_>) {
    if !reader.has("instances") {
        reader.missing("instances", "write an `[instances.<name>]` for each container");
    }
    let mut owners = BTreeMap::new();
    for (name, instance) in &config.instances {
        if let Some(first) = owners.insert(instance.container.as_str(), name) {
            let text = format!("`{}` is the container of `{first}` already", instance.container);
            reader.problem(&format!("instances.{name}.container"), text);
        }
    }
}

fn pipeline(config: &Config, reader: &mut Reader<'_>) {
    let Some(pipeline) = &config.pipeline else { return };
    if reader.is_wrong("pipeline.stages") {
        return;
    }
    for stage in &pipeline.stages {
        if !reader.has(&format!("instances.{stage}")) {
            let text = no_instance(stage, reader);
            reader.problem("pipeline.stages", text);
        }
    }
}

fn no_instance(name: &InstanceName, reader: &Reader<'_>) -> String {
    let meant = did_you_mean(name.as_str(), reader.below("instances"));
    format!("`{name}` is no instance; write an `[instances.{name}]` for it{meant}")
}

fn environments(config: &Config, reader: &mut Reader<'_>) {
    let Some(Environments { staging, production, .. }) = &config.environments else { return };
    for (name, environment) in [("staging", staging), ("production", production)] {
        let path = format!("environments.{name}.instance");
        match config.instances.get(&environment.instance) {
            None if !reader.has(&format!("instances.{}", environment.instance)) => {
                let text = no_instance(&environment.instance, reader);
                reader.problem(&path, text);
            }
            Some(instance) if instance.kind != Kind::Appsmith => {
                reader.problem(&path, "only the apps of an Appsmith can be promoted");
            }
            Some(instance) if instance.login.is_none() => {
                let text = format!(
                    "its apps can only be reached with a login; write `login_user` in `[instances.{}]`",
                    environment.instance
                );
                reader.problem(&path, text);
            }
            _ => {}
        }
    }
    if (&staging.instance, &staging.workspace) == (&production.instance, &production.workspace) {
        reader.problem("environments.production.workspace", "is that of staging; the two must be different places");
    }
    if staging.branch == production.branch {
        reader.problem("environments.production.branch", "is that of staging; each needs a branch of its own");
    }
}

fn schedules(config: &Config, reader: &mut Reader<'_>) {
    let mut names = BTreeSet::new();
    for schedule in &config.schedules {
        let path = format!("schedule[{}]", schedule.index);
        if !names.insert(&schedule.name) {
            reader.problem(&format!("{path}.name"), format!("another one is called `{}` already", schedule.name));
        }
        match &schedule.action {
            Action::Snapshot { instances } => {
                let unknown = |name: &&InstanceName| !reader.has(&format!("instances.{name}"));
                if let Some(name) = instances.iter().flatten().find(unknown) {
                    let text = no_instance(name, reader);
                    reader.problem(&format!("{path}.instances"), text);
                }
            }
            Action::Upgrade { .. } if config.pipeline.is_none() => {
                reader.problem(&format!("{path}.action"), "needs a `[pipeline]`, which says what is upgraded");
            }
            Action::Upgrade { .. } => {}
        }
    }
}

fn ready(ready: &Ready, reader: &mut Reader<'_>) {
    let Ready { stable_for, poll, stall, ceiling } = *ready;
    let pairs = [
        ("ready.stall", stall, "ready.poll", poll),
        ("ready.ceiling", ceiling, "ready.poll", poll),
        ("ready.ceiling", ceiling, "ready.stable_for", stable_for),
    ];
    for (longer, limit, shorter, least) in pairs {
        if limit <= least && !reader.is_wrong(longer) && !reader.is_wrong(shorter) {
            reader.problem(longer, format!("must be longer than `{shorter}`, which is `{}`", format_duration(least)));
        }
    }
}
