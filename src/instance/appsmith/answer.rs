//! What Appsmith's REST interface says: the envelope, its errors, and what is no envelope at all.
//!
//! Every JSON endpoint answers `{"responseMeta": {"status", "success", "error"?}, "data"?}`. For a success the HTTP
//! status and the envelope's may differ, so only `success` counts. While the backend is down, the web server in
//! front of it answers in plain text (502) or with a page.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::instance::EarlierRefusal;

/// Why a call gave no data.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The backend does not answer (yet). A state of an app that starts, not a fault.
    #[error("its backend does not answer: {why}")]
    NotUp {
        /// As seen from here, such as `502 Bad Gateway`.
        why: String,
    },
    /// It is there, and did not answer this in time. Others it may answer.
    #[error("it did not answer within {seconds} s")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// There is no session, or it is not valid any more.
    #[error("it wants a login")]
    Unauthorized,
    /// The login was refused. Never tried twice with one password.
    #[error("it refused the login of `{user}`")]
    LoginRefused {
        /// Who.
        user: String,
        /// Where another process was refused, and it was not sent again.
        earlier: Option<EarlierRefusal>,
    },
    /// The password cannot be had.
    #[error("cannot read the password from `{}`", path.display())]
    NoPassword {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It understood and said no.
    #[error("it answered {status} {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its own code.
        code: Code,
        /// In its words.
        message: String,
    },
    /// It still answered 429 after several pauses.
    #[error("it answers 429: too many requests")]
    Throttled,
    /// It was not asked: so much was answered too late already that the rest would take hours.
    #[error("it was not asked: {slow_count} others were not answered in time")]
    NotAsked {
        /// How many.
        slow_count: usize,
    },
    /// Bigger than anything that it should answer.
    #[error("its answer has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Not what the interface promises.
    #[error("its answer makes no sense: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

impl ApiError {
    /// It does not know such a place: an endpoint of another version, or a thing without the right to see it.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 405, .. })
    }

    /// The user may not see or do that. What is missing looks the same: Appsmith does not tell them apart.
    pub fn is_no_right(&self) -> bool {
        let no_right = |code: &Code| matches!(code, Code::Forbidden | Code::NoAccess | Code::NoResource);
        matches!(self, Self::Refused { status: 403, .. })
            || self.is_missing()
            || matches!(self, Self::Refused { code, .. } if no_right(code))
    }

    /// Why it does not answer, where that is a state of an app that starts or is busy.
    pub fn as_silence(&self) -> Option<String> {
        match self {
            Self::NotUp { why } => Some(why.clone()),
            Self::TooSlow { .. } => Some(self.to_string()),
            _ => None,
        }
    }

    /// Nothing that is asked now will be answered, so there is no use in asking more.
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Self::LoginRefused { .. } | Self::NoPassword { .. } | Self::NotUp { .. })
    }
}

/// Appsmith's error codes, as far as they mean something to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// No right to do that.
    Forbidden,
    /// Not found, or no right to know that it is there.
    NoAccess,
    /// There is no such resource.
    NoResource,
    /// A store behind the backend (Redis, MongoDB) did not answer its health check.
    HealthTimedOut,
    /// The data is of another schema: a checkpoint was jumped over.
    SchemaMismatch,
    /// Any other.
    Other(String),
}

