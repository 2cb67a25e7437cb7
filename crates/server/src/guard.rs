//! Keeps web pages of other origins away from the TCP address.
//!
//! There are no users yet, so only loopback is listened on. A browser on this machine can still be led to send requests
//! there: requests whose `Host` is not a loopback name, or that carry a foreign `Origin`, are refused.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tintype_app::{AppError, ErrorKind};

use crate::problem::Problem;

/// Middleware for TCP.
pub async fn local_only(request: Request, next: Next) -> Response {
    if trusted(request.headers()) {
        return next.run(request).await;
    }
    let error = AppError::new(
        ErrorKind::Protected,
        "request",
        "comes from a page of another origin or names another host",
        "Use http://127.0.0.1:PORT or the Unix socket.",
    );
    Problem(error).into_response()
}

fn trusted(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text(header::ORIGIN).map(|o| o.strip_prefix("http://").unwrap_or("?"));
    text(header::HOST).is_some_and(loopback) && origin.is_none_or(loopback)
}

fn loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_this_machine_is_trusted() {
        for (host, origin, want) in [
            ("127.0.0.1:8080", None, true),
            ("localhost", Some("http://localhost:1"), true),
            ("[::1]:8080", None, true),
            ("evil.example:8080", None, false),
            ("127.0.0.1:8080", Some("https://evil.example"), false),
            ("127.0.0.1:8080", Some("null"), false),
        ] {
            let mut pairs = vec![(header::HOST, host)];
            pairs.extend(origin.map(|o| (header::ORIGIN, o)));
            assert_eq!(trusted(&headers(&pairs)), want, "{host} {origin:?}");
        }
        assert!(!trusted(&HeaderMap::new()));
    }
}
