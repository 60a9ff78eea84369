//! The lock of an instance: a container whose name can be taken only once.

use bollard::models::HostConfig;

use super::DockerEngine;
use crate::engine::{ContainerView, EngineError, Labels, LockAnswer, LockOwner};
use crate::model::layout::{LABEL_ROLE, LABEL_RUN};

/// Holds the owner as JSON.
const LABEL_OWNER: &str = "dev.tidegate.lock.owner";

impl DockerEngine {
    pub(super) async fn lock(&self, lock: &str, owner: &LockOwner) -> Result<LockAnswer, EngineError> {
        let action = || format!("take the lock `{lock}`");
        let text = serde_json::to_string(owner)
            .map_err(|source| EngineError::Request { action: action(), source: Box::new(source) })?;
        let labels = Labels::from([
            (LABEL_ROLE.to_owned(), "lock".to_owned()),
            (LABEL_RUN.to_owned(), owner.run.clone()),
            (LABEL_OWNER.to_owned(), text),
        ]);
        let Some(view) = self.create_empty(lock, HostConfig::default(), &labels).await? else {
            return Ok(LockAnswer::Taken);
        };
        let holder = owner_of(&view);
        Ok(if holder.is_same(owner) { LockAnswer::Taken } else { LockAnswer::Held(holder) })
    }

    pub(super) async fn lock_owner(&self, lock: &str) -> Result<Option<LockOwner>, EngineError> {
        Ok(self.find(lock).await?.as_ref().map(owner_of))
    }

    pub(super) async fn unlock(&self, lock: &str, owner: &LockOwner) -> Result<(), EngineError> {
        match self.find(lock).await? {
            // By its id: a lock of that name that another took since is not ours to give back.
            Some(view) if owner_of(&view).is_same(owner) => self.remove_id(lock, &view.id).await,
            _ => Ok(()),
        }
    }
}

/// Who holds it. A lock that says nothing that is understood is held by somebody all the same.
fn owner_of(view: &ContainerView) -> LockOwner {
    let said = view.labels.get(LABEL_OWNER).and_then(|text| serde_json::from_str(text).ok());
    said.unwrap_or_else(|| LockOwner {
        run: "unknown".into(),
        host: "unknown".into(),
        machine: String::new(),
        pid_namespace: String::new(),
        boot_id: String::new(),
        pid: 0,
        pid_started: 0,
        taken_at: String::new(),
    })
}
