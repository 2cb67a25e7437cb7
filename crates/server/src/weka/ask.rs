//! One request: what it names, who asks, what comes back. `{"data": ...}` when it went well, `{"message": ..., "data": {...}}` when not.
//!
//! Clients of other versions send members that are not known here; they are passed over, as WEKA does. Failures keep the status that they
//! have under `/api/v1`.

use axum::Json;
use axum::Router;
use axum::extract::{FromRequestParts, Query, RawPathParams, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tintype_app::{App, AppError, AppResult, ErrorKind};

use super::uid::Uid;
use crate::api::{Access, Shared, access, json_bytes, on_pool, read_body};
use crate::problem::Problem;
use crate::who::Who;

type Pairs = Vec<(String, String)>;

/// A request on its way to a use case.
pub struct Ask<'a> {
    pub app: &'a App,
    pub who: &'a Who,
    names: &'a Pairs,
    query: &'a Pairs,
}

impl Ask<'_> {
    /// What stands at a place of the path.
    pub fn name(&self, key: &str) -> &str {
        let found = self.names.iter().find(|(name, _)| name == key);
        found.map(|(_, name)| name.as_str()).unwrap_or_default()
    }

    /// The uid at a place of the path.
    pub fn uid(&self, key: &str) -> AppResult<Uid> {
        Uid::read(self.name(key))
    }

    /// The value of a query, unless it is empty.
    pub fn query(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// No body.
#[derive(Default, Deserialize)]
pub struct Nothing {}

/// An answer without anything to tell.
#[derive(Serialize)]
pub struct Done {}

/// Text that a client may send empty instead of leaving it out.
pub fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// A member that must be there.
pub fn needed<T>(value: Option<T>, name: &'static str) -> AppResult<T> {
    value.ok_or_else(|| {
        let remedy = format!("Send the member {name}; docs/weka.md lists what a request holds.");
        AppError::invalid(format!("member {name}"), "is missing", remedy)
    })
}

/// One more operation; `id` is the one of `/api/v1` whose role it needs.
pub fn route<B, T>(
    router: Router<Shared>,
    method: MethodFilter,
    path: &str,
    id: &'static str,
    work: fn(&Ask<'_>, B) -> AppResult<T>,
) -> Router<Shared>
where
    B: DeserializeOwned + Send + 'static,
    T: Serialize + Send + 'static,
{
    let handler = move |State(shared): State<Shared>, request: Request| async move {
        match answer(&shared, id, request, work).await {
            Ok(response) => response,
            Err(problem) => refusal(problem),
        }
    };
    router.route(path, on(method, handler))
}

async fn answer<B, T>(
    shared: &Shared,
    id: &'static str,
    request: Request,
    work: fn(&Ask<'_>, B) -> AppResult<T>,
) -> Result<Response, Problem>
where
    B: DeserializeOwned + Send + 'static,
    T: Serialize + Send + 'static,
{
    let who = request.extensions().get::<Who>().cloned().unwrap_or_default();
    if let Access::Needs(role) = access(id) {
        who.caller()?.must_be(role, &format!("operation {id}"))?;
    }
    let (mut parts, body) = request.into_parts();
    let names = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .map_err(|e| AppError::invalid("path", e.body_text(), "Escape names as UTF-8: a%20b."))?;
    let names: Pairs = names.iter().map(|(key, name)| (key.to_owned(), name.to_owned())).collect();
    let query: Query<Pairs> = Query::try_from_uri(&parts.uri)
        .map_err(|e| AppError::invalid("query", e.body_text(), "Escape values as UTF-8: a%20b."))?;
    let bytes = read_body(Request::from_parts(parts, body)).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    let wish = serde_json::from_slice(text).map_err(|error| {
        let remedy = "docs/weka.md lists what a request holds.";
        AppError::invalid("request body", error.to_string(), remedy)
    })?;
    let body = on_pool(shared, move |app| {
        let ask = Ask { app, who: &who, names: &names, query: &query.0 };
        json_bytes(&Envelope { data: work(&ask, wish)? })
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

#[derive(Serialize)]
struct Envelope<T> {
    data: T,
}

/// A failure in WEKA's shape.
fn refusal(problem: Problem) -> Response {
    let told = problem.document();
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = format!("{}. {}", told.detail.trim_end_matches('.'), told.remedy);
    let data = match status {
        // This one is text there.
        StatusCode::UNAUTHORIZED => Value::String(told.detail.clone()),
        _ => json!({
            "error": told.detail, "exceptionClass": exception(&told.object, status),
        }),
    };
    // The rest is what problem documents hold: our own programs read that.
    let body = json!({
        "message": message, "data": data, "type": told.kind, "detail": told.detail,
        "object": told.object, "remedy": told.remedy,
    });
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let scheme = header::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// The name that WEKA's clients look for.
fn exception(object: &str, status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND if object.starts_with("snapshot ") => "SnapshotDoesNotExistException",
        StatusCode::NOT_FOUND if object.starts_with("filesystem ") => {
            "FilesystemDoesNotExistException"
        }
        _ => "OperationFailedException",
    }
}

pub async fn no_route(uri: axum::http::Uri) -> Response {
    let object = format!("resource /api/v2{}", uri.path());
    let remedy = "docs/weka.md lists what is offered.";
    refusal(AppError::new(ErrorKind::NotFound, object, "does not exist", remedy).into())
}

pub async fn no_method(method: axum::http::Method, uri: axum::http::Uri) -> Response {
    refusal(Problem::method(method.as_str(), uri.path()))
}
