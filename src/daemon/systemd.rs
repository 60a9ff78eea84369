//! What systemd is told, over the socket that it names in NOTIFY_SOCKET. Without one nothing is said.
//!
//! A few lines of our own and no crate, because those send blockingly: a service manager that does not read would stop
//! the loop. A message that cannot be sent at once is dropped; telling never breaks doing.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The unit is up; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
}

/// The configuration is read again; [`ready`] must follow.
pub fn reloading() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
}

/// No new run begins any more.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=stopping: what was begun is undone or ended");
}

/// The supervisor's loop has turned.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// How often [`alive`] must be said; `None` without a watchdog, or with one that is meant for another process.
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0).map(Duration::from_micros)
}

fn tell(message: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let send = || -> io::Result<()> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), &address).map(drop)
    };
    if let Err(error) = send() {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
