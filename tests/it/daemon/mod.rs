//! The daemon as systemd and an operator meet it: the real program, told by signals, heard on a socket.
//!
//! `alone` needs no engine; the others put the daemon beside commands that work on the same instances.

mod alone;
mod recovery;
mod schedules;
mod service;
mod waiting;
mod yielding;
