//! `tidegate-s3 --dir DIR --listen 127.0.0.1:PORT --bucket NAME`, with the keys in `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`. Prints where it listens once it does, and ends on SIGTERM or SIGINT.
#![allow(clippy::print_stdout, reason = "it is a program, and this is its output")]

use std::io::{self, Write as _};
use std::process::ExitCode;

use tidegate_s3::{Options, Server};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: tidegate-s3 --dir DIR --listen 127.0.0.1:PORT --bucket NAME";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let options = options(std::env::args().skip(1), |name| std::env::var(name).ok())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(options).await?;
    println!("listening on {}", server.endpoint());
    io::stdout().flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await
}

fn options(mut args: impl Iterator<Item = String>, env: impl Fn(&str) -> Option<String>) -> io::Result<Options> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{what}; {USAGE}"));
    let (mut dir, mut listen, mut bucket) = (None, None, None);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| wrong(&format!("`{name}` needs a value")))?;
        match name.as_str() {
            "--dir" => dir = Some(value.into()),
            "--listen" => {
                listen = Some(value.parse().map_err(|_| wrong(&format!("`{value}` is not an address and port")))?);
            }
            "--bucket" => bucket = Some(value),
            _ => return Err(wrong(&format!("`{name}` is not known"))),
        }
    }
    Ok(Options {
        dir: dir.ok_or_else(|| wrong("`--dir` is missing"))?,
        listen: listen.ok_or_else(|| wrong("`--listen` is missing"))?,
        bucket: bucket.ok_or_else(|| wrong("`--bucket` is missing"))?,
        key_id: env("AWS_ACCESS_KEY_ID").ok_or_else(|| wrong("AWS_ACCESS_KEY_ID is not set"))?,
        secret: env("AWS_SECRET_ACCESS_KEY").ok_or_else(|| wrong("AWS_SECRET_ACCESS_KEY is not set"))?,
    })
}
