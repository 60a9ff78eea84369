//! The schedules, as `status` shows them.

use jiff::Timestamp;
use serde::Serialize;

use super::render::Render;
use crate::app;
use crate::config::Config;
use crate::ops::schedules::Note;
use crate::ops::state::StateDir;

/// One schedule, or its part for one instance.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    schedule: String,
    /// When it begins next, in UTC.
    next: Option<Timestamp>,
    /// The same on the clock of its zone.
    #[serde(skip)]
    next_text: String,
    note: Option<Note>,
}

/// Schedules are nothing without it.
pub(super) const NO_DAEMON: &str =
    "no daemon runs here, so none of this happens by itself: `systemctl start tidegate`, or `tidegate daemon`";

/// From the configuration, and from what the daemon keeps. What it keeps may be away; the times are not.
pub(super) fn lines(config: &Config, state: &StateDir, now: Timestamp) -> Vec<Line> {
    let book = state.schedules().unwrap_or_default();
    let line = |entry: app::schedules::Entry| {
        let next = entry.timetable.next(now);
        let local = next.map(|next| next.to_zoned(entry.timetable.zone.clone()));
        let kept = book.get(&entry.key).filter(|kept| kept.fingerprint == entry.fingerprint);
        Line {
            next,
            next_text: local.map_or_else(|| "-".into(), |next| next.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()),
            note: kept.and_then(|kept| kept.note.clone()),
            schedule: entry.key,
        }
    };
    app::schedules::entries(config).into_iter().map(line).collect()
}

/// Shows them, if there are any.
pub(super) fn show(lines: &[Line], state: &StateDir, out: &mut Render) {
    if lines.is_empty() {
        return;
    }
    let note = |note: &Note| format!("{}{}", if note.waits { "waits: " } else { "" }, note.text);
    let row = |line: &Line| {
        vec![line.schedule.clone(), line.next_text.clone(), line.note.as_ref().map(note).unwrap_or_default()]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    out.text("\n");
    out.table(&["SCHEDULE", "NEXT", "NOTE"], &rows);
    if !state.daemon_runs() {
        out.say(NO_DAEMON);
    }
}
