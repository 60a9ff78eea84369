//! Moves an instance's files aside and back, inside a container that mounts its data.
//!
//! The program runs alone in a FROM-scratch image: no shell, no network, no other file. Everything here works
//! on any folder, so tests and the fake engine call [`run`] in process.
//!
//! Rules that hold everywhere:
//!
//! * Files move by rename within one mount; nothing is copied, so nothing can be half copied.
//! * Nothing follows a symbolic link: every folder is opened component by component from the mount's root.
//! * The journal says what is *meant* to move before the first move; what has moved is seen on disk. So a job
//!   that was cut off between any two system calls is finished by asking again, or undone by `Back`.
mod aside;
mod back;
mod ballast;
mod cover;
mod error;
mod fs;
mod journal;
mod kill;
mod list;
mod mounts;
mod moves;
mod path;
mod place;
mod plan;
pub mod protocol;
mod purge;
mod recall;
mod remove;

#[cfg(test)]
mod crash;

use crate::error::Trouble;
use crate::protocol::{Answer, KillRequest, Request};

/// Does one job, and says how it ended; never panics on what it finds. Blocks until the job is done.
pub fn run(request: &Request) -> Answer {
    let done = match request {
        Request::List { root, cover, stat } => list::list(root, cover, stat).map(Answer::Listing),
        Request::Aside { root, run, cover } => aside::aside(root, run, cover).map(|entries| Answer::Done { entries }),
        Request::Recall { root, run, from } => recall::recall(root, run, from).map(|entries| Answer::Done { entries }),
        Request::Settle { root, run } => aside::settle(root, run).map(|entries| Answer::Done { entries }),
        Request::Back { root, run } => back::back(root, run).map(|entries| Answer::Done { entries }),
        Request::Remove { root, files } => remove::remove(root, files).map(|entries| Answer::Done { entries }),
        Request::Drop { root, run } => purge::purge(root, run).map(|entries| Answer::Done { entries }),
    };
    answer(done)
}

/// Kills what a command started. Blocks until all of it is gone.
pub fn kill(request: &KillRequest) -> Answer {
    let KillRequest::Kill { pid, container } = request;
    answer(kill::kill(*pid, container).map(|entries| Answer::Done { entries }))
}

fn answer(done: Result<Answer, Trouble>) -> Answer {
    done.unwrap_or_else(|Trouble { error, disk_full }| Answer::Failed { error, disk_full })
}
