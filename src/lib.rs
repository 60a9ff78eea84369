//! Tidegate looks after a staging and a production instance.
pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
pub mod instance;
pub mod model;
pub mod ops;
pub mod repository;
pub mod smoke;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod workflow;
