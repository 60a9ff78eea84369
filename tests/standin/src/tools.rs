//! The few of the system's own tools that somebody outside runs in an Appsmith container: `curl URL`, `df PATH`,
//! `mkdir -p PATH…`, `rm -rf PATH…`. Options are taken as those. And `git-ssh`, what git calls for ssh.

use crate::{paths, say};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Plays one call and says the exit code.
pub fn run(name: &str, words: &[String]) -> u8 {
    let operands = || words.iter().map(String::as_str).filter(|word| !word.starts_with('-'));
    match name {
        "git-ssh" => git_ssh(words),
        "curl" => curl(operands().next_back().unwrap_or_default()),
        "df" => df(operands().next_back().unwrap_or("/")),
        "mkdir" => all(name, operands().map(|path| (path, fs::create_dir_all(path)))),
        _ => all(name, operands().map(|path| (path, delete(Path::new(path))))),
    }
}

fn all<'a>(name: &str, done: impl Iterator<Item = (&'a str, std::io::Result<()>)>) -> u8 {
    let mut code = 0;
    for (path, done) in done {
        if let Err(error) = done {
            say::err(&format!("{name}: {path}: {error}"));
            code = 1;
        }
    }
    code
}

fn delete(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Becomes ssh, with the deploy key and without asking anybody. As the real one, it trusts every host.
fn git_ssh(words: &[String]) -> u8 {
    let key = std::env::var(paths::SSH_KEY_VARIABLE).unwrap_or_else(|_| "/dev/null".to_owned());
    let mut ssh = Command::new(paths::SSH);
    ssh.args(["-F", "none", "-i", &key]);
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ConnectTimeout=10",
        "ServerAliveInterval=10",
    ] {
        ssh.args(["-o", option]);
    }
    let error = ssh.args(words).exec();
    say::err(&format!("git-ssh: {}: {error}", paths::SSH));
    255
}

fn df(path: &str) -> u8 {
    let Ok(room) = rustix::fs::statvfs(path) else { return 1 };
    let kilobytes = |blocks: u64| blocks * room.f_frsize / 1024;
    let (all, free) = (kilobytes(room.f_blocks), kilobytes(room.f_bavail));
    say::out("Filesystem     1024-blocks      Used Available Capacity Mounted on");
    say::out(&format!("overlay {all} {} {free} 50% {path}", all.saturating_sub(free)));
    0
}

fn curl(url: &str) -> u8 {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap_or_default();
    let ask = || -> std::io::Result<String> {
        // A static program cannot look names up.
        let mut stream = TcpStream::connect((if host == "localhost" { "127.0.0.1" } else { host }, 80))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) => {
            say::out(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body));
            0
        }
        Err(error) => {
            say::err(&format!("curl: (7) {error}"));
            7
        }
    }
}
