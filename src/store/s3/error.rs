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
            SdkError::DispatchFailure(_) if is_about_the_certificate(&error) => {
                StoreError::Untrusted { store, source: cause(error) }
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                StoreError::Unreachable { store, source: cause(error) }
            }
            SdkError::ServiceError(answer) => {
                let (status, code) = (answer.raw().status().as_u16(), answer.err().code().unwrap_or_default());
                let region = answer.raw().headers().get("x-amz-bucket-region").map(str::to_owned);
                match (status, code, key) {
                    (_, "NoSuchBucket", _) => self.no_bucket(),
                    (_, "NoSuchKey", Some(key)) => StoreError::NotFound { store, key: key.clone() },
                    (507, _, Some(key)) | (_, "XMinioStorageFull" | "QuotaExceeded", Some(key)) => {
                        StoreError::Full { store, key: key.clone(), source: cause(error) }
                    }
                    _ if names_another_region(status, code, region.is_some(), answer.err().message()) => {
                        StoreError::WrongRegion { store, action, region, source: cause(error) }
                    }
                    // It is there, and cannot do anything for anybody now.
                    (429 | 502..=504, _, _) | (_, "SlowDown", _) => {
                        StoreError::Unreachable { store, source: cause(error) }
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

fn names_another_region(status: u16, code: &str, has_region: bool, message: Option<&str>) -> bool {
    match (status, code) {
        (301 | 307, _) | (_, "PermanentRedirect") => true,
        (_, "AuthorizationHeaderMalformed") => has_region || message.is_some_and(|text| text.contains("region")),
        // Answers to HEAD have no code; a 400 that names the region means it.
        (400, "") => has_region,
        _ => false,
    }
}

/// Whether the server answered with that status.
pub(super) fn is_status<E>(error: &SdkError<E>, status: u16) -> bool {
    matches!(error, SdkError::ServiceError(answer) if answer.raw().status().as_u16() == status)
}

/// Whether the server does not know the request at all.
pub(super) fn is_not_offered<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(answer) = error else { return false };
    let code = answer.err().code().unwrap_or_default();
    matches!(answer.raw().status().as_u16(), 405 | 501) || matches!(code, "NotImplemented" | "MethodNotAllowed")
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
    is_caused_by(error, |cause| cause.is::<aws_credential_types::provider::error::CredentialsError>())
}

/// The other side showed a certificate that is not trusted here.
fn is_about_the_certificate<E: Error + 'static>(error: &SdkError<E>) -> bool {
    let refused = |error: &rustls::Error| matches!(error, rustls::Error::InvalidCertificate(_));
    is_caused_by(error, |cause| {
        // An I/O error names the cause of what it wraps, and never that itself. They are nested.
        let mut wrapping = cause.downcast_ref::<std::io::Error>();
        while let Some(inner) = wrapping.and_then(std::io::Error::get_ref) {
            if inner.downcast_ref().is_some_and(refused) {
                return true;
            }
            wrapping = inner.downcast_ref();
        }
        cause.downcast_ref().is_some_and(refused)
    })
}

fn is_caused_by(error: &(dyn Error + 'static), is_it: impl Fn(&(dyn Error + 'static)) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_it(error) {
            return true;
        }
        next = error.source();
    }
    false
}
