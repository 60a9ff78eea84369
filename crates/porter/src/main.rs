//! The porter as a program: the request is its only argument, the answer the last line of its output.
//! Exits with 0 for a job that is done and with 1 for one that failed.
//!
//! It installs no signal handlers. As PID 1 it therefore ignores SIGTERM, so a job is not cut off by `docker
//! stop` before its grace is over; SIGKILL ends it at any moment, which every job survives.

use std::io::Write;
use std::process::ExitCode;

use tidegate_porter::protocol::Answer;

fn main() -> ExitCode {
    let answer = answer();
    let failed = matches!(answer, Answer::Failed { .. });
    let Ok(mut line) = serde_json::to_vec(&answer) else { return ExitCode::FAILURE };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    // Without a reader of the answer there is nobody left to tell.
    if out.write_all(&line).and_then(|()| out.flush()).is_err() || failed {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn answer() -> Answer {
    let mut arguments = std::env::args_os().skip(1);
    let refused = |error: String| Answer::Failed { error, disk_full: false };
    let (Some(request), None) = (arguments.next(), arguments.next()) else {
        return refused("the porter takes one argument, a request in JSON".into());
    };
    let Some(text) = request.to_str() else { return refused("the request is not UTF-8".into()) };
    if let Ok(request) = serde_json::from_str(text) {
        return tidegate_porter::kill(&request);
    }
    match serde_json::from_str(text) {
        Ok(request) => tidegate_porter::run(&request),
        Err(error) => refused(format!("the request is not understood: {error}")),
    }
}
