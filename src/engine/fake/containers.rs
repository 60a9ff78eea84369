//! Making and ending containers in memory.

use std::time::Duration;

use serde_json::json;

use super::FakeEngine;
use super::faults::Injected;
use super::image::{ExecOutcome, StartOutcome};
use super::state::{State, given_labels, is_placeholder};
use crate::engine::{ContainerState, EngineError, ExecResult, HelperMount, Labels, LockAnswer, LockOwner};
use crate::model::definition::{Definition, Mount, RestartPolicy};
use crate::model::ids::ImageId;
use crate::model::layout::{EMPTY_IMAGE, LABEL_ROLE, LABEL_RUN, helper_target};

const LABEL_OWNER: &str = "dev.tidegate.lock.owner";
const EMPTY_ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) fn refused(action: String, why: &'static str) -> EngineError {
    EngineError::Request { action, source: Box::new(Injected(why)) }
}

pub(super) fn missing(container: &str) -> EngineError {
    EngineError::NoSuchContainer { container: container.to_owned() }
}

pub(super) fn no_image(reference: &str) -> EngineError {
    EngineError::NoSuchImage { reference: reference.to_owned(), source: Box::new(Injected("not found")) }
}

impl FakeEngine {
    pub(super) fn create_now(&self, definition: &Definition) -> Result<(), EngineError> {
        let mut state = self.state();
        let name = definition.container.as_str();
        let made = state.container(name).filter(|found| found.state != ContainerState::Created);
        if let Some(found) = made {
            let image = found.definition.image_ref.clone();
            let same = found.definition.image_id == definition.image_id;
            let taken = EngineError::NameTaken { container: name.to_owned(), image };
            return if same { Ok(()) } else { Err(taken) };
        }
        state.containers.remove(name);
        if !state.images.contains_key(&definition.image_id) {
            return Err(no_image(definition.image_id.as_str()));
        }
        let definition = Definition { restart: RestartPolicy::no(), ..definition.clone() };
        let inserted = state.insert(definition);
        inserted.map_err(|source| EngineError::Request { action: format!("create `{name}`"), source: Box::new(source) })
    }

    pub(super) fn try_out_now(
        &self,
        trial: &str,
        definition: &Definition,
        labels: &Labels,
    ) -> Result<Vec<String>, EngineError> {
        self.remove_now(trial)?;
        let missing = definition.networks.keys().find(|network| !self.state().networks.contains(*network)).cloned();
        if let Some(network) = missing {
            return Err(EngineError::NoSuchNetwork { container: definition.container.clone(), network });
        }
        let mut like = Definition { container: trial.to_owned(), ..definition.clone() };
        like.config = json!({ "Labels": labels });
        self.create_now(&like)?;
        self.remove_now(trial)?;
        Ok(definition.lost.clone())
    }

