//! Whether the encryption keys in effect open what lies in the database: with other keys all lists look well, and every
//! data source is unusable (appsmith#16249). Only the server can tell, when it uses a stored credential: it is asked to
//! connect to one data source. That need not connect, but must not stumble over the credential.

use std::time::Duration;

use serde_json::Value;

use super::answer::ApiError;
use super::api::Api;
use super::execution::line;
use super::listing::{Datasource, Storage};
use super::sources::said;
use crate::instance::adapt::KeyProof;

/// How long one test may take; the server itself gives up before that.
const TEST_LIMIT: Duration = Duration::from_secs(75);
/// So many tests can fail without the server blocking a host, even if all are of one.
const TRIES_MAX: usize = 2;
/// What the cipher says of a wrong key, in lower case, by the versions of Java and of Spring's encryptors.
const WRONG_KEY: [&str; 6] =
    ["padding", "padded", "bad key", "tag mismatch", "cannot be decrypted", "unable to invoke cipher"];

/// Tests a data source that has credentials, and another one where that does not prove it: a credential may have been
/// stored with keys of long ago, so one that opens is worth more than one that does not. What cannot be asked refutes
/// nothing; only a refused login is an error.
pub async fn prove(api: &Api) -> Result<KeyProof, ApiError> {
    if !api.has_login() {
        return Ok(KeyProof::Unknown { reason: "no login is configured".into() });
    }
    match look(api).await {
        Err(error @ ApiError::LoginRefused { .. }) => Err(error),
        Err(error) => Ok(KeyProof::Unknown { reason: error.to_string() }),
        Ok(proof) => Ok(proof),
    }
}

async fn look(api: &Api) -> Result<KeyProof, ApiError> {
    let mut tried = 0;
    let mut last = KeyProof::Unknown { reason: "no data source with credentials can be seen".into() };
    for (workspace, _) in api.workspaces().await? {
        let datasources = match api.datasources(&workspace.id).await {
            Err(error) if error.is_no_right() => continue,
            listed => listed?,
        };
        for datasource in datasources {
            let Some(storage) = datasource.storages.iter().find(|storage| has_credentials(storage)) else { continue };
            if tried == TRIES_MAX {
                return Ok(last);
            }
            tried += 1;
            let by = format!("data source `{}` of workspace `{}`", datasource.thing.name, workspace.name);
            match test(api, &workspace.id, &datasource, storage).await? {
                Told::Opened => return Ok(KeyProof::Proved { by }),
                Told::NotOpened(reason) => last = KeyProof::Refuted { by, reason },
                Told::Nothing(reason) => {
                    if let KeyProof::Unknown { reason: told } = &mut last {
                        *told = format!("{by}: {reason}");
                    }
                }
            }
        }
    }
    Ok(last)
}

enum Told {
    Opened,
    NotOpened(String),
    Nothing(String),
}

async fn test(api: &Api, workspace: &str, datasource: &Datasource, storage: &Storage) -> Result<Told, ApiError> {
    match api.test(workspace, datasource, storage, TEST_LIMIT).await {
        Ok(data) => Ok(judge(&data.value)),
        Err(ApiError::Refused { message, .. }) if is_wrong_key(&message) => Ok(Told::NotOpened(line(&message))),
        Err(error) if error.is_hopeless() => Err(error),
        Err(error) => Ok(Told::Nothing(error.to_string())),
    }
}

/// The server reads the credential before it connects: a host that does not answer proves as much as one that does.
/// What is not understood proves nothing.
fn judge(data: &Value) -> Told {
    if data.get("success").and_then(Value::as_bool) == Some(true) {
        return Told::Opened;
    }
    let said = said(data);
    let lower = said.to_lowercase();
    if is_wrong_key(&lower) {
        return Told::NotOpened(line(&said));
    }
    let connects =
        ["refused", "timed out", "timeout", "unknown host", "unknownhost", "unreachable", "authentication failed"];
    if connects.iter().any(|word| lower.contains(word)) {
        return Told::Opened;
    }
    Told::Nothing(if said.is_empty() { "its test failed without a reason".into() } else { line(&said) })
}

fn is_wrong_key(said: &str) -> bool {
    let lower = said.to_lowercase();
    WRONG_KEY.iter().any(|word| lower.contains(word))
}

