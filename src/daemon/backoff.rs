//! How long something that did not work is left alone.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause; each failure after it doubles it.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause: what is in the way goes away by itself, and nobody should wait long then.
const LONGEST: Duration = Duration::from_secs(30);

/// What failed lately, by name.
#[derive(Debug, Default)]
pub struct Backoff(HashMap<String, Pause>);

#[derive(Debug)]
struct Pause {
    until: Instant,
    length: Duration,
    why: String,
}

impl Backoff {
    /// Whether it may be tried (again).
    pub fn is_over(&self, name: &str) -> bool {
        self.0.get(name).is_none_or(|pause| Instant::now() >= pause.until)
    }

    /// It failed.
    pub fn failed(&mut self, name: &str) {
        self.failed_anew(name, "");
    }

    /// It failed; says whether for another reason than the last time.
    pub fn failed_anew(&mut self, name: &str, why: &str) -> bool {
        let last = self.0.remove(name);
        let anew = last.as_ref().is_none_or(|last| last.why != why);
        let length = last.map_or(FIRST, |last| (last.length * 2).min(LONGEST));
        self.0.insert(name.to_owned(), Pause { until: Instant::now() + length, length, why: why.to_owned() });
        anew
    }

    /// It is not its turn, which is no failure.
    pub fn wait_a_little(&mut self, name: &str) {
        let pause = Pause { until: Instant::now() + FIRST, length: FIRST, why: String::new() };
        self.0.insert(name.to_owned(), pause);
    }

    /// It worked.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_limit_and_a_reason_is_said_once() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_over("a"));
        assert!(backoff.failed_anew("a", "x") && !backoff.failed_anew("a", "x") && backoff.failed_anew("a", "y"));
        tokio::time::advance(Duration::from_secs(7)).await;
        assert!(!backoff.is_over("a") && backoff.is_over("b"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(backoff.is_over("a"));
        for _ in 0..9 {
            backoff.failed("a");
        }
        tokio::time::advance(LONGEST).await;
        assert!(backoff.is_over("a"));
        backoff.forget("a");
        backoff.failed("a");
        tokio::time::advance(FIRST).await;
        assert!(backoff.is_over("a"));
    }
}
