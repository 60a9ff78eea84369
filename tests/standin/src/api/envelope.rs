//! The envelope around every JSON answer, and the errors in it.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a handler returns.
pub type Answer = Result<Envelope, ApiError>;

/// A success. The HTTP status is 200 even where the inner one is 201.
#[derive(Debug)]
pub struct Envelope {
    status: u16,
    data: Value,
}

/// A success with data.
pub fn ok(data: Value) -> Answer {
    Ok(Envelope { status: 200, data })
}

/// A success that made something.
pub fn created(data: Value) -> Answer {
    Ok(Envelope { status: 201, data })
}

impl Envelope {
    /// As text inside another envelope, or on its own.
    pub fn into_json(self) -> Value {
        let mut whole = json!({"responseMeta": {"status": self.status, "success": true}, "errorDisplay": ""});
        if let (Some(fields), false) = (whole.as_object_mut(), self.data.is_null()) {
            fields.insert("data".to_owned(), self.data);
        }
        whole
    }
}

impl IntoResponse for Envelope {
    fn into_response(self) -> Response {
        respond(StatusCode::OK, &self.into_json())
    }
}

/// An error, with Appsmith's code for it.
#[derive(Debug)]
pub struct ApiError {
    status: u16,
    code: &'static str,
    title: &'static str,
    message: String,
    data: Value,
}

impl ApiError {
    pub(in crate::api) fn new(
        status: u16,
        code: &'static str,
        title: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { status, code, title, message: message.into(), data: Value::Null }
    }

    /// Something is not there, or not for this caller: the two look alike.
    pub fn not_found(kind: &str, id: &str) -> Self {
        let message = format!("Unable to find {kind} {id}");
        Self::new(404, "AE-ACL-4004", "No resource found or permission denied", message)
    }

    /// There is nothing under that path or name.
    pub fn no_resource(kind: &str) -> Self {
        Self::new(404, "AE-APP-4027", "No resource found", format!("Unable to find {kind}"))
    }

    /// The request makes no sense.
    pub fn bad_request(message: &str) -> Self {
        Self::new(400, "AE-BAD-4000", "Bad request", message)
    }

    /// The body is no JSON.
    pub fn malformed() -> Self {
        Self::new(400, "AE-BAD-4001", "Malformed request body", "Malformed request body")
    }

    /// What is in a file or repository cannot be taken in.
    pub fn import_failed(why: &str) -> Self {
        Self::new(400, "AE-JSN-4049", "Import failed", format!("Unable to import the application. {why}"))
    }

    /// The client believes in another version.
    pub fn version_mismatch(server: &str) -> Self {
        let message = "Version mismatch between the client and the server. Please reload the page.";
        let data = json!({"serverVersion": server});
        Self { data, ..Self::new(400, "AE-BAD-4002", "Version mismatch", message) }
    }

    /// Only for administrators of the instance.
    pub fn forbidden() -> Self {
        Self::new(403, "AE-ACL-4003", "Unauthorized access", "Unauthorized access")
    }

    /// It is understood, and not done.
    pub fn unsupported(message: &str) -> Self {
        Self::new(400, "AE-APP-4007", "Unsupported operation", message)
    }

    /// A file is imported into an application that is connected to Git.
    pub fn import_into_git() -> Self {
        let message = "Cannot import into an application that is connected to Git.";
        Self::new(400, "AE-APP-4040", "Unsupported operation", message)
    }

    /// An imported file is newer than this server.
    pub fn newer_schema() -> Self {
        let message = "The file was exported by a newer version of Appsmith. Please update this instance first.";
        Self::new(400, "AE-JSN-4045", "Incompatible schema", message)
    }

    /// Too often. (The contract knows the status, not the code.)
    pub fn too_many(message: &str) -> Self {
        Self::new(429, "AE-TMR-4029", "Too many requests", message)
    }

    /// A part that health asks for did not answer in time.
    pub fn timed_out(system: &str) -> Self {
        Self::new(408, "AE-APP-4080", "Health check failed", format!("{system} connection timed out."))
    }

    /// A page whose stored form cannot be read: what a broken migration leaves.
    pub fn broken_page(name: &str) -> Self {
        let message = format!("Internal server error while migrating the page of {name}");
        Self::new(500, "AE-APP-5000", "Internal server error", message)
    }

    /// Anything else.
    pub fn internal() -> Self {
        Self::new(500, "AE-APP-5000", "Internal server error", "Internal server error while processing request")
    }

    /// Appsmith's code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What it says.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As text inside another envelope, or on its own.
    pub fn into_json(self) -> Value {
        let display = format!("{}: {}", self.code, self.message);
        let error =
            json!({"code": self.code, "title": self.title, "message": self.message, "errorType": "INTERNAL_ERROR"});
        let meta = json!({"status": self.status, "success": false, "error": error});
        let mut whole = json!({"responseMeta": meta, "errorDisplay": display});
        if let (Some(fields), false) = (whole.as_object_mut(), self.data.is_null()) {
            fields.insert("data".to_owned(), self.data);
        }
        whole
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        respond(status, &self.into_json())
    }
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_and_error_have_the_shape_of_the_contract() {
        let whole = ok(json!([1])).unwrap().into_json();
        assert_eq!(whole, json!({"responseMeta": {"status": 200, "success": true}, "data": [1], "errorDisplay": ""}));
        assert!(ok(Value::Null).unwrap().into_json().get("data").is_none(), "null fields are left out");
        let error = ApiError::not_found("application", "x").into_json();
        assert_eq!(error["responseMeta"]["error"]["code"], "AE-ACL-4004");
        assert_eq!(error["errorDisplay"], "AE-ACL-4004: Unable to find application x");
    }

    #[test]
    fn an_errors_http_status_is_the_one_in_its_body() {
        assert_eq!(ApiError::timed_out("Mongo").into_response().status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(created(json!({})).unwrap().into_response().status(), StatusCode::OK);
    }
}
