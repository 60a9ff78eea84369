//! The checks that any app can be given by configuration.
//!
//! ```text
//! http, tcp, exec  one quick look each, made one after the other
//! browser/         pages in a real browser, several at once, with evidence
//! album            where that evidence goes
//! ```

pub mod album;
pub mod browser;
pub mod exec;
pub mod http;
pub mod query;
pub mod tcp;

use reqwest::Url;

use self::browser::{BrowserCheck, Browsing, Cookie, look_through};
use self::exec::ExecCheck;
use self::http::HttpCheck;
use self::tcp::TcpCheck;
use crate::engine::ContainerEngine;
use crate::model::observation::Seen;
use album::Album;

/// The checks of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Those that take no longer than a request. An app without checks of its own is ready when they pass.
    pub quick: Vec<QuickCheck>,
    /// Pages to open in a browser.
    pub pages: Vec<BrowserCheck>,
    /// With which browser; `None` where there are no pages to open.
    pub browsing: Option<Browsing>,
}

/// A check that takes no longer than a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuickCheck {
    /// A page or endpoint must answer.
    Http(HttpCheck),
    /// A port must take connections.
    Tcp(TcpCheck),
    /// A command in the container must end well.
    Exec(ExecCheck),
}

/// What checks are made with.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Runs the container.
    pub engine: &'a dyn ContainerEngine,
    /// The container's name.
    pub container: &'a str,
    /// See [`http::direct_client`].
    pub http: &'a reqwest::Client,
    /// Where the instance is reached; what paths are relative to.
    pub base: Option<&'a Url>,
}

impl QuickCheck {
    /// The id of its result among an observation's checks.
    pub fn id(&self) -> String {
        match self {
            Self::Http(check) => check.id(),
            Self::Tcp(check) => check.id(),
            Self::Exec(check) => check.id(),
        }
    }

    /// Looks once.
    pub async fn run(&self, ground: Ground<'_>) -> Seen {
        match self {
            Self::Http(check) => check.run(ground.http, ground.base).await,
            Self::Tcp(check) => check.run(ground.base).await,
            Self::Exec(check) => check.run(ground.engine, ground.container).await,
        }
    }
}

impl Checks {
    /// Looks once at everything, the quick ones first. `cookies` are lent to the pages that want them.
    pub async fn run(&self, ground: Ground<'_>, cookies: &[Cookie], album: &dyn Album) -> Vec<(String, Seen)> {
        let mut seen = Vec::new();
        for check in &self.quick {
            seen.push((check.id(), check.run(ground).await));
        }
        if let Some(browsing) = &self.browsing {
            seen.extend(look_through(browsing, &self.pages, ground.base, cookies, album).await);
        }
        seen
    }
}
