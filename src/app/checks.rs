//! Checks, from the words of the configuration.

use crate::config::{self, CheckKind, Config};
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
            CheckKind::Browser { path, selector, login, allow_console, allow_requests } => {
                let console = allow_console.into_iter().map(Allow::Console);
                checks.pages.push(BrowserCheck {
                    name,
                    url: path,
                    wait_for: selector.map_or(WaitFor::NetworkIdle, WaitFor::Selector),
                    limit,
                    allow: console.chain(allow_requests.into_iter().map(Allow::Request)).collect(),
                    logged_in: login.unwrap_or(instance.login.is_some()),
                });
            }
            // Of Appsmith alone, which runs them itself.
            CheckKind::Query(_) => {}
        }
    }
    if !checks.pages.is_empty() {
        checks.browsing = Some(browsing(config));
    }
    checks
}

/// The queries that an Appsmith is to run.
pub(super) fn queries(instance: &config::Instance) -> Vec<QueryCheck> {
    let query = |check: &config::Check| {
        let CheckKind::Query(ours) = &check.what else { return None };
        let expect = ours.json_pointer.as_ref().map(|pointer| Expect {
            pointer: pointer.clone(),
            equals: ours.equals.as_ref().map(|value| value.0.clone()),
        });
        Some(QueryCheck {
            name: check.name.clone(),
            app: ours.app.clone(),
            page: ours.page.clone(),
            query: ours.query.clone(),
            params: Params(ours.params.0.iter().map(|(binding, value)| (binding.clone(), value.0.clone())).collect()),
            min_rows: ours.min_rows,
            max_rows: ours.max_rows,
            expect,
            max_latency: ours.max_latency,
            limit: check.timeout,
        })
    };
    instance.checks.iter().filter_map(query).collect()
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

/// What may differ from how it was before.
pub(super) fn allowed(config: &Config) -> Vec<AllowChange> {
    let rule = |rule: &config::AllowChange| AllowChange { check: rule.check.clone(), reason: rule.reason.clone() };
    config.smoke.allow_change.iter().map(rule).collect()
}
