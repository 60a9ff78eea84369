//! `supervisorctl`: texts and exit codes of supervisor 4.2.5.
//!
//! The traps are kept: `status` exits 0 for STARTING and BACKOFF, "already started" exits 0, a bare call exits 0 even
//! where nothing listens.

use super::Fault;
use super::socket::{self, Info, Order, Reply};
use crate::{paths, say};
use std::io;

const GENERIC: u8 = 1;
const INVALID_ARGS: u8 = 2;
const STATUS_NOT_RUNNING: u8 = 3;
const UNKNOWN: u8 = 4;
const NOT_RUNNING: u8 = 7;

/// Plays one call and says the exit code.
pub fn run(words: &[String]) -> u8 {
    let mut session = Session { ask: socket::ask, lines: Vec::new(), exit: 0, print: say::out };
    session.run(words);
    session.exit
}

struct Session<A, P> {
    ask: A,
    lines: Vec<String>,
    exit: u8,
    print: P,
}

impl<A: Fn(&Order) -> io::Result<Reply>, P: Fn(&str)> Session<A, P> {
    fn run(&mut self, words: &[String]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.split_first() {
            None => {
                // The interactive shell: it shows the status, reads an empty stdin, and leaves with 0.
                self.status(&[]);
                self.exit = 0;
            }
            Some((&"status", names)) => self.status(names),
            Some((&"start", names)) => self.each("start", names),
            Some((&"stop", names)) => self.each("stop", names),
            Some((&"restart", names)) => {
                self.each("stop", names);
                if self.exit != INVALID_ARGS && self.exit != UNKNOWN {
                    self.each("start", names);
                }
            }
            Some((word, _)) => self.say(&format!("*** Unknown syntax: {word}")),
        }
    }

    fn say(&mut self, line: &str) {
        (self.print)(line);
        self.lines.push(line.to_owned());
    }

    fn programs(&mut self) -> Option<Vec<Info>> {
        match (self.ask)(&Order::Status) {
            Ok(reply) => Some(reply.programs),
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::ConnectionRefused => "refused connection",
                    _ => "no such file",
                };
                self.say(&format!("unix://{} {why}", paths::SOCKET));
                self.exit = UNKNOWN;
                None
            }
        }
    }

    fn status(&mut self, names: &[&str]) {
        let Some(all) = self.programs() else { return };
        let mut shown = Vec::new();
        if names.is_empty() || names.contains(&"all") {
            shown = all;
        } else {
            for name in names {
                match all.iter().find(|info| info.name == bare(name)) {
                    Some(info) => shown.push(info.clone()),
                    None => {
                        self.say(&format!("{name}: ERROR (no such process)"));
                        self.exit = UNKNOWN;
                    }
                }
            }
        }
        for info in shown {
            self.say(&status_line(&info));
            if info.state.is_down() {
                self.exit = STATUS_NOT_RUNNING;
            }
        }
    }

    fn each(&mut self, verb: &str, names: &[&str]) {
        let Some(all) = self.programs() else { return };
        if names.is_empty() {
            self.say(&format!("Error: {verb} requires a process name"));
            self.exit = INVALID_ARGS;
            return;
        }
        let every = names.contains(&"all");
        let names: Vec<String> = if every {
            all.into_iter().map(|info| info.name).collect()
        } else {
            names.iter().map(|name| bare(name).to_owned()).collect()
        };
        for name in names {
            let (order, harmless) = match verb {
                "start" => (Order::Start { name: name.clone() }, Fault::AlreadyStarted),
                _ => (Order::Stop { name: name.clone() }, Fault::NotRunning),
            };
            let fault = (self.ask)(&order).ok().and_then(|reply| reply.fault).unwrap_or(Fault::AbnormalTermination);
            if every && fault == harmless {
                continue;
            }
            self.say(&result_line(verb, &name, fault));
            if fault != harmless {
                self.note(fault);
            }
        }
    }

    fn note(&mut self, fault: Fault) {
        match fault {
            Fault::Success => {}
            Fault::AbnormalTermination | Fault::NotRunning => self.exit = NOT_RUNNING,
            Fault::BadName | Fault::AlreadyStarted => self.exit = GENERIC,
        }
    }
}

