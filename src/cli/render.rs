//! The only place that prints. stdout is data, everything else goes to stderr.

use std::error::Error;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use serde::Serialize;

use super::exit;
use super::progress::Progress;
use crate::workflow::{EventSink, chain};

/// Prints for a person or, with `--json`, for a program.
#[derive(Debug)]
pub struct Render {
    json: bool,
    progress: Option<Arc<Progress>>,
}

impl Render {
    /// As the arguments say.
    pub fn new(json: bool) -> Self {
        Self { json, progress: None }
    }

    /// Whether data is wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A text for stdout.
    pub fn text(&mut self, text: &str) {
        // A reader that went away (`| head`) is no failure of ours.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// Empties the terminal for what is shown next; where stdout is none, or JSON is wanted, nothing.
    pub fn clear(&mut self) {
        if !self.json && std::io::stdout().is_terminal() {
            self.text("\x1b[H\x1b[2J");
        }
    }

    /// Data as JSON, on one line.
    pub fn data(&mut self, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(text) => self.text(&format!("{text}\n")),
            Err(error) => self.error(&error.to_string(), None),
        }
    }

    /// A table for stdout: columns as wide as they need to be, two spaces between.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.text(&table(head, rows));
    }

    /// A line for a person, on stderr.
    pub fn say(&mut self, text: &str) {
        match &self.progress {
            Some(progress) => progress.line(text),
            None => stderr_line(text),
        }
    }

    /// An error without a type.
    pub fn error(&mut self, text: &str, hint: Option<&str>) {
        self.progress_done();
        stderr_line(&format!("error: {text}"));
        if let Some(hint) = hint {
            stderr_line(&format!("\nhint: {hint}"));
        }
    }

    /// An error with its chain and hint, printed once; returns the exit code.
    pub fn failure(&mut self, error: &(dyn Error + 'static)) -> u8 {
        let (text, hint, code) = (chain(error), exit::hint(error), exit::code(error));
        if self.json {
            self.data(&serde_json::json!({ "error": text, "hint": hint, "exit_code": code }));
        }
        self.error(&text, hint.as_deref());
        code
    }

    /// Whether somebody can be asked.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks, and returns what was typed.
    pub fn ask(&mut self, question: &str) -> String {
        let _ = write!(std::io::stderr(), "{question}");
        let mut typed = String::new();
        match std::io::stdin().lock().read_line(&mut typed) {
            Ok(_) => typed.trim().to_owned(),
            Err(_) => String::new(),
        }
    }

    /// What shows a run.
    pub fn progress(&mut self) -> Arc<dyn EventSink> {
        let progress = Arc::new(Progress::new(self.json));
        self.progress = Some(progress.clone());
        progress
    }

    /// Whether the run that was shown last gave a warning.
    pub fn warned(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.warned())
    }

    /// The run is over: its bar goes away.
    pub fn progress_done(&mut self) {
        if let Some(progress) = &self.progress {
            progress.done();
        }
    }
}

/// A line on stderr. A terminal that went away must not end a run, as `eprintln!` would.
pub(super) fn stderr_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Columns as wide as they need to be, two spaces between.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(body).collect()
}

/// Such as `348.2 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Such as `2026-03-20 03:00:00 UTC`, of a time in RFC 3339; anything else as it is.
pub fn moment(at: &str) -> String {
    let at_utc = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    at.parse().map_or_else(|_| at.to_owned(), at_utc)
}

/// Such as `3 min ago`.
pub fn ago(then: &str, now: jiff::Timestamp) -> String {
    let Ok(then) = then.parse::<jiff::Timestamp>() else { return then.to_owned() };
    match now.duration_since(then).as_secs() {
        seconds if seconds < 0 => "in the future".into(),
        seconds if seconds < 60 => format!("{seconds} s ago"),
        seconds if seconds < 3_600 => format!("{} min ago", seconds / 60),
        seconds if seconds < 48 * 3_600 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!([0, 1023, 1024, 365_100_000].map(bytes), ["0 B", "1023 B", "1.0 KiB", "348.2 MiB"]);
        let now = "2026-03-20T12:00:00Z".parse().unwrap();
        let ago = |then| ago(then, now);
        assert_eq!(ago("2026-03-20T11:59:30Z"), "30 s ago");
        assert_eq!(ago("2026-03-20T11:00:01Z"), "59 min ago");
        assert_eq!(ago("2026-03-18T12:00:01Z"), "47 h ago");
        assert_eq!(ago("2026-03-10T12:00:00Z"), "10 days ago");
        assert_eq!(ago("2026-03-20T12:00:09Z"), "in the future");
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [vec!["a".into(), "long cell".into(), "x".into()], vec!["bb".into(), "c".into(), String::new()]];
        assert_eq!(table(&["ID", "WHAT", "N"], &rows), "ID  WHAT       N\na   long cell  x\nbb  c\n");
    }
}