impl Code {
    fn read(text: &str) -> Self {
        match text {
            "AE-ACL-4003" => Self::Forbidden,
            "AE-ACL-4004" => Self::NoAccess,
            "AE-APP-4027" => Self::NoResource,
            "AE-APP-4080" => Self::HealthTimedOut,
            "AE-APP-5022" | "AE-APP-5023" => Self::SchemaMismatch,
            other => Self::Other(other.chars().take(40).collect()),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forbidden => "AE-ACL-4003",
            Self::NoAccess => "AE-ACL-4004",
            Self::NoResource => "AE-APP-4027",
            Self::HealthTimedOut => "AE-APP-4080",
            Self::SchemaMismatch => "AE-APP-5022 (a checkpoint version was jumped over)",
            Self::Other(code) => code,
        })
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its content type is JSON.
    pub json: bool,
    /// The body, within the limit.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    response_meta: Meta,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Meta {
    success: bool,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The data of an answer, if it is a success by its own word.
pub fn data_of(answer: &Answer) -> Result<Value, ApiError> {
    match answer.status {
        401 => return Err(ApiError::Unauthorized),
        429 => return Err(ApiError::Throttled),
        // Git's own trouble with its disk is a 503 with an envelope.
        502 | 503 if !is_of_git(answer) => return Err(ApiError::NotUp { why: plain(answer) }),
        _ => {}
    }
    if !answer.json {
        let why = plain(answer);
        return match answer.status {
            // A page where data should be: the loading page, or a web server without its backend.
            200..=399 => Err(ApiError::NotUp { why: format!("{} with a page instead of data", answer.status) }),
            status => Err(ApiError::Refused { status, code: Code::Other("without a code".into()), message: why }),
        };
    }
    let value = serde_json::from_slice(&answer.body).map_err(|error| ApiError::Malformed { why: error.to_string() })?;
    open(value, answer.status)
}

/// The data inside an envelope, also of one inside another.
pub fn open(envelope: Value, status: u16) -> Result<Value, ApiError> {
    let envelope: Envelope = serde_json::from_value(envelope)
        .map_err(|error| ApiError::Malformed { why: format!("no envelope: {error}") })?;
    if envelope.response_meta.success {
        return Ok(envelope.data);
    }
    let error = envelope.response_meta.error.unwrap_or(ErrorBody { code: String::new(), message: String::new() });
    Err(ApiError::Refused { status, code: Code::read(&error.code), message: short(&error.message) })
}

fn is_of_git(answer: &Answer) -> bool {
    let envelope = || serde_json::from_slice::<Envelope>(&answer.body).ok()?.response_meta.error;
    answer.json && envelope().is_some_and(|error| error.code.starts_with("AE-GIT-"))
}

fn plain(answer: &Answer) -> String {
    let text = short(&String::from_utf8_lossy(&answer.body));
    let status = answer.status.to_string();
    match (text.is_empty(), text.starts_with(&status)) {
        (true, _) => status,
        (false, true) => text,
        (false, false) => format!("{status} {text}"),
    }
}

/// The first line of a text, cut where it is long, without control characters.
pub fn short(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    if line.chars().count() <= 200 { line } else { line.chars().take(200).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, json: bool, body: &str) -> Answer {
        Answer { status, json, body: body.into() }
    }

    #[test]
    fn success_is_judged_by_the_envelope() {
        let ok =
            answer(200, true, r#"{"responseMeta":{"status":201,"success":true},"data":{"id":"a"},"errorDisplay":""}"#);
        assert_eq!(data_of(&ok).unwrap(), serde_json::json!({"id": "a"}));
        let null = answer(200, true, r#"{"responseMeta":{"status":200,"success":true}}"#);
        assert_eq!(data_of(&null).unwrap(), Value::Null);
        let body = r#"{"responseMeta":{"status":404,"success":false,"error":{"code":"AE-ACL-4004","title":"t","message":"Unable to find page"}}}"#;
        for status in [404, 200] {
            let error = data_of(&answer(status, true, body)).unwrap_err();
            assert!(error.to_string().contains("AE-ACL-4004: Unable to find page"), "{error}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_told_apart() {
        let kind = |answer: Answer| data_of(&answer).unwrap_err();
        assert!(matches!(kind(answer(401, false, "")), ApiError::Unauthorized));
        assert!(matches!(kind(answer(429, false, "429 Too Many Requests")), ApiError::Throttled));
        let down = kind(answer(502, false, "502 Bad Gateway"));
        assert_eq!(down.to_string(), "its backend does not answer: 502 Bad Gateway");
        assert!(matches!(kind(answer(200, false, "<!DOCTYPE html>")), ApiError::NotUp { .. }));
        assert!(matches!(kind(answer(200, true, "{\"a\":")), ApiError::Malformed { .. }));
        assert!(matches!(kind(answer(200, true, "{}")), ApiError::Malformed { .. }));
        assert!(kind(answer(404, false, "")).is_missing());
    }

    #[test]
    fn a_missing_right_is_told_apart_from_trouble() {
        let refused = |status, code| ApiError::Refused { status, code: Code::read(code), message: String::new() };
        for (status, code) in
            [(403, "AE-ACL-4003"), (404, "AE-ACL-4004"), (404, "AE-APP-4027"), (200, "AE-ACL-4004"), (405, "")]
        {
            assert!(refused(status, code).is_no_right(), "{status} {code}");
        }
        for error in [refused(500, "AE-APP-5000"), ApiError::Unauthorized, ApiError::Throttled] {
            assert!(!error.is_no_right(), "{error}");
        }
    }
}
