//! A stand-in that imitates an Appsmith container, for tests and the demo.
//!
//! One static program plays every part of the container: the entry point and supervisor (process 1), `supervisorctl`,
//! `appsmithctl`, the health check. Which part is chosen by the name it is called by, see [`role`].
//!
//! Where to start reading: [`entrypoint`] (what happens from start to stop, in order), [`supervisor`] (the programs and
//! their states), [`programs`] (what each program does), [`data`] (the "database"), [`api`] (the REST interface),
//! [`git`] (clones and their content),
//! [`behaviour`] (what differs from image to image, and how an image can be broken on purpose).
//!
//! ```text
//! entrypoint -> supervisor -> programs -> { data, web -> api }      seed, image, hash: one-shot commands
//! ```

mod api;
mod appsmithctl;
mod behaviour;
mod broken;
mod data;
mod entrypoint;
mod envfile;
mod failure;
mod feature;
mod git;
mod hash;
mod healthcheck;
mod image;
mod open;
mod options;
mod pace;
mod paths;
mod programs;
mod role;
mod say;
mod seed;
mod supervisor;
mod throttle;
mod time;
mod tools;
mod version;
mod web;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let called_as = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    match role::Role::of(&called_as, &words).play() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            say::err(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}
