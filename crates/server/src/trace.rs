//! Each request gets an id, which is in every line of the log that is written for it, in its answer and in its problem document; and a line of
//! its own when it was answered.
//!
//! A client may send the id in `X-Request-Id`. Queries, headers and bodies are in no line: they can hold secrets.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::who::Peer;

/// The header with the id, both ways.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of an id that comes from outside.
const LENGTH_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that is being served, if one is.
pub fn request_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The outermost middleware.
pub async fn trace(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(made);
    // A level that is always on: warnings of others shall carry the id.
    let span = tracing::error_span!("request", id);
    let served = serve(request, next).instrument(span);
    let mut response = CURRENT.scope(id.clone(), served).await;
    let value = HeaderValue::from_str(&id).ok();
    response.headers_mut().extend(value.map(|value| (HEADER, value)));
    response
}

async fn serve(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: "access", tracing::Level::INFO) {
        return next.run(request).await;
    }
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let from = match request.extensions().get::<Peer>() {
        Some(Peer::Remote(address)) => address.ip().to_string(),
        Some(Peer::Local) => "socket".to_owned(),
        None => "?".to_owned(),
    };
    let response = next.run(request).await;
    let (status, ms) = (response.status().as_u16(), started.elapsed().as_secs_f64() * 1e3);
    let who = response.extensions().get::<Signature>();
    let who = who.map_or("-", |Signature(name)| name.as_str());
    tracing::info!(target: "access", %method, path, status, ms, from, who, "answered");
    response
}

/// In whose name a request came; an answer carries it out to the log.
#[derive(Clone, Debug)]
pub struct Signature(pub String);

fn given(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(&HEADER)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let sane = !text.is_empty() && text.len() <= LENGTH_MAX && text.bytes().all(plain);
    sane.then(|| text.to_owned())
}

/// Unique within the life of a server, and most likely beyond.
fn made() -> String {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        AtomicU64::new(time.map_or(0, |time| time.as_micros() as u64) << 8)
    });
    format!("{:016x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_taken_and_others_are_replaced() {
        let of = |text: &str| {
            given(&HeaderMap::from_iter([(HEADER, HeaderValue::from_str(text).unwrap())]))
        };
        assert_eq!(of("a-1_b.c:2").as_deref(), Some("a-1_b.c:2"));
        for odd in ["", "a b", "a=\"x\"", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(of(odd), None, "{odd}");
        }
        assert_ne!(made(), made());
    }
}
