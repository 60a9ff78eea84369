//! The container's own health check: what it proves, and what it does not, is the real one's.
//!
//! It asks whether `editor`, `rts` and `backend` are RUNNING and whether `/` answers 200. The loading page answers 200
//! as well, and `backend` is RUNNING long before it answers, so "healthy" comes early.

use crate::say;
use crate::supervisor::State;
use crate::supervisor::socket::{self, Order};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const WATCHED: &[&str] = &["editor", "rts", "backend"];

/// 0 if healthy, 1 if not, with one line that says why.
pub fn run() -> u8 {
    let (healthy, why) = match (programs(), page()) {
        (Err(why), _) | (Ok(()), Err(why)) => (false, why),
        (Ok(()), Ok(())) => (true, "editor, rts and backend are RUNNING; / answers 200".to_owned()),
    };
    say::out(&why);
    u8::from(!healthy)
}

fn programs() -> Result<(), String> {
    let reply = socket::ask(&Order::Status).map_err(|error| format!("supervisor is not there: {error}"))?;
    // The old script looked at every program.
    let old = std::path::Path::new(crate::paths::OLD_VERSION).exists();
    let fatal = reply.programs.iter().find(|program| old && program.state == State::Fatal);
    if let Some(program) = fatal {
        return Err(format!("{} is {}", program.name, program.state));
    }
    for name in WATCHED {
        let state = reply.programs.iter().find(|program| program.name == *name).map(|program| program.state);
        match state {
            Some(state) if state.is_running() => {}
            Some(state) => return Err(format!("{name} is {state}")),
            None => return Err(format!("{name} is unknown")),
        }
    }
    Ok(())
}

fn page() -> Result<(), String> {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0u8; 12];
        stream.read_exact(&mut head)?;
        Ok::<_, std::io::Error>(head)
    };
    let head = ask().map_err(|error| format!("/ does not answer: {error}"))?;
    let status = head.get(9..12).unwrap_or_default();
    if status == b"200" { Ok(()) } else { Err(format!("/ answers {}", String::from_utf8_lossy(status))) }
}
