//! So many requests a second and client, then 429.

use super::plain;
use crate::envfile::Settings;
use crate::world::lock;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DEFAULT_PER_SECOND: usize = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// A sliding window of one second per client address.
#[derive(Debug)]
pub struct Limiter {
    /// `None` switches the limit off.
    per_second: Option<usize>,
    recent: Mutex<HashMap<IpAddr, VecDeque<Instant>>>,
}

impl Limiter {
    /// No limit: nginx had none.
    pub fn off() -> Self {
        Self { per_second: None, recent: Mutex::default() }
    }

    /// By `APPSMITH_RATE_LIMIT`: a number, or `disabled`.
    pub fn for_settings(settings: &Settings, container: &BTreeMap<String, String>) -> Self {
        let given = container.get("APPSMITH_RATE_LIMIT").map(String::as_str).or(settings.get("APPSMITH_RATE_LIMIT"));
        let per_second = match given {
            Some("disabled") => None,
            Some(number) => Some(number.parse().unwrap_or(DEFAULT_PER_SECOND)),
            None => Some(DEFAULT_PER_SECOND),
        };
        Self { per_second, recent: Mutex::default() }
    }

    fn admits(&self, client: IpAddr, now: Instant) -> bool {
        let Some(limit) = self.per_second else { return true };
        let mut recent = lock(&self.recent);
        let times = recent.entry(client).or_default();
        while times.front().is_some_and(|time| now.duration_since(*time) >= WINDOW) {
            times.pop_front();
        }
        let admitted = times.len() < limit;
        if admitted {
            times.push_back(now);
        }
        admitted
    }
}

/// Refuses what is over the limit.
pub async fn limit(
    State(limiter): State<Arc<Limiter>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if limiter.admits(client.ip(), Instant::now()) {
        next.run(request).await
    } else {
        plain(StatusCode::TOO_MANY_REQUESTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_per_client_and_second() {
        let limiter = Limiter { per_second: Some(2), recent: Mutex::default() };
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let now = Instant::now();
        assert!(limiter.admits(one, now) && limiter.admits(one, now) && !limiter.admits(one, now));
        assert!(limiter.admits(other, now));
        assert!(limiter.admits(one, now + WINDOW));
    }

    #[test]
    fn the_container_can_set_it_or_switch_it_off() {
        let with = |text: &str| BTreeMap::from([("APPSMITH_RATE_LIMIT".to_owned(), text.to_owned())]);
        let limit = |container: &BTreeMap<_, _>| Limiter::for_settings(&Settings::default(), container).per_second;
        assert_eq!(limit(&BTreeMap::new()), Some(100));
        assert_eq!(limit(&with("7")), Some(7));
        assert_eq!(limit(&with("disabled")), None);
    }
}
