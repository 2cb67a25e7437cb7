//! From a request to its answer: at once, as a task that goes on alone, or as it was answered before.
//!
//! `Prefer: respond-async` (RFC 7240) makes a task of an operation that can be long; others answer at once, as the RFC lets them.
//! `Idempotency-Key` has an operation that makes something done once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tintype_app::types::Role;
use tintype_app::{App, AppError, AppResult, Once, OnceKey, OnceRun, TaskWish};
use tracing::Span;

use super::operation::Operation;
use super::roles::Access;
use super::{Shared, json_bytes, on_pool};
use crate::problem::Problem;
use crate::who::Who;

/// The header with the key of a request.
pub const KEY: &str = "idempotency-key";
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Says that a wish was heard.
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Bytes of a key.
const KEY_MAX: usize = 255;

/// A use case with its answer as JSON.
pub type Work = Box<dyn FnOnce(&App) -> AppResult<Bytes> + Send>;

/// How a request wants to be served.
pub struct Wish {
    operation: Arc<Operation>,
    who: Who,
    /// Path and query.
    place: String,
    later: bool,
    key: Option<String>,
}

impl Wish {
    /// As its headers say.
    pub fn read(
        operation: Arc<Operation>,
        who: Who,
        place: String,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let later = operation.long && prefers_later(headers);
        let key = key(&operation, headers)?;
        Ok(Self { operation, who, place, later, key })
    }

    /// Serves it.
    pub async fn serve(
        self,
        shared: &Shared,
        body: &[u8],
        work: Work,
    ) -> Result<Response, Problem> {
        let Some(key) = &self.key else { return self.work(shared, None, work).await };
        let request = [self.place.as_bytes(), body];
        let key = OnceKey::new(self.who.caller()?, &self.operation.id, key, &request);
        match on_pool(shared, move |app| app.once(key, Timestamp::now())).await? {
            Once::New(run) => self.work(shared, Some(run), work).await,
            Once::Other => Err(Problem::other_request()),
            Once::Again(answer) => {
                let mut response = json_response(answer.into());
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                Ok(response)
            }
        }
    }

    async fn work(
        self,
        shared: &Shared,
        once: Option<OnceRun>,
        work: Work,
    ) -> Result<Response, Problem> {
        let work = move |app: &App| {
            let answer = work(app)?;
            if let Some(run) = &once
                && let Err(error) = app.once_done(run, &answer, Timestamp::now())
            {
                tracing::warn!(%error, "a repetition of the request will not know its answer");
            }
            Ok(answer)
        };
        if self.later {
            return self.begin(shared, work);
        }
        Ok(json_response(on_pool(shared, work).await?))
    }

    /// Answers with a task that does the work.
    fn begin(
        self,
        shared: &Shared,
        work: impl FnOnce(&App) -> AppResult<Bytes> + Send + 'static,
    ) -> Result<Response, Problem> {
        let run = shared.app.task_begin(task(&self.operation, &self.who, self.place)?)?;
        let (id, by) = (run.id().to_owned(), self.who.caller()?.clone());
        let (app, span) = (Arc::clone(&shared.app), Span::current());
        let told = app.task_show(&id, &by)?;
        tokio::task::spawn_blocking(move || {
            let _inside = span.enter();
            let done = run.run(|| work(&app), |answer| serde_json::from_slice(answer).ok());
            if let Err(error) = done {
                tracing::info!(%error, "a task did not end well");
            }
        });
        let mut response = json_response(json_bytes(&told)?);
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        headers.insert(APPLIED, HeaderValue::from_static("respond-async"));
        let place = HeaderValue::from_str(&format!("/api/v1/tasks/{id}"));
        headers.extend(place.ok().map(|place| (header::LOCATION, place)));
        Ok(response)
    }
}

/// What a task says of itself.
pub fn task(operation: &Operation, who: &Who, place: String) -> AppResult<TaskWish> {
    let needs = match operation.access {
        Access::Open => Role::Reader,
        Access::Needs(role) => role,
    };
    let by = who.caller()?.clone();
    Ok(TaskWish { operation: operation.id.clone(), object: place, needs, by })
}

/// JSON that is ready.
pub fn json_response(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn prefers_later(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut wishes = values.flat_map(|value| value.split([',', ';']));
    wishes.any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"))
}

/// The key, where it means something. What may be done twice needs none; elsewhere it would be a promise that is not kept.
fn key(operation: &Operation, headers: &HeaderMap) -> AppResult<Option<String>> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let refuse = |detail: &str, remedy: &str| {
        Err(AppError::invalid("header Idempotency-Key", detail, remedy))
    };
    if !operation.once {
        return match operation.method {
            Method::POST => refuse(
                "is not known to this operation",
                "Leave it away; the description of the API says which operations know it.",
            ),
            _ => Ok(None),
        };
    }
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_MAX {
        return refuse("is no key", "Send 1 to 255 printable characters, a UUID for example.");
    }
    Ok(Some(key.to_owned()))
}
