//! Tidegate looks after a pair of self-hosted app instances, staging and production, each one Docker container with
//! its data. It snapshots them through the Docker API, upgrades staging first, checks its apps, then gates and
//! upgrades production, and puts either instance back with one command.
//!
//! # Where to start reading
//!
//! [`ops::upgrade`] from top to bottom: its step list is the product. Then whatever it names.
//!
//! # The map
//!
//! ```text
//! main.rs       arguments, tracing, runtime, exit code
//! cli/          one file a command; render.rs is the only place that prints; exit.rs has codes and hints
//! daemon/       the service: one supervisor, schedules, recovery; ticker, signals, systemd
//! app.rs        the composition root: the only place that names concrete adapters
//! config/       one struct a section, as written in TOML; all problems at once
//! ops/          one file a workflow, its step list on top; steps/ has the steps; lock, state, history
//! workflow/     the journaled engine of steps and undos; knows no Docker and no S3
//! engine/       the container engine: docker/ (bollard), fake/
//! store/        where objects lie: s3/, dir.rs, memory.rs, faulty.rs
//! repository/   snapshots on a store: write, read, verify, list
//! instance/     the app in a container: appsmith/, generic.rs
//! smoke/        checks
//! promote/      Git: the repositories of apps, compared, merged, pushed
//! stream/       byte stages: gzip, digest, stall, cancel, tar
//! model/        PURE: ids, versions, manifest, definition, every key and name, choices, gate, verdict
//! telemetry.rs  logging
//! ```
//!
//! # The dependency rule
//!
//! `cli -> daemon -> app -> ops -> {workflow, repository, engine, store, instance, smoke, promote} -> stream, model`, and each outside
//! crate has one home. `tests/it/dependency_rule.rs` reads the sources and fails otherwise.
//!
//! # Words, one meaning each
//!
//! | Word | Means |
//! | --- | --- |
//! | instance | one of the managed containers with its data and its app |
//! | pipeline, stage | instances in the order in which they are upgraded; a place in it |
//! | snapshot, part | one instance at one moment; one stream of it |
//! | run | one execution of a workflow; has an id and a journal |
//! | step, undo | the journaled unit of a run, and its reversal |
//! | roll back | what a run does when it undoes its steps |
//! | rest, wake | bring an instance's data to stand still, and back |
//! | reopened | the moment after which users may write; no crash rolls back what lies before it |
//! | stuck | a service undo failed after retries; both states are kept and a person must look |
//! | gate | a place where a run looks before it goes on |
//! | baseline | what the checks saw before; the verdict after is a comparison with it |

pub mod app;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod instance;
pub mod model;
pub mod ops;
pub mod promote;
pub mod repository;
pub mod smoke;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod workflow;
