//! The "database": documents in files that are named like WiredTiger's, with the rules that matter to whoever
//! snapshots them.
//!
//! The laws of this module:
//! * a file changes as a whole or not at all (written aside, fsynced, renamed);
//! * starting and stopping the same version changes no byte of it;
//! * the format marker only rises, and it rises before the first document changes;
//! * `mongod.lock` is empty exactly when the last stop was clean.

pub mod accounts;
pub mod database;
pub mod documents;
pub mod file;
pub mod ids;
pub mod lockfile;
pub mod marker;
pub mod migration;
pub mod redis;
pub mod role;
pub mod secret;
pub mod spoil;