fn has_credentials(storage: &Storage) -> bool {
    let user = storage.configuration.pointer("/authentication/username").and_then(Value::as_str);
    storage.is_configured && user.is_some_and(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::super::client::Client;
    use super::super::session::Login;
    use super::super::testing;
    use super::*;

    const ENVELOPE: &str = r#"{"responseMeta":{"status":200,"success":true},"data":"#;

    const FORBIDDEN: &str =
        r#"{"responseMeta":{"status":403,"success":false,"error":{"code":"AE-ACL-4004","message":"No right"}}}"#;

    /// Answers by the beginning of the request line; the tests of data sources one after the other.
    async fn proof(lists: &[(&'static str, String)], tests: &[&'static str]) -> KeyProof {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let lists = lists.to_vec();
        let mut tests = tests.iter().copied().collect::<std::collections::VecDeque<_>>();
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                let request = testing::request(&mut peer).await;
                let answer = if request.starts_with("POST /api/v1/login") {
                    "HTTP/1.1 302 Found\r\nlocation: /applications\r\nset-cookie: SESSION=s; Path=/\r\ncontent-length: 0\r\n"
                        .to_owned()
                } else {
                    let body = match request.starts_with("POST /api/v1/datasources/test") {
                        true => format!("{ENVELOPE}{}}}", tests.pop_front().expect("one more test than is allowed")),
                        false => {
                            let known = lists.iter().find(|(path, _)| request.starts_with(&format!("GET {path}")));
                            known.map(|(_, body)| body.clone()).unwrap_or_default()
                        }
                    };
                    let (status, body) = match body.is_empty() {
                        true => ("403 Forbidden", FORBIDDEN.to_owned()),
                        false => ("200 OK", body),
                    };
                    format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    )
                };
                let answer = match answer.split_once("\r\n\r\n") {
                    Some((head, body)) => format!("{head}\r\nconnection: close\r\n\r\n{body}"),
                    None => format!("{answer}connection: close\r\n\r\n"),
                };
                let _ = peer.write_all(answer.as_bytes()).await;
            }
        });
        let password = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(password.path(), "p").unwrap();
        let login = Login { user: "u".into(), password_file: password.path().to_owned(), refused_file: None };
        prove(&Api::new(client, Some(login))).await.unwrap()
    }

    /// Three data sources of one workspace, all with credentials.
    fn lists() -> Vec<(&'static str, String)> {
        let storage = json!({"isConfigured": true, "datasourceConfiguration": {"authentication": {"username": "u"}}});
        let source = |id: &str| json!({"id": id, "name": id, "datasourceStorages": {"unused_env": storage}});
        let workspace = json!([{"id": "w", "name": "Team"}]);
        vec![
            ("/api/v1/users/me", format!(r#"{ENVELOPE}{{"email":"u","isAnonymous":false}}}}"#)),
            ("/api/v1/workspaces/home", format!("{ENVELOPE}{workspace}}}")),
            ("/api/v1/applications/home", format!("{ENVELOPE}[]}}")),
            ("/api/v1/datasources?", format!("{ENVELOPE}{}}}", json!([source("a"), source("b"), source("c")]))),
        ]
    }

    const WELL: &str = r#"{"success":true}"#;
    const LOCKED: &str = r#"{"success":false,"invalids":["Given final block not properly padded."]}"#;
    const VAGUE: &str = r#"{"success":false,"invalids":["Please enter a value"]}"#;

    #[tokio::test]
    async fn one_that_opens_is_worth_more_than_one_that_does_not() {
        let by = |id: &str| format!("data source `{id}` of workspace `Team`");
        assert_eq!(proof(&lists(), &[WELL]).await, KeyProof::Proved { by: by("a") });
        assert_eq!(proof(&lists(), &[LOCKED, WELL]).await, KeyProof::Proved { by: by("b") });
        for tests in [[LOCKED, VAGUE], [VAGUE, LOCKED]] {
            assert!(matches!(proof(&lists(), &tests).await, KeyProof::Refuted { .. }), "{tests:?}");
        }
        assert!(matches!(proof(&lists(), &[LOCKED, LOCKED]).await, KeyProof::Refuted { by: it, .. } if it == by("b")));
        let told = proof(&lists(), &[VAGUE, VAGUE]).await;
        assert_eq!(told, KeyProof::Unknown { reason: format!("{}: Please enter a value", by("b")) });
    }

    /// A restore must not be taken back because the login may see too little to prove anything.
    #[tokio::test]
    async fn what_cannot_be_asked_refutes_nothing() {
        for missing in ["/api/v1/workspaces/home", "/api/v1/datasources?"] {
            let rest: Vec<_> = lists().into_iter().filter(|(path, _)| *path != missing).collect();
            let told = proof(&rest, &[]).await;
            let KeyProof::Unknown { reason } = told else { panic!("without {missing}: {told:?}") };
            assert!(!reason.contains("makes no sense"), "without {missing}: {reason}");
        }
    }

    #[test]
    fn only_what_the_cipher_says_refutes_a_key() {
        let told = |data: Value| match judge(&data) {
            Told::Opened => "opened".to_owned(),
            Told::NotOpened(reason) => format!("not: {reason}"),
            Told::Nothing(reason) => format!("nothing: {reason}"),
        };
        let failed = |text: &str| told(json!({"success": false, "invalids": [text]}));
        assert_eq!(told(json!({"success": true})), "opened");
        assert_eq!(failed("Connection refused"), "opened");
        assert_eq!(failed("FATAL: password authentication failed for user \"x\""), "opened");
        assert_eq!(failed("Given final block not properly padded."), "not: Given final block not properly padded.");
        assert!(
            failed("java.lang.IllegalStateException: Unable to invoke Cipher due to bad padding").starts_with("not: ")
        );
        assert_eq!(failed("Please enter a value"), "nothing: Please enter a value");
        assert_eq!(told(json!({})), "nothing: its test failed without a reason");
    }
}
