//! Shows a run while it goes on: a bar on a terminal, plain lines elsewhere, JSON lines with `--json`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::render::{bytes, stderr_line};
use crate::workflow::{Event, EventSink};

/// How often a plain log says how far a long step is.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Shows a run.
#[derive(Debug)]
pub struct Progress {
    json: bool,
    bar: ProgressBar,
    warned: AtomicBool,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    step: String,
    said: Instant,
    moving: Option<String>,
}

impl Progress {
    /// On a terminal a bar, unless JSON is wanted.
    pub fn new(json: bool) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let now = Now { step: String::new(), said: Instant::now(), moving: None };
        let progress = Self { json, bar, warned: AtomicBool::new(false), now: Mutex::new(now) };
        progress.style(false);
        progress.bar.enable_steady_tick(Duration::from_millis(200));
        progress
    }

    /// Whether a warning was given.
    pub fn warned(&self) -> bool {
        self.warned.load(Ordering::Relaxed)
    }

    /// A line above the bar.
    pub fn line(&self, text: &str) {
        if self.json {
            return;
        }
        if self.bar.is_hidden() { stderr_line(text) } else { self.bar.println(text) }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }

    fn style(&self, with_bytes: bool) {
        let template = if with_bytes {
            "  {spinner} {msg}  {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left"
        } else {
            "  {spinner} {msg}  {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    fn moved(&self, what: String, count: u64, total: Option<u64>) {
        let Ok(mut now) = self.now.lock() else { return };
        if now.moving.as_ref() != Some(&what) {
            self.bar.reset();
            self.style(true);
            now.moving = Some(what.clone());
        }
        self.bar.set_message(what.clone());
        self.bar.set_length(total.unwrap_or(count).max(count));
        self.bar.set_position(count);
        if self.bar.is_hidden() && !self.json && now.said.elapsed() > PLAIN_EVERY {
            now.said = Instant::now();
            let of = total.map(|total| format!(" of {}", bytes(total))).unwrap_or_default();
            stderr_line(&format!("         {what}: {}{of}", bytes(count)));
        }
    }
}

impl EventSink for Progress {
    fn emit(&self, event: Event) {
        if let Event::Note { warning: true, .. } = &event {
            self.warned.store(true, Ordering::Relaxed);
        }
        if self.json {
            if let (Ok(text), false) = (serde_json::to_string(&event), matches!(event, Event::Progress { .. })) {
                stderr_line(&text);
            }
            return;
        }
        match event {
            Event::RunStarted { run, .. } => self.line(&format!("run {run}")),
            Event::StepStarted { step, number, of, undo } => {
                if let Ok(mut now) = self.now.lock() {
                    let verb = if undo { "undo of " } else { "" };
                    now.step = format!("{number:>2}/{of} {verb}{step}");
                    now.said = Instant::now();
                    now.moving = None;
                    self.bar.reset();
                    self.style(false);
                    self.bar.set_message(now.step.clone());
                }
            }
            Event::StepDone { milliseconds, .. } => {
                let step = self.now.lock().map(|now| now.step.clone()).unwrap_or_default();
                self.line(&format!("  {step:<44} {:>6.1} s", milliseconds as f64 / 1000.0));
            }
            Event::StepFailed { error, undo, .. } => {
                let step = self.now.lock().map(|now| now.step.clone()).unwrap_or_default();
                // Why a step failed is said once, at the end; why an undo did is news.
                let text = if undo { format!("could not be undone: {error}") } else { "failed".to_owned() };
                self.line(&format!("  {step:<44} {text}"));
            }
            Event::Progress { what, bytes, total_bytes } => self.moved(what, bytes, total_bytes),
            Event::Note { text, warning } => {
                self.line(&format!("         {}{text}", if warning { "warning: " } else { "" }));
            }
            Event::RunFinished { .. } => self.done(),
        }
    }
}
