//! Lets the server connect to each data source, where the configuration wants that. Appsmith counts failures: three on
//! one host within 5 s, and it refuses tests *and queries* there for 5 minutes. So they are made one after the other,
//! and after two failures a host is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::answer::ApiError;
use super::api::Api;
use super::execution::line;
use super::listing::Datasource;
use super::observe::{Found, note};
use crate::model::observation::{Observation, Seen, SeenResult};

/// How long a connection may take; the server itself gives up before that.
const TEST_LIMIT: Duration = Duration::from_secs(75);

/// The failure after these would make the server block the host.
const FAILURES_MAX: u32 = 2;

/// Tests every data source that somebody has filled in. Fails only where nothing more can be asked.
pub async fn test_all(api: &Api, found: &Found, seen: &mut Observation) -> Result<(), ApiError> {
    let mut hosts = Hosts::default();
    for (workspace, datasource) in &found.datasources {
        for storage in datasource.storages.iter().filter(|storage| storage.is_configured) {
            let id = id_of(datasource, storage.environment.as_deref());
            let title = format!("{} connects", seen.inventory.title("datasource", &datasource.thing.base_id));
            let host = host_of(&storage.configuration).unwrap_or_else(|| datasource.thing.id.clone());
            if let Some(reason) = hosts.refusal(&host) {
                seen.checks.insert(id, Seen { title, result: SeenResult::Error { reason } });
                continue;
            }
            match api.test(workspace, datasource, storage, TEST_LIMIT).await {
                Ok(data) => {
                    let result = judge(&data.value);
                    if result != SeenResult::Pass {
                        hosts.failed(&host);
                    }
                    seen.took_ms.insert(id.clone(), u64::try_from(data.took.as_millis()).unwrap_or(u64::MAX));
                    seen.checks.insert(id, Seen { title, result });
                }
                Err(error) => {
                    if matches!(error, ApiError::Throttled) {
                        hosts.blocked(&host);
                    } else {
                        hosts.failed(&host);
                    }
                    note(seen, &id, &title, error)?;
                }
            }
        }
    }
    Ok(())
}

/// Only the paid edition has several environments; the free one's is not worth a word.
fn id_of(datasource: &Datasource, environment: Option<&str>) -> String {
    match environment {
        Some(environment) if datasource.storages.len() > 1 => {
            format!("datasource:{}/{environment}", datasource.thing.base_id)
        }
        _ => format!("datasource:{}", datasource.thing.base_id),
    }
}

/// What the server's limit goes by: the host that is connected to.
fn host_of(configuration: &Value) -> Option<String> {
    let endpoint = configuration.pointer("/endpoints/0/host").and_then(Value::as_str);
    let url = configuration.get("url").and_then(Value::as_str);
    let url = url.map(|url| match reqwest::Url::parse(url) {
        Ok(parsed) => parsed.host_str().unwrap_or(url).to_owned(),
        Err(_) => url.to_owned(),
    });
    endpoint.map(str::to_lowercase).or(url).filter(|host| !host.is_empty())
}

fn judge(data: &Value) -> SeenResult {
    if data.get("success").and_then(Value::as_bool) == Some(true) {
        return SeenResult::Pass;
    }
    let said = said(data);
    let reason = if said.is_empty() { "it does not connect, without a reason".into() } else { line(&said) };
    SeenResult::Fail { reason }
}

/// What a test that failed says of why; may be empty.
pub fn said(data: &Value) -> String {
    let list = |key: &str| data.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    list("invalids").chain(list("messages")).collect::<Vec<_>>().join("; ")
}

/// What became of the hosts. A success takes nothing back: the server counts failures alone.
#[derive(Debug, Default)]
struct Hosts(BTreeMap<String, u32>);

