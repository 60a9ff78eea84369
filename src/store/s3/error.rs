//! From the SDK's errors to the store's.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::S3Store;
use crate::model::layout::ObjectKey;
use crate::store::StoreError;
use crate::stream::BoxError;

/// What the server said.
#[derive(Debug, thiserror::Error)]
#[error("{code} (HTTP {status}){message}")]
pub(super) struct Refusal {
    status: u16,
    code: String,
    message: String,
}

impl S3Store {
    /// `action` is a verb; the key, if there is one, is put behind it.
    pub(super) fn failed<E>(&self, action: &str, key: Option<&ObjectKey>, error: SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let store = self.description.clone();
        let action = key.map_or_else(|| action.to_owned(), |key| format!("{action} `{key}`"));
        if is_about_credentials(&error) {
            return StoreError::Denied { store, action, source: cause(error) };
        }
        match &error {
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                StoreError::Unreachable { store, source: cause(error) }
            }
            SdkError::ServiceError(answer) => {
                let (status, code) = (answer.raw().status().as_u16(), answer.err().code().unwrap_or_default());
                match (status, code, key) {
                    (_, "NoSuchBucket", _) => self.no_bucket(),
                    (_, "NoSuchKey", Some(key)) => StoreError::NotFound { store, key: key.clone() },
                    (507, _, Some(key)) | (_, "XMinioStorageFull" | "QuotaExceeded", Some(key)) => {
                        StoreError::Full { store, key: key.clone(), source: cause(error) }
                    }
                    (401 | 403, _, _) => StoreError::Denied { store, action, source: cause(error) },
                    _ => StoreError::Request { store, action, source: cause(error) },
                }
            }
            _ => StoreError::Request { store, action, source: cause(error) },
        }
    }

    /// An answer that S3 does not give.
    pub(super) fn nonsense(&self, action: String, what: &'static str) -> StoreError {
        StoreError::Request { store: self.description.clone(), action, source: format!("the answer has {what}").into() }
    }
}

/// Whether the server answered with that status.
pub(super) fn is_status<E>(error: &SdkError<E>, status: u16) -> bool {
    matches!(error, SdkError::ServiceError(answer) if answer.raw().status().as_u16() == status)
}

/// Whether the request may have been carried out although it failed.
pub(super) fn outcome_is_open<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(answer) => answer.raw().status().is_server_error(),
        _ => true,
    }
}

fn cause<E>(error: SdkError<E>) -> BoxError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(answer) = &error {
        let message = answer.err().message().map(|message| format!(": {message}"));
        let refusal = Refusal {
            status: answer.raw().status().as_u16(),
            code: answer.err().code().unwrap_or("no code").to_owned(),
            message: message.unwrap_or_default(),
        };
        return refusal.into();
    }
    error.into_source().unwrap_or_else(|error: SdkError<E, HttpResponse>| error.into())
}

/// There were no keys to sign with: nothing was sent.
fn is_about_credentials<E: Error + 'static>(error: &SdkError<E>) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<aws_credential_types::provider::error::CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}
