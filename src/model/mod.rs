//! Decisions and names. Pure: no I/O, no clock, no async, nothing of ours above it.

pub mod allow;
pub mod chain;
pub mod checkpoints;
pub mod definition;
pub mod diff;
pub mod due;
pub mod gate;
pub mod ids;
pub mod layout;
pub mod manifest;
pub mod observation;
pub mod part;
pub mod plan;
pub mod promotion;
pub mod verdict;
pub mod version;
