//! The container engine: one contract for the real one and the one in memory, and what only the real one can show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests, which may fail loudly")]

pub(crate) mod bench;
mod contract;
mod exec;
mod faults;
pub(crate) mod files;
mod recreate;
mod registry;
