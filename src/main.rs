//! `tidegate`: arguments, tracing, runtime, exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tidegate::cli::{Cli, exit, render::Render};
use tidegate::{cli, promote, telemetry};

/// How long tasks may still run once the command has its answer.
const SHUTDOWN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = match Cli::try_parse() {
        Ok(arguments) => arguments,
        // Help and version go to stdout and are no failure; clap knows.
        Err(answer) => {
            let code = if answer.use_stderr() { exit::USAGE } else { exit::DONE };
            return if answer.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(exit::FAILED) };
        }
    };
    let mut out = Render::new(arguments.json);
    if let Err(error) = telemetry::init(arguments.verbosity(), false) {
        return ExitCode::from(out.failure(&error));
    }
    promote::limit_silence();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(out.failure(&error)),
    };
    let code = runtime.block_on(cli::run(arguments, &mut out)).unwrap_or_else(|error| out.failure(&*error));
    runtime.shutdown_timeout(SHUTDOWN);
    ExitCode::from(code)
}
