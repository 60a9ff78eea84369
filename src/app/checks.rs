//! Checks, from the words of the configuration.

use std::time::Duration;

use crate::config::{self, AppsmithPages, CheckKind, Config, Kind};
use crate::instance::appsmith::{PagesInBrowser, Which};
use crate::model::allow::AllowChange;
use crate::smoke::browser::{Allow, BrowserCheck, Browsing, WaitFor};
use crate::smoke::exec::ExecCheck;
use crate::smoke::http::HttpCheck;
use crate::smoke::query::{Expect, Params, QueryCheck};
use crate::smoke::tcp::TcpCheck;
use crate::smoke::{Checks, QuickCheck};

/// Those of one instance.
pub(super) fn of(config: &Config, instance: &config::Instance) -> Checks {
    let mut checks = Checks::default();
    for config::Check { name, timeout, what } in instance.checks.clone() {
        let limit = timeout;
        match what {
            CheckKind::Http { path, status, contains } => {
                checks.quick.push(QuickCheck::Http(HttpCheck { name, url: path, status, contains, limit }));
            }
            CheckKind::Tcp { host, port } => checks.quick.push(QuickCheck::Tcp(TcpCheck { name, host, port, limit })),
            CheckKind::Exec { command, exit_code, contains } => {
                let (command, exit_code) = (command.0, exit_code.into());
                checks.quick.push(QuickCheck::Exec(ExecCheck { name, command, exit_code, contains, limit }));
            }
            CheckKind::Query(query) => checks.queries.push(self::query(name, query, limit)),
            CheckKind::Browser { path, selector, login, allow_console, allow_requests } => {
                let console = allow_console.into_iter().map(Allow::Console);
                checks.pages.push(BrowserCheck {
                    name,
                    title: None,
                    url: path,
                    wait_for: selector.map_or(WaitFor::NetworkIdle, WaitFor::Selector),
                    limit,
                    allow: console.chain(allow_requests.into_iter().map(Allow::Request)).collect(),
                    logged_in: login.unwrap_or(instance.login.is_some()),
                });
            }
        }
    }
    if !checks.pages.is_empty() || instance.kind == Kind::Appsmith && in_browser(config).which != Which::None {
        checks.browsing = Some(browsing(config));
    }
    checks
}

fn query(name: String, ours: config::Query, limit: Duration) -> QueryCheck {
    let config::Query { app, page, query, params, min_rows, max_rows, json_pointer, equals, max_latency } = ours;
    let expect = json_pointer.map(|pointer| Expect { pointer, equals: equals.map(|value| value.0) });
    let params = Params(params.0.into_iter().map(|(binding, value)| (binding, value.0)).collect());
    QueryCheck { name, app, page, query, params, min_rows, max_rows, expect, max_latency, limit }
}

/// With which browser.
pub(super) fn browsing(config: &Config) -> Browsing {
    let ours = &config.smoke.browser;
    Browsing {
        program: ours.path.clone(),
        folder: config.state_dir.join("browser"),
        jit: ours.jit,
        memory_limit_bytes: ours.memory_limit.0,
        pages_at_once: ours.pages_at_once.into(),
    }
}

/// Which pages of an Appsmith are opened although no check names them.
pub(super) fn in_browser(config: &Config) -> PagesInBrowser {
    let which = match config.smoke.browser.appsmith_pages {
        AppsmithPages::None => Which::None,
        AppsmithPages::First => Which::First,
        AppsmithPages::All => Which::All,
    };
    PagesInBrowser { which, limit: config.smoke.browser.timeout }
}

/// What may differ from how it was before.
pub(super) fn allowed(config: &Config) -> Vec<AllowChange> {
    let rule = |rule: &config::AllowChange| AllowChange { check: rule.check.clone(), reason: rule.reason.clone() };
    config.smoke.allow_change.iter().map(rule).collect()
}
