//! Failures as problem documents: `{type, title, status, detail, object, remedy}`.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tintype_app::{AppError, ErrorKind};
use utoipa::ToSchema;

use crate::trace::request_id;

/// What the body of an answer that is not a success holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemDocument {
    /// `urn:tintype:` and the kind of failure.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, with the object in front.
    pub detail: String,
    /// What it is about.
    pub object: String,
    /// What to do.
    pub remedy: String,
    /// The id of the request, which the log of the server has too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// An error on its way out.
#[derive(Debug)]
pub struct Problem {
    error: AppError,
    /// What HTTP says of it, when that is more than the kind of the error tells.
    status: Option<Status>,
}

/// Status, word and title.
type Status = (StatusCode, &'static str, &'static str);

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        Self { error, status: None }
    }
}

impl Problem {
    /// A body that cannot be taken.
    pub fn body(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large("is longer than the limit");
        }
        let remedy = "Send the whole body.";
        AppError::invalid("request body", rejection.body_text(), remedy).into()
    }

    /// A body that is too long.
    pub fn too_large(detail: &str) -> Self {
        let remedy = "Send a body of at most 64 MiB; images have no limit.";
        let error = AppError::invalid("request body", detail, remedy);
        Self { error, status: Some((StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large")) }
    }

    /// A body that does not come.
    pub fn too_slow() -> Self {
        let error = AppError::invalid("request body", "did not come in a minute", "Send it again.");
        Self { error, status: Some((StatusCode::REQUEST_TIMEOUT, "timeout", "Took too long")) }
    }

    /// A key that was used for something else.
    pub fn other_request() -> Self {
        let error = AppError::invalid(
            "header Idempotency-Key",
            "belongs to another request of the last 24 hours",
            "Send a key of its own with each request, and the same body with a repetition.",
        );
        let status = (StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "Key used before");
        Self { error, status: Some(status) }
    }

    /// A method that a resource does not have.
    pub fn method(method: &str, path: &str) -> Self {
        let detail = format!("does not know the method {method}");
        let remedy = "The header Allow lists those that it knows.";
        let error = AppError::invalid(format!("resource {path}"), detail, remedy);
        Self { error, status: Some((StatusCode::METHOD_NOT_ALLOWED, "method", "Not its method")) }
    }
}

/// The one table from kinds of failure to HTTP.
fn table(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
        ErrorKind::Exists => (StatusCode::CONFLICT, "exists", "Exists already"),
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid", "Invalid request"),
        ErrorKind::Unauthenticated => {
            (StatusCode::UNAUTHORIZED, "unauthenticated", "Not logged in")
        }
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not permitted"),
        ErrorKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many attempts"),
        ErrorKind::Protected => (StatusCode::FORBIDDEN, "protected", "Protected"),
        ErrorKind::Busy => (StatusCode::CONFLICT, "busy", "In use"),
        ErrorKind::Limit => (StatusCode::CONFLICT, "limit", "Limit reached"),
        ErrorKind::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "no-space", "No space"),
        ErrorKind::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged", "Damaged data"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
    }
}

impl Problem {
    /// As a document.
    pub fn document(self) -> ProblemDocument {
        let Self { error, status } = self;
        let (status, kind, title) = status.unwrap_or_else(|| table(error.kind));
        ProblemDocument {
            kind: format!("urn:tintype:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: error.to_string(),
            object: error.object,
            remedy: error.remedy,
            request: request_id(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = self.status.unwrap_or_else(|| table(self.error.kind));
        let mut response = (status, Json(self.document())).into_response();
        let content = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, content);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_object_and_remedy() {
        let response = Problem::from(AppError::no_filesystem("home")).into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
