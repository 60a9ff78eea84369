//! What no single key can tell.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Reader, did_you_mean};
use super::store::StoreUrl;
use super::units::format_duration;
use super::{Action, Config, Ready};
use crate::model::ids::InstanceName;

/// Notes everything that does not fit together. Runs also when single keys are wrong.
pub(super) fn cross_check(config: &Config, reader: &mut Reader<'_>) {
    instances(config, reader);
    pipeline(config, reader);
    ready(&config.ready, reader);
    schedules(config, reader);
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
