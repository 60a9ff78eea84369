//! The limit of failed connections to a data source: three in five seconds and host, then a block.

use crate::pace::Pace;
use crate::world::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const FAILURES: usize = 3;
/// In real seconds: a client's failures do not come faster because the container lives faster.
const WINDOW: Duration = Duration::from_secs(5);
/// Seconds at scale 1.
const BLOCK_SECS: f64 = 300.0;

/// Counts failures by host.
#[derive(Debug, Default)]
pub struct Throttle {
    hosts: Mutex<HashMap<String, Host>>,
}

#[derive(Debug, Default)]
struct Host {
    failures: Vec<Instant>,
    blocked_until: Option<Instant>,
}

impl Throttle {
    /// Is nothing tried on that host for now?
    pub fn blocks(&self, host: &str, now: Instant) -> bool {
        lock(&self.hosts).get(host).and_then(|host| host.blocked_until).is_some_and(|until| now < until)
    }

    /// Notes a failure. The third within the window begins the block.
    pub fn count_failure(&self, host: &str, now: Instant, pace: Pace) {
        let mut hosts = lock(&self.hosts);
        let host = hosts.entry(host.to_owned()).or_default();
        host.failures.retain(|failure| now.duration_since(*failure) < WINDOW);
        host.failures.push(now);
        if host.failures.len() >= FAILURES {
            host.failures.clear();
            host.blocked_until = Some(now + pace.secs(BLOCK_SECS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_block_one_host_for_a_while() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..2 {
            throttle.count_failure("a", now, Pace::REAL);
        }
        assert!(!throttle.blocks("a", now));
        throttle.count_failure("a", now + Duration::from_secs(4), Pace::REAL);
        let later = now + Duration::from_secs(5);
        assert!(throttle.blocks("a", later) && !throttle.blocks("b", later));
        assert!(!throttle.blocks("a", now + Duration::from_secs(305)));
    }

    #[test]
    fn slow_failures_do_not_add_up() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for second in [0, 3, 6, 9] {
            throttle.count_failure("a", now + Duration::from_secs(second), Pace::REAL);
        }
        assert!(!throttle.blocks("a", now + Duration::from_secs(9)));
    }
}
