//! Everything that needs more than one module, or a real server.
mod config;
mod dependency_rule;
mod engine;
mod instance;
mod matrix;
mod porter;
mod repository;
mod store;
mod story;
mod stream;
mod workflow;
