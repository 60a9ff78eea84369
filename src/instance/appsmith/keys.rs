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

/// Tests one data source that has credentials; a second one where the first says nothing of them.
pub async fn prove(api: &Api) -> Result<KeyProof, ApiError> {
    let unknown = |reason: &str| Ok(KeyProof::Unknown { reason: reason.into() });
    if !api.has_login() {
        return unknown("no login is configured");
    }
    let mut tried = 0;
    let mut last = None;
    for (workspace, _) in api.workspaces().await? {
        for datasource in api.datasources(&workspace.id).await? {
            let Some(storage) = datasource.storages.iter().find(|storage| has_credentials(storage)) else { continue };
            if tried == TRIES_MAX {
                break;
            }
            tried += 1;
            let by = format!("data source `{}` of workspace `{}`", datasource.thing.name, workspace.name);
            match test(api, &workspace.id, &datasource, storage).await? {
                Told::Opened => return Ok(KeyProof::Proved { by }),
                Told::NotOpened(reason) => return Ok(KeyProof::Refuted { by, reason }),
                Told::Nothing(reason) => last = Some(format!("{by}: {reason}")),
            }
        }
    }
    Ok(KeyProof::Unknown { reason: last.unwrap_or_else(|| "no data source has credentials".into()) })
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

    use super::*;

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