/// `group:program` names a program whose group has the same name.
fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(group, program)| if program == "*" { group } else { program })
}

fn status_line(info: &Info) -> String {
    format!("{:<33}{:<10}{}", info.name, info.state, info.description)
}

fn result_line(verb: &str, name: &str, fault: Fault) -> String {
    match (fault, verb) {
        (Fault::Success, "start") => format!("{name}: started"),
        (Fault::Success, _) => format!("{name}: stopped"),
        (Fault::BadName, _) => format!("{name}: ERROR (no such process)"),
        (Fault::AlreadyStarted, _) => format!("{name}: ERROR (already started)"),
        (Fault::NotRunning, _) => format!("{name}: ERROR (not running)"),
        (Fault::AbnormalTermination, _) => format!("{name}: ERROR (abnormal termination)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn info(name: &str, state: State, description: &str) -> Info {
        Info { name: name.into(), state, description: description.into() }
    }

    fn play(words: &[&str], programs: &[Info], fault: Fault) -> (Vec<String>, u8) {
        let reply = |order: &Order| match order {
            Order::Status => Ok(Reply { programs: programs.to_vec(), ..Reply::done() }),
            _ => Ok(Reply { fault: Some(fault), ..Reply::done() }),
        };
        let mut session = Session { ask: reply, lines: Vec::new(), exit: 0, print: |_: &str| {} };
        session.run(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        (session.lines, session.exit)
    }

    #[test]
    fn status_lines_look_like_supervisors() {
        let programs = [info("backend", State::Running, "pid 123, uptime 0:00:42"), info("rts", State::Starting, "")];
        let (lines, exit) = play(&["status"], &programs, Fault::Success);
        assert_eq!(lines[0], "backend                          RUNNING   pid 123, uptime 0:00:42");
        assert_eq!(lines[1], "rts                              STARTING  ");
        assert_eq!(exit, 0, "STARTING is no error");
    }

    #[test]
    fn status_exits_3_for_what_is_down_and_4_for_what_is_unknown() {
        let programs = [info("backend", State::Fatal, "x"), info("rts", State::Backoff, "x")];
        assert_eq!(play(&["status"], &programs, Fault::Success).1, 3);
        assert_eq!(play(&["status", "rts"], &programs, Fault::Success).1, 0);
        let (lines, exit) = play(&["status", "rts", "cron"], &programs, Fault::Success);
        assert_eq!((lines[0].as_str(), exit), ("cron: ERROR (no such process)", 4));
    }

    #[test]
    fn starting_what_runs_is_an_error_line_but_exit_0() {
        let (lines, exit) = play(&["start", "rts"], &[], Fault::AlreadyStarted);
        assert_eq!((lines, exit), (vec!["rts: ERROR (already started)".to_owned()], 0));
        assert_eq!(play(&["stop", "rts"], &[], Fault::NotRunning), (vec!["rts: ERROR (not running)".to_owned()], 0));
        assert_eq!(play(&["start", "backend"], &[], Fault::AbnormalTermination).1, 7);
        assert_eq!(play(&["stop", "cron"], &[], Fault::BadName).1, 1);
    }

    #[test]
    fn restart_stops_and_starts_each() {
        let (lines, exit) = play(&["restart", "backend", "rts"], &[], Fault::Success);
        assert_eq!(lines, ["backend: stopped", "rts: stopped", "backend: started", "rts: started"]);
        assert_eq!(exit, 0);
    }

    #[test]
    fn without_supervisord_status_exits_4_and_a_bare_call_0() {
        let down = |_: &Order| Err(io::Error::from(io::ErrorKind::NotFound));
        let mut session = Session { ask: down, lines: Vec::new(), exit: 0, print: |_: &str| {} };
        session.run(&["status".to_owned()]);
        assert_eq!((session.lines[0].as_str(), session.exit), ("unix:///tmp/appsmith/supervisor.sock no such file", 4));
        session.run(&[]);
        assert_eq!(session.exit, 0);
    }
}
