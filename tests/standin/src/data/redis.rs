//! The "Redis": sessions and login counters, in `dump.rdb`. They survive restarts; a restore does not touch them.

use super::file;
use crate::failure::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Failed logins that a user has per day.
const FAILURES_PER_DAY: u32 = 5;

/// What the dump holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Dump {
    /// Session id to user id.
    sessions: BTreeMap<String, String>,
    /// User name to (day, failed logins on that day).
    failures: BTreeMap<String, (String, u32)>,
    /// Base application to the moment, in milliseconds since the epoch, when its Git lock expires.
    #[serde(default)]
    git_locks: BTreeMap<String, u64>,
}

/// The running Redis. Each change is written at once.
#[derive(Debug)]
pub struct Redis {
    path: PathBuf,
    dump: Dump,
}

impl Redis {
    /// Loads the dump, or begins an empty one. A dump that cannot be read is dropped, as caches are.
    pub fn open(path: &Path) -> Result<Self> {
        let dump = file::text(path)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Ok(Self { path: path.to_owned(), dump })
    }

    /// The user of a session.
    pub fn user_of(&self, session: &str) -> Option<&str> {
        self.dump.sessions.get(session).map(String::as_str)
    }

    /// Opens a session for a user.
    pub fn open_session(&mut self, session: String, user: String) -> Result<()> {
        self.dump.sessions.insert(session, user);
        self.save()
    }

    /// Ends a session.
    pub fn close_session(&mut self, session: &str) -> Result<()> {
        if self.dump.sessions.remove(session).is_some() { self.save() } else { Ok(()) }
    }

    /// Has the user used up the failures of that day?
    pub fn is_locked_out(&self, user: &str, today: &str) -> bool {
        self.dump.failures.get(user).is_some_and(|(day, count)| day == today && *count >= FAILURES_PER_DAY)
    }

    /// Counts one failed login.
    pub fn count_failure(&mut self, user: &str, today: &str) -> Result<()> {
        let entry = self.dump.failures.entry(user.to_owned()).or_default();
        let so_far = if entry.0 == today { entry.1 } else { 0 };
        *entry = (today.to_owned(), so_far + 1);
        self.save()
    }

    /// A success forgives the failures before it.
    pub fn forgive(&mut self, user: &str) -> Result<()> {
        if self.dump.failures.remove(user).is_some() { self.save() } else { Ok(()) }
    }

    /// Takes the Git lock of an application until `expires`, both moments in milliseconds since the epoch. False if it
    /// is held. It survives whoever took it.
    pub fn lock_git(&mut self, application: &str, now: u64, expires: u64) -> Result<bool> {
        if self.dump.git_locks.get(application).is_some_and(|until| *until > now) {
            return Ok(false);
        }
        self.dump.git_locks.retain(|_, until| *until > now);
        self.dump.git_locks.insert(application.to_owned(), expires);
        self.save()?;
        Ok(true)
    }

    /// Gives the lock back; nothing happens if it is gone.
    pub fn unlock_git(&mut self, application: &str) -> Result<()> {
        if self.dump.git_locks.remove(application).is_some() { self.save() } else { Ok(()) }
    }

    fn save(&self) -> Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).map_err(Failure::at("create", directory))?;
        }
        let text = serde_json::to_string(&self.dump)
            .map_err(|error| Failure::new(format!("cannot write sessions: {error}")))?;
        file::replace(&self.path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_survive_and_lockouts_last_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redis/dump.rdb");
        let mut redis = Redis::open(&path).unwrap();
        redis.open_session("s1".into(), "u1".into()).unwrap();
        for _ in 0..5 {
            assert!(!redis.is_locked_out("admin", "2026-10-21"));
            redis.count_failure("admin", "2026-10-21").unwrap();
        }
        let mut again = Redis::open(&path).unwrap();
        assert_eq!(again.user_of("s1"), Some("u1"));
        assert!(again.is_locked_out("admin", "2026-10-21") && !again.is_locked_out("admin", "2026-10-22"));
        again.forgive("admin").unwrap();
        assert!(!again.is_locked_out("admin", "2026-10-21"));
    }

    #[test]
    fn a_git_lock_outlives_a_restart_and_expires() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.rdb");
        let mut redis = Redis::open(&path).unwrap();
        assert!(redis.lock_git("a", 1000, 1500).unwrap() && redis.lock_git("b", 1000, 1500).unwrap());
        let mut again = Redis::open(&path).unwrap();
        assert!(!again.lock_git("a", 1499, 2000).unwrap());
        assert!(again.lock_git("a", 1500, 2000).unwrap());
        again.unlock_git("a").unwrap();
        assert!(again.lock_git("a", 1500, 2000).unwrap());
    }
}
