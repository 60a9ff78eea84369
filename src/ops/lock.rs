//! Locks: one run at a time on an instance.
//!
//! The lock that counts lies on the instance's Docker engine: a never-started container, because creating a
//! name is atomic there. `flock` orders the processes of one host, so that two of them cannot both take over the
//! lock of a third that is dead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use async_trait::async_trait;
use nix::fcntl::{Flock, FlockArg};

use super::Tools;
use crate::engine::{ContainerEngine, EngineError, LockAnswer, LockOwner};
use crate::model::ids::{InstanceName, RunId};
use crate::model::layout::lock_container;
use crate::workflow::{Guard, StepError};

/// The lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it.
    #[error("`{instance}` is locked by run {} (pid {} on {}, since {})", owner.run, owner.pid, owner.host, owner.taken_at)]
    Held {
        /// Which instance.
        instance: InstanceName,
        /// Who has it.
        owner: Box<LockOwner>,
    },
    /// Another process of this host has it at this very moment.
    #[error("`{instance}` is locked by another tidegate on this host")]
    Busy {
        /// Which instance.
        instance: InstanceName,
    },
    /// A restore is waiting for it.
    #[error("a restore asks for `{instance}`, and goes first")]
    Asked {
        /// Which instance.
        instance: InstanceName,
    },
    /// The lock file cannot be opened.
    #[error("cannot open the lock file `{path}`")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// This process cannot say who it is.
    #[error("cannot read {what} from /proc")]
    Identity {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine failed.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

/// The locks of one run. Dropped without [`Locks::release`], the ones on the engine stay: they name a process that
/// is dead then, and the next start takes them over.
#[derive(Debug)]
pub struct Locks {
    engine: Arc<dyn ContainerEngine>,
    held: Vec<(String, LockOwner)>,
    _files: Vec<Flock<File>>,
}

impl Locks {
    /// Takes the locks of all `instances`, or none. A lock of a dead process of this host is taken over.
    pub async fn take(tools: &Tools, run: &RunId, instances: &[InstanceName]) -> Result<Self, LockError> {
        let owner = owner(run.as_str(), tools.now)?;
        let mut locks = Self { engine: tools.engine.clone(), held: Vec::new(), _files: Vec::new() };
        for instance in instances {
            let container = tools.container(instance);
            let taken = locks.take_one(tools, instance, container, &owner).await;
            if let Err(error) = taken {
                locks.release().await;
                return Err(error);
            }
        }
        Ok(locks)
    }

    async fn take_one(
        &mut self,
        tools: &Tools,
        instance: &InstanceName,
        container: &str,
        owner: &LockOwner,
    ) -> Result<(), LockError> {
        let path = tools.state.lock_file(container);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|source| LockError::File { path: path.clone(), source })?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => self._files.push(lock),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(match tools.engine.lock_owner(&lock_container(container)).await? {
                    Some(owner) => LockError::Held { instance: instance.clone(), owner: Box::new(owner) },
                    None => LockError::Busy { instance: instance.clone() },
                });
            }
            Err((_, errno)) => return Err(LockError::File { path, source: errno.into() }),
        }
        let name = lock_container(container);
        // Twice: the second time after a dead owner's lock was removed.
        for _ in 0..2 {
            let answer = match tools.engine.lock(&name, owner).await {
                // Whether it was taken is seen by asking again: it is ours then.
                Err(EngineError::LostAnswer { .. }) => tools.engine.lock(&name, owner).await?,
                answer => answer?,
            };
            match answer {
                LockAnswer::Taken => {
                    self.held.push((name, owner.clone()));
                    return Ok(());
                }
                // Of this very process: its task is gone, or it would hold the lock file that we just took.
                LockAnswer::Held(other) if is_dead(&other, owner) || is_of_same_process(&other, owner) => {
                    tracing::info!(lock = %name, run = %other.run, pid = other.pid, "lock that was left behind taken over");
                    tools.engine.unlock(&name, &other).await?;
                }
                LockAnswer::Held(other) if tools.settings.take_over.as_deref() == Some(other.run.as_str()) => {
                    tracing::warn!(lock = %name, run = %other.run, host = %other.host, "lock taken over by demand");
                    tools.engine.unlock(&name, &other).await?;
                }
                LockAnswer::Held(other) => {
                    return Err(LockError::Held { instance: instance.clone(), owner: Box::new(other) });
                }
            }
        }
        Err(LockError::Busy { instance: instance.clone() })
    }

    /// Gives the locks back. What cannot be given back is left for the next start to take over.
    pub async fn release(&self) {
        for (name, owner) in &self.held {
            if let Err(error) = self.engine.unlock(name, owner).await {
                tracing::warn!(lock = %name, %error, "lock not given back");
            }
        }
    }
}

