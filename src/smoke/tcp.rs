//! A port that must take connections.

use std::time::Duration;

use reqwest::Url;
use tokio::net::TcpStream;

use crate::model::observation::{Seen, SeenResult};

/// A port that must take connections. Nothing is sent; an app that accepts and says nothing passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// Names it in verdicts; unique within an instance.
    pub name: String,
    /// A name or an address; `None` is the host of the instance's own address.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// How long it may take, the look-up of the name included.
    pub limit: Duration,
}

impl TcpCheck {
    /// The id of its result among an observation's checks.
    pub fn id(&self) -> String {
        format!("tcp:{}", self.name)
    }

    /// Connects once. `base` is the instance's own address.
    pub async fn run(&self, base: Option<&Url>) -> Seen {
        Seen { title: format!("tcp check `{}`", self.name), result: self.result(base).await }
    }

    async fn result(&self, base: Option<&Url>) -> SeenResult {
        // An IPv6 address stands in brackets in an address, and nowhere else.
        let own = base.and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']));
        let Some(host) = self.host.as_deref().or(own) else {
            return SeenResult::Error { reason: "it has no `host`, and the instance has no `url`".into() };
        };
        let reason = match tokio::time::timeout(self.limit, TcpStream::connect((host, self.port))).await {
            Ok(Ok(_)) => return SeenResult::Pass,
            Ok(Err(error)) => format!("{host} takes no connection at port {}: {error}", self.port),
            Err(_) => format!("{host} took no connection at port {} within {} ms", self.port, self.limit.as_millis()),
        };
        SeenResult::Fail { reason }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn check(port: u16) -> TcpCheck {
        TcpCheck { name: "db".into(), host: None, port, limit: Duration::from_secs(5) }
    }

    #[tokio::test]
    async fn an_open_port_passes_and_a_closed_one_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = Url::parse("http://127.0.0.1:1/x").unwrap();
        assert_eq!(check(port).run(Some(&base)).await.result, SeenResult::Pass);
        let named = TcpCheck { host: Some("localhost".into()), ..check(port) };
        assert_eq!(named.run(None).await.result, SeenResult::Pass);
        drop(listener);
        let SeenResult::Fail { reason } = check(port).run(Some(&base)).await.result else { panic!() };
        assert!(reason.starts_with(&format!("127.0.0.1 takes no connection at port {port}: ")), "{reason}");
        assert!(matches!(check(port).run(None).await.result, SeenResult::Error { .. }));
    }

    #[tokio::test]
    async fn an_ipv6_address_is_a_host_too() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = Url::parse("http://[::1]:1/").unwrap();
        assert_eq!(check(port).run(Some(&base)).await.result, SeenResult::Pass);
    }
}
