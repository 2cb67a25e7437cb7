//! Failures as problem documents: `{type, title, status, detail, object, remedy}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tintype_app::{AppError, ErrorKind};

/// What the body of an answer that is not a success holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// An error on its way out.
#[derive(Debug)]
pub struct Problem(pub AppError);

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        Self(error)
    }
}

/// The one table from kinds of failure to HTTP.
fn table(kind: ErrorKind) -> (StatusCode, &'static str, &'static str) {
    match kind {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
        ErrorKind::Exists => (StatusCode::CONFLICT, "exists", "Exists already"),
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid", "Invalid request"),
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
        let (status, kind, title) = table(self.0.kind);
        ProblemDocument {
            kind: format!("urn:tintype:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.0.to_string(),
            object: self.0.object,
            remedy: self.0.remedy,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = table(self.0.kind);
        let mut response = (status, Json(self.document())).into_response();
        let content = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, content);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_object_and_remedy() {
        let response = Problem(AppError::no_filesystem("home")).into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
