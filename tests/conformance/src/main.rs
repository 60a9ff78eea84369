//! `conformance`: see the library. Exit code 0 if everything holds, 1 if not, 2 if nothing could be tested.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tidegate_conformance::{GitRemote, Login, Options};

/// Tests whether an Appsmith instance is what Tidegate believes it to be.
#[derive(Debug, Parser)]
#[command(name = "conformance", max_term_width = 100)]
struct Args {
    /// Where the instance answers, such as http://127.0.0.1:8080
    #[arg(long)]
    base_url: String,
    /// Its container; without one, what is seen from inside is not tested
    #[arg(long)]
    container: Option<String>,
    /// The release that it should be, such as v2.5.1
    #[arg(long)]
    version: String,
    /// An administrator of the instance
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// The file with the administrator's password
    #[arg(long, requires = "user")]
    password_file: Option<PathBuf>,
    /// Make and change nothing
    #[arg(long)]
    read_only: bool,
    /// An account may be made to test roles; it stays
    #[arg(long, conflicts_with = "read_only")]
    accounts: bool,
    /// A backup may be taken by Appsmith's own tool; its archive stays, and of more than four the tool deletes the oldest
    #[arg(long, conflicts_with = "read_only", requires = "container")]
    backups: bool,
    /// A query that may be run, and needs no value of its page; may be repeated
    #[arg(long, value_name = "APP/QUERY")]
    safe_query: Vec<String>,
    /// The SSH address of an empty repository that may be pushed to, as the instance reaches it; what is pushed stays
    #[arg(long, value_name = "URL", requires = "git_allow", conflicts_with = "read_only")]
    git_remote: Option<String>,
    /// The program that lets a key in there; the public key is its only argument
    #[arg(long, value_name = "PROGRAM", requires = "git_remote")]
    git_allow: Option<PathBuf>,
    /// Test nothing: wait so many seconds until the API answers
    #[arg(long, value_name = "SECONDS", conflicts_with = "set_up")]
    wait: Option<u64>,
    /// Test nothing: make the administrator of an empty instance, and an application
    #[arg(long, requires = "user", conflicts_with = "read_only")]
    set_up: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("conformance: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<ExitCode, String> {
    let login = match (args.user, args.password_file) {
        (Some(user), Some(file)) => {
            let read = std::fs::read_to_string(&file);
            let password = read.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            Some(Login { user, password: password.trim_end_matches(['\r', '\n']).to_owned() })
        }
        _ => None,
    };
    let options = Options {
        base_url: args.base_url,
        container: args.container,
        version: args.version,
        login,
        read_only: args.read_only,
        may_make_accounts: args.accounts,
        may_make_backups: args.backups,
        safe_queries: args.safe_query,
        git: args.git_remote.zip(args.git_allow).map(|(url, allow)| GitRemote { url, allow }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    if let Some(seconds) = args.wait {
        runtime.block_on(tidegate_conformance::wait(&options, Duration::from_secs(seconds)))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.set_up {
        runtime.block_on(tidegate_conformance::set_up(&options))?.iter().for_each(|line| println!("{line}"));
        return Ok(ExitCode::SUCCESS);
    }
    let report = runtime.block_on(tidegate_conformance::run(options))?;
    println!("{report}");
    Ok(if report.failures().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
