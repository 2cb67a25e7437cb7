//! Keeps web pages of other origins away from the TCP address.
//!
//! Every operation needs a token there, which a foreign page does not have. A browser can still be led to send requests: those whose
//! `Origin` is not the host that they go to are refused before anything is looked at.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tintype_app::{AppError, ErrorKind};

use crate::problem::Problem;

/// Middleware for TCP.
pub async fn own_pages_only(request: Request, next: Next) -> Response {
    if trusted(request.headers()) {
        return next.run(request).await;
    }
    let error = AppError::new(
        ErrorKind::Forbidden,
        "request",
        "comes from a page of another origin",
        "Send it from a program, or from a page of this server.",
    );
    Problem::from(error).into_response()
}

fn trusted(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let authority = |origin: &str| origin.split_once("://").map(|(_, rest)| rest.to_owned());
    match text(header::ORIGIN) {
        None => true,
        Some(origin) => authority(origin).is_some_and(|a| text(header::HOST) == Some(a.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_own_pages_are_trusted() {
        for (host, origin, want) in [
            ("127.0.0.1:8080", None, true),
            ("localhost:1", Some("http://localhost:1"), true),
            ("box:8400", Some("https://box:8400"), true),
            ("box:8400", Some("https://box:8401"), false),
            ("127.0.0.1:8080", Some("https://evil.example"), false),
            ("127.0.0.1:8080", Some("null"), false),
        ] {
            let mut pairs = vec![(header::HOST, host)];
            pairs.extend(origin.map(|o| (header::ORIGIN, o)));
            assert_eq!(trusted(&headers(&pairs)), want, "{host} {origin:?}");
        }
        assert!(trusted(&HeaderMap::new()));
    }
}