#[async_trait]
impl Guard for Locks {
    async fn still_ours(&self) -> Result<(), StepError> {
        for (name, owner) in &self.held {
            match self.engine.lock_owner(name).await? {
                Some(now) if now == *owner => {}
                // Removed under us, by `docker container prune` perhaps: nobody else has it, so take it again.
                None => match self.engine.lock(name, owner).await? {
                    LockAnswer::Taken => tracing::warn!(lock = %name, "lock was removed and is taken again"),
                    LockAnswer::Held(other) => return Err(format!("{name} now belongs to run {}", other.run).into()),
                },
                Some(other) => return Err(format!("{name} now belongs to run {}", other.run).into()),
            }
        }
        Ok(())
    }
}

/// Whether the lock of an instance is free, or its owner is a dead process of this host.
pub async fn is_free(tools: &Tools, instance: &InstanceName) -> Result<Option<LockOwner>, LockError> {
    let us = owner("nobody", tools.now)?;
    let held = tools.engine.lock_owner(&lock_container(tools.container(instance))).await?;
    Ok(held.filter(|other| !is_dead(other, &us)))
}

/// Gives back the locks that dead processes of this host hold, such as one that died before its run had a journal.
pub async fn clear_dead(tools: &Tools) -> Result<(), LockError> {
    let us = owner("nobody", tools.now)?;
    for instance in tools.instances.keys() {
        let name = lock_container(tools.container(instance));
        if let Some(other) = tools.engine.lock_owner(&name).await?.filter(|other| is_dead(other, &us)) {
            tools.engine.unlock(&name, &other).await?;
        }
    }
    Ok(())
}

/// Whether a lock was taken on this host.
pub fn is_of_this_host(tools: &Tools, holder: &LockOwner) -> Result<bool, LockError> {
    Ok(is_of_host(holder, &owner("nobody", tools.now)?))
}

fn owner(run: &str, now: fn() -> jiff::Timestamp) -> Result<LockOwner, LockError> {
    let failed = |what| move |source| LockError::Identity { what, source };
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed("the boot id"))?;
    let host = nix::unistd::gethostname().map_err(|errno| failed("the host's name")(errno.into()))?;
    let pid = std::process::id();
    Ok(LockOwner {
        run: run.to_owned(),
        host: host.to_string_lossy().into_owned(),
        machine: std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned(),
        pid_namespace: std::fs::read_link("/proc/self/ns/pid").unwrap_or_default().to_string_lossy().into_owned(),
        boot_id: boot_id.trim().to_owned(),
        pid,
        pid_started: pid_started(pid).unwrap_or_default(),
        taken_at: now().to_string(),
    })
}

/// The owner was a process of this host and is gone: after a reboot every process of before is. Of one in another pid
/// namespace of this boot nothing can be said.
fn is_dead(owner: &LockOwner, us: &LockOwner) -> bool {
    let is_gone = || {
        owner.pid_namespace == us.pid_namespace
            && pid_started(owner.pid).is_none_or(|started| started != owner.pid_started)
    };
    is_of_host(owner, us) && (owner.boot_id != us.boot_id || is_gone())
}

fn is_of_host(owner: &LockOwner, us: &LockOwner) -> bool {
    (&owner.host, &owner.machine) == (&us.host, &us.machine)
}

fn is_of_same_process(owner: &LockOwner, us: &LockOwner) -> bool {
    let process = |it: &LockOwner| (it.boot_id.clone(), it.pid_namespace.clone(), it.pid, it.pid_started);
    is_of_host(owner, us) && process(owner) == process(us)
}

/// When a process began, in clock ticks since boot; `None` where there is no such process.
fn pid_started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NC-AIO#1460: power loss left a lock for ever.
    #[test]
    fn a_lock_outlives_neither_its_process_nor_a_boot_of_its_host() {
        let us = owner("snapshot-1", jiff::Timestamp::now).unwrap();
        assert!(!is_dead(&us, &us));
        let other = |change: fn(&mut LockOwner)| {
            let mut other = us.clone();
            change(&mut other);
            is_dead(&other, &us)
        };
        assert!(other(|it| it.boot_id = "before the power cut".into()));
        assert!(other(|it| it.pid_started += 1), "its number is another process's by now");
        assert!(other(|it| it.pid = u32::MAX));
        // Of these nothing is known.
        assert!(!other(|it| (it.machine, it.boot_id) = ("another".into(), "another".into())));
        assert!(!other(|it| (it.pid_namespace, it.pid) = ("another".into(), u32::MAX)));
    }
}