impl Hosts {
    fn failed(&mut self, host: &str) {
        let count = self.0.entry(host.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    fn blocked(&mut self, host: &str) {
        self.0.insert(host.to_owned(), u32::MAX);
    }

    /// Why not to test there any more.
    fn refusal(&self, host: &str) -> Option<String> {
        match self.0.get(host) {
            Some(&u32::MAX) => Some(format!("not tested: Appsmith blocks tests on `{host}`")),
            Some(&count) if count >= FAILURES_MAX => Some(format!(
                "not tested: {count} on `{host}` failed already, and one more would make Appsmith block tests and queries \
                 there for 5 minutes"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::super::client::Client;
    use super::super::listing;
    use super::super::testing;
    use super::*;

    /// Answers every test of a data source with a failure, and counts them.
    async fn server() -> (Api, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let tests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tests);
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                let request = testing::request(&mut peer).await;
                assert!(request.starts_with("POST /api/v1/datasources/test HTTP/1.1"), "{request}");
                assert!(request.to_lowercase().contains("x-requested-by: appsmith"), "{request}");
                assert!(request.contains(r#""datasourceId":"d"#) && request.contains(r#""id":"s"#), "{request}");
                counted.fetch_add(1, Ordering::SeqCst);
                let body =
                    r#"{"responseMeta":{"status":200,"success":true},"data":{"success":false,"invalids":["refused"]}}"#;
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
                let _ = peer.write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes()).await;
            }
        });
        (Api::new(client, None), tests)
    }

    #[tokio::test]
    async fn the_third_failure_on_a_host_is_never_caused() {
        let (api, tests) = server().await;
        let source = |id: usize, host: &str, configured: bool| {
            let settings = json!({"endpoints": [{"host": host}]});
            let storage =
                json!({"id": format!("s{id}"), "isConfigured": configured, "datasourceConfiguration": settings});
            json!({"id": format!("d{id}"), "datasourceStorages": {"unused_env": storage}})
        };
        let list = json!([
            source(1, "db", true),
            source(2, "db", false),
            source(3, "DB", true),
            source(4, "db", true),
            source(5, "other", true),
            source(6, "db", true),
        ]);
        let datasources = listing::datasources(&list).unwrap().into_iter().map(|it| ("w".to_owned(), it)).collect();
        let found = Found { datasources, ..Found::default() };
        let mut seen = Observation::default();
        test_all(&api, &found, &mut seen).await.unwrap();
        assert_eq!(tests.load(Ordering::SeqCst), 3, "two on `db`, one on `other`");
        let failed = |id: &str| matches!(&seen.checks[id].result, SeenResult::Fail { reason } if reason == "refused");
        assert!(failed("datasource:d1") && failed("datasource:d3") && failed("datasource:d5"), "{:?}", seen.checks);
        for id in ["datasource:d4", "datasource:d6"] {
            let SeenResult::Error { reason } = &seen.checks[id].result else { panic!("{id}") };
            assert!(reason.starts_with("not tested: 2 on `db` failed already"), "{reason}");
        }
        assert!(!seen.checks.contains_key("datasource:d2"), "nobody has filled it in");
    }

    #[test]
    fn a_host_is_left_alone_after_two_failures() {
        let mut hosts = Hosts::default();
        hosts.failed("db");
        assert_eq!(hosts.refusal("db"), None);
        hosts.failed("db");
        assert!(hosts.refusal("db").unwrap().starts_with("not tested: 2 on `db` failed already"));
        assert_eq!(hosts.refusal("other"), None);
        hosts.blocked("other");
        assert_eq!(hosts.refusal("other").unwrap(), "not tested: Appsmith blocks tests on `other`");
    }

    #[test]
    fn the_host_is_where_the_settings_have_it() {
        assert_eq!(host_of(&json!({"endpoints": [{"host": "DB.example", "port": 5432}]})).unwrap(), "db.example");
        assert_eq!(host_of(&json!({"url": "https://api.example:8443/v1"})).unwrap(), "api.example");
        assert_eq!(host_of(&json!({"url": "plain"})).unwrap(), "plain");
        assert_eq!(host_of(&json!({})), None);
    }

    #[test]
    fn a_test_is_judged_by_its_own_word() {
        assert_eq!(judge(&json!({"success": true, "invalids": [], "messages": ["slow"]})), SeenResult::Pass);
        let SeenResult::Fail { reason } = judge(&json!({"success": false, "invalids": ["bad\nkey password=x"]})) else {
            panic!()
        };
        assert_eq!(reason, "bad key password=…");
        assert!(matches!(judge(&json!({})), SeenResult::Fail { .. }));
    }
}