    pub(super) fn start_now(&self, container: &str) -> Result<(), EngineError> {
        match self.state().container(container) {
            None => return Err(missing(container)),
            Some(found) if found.is_up() => return Ok(()),
            Some(_) => {}
        }
        match self.begin(container) {
            StartOutcome::Refused(why) => {
                Err(EngineError::Request { action: format!("start `{container}`"), source: why.into() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn stop_now(&self, container: &str) -> Result<(), EngineError> {
        let (act, seen) = {
            let state = self.state();
            let Some(found) = state.container(container).filter(|found| found.is_up()) else { return Ok(()) };
            let image = state.images.get(&found.definition.image_id);
            (image.map(|image| image.on_stop.clone()), state.seen_by_image(found))
        };
        let exit_code = act.map_or(0, |act| act(&seen));
        if let Some(found) = self.state().containers.get_mut(container) {
            found.state = ContainerState::Exited;
            found.exit_code = Some(exit_code);
            found.health = None;
            found.stopped_by_api = true;
        }
        Ok(())
    }

    pub(super) fn remove_now(&self, container: &str) -> Result<(), EngineError> {
        let mut state = self.state();
        if state.containers.get(container).is_some_and(super::state::Container::is_up) {
            return Err(refused(format!("remove `{container}`"), "it runs"));
        }
        state.containers.remove(container);
        Ok(())
    }

    pub(super) fn vacate_now(&self, container: &str, labels: &Labels) -> Result<(), EngineError> {
        let held = self.state().containers.get(container).is_some_and(|found| is_placeholder(&found.definition));
        if held {
            return Ok(());
        }
        self.remove_now(container)?;
        let inserted = self.state().insert(ours(container, EMPTY_IMAGE, empty_id()?, labels, json!({})));
        inserted.map_err(|source| EngineError::Request {
            action: format!("create `{container}`"),
            source: Box::new(source),
        })
    }

    pub(super) fn exec_now(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<ExecResult, EngineError> {
        let (act, seen) = {
            let state = self.state();
            let found = state.container(container).ok_or_else(|| missing(container))?;
            let image = state.images.get(&found.definition.image_id).ok_or_else(|| missing(container))?;
            if found.state != ContainerState::Running {
                return Err(refused(format!("run `{}` in `{container}`", command.join(" ")), "it does not run"));
            }
            (image.on_exec.clone(), state.seen_by_image(found))
        };
        match act(&seen, command) {
            ExecOutcome::Ends(result) => Ok(result),
            ExecOutcome::Hangs => Err(EngineError::ExecTimedOut {
                container: container.to_owned(),
                command: command.join(" "),
                seconds: limit.as_secs(),
            }),
        }
    }

    pub(super) fn hold_now(&self, container: &str, image: &ImageId, labels: &Labels) -> Result<(), EngineError> {
        let mut state = self.state();
        let volumes = state.images.get(image).ok_or_else(|| no_image(image.as_str()))?.view.volumes.clone();
        if let Some(found) = state.containers.get(container) {
            let taken =
                EngineError::NameTaken { container: container.into(), image: found.definition.image_ref.clone() };
            return if found.definition.image_id == *image { Ok(()) } else { Err(taken) };
        }
        let tmpfs: Labels = volumes.into_iter().map(|path| (path, String::new())).collect();
        let definition = ours(container, image.as_str(), image.clone(), labels, json!({ "Tmpfs": tmpfs }));
        let inserted = state.insert(definition);
        inserted.map_err(|source| EngineError::Request {
            action: format!("create `{container}`"),
            source: Box::new(source),
        })
    }

    pub(super) fn helper_now(&self, helper: &str, mounts: &[HelperMount], labels: &Labels) -> Result<(), EngineError> {
        let wanted = helper_mounts(mounts);
        let mut state = self.state();
        if let Some(found) = state.containers.get(helper) {
            if found.definition.mounts == wanted {
                return Ok(());
            }
            if !given_labels(&found.definition).contains_key(LABEL_ROLE) {
                return Err(EngineError::NameTaken {
                    container: helper.into(),
                    image: found.definition.image_ref.clone(),
                });
            }
        }
        let mut list = Vec::new();
        for Mount { source, destination, writable } in &wanted {
            use crate::model::definition::MountSource::{Bind, Volume};
            let (kind, at) = match source {
                Volume(at) => ("volume", at),
                Bind(at) => ("bind", at),
                _ => return Err(refused(format!("create `{helper}`"), "only volumes and binds can be mounted")),
            };
            list.push(json!({ "Type": kind, "Source": at, "Target": destination, "ReadOnly": !writable }));
        }
        let definition = ours(helper, EMPTY_IMAGE, empty_id()?, labels, json!({ "Mounts": list }));
        let inserted = state.insert(definition);
        inserted
            .map_err(|source| EngineError::Request { action: format!("create `{helper}`"), source: Box::new(source) })
    }

    pub(super) fn lock_now(&self, lock: &str, owner: &LockOwner) -> Result<LockAnswer, EngineError> {
        let action = || format!("take the lock `{lock}`");
        // One guard from the look to the creation: that a name can be taken once only is the whole point.
        let mut state = self.state();
        if let Some(holder) = owner_of(&state, lock) {
            return Ok(if holder.is_same(owner) { LockAnswer::Taken } else { LockAnswer::Held(holder) });
        }
        let text = serde_json::to_string(owner)
            .map_err(|source| EngineError::Request { action: action(), source: Box::new(source) })?;
        let labels = Labels::from([
            (LABEL_ROLE.to_owned(), "lock".to_owned()),
            (LABEL_RUN.to_owned(), owner.run.clone()),
            (LABEL_OWNER.to_owned(), text),
        ]);
        let inserted = state.insert(ours(lock, EMPTY_IMAGE, empty_id()?, &labels, json!({})));
        inserted
            .map(|()| LockAnswer::Taken)
            .map_err(|source| EngineError::Request { action: action(), source: Box::new(source) })
    }

    pub(super) fn lock_owner_now(&self, lock: &str) -> Option<LockOwner> {
        owner_of(&self.state(), lock)
    }
}

fn owner_of(state: &State, lock: &str) -> Option<LockOwner> {
    let labels = given_labels(&state.containers.get(lock)?.definition);
    let said = labels.get(LABEL_OWNER).and_then(|text| serde_json::from_str(text).ok());
    Some(said.unwrap_or_else(|| LockOwner {
        run: "unknown".into(),
        host: "unknown".into(),
        machine: String::new(),
        pid_namespace: String::new(),
        boot_id: String::new(),
        pid: 0,
        pid_started: 0,
        taken_at: String::new(),
    }))
}

fn empty_id() -> Result<ImageId, EngineError> {
    ImageId::new(EMPTY_ID).map_err(|source| EngineError::Request {
        action: "make the image without files".into(),
        source: Box::new(source),
    })
}

pub(super) fn helper_mounts(mounts: &[HelperMount]) -> Vec<Mount> {
    let mount = |(index, HelperMount { source, writable }): (usize, &HelperMount)| Mount {
        source: source.clone(),
        destination: helper_target(index),
        writable: *writable,
    };
    let mut mounts: Vec<Mount> = mounts.iter().enumerate().map(mount).collect();
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    mounts
}

/// A container of our own that never starts.
fn ours(name: &str, image_ref: &str, image_id: ImageId, labels: &Labels, host_config: serde_json::Value) -> Definition {
    Definition {
        container: name.to_owned(),
        image_ref: image_ref.to_owned(),
        image_id,
        restart: RestartPolicy::no(),
        config: json!({ "Labels": labels }),
        host_config,
        networks: std::collections::BTreeMap::new(),
        mounts: Vec::new(),
        lost: Vec::new(),
    }
}
