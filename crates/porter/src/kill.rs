//! Kills a process and its descendants, as `/proc` shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::Trouble;

/// Each round kills what the round before made orphans of; more rounds would mean that it forks faster than that.
const ROUNDS: usize = 500;
/// Between two rounds: what was killed takes a moment to be gone.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Says how many processes were killed. One that is gone already is fine.
pub(crate) fn kill(pid: u32, container: &str) -> Result<u64, Trouble> {
    if container.len() != 64 || !container.chars().all(|c| c.is_ascii_hexdigit()) || pid < 2 {
        return Err(Trouble::refused(format!("`{pid}` in `{container}` is not a process of a container")));
    }
    let mut known = BTreeSet::from([pid]);
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS {
        known.extend(descendants(&known)?);
        // Stopped first, so that none starts another one while the list is worked through.
        let alive: Vec<u32> = known.iter().copied().filter(|pid| belongs(*pid, container)).collect();
        if alive.is_empty() {
            return Ok(killed.len() as u64);
        }
        for signal in [Signal::STOP, Signal::KILL] {
            known.extend(descendants(&known)?);
            for pid in &alive {
                if belongs(*pid, container) {
                    send(*pid, signal)?;
                    killed.insert(*pid);
                }
            }
        }
        std::thread::park_timeout(PAUSE);
    }
    Err(Trouble::refused(format!("processes of `{pid}` are still there after {ROUNDS} rounds")))
}

fn send(pid: u32, signal: Signal) -> Result<(), Trouble> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match kill_process(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(Trouble::system("kill the process", pid, errno)),
    }
}

/// Whether it lives and its control group names the container. An id that was given to another process since, or one
/// of another container, is left alone.
fn belongs(pid: u32, container: &str) -> bool {
    let dead = |text: &str| matches!(state_and_parent(text), None | Some(('Z' | 'X', _)));
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let Ok(group) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return false };
    !dead(&stat) && group.contains(container)
}

/// All processes below these.
fn descendants(of: &BTreeSet<u32>) -> Result<BTreeSet<u32>, Trouble> {
    let unreadable = |error: std::io::Error| Trouble::refused(format!("cannot list the processes: {error}"));
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").map_err(unreadable)? {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) else { continue };
        // One that ended in between has no parent any more.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some((_, parent)) = state_and_parent(&stat) {
            parents.insert(pid, parent);
        }
    }
    let mut found = of.clone();
    loop {
        let more: BTreeSet<u32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return Ok(found);
        }
        found.extend(more);
    }
}

/// From `pid (name) state parent …`; the name may hold anything, also `)`.
fn state_and_parent(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_is_not_of_the_container_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(kill(child.id(), &"0".repeat(64)), Ok(0));
        assert_eq!(child.try_wait().unwrap(), None, "it still runs");
        assert!(kill(1, &"0".repeat(64)).is_err());
        assert!(kill(child.id(), "short").is_err());
        assert!(descendants(&BTreeSet::from([std::process::id()])).unwrap().contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_name_with_a_bracket_does_not_confuse() {
        assert_eq!(state_and_parent("7 (a) b) S 3 4"), Some(('S', 3)));
    }
}
