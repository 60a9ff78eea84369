//! Tells how far a transfer is, a few times a second.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::repository::Progress;
use crate::workflow::{Event, EventSink, RunCx};

const EVERY: Duration = Duration::from_millis(250);

/// Counts bytes of one step and tells about them. Clones count together.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Meter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: Arc<dyn EventSink>,
    what: String,
    total_bytes: u64,
    bytes: AtomicU64,
    told: Mutex<Instant>,
}

impl Meter {
    pub(super) fn new(cx: &RunCx, what: &str, total_bytes: u64) -> Self {
        Self::telling(cx.events.clone(), what, total_bytes)
    }

    /// Outside of a run.
    pub(in crate::ops) fn telling(events: Arc<dyn EventSink>, what: &str, total_bytes: u64) -> Self {
        let (what, told) = (what.to_owned(), Mutex::new(Instant::now()));
        Self { shared: Arc::new(Shared { events, what, total_bytes, bytes: AtomicU64::new(0), told }) }
    }

    /// Another so many bytes have passed.
    pub(super) fn add(&self, bytes: u64) {
        let Shared { events, what, total_bytes, bytes: count, told } = &*self.shared;
        let bytes = count.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Ok(mut told) = told.lock() else { return };
        if told.elapsed() >= EVERY {
            *told = Instant::now();
            events.emit(Event::Progress { what: what.clone(), bytes, total_bytes: Some(*total_bytes) });
        }
    }

    /// As a function, for the stages of a stream.
    pub(super) fn tell(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let meter = self.clone();
        move |bytes| meter.add(bytes)
    }

    /// As the repository wants it.
    pub(in crate::ops) fn progress(&self) -> Progress {
        Arc::new(self.tell())
    }
}
