//! Everything that needs more than one module, or a real server.
// clippy lets only `#[test]` functions unwrap, and these files are full of their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod away;
mod browser;
mod config;
mod conformance;
mod daemon;
mod dependency_rule;
mod docker;
mod engine;
mod field;
mod githost;
mod instance;
mod matrix;
mod porter;
mod registry;
mod repository;
mod store;
mod story;
mod stream;
mod workflow;
