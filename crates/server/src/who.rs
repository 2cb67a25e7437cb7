//! Who asks: from the connection and the header `Authorization`, before anything else is looked at.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use tintype_app::types::Secret;
use tintype_app::{App, AppError, AppResult, Caller, ErrorKind};

use crate::connections::Seat;
use crate::trace::Signature;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// On the server's socket: its own user, or root.
    Local,
    /// Somebody on TCP.
    Remote(SocketAddr),
}

/// Who asks, as far as it is known.
#[derive(Clone, Debug)]
pub struct Who {
    caller: AppResult<Caller>,
    /// Tells apart those who guess passwords.
    pub address: String,
}

impl Default for Who {
    fn default() -> Self {
        Self { caller: Err(nobody()), address: String::new() }
    }
}

impl Who {
    /// In whose name it is, for the log.
    fn signature(&self) -> String {
        let name = self.caller.as_ref().ok().and_then(Caller::signature);
        name.unwrap_or_else(|| "-".to_owned())
    }

    /// The caller.
    ///
    /// # Errors
    /// Nobody said who it is, or not truly.
    pub fn caller(&self) -> AppResult<&Caller> {
        self.caller.as_ref().map_err(Clone::clone)
    }
}

/// Middleware: finds out who asks. It refuses nobody: operations do.
pub async fn recognise(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let who = match peer {
        Some(Peer::Local) => Who { caller: Ok(Caller::local()), address: "socket".to_owned() },
        Some(Peer::Remote(address)) => {
            Who { caller: bearer(&app, request.headers()), address: address.ip().to_string() }
        }
        None => Who::default(),
    };
    if who.caller.is_ok()
        && let Some(seat) = request.extensions().get::<Arc<Seat>>()
    {
        seat.trust();
    }
    let name = tracing::enabled!(target: "access", tracing::Level::INFO).then(|| who.signature());
    request.extensions_mut().insert(who);
    let mut response = next.run(request).await;
    response.extensions_mut().extend(signed(name));
    response
}

fn signed(name: Option<String>) -> axum::http::Extensions {
    let mut extensions = axum::http::Extensions::new();
    name.map(|name| extensions.insert(Signature(name)));
    extensions
}

fn bearer(app: &App, headers: &HeaderMap) -> AppResult<Caller> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(nobody)?;
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Secret(token.trim().to_owned()))
    });
    app.identify(&token.ok_or_else(nobody)?, Timestamp::now())
}

fn nobody() -> AppError {
    AppError::new(
        ErrorKind::Unauthenticated,
        "request",
        "does not say who asks",
        "Send `Authorization: Bearer TOKEN`, with a token of `tintype token create` or of /api/v1/login.",
    )
}
