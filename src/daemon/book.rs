//! What is kept of the schedules, in memory and in the state directory.

use jiff::Timestamp;

use crate::ops::schedules::{Book, Entry, Kept, Note};
use crate::ops::state::StateDir;
use crate::workflow::chain;

/// The schedules' book. Written at once whenever it changes, and only then.
#[derive(Debug)]
pub struct Keeper {
    state: StateDir,
    book: Book,
}

impl Keeper {
    /// Reads what was kept. What cannot be read is begun afresh: at worst a moment that was missed is not caught up.
    pub fn open(state: StateDir) -> Self {
        let book = state.schedules().unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "schedules start afresh");
            Book::new()
        });
        Self { state, book }
    }

    /// Makes it fit the entries: new and changed ones start from `now`, others are forgotten. Blocks.
    pub fn fit(&mut self, entries: &[Entry], now: Timestamp) {
        let fitting = |entry: &Entry| match self.book.get(&entry.key) {
            Some(kept) if kept.fingerprint == entry.fingerprint => kept.clone(),
            _ => Kept::new(entry, now),
        };
        let book: Book = entries.iter().map(|entry| (entry.key.clone(), fitting(entry))).collect();
        self.write(book);
    }

    /// What is kept of an entry.
    pub fn of(&self, entry: &Entry) -> Option<&Kept> {
        self.book.get(&entry.key)
    }

    /// The entry starts afresh. Blocks.
    pub fn restart(&mut self, entry: &Entry, now: Timestamp) {
        self.change(&entry.key, |kept| *kept = Kept::new(entry, now));
    }

    /// The moment is over without a run. Blocks.
    pub fn settle(&mut self, key: &str, planned_at: Timestamp, text: String) {
        self.change(key, |kept| {
            kept.settled = Some(planned_at);
            kept.note = Some(Note { planned_at, waits: false, text });
        });
    }

    /// The moment waits. Written only when the reason is another one. Blocks.
    pub fn wait(&mut self, key: &str, planned_at: Timestamp, text: String) {
        self.change(key, |kept| kept.note = Some(Note { planned_at, waits: true, text }));
    }

    /// There is nothing to say any more. Blocks.
    pub fn done(&mut self, key: &str) {
        self.change(key, |kept| kept.note = None);
    }

    /// Why a moment waits.
    pub fn waits_for(&self, key: &str, planned_at: Timestamp) -> Option<&str> {
        let note = self.book.get(key)?.note.as_ref()?;
        (note.waits && note.planned_at == planned_at).then_some(note.text.as_str())
    }

    fn change(&mut self, key: &str, change: impl FnOnce(&mut Kept)) {
        let mut book = self.book.clone();
        if let Some(kept) = book.get_mut(key) {
            change(kept);
        }
        self.write(book);
    }

    /// On a disk that is full it is only in memory; what was served stands in the journals.
    fn write(&mut self, book: Book) {
        if book == self.book {
            return;
        }
        if let Err(error) = self.state.keep_schedules(&book) {
            tracing::error!(error = %chain(&error), "schedules cannot be written");
        }
        self.book = book;
    }
}
