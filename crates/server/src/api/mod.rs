//! `/api/v1`: one file per resource, each a list of operations.
//!
//! To add a resource: a file with `pub fn resource() -> Resource`, and a line in [`resources`]. `operation.rs` says what an operation is made
//! of, `resource.rs` turns it into a route, `openapi.rs` describes all of them. Types that go over the wire derive
//! `ToSchema`; who may do what stands in `roles.rs`; a list's items implement `Listed` (`pages.rs`). `cargo run -p tintype-cli -- openapi > docs/openapi.json` then writes the document anew.

mod access;
mod asked;
mod deliver;
mod disks;
mod events;
mod filesystems;
mod images;
mod maintenance;
mod meter;
mod metrics;
mod openapi;
mod operation;
mod pages;
mod pattern;
mod policies;
mod quotas;
mod resource;
mod roles;
mod snapshots;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tintype_app::{App, AppError, AppResult, ErrorKind, Stop, until};
use tokio::sync::Notify;

use self::resource::Resource;
use crate::problem::Problem;
use crate::recent::RecentLog;
use crate::trace::trace;
use crate::who::recognise;

pub use events::Wake;
pub use images::ExportLine;
pub use resource::read_body;
pub use roles::{Access, access};

/// What every handler shares.
#[derive(Clone)]
pub struct Shared {
    /// The use cases.
    pub app: Arc<App>,
    /// Rings when the server shall stop.
    pub stop: Arc<Notify>,
    /// Wakes those who listen to events.
    pub wake: Wake,
    /// What those who help want to know.
    pub support: Arc<Support>,
}

/// What a server knows of itself, for those who help.
pub struct Support {
    /// The last lines of the log.
    pub log: RecentLog,
    /// What it was started with.
    pub settings: serde_json::Value,
}

/// Large enough for a list of every snapshot of a store.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Everything that can be asked.
fn resources() -> Vec<Resource> {
    vec![
        filesystems::resource(),
        disks::resource(),
        snapshots::resource(),
        quotas::resource(),
        policies::resource(),
        maintenance::resource(),
        access::resource(),
        tasks::resource(),
        events::resource(),
    ]
}

/// The OpenAPI document of the API.
#[must_use]
pub fn openapi() -> String {
    openapi::document(&resources())
}

/// All routes.
pub fn router(shared: Shared) -> Router {
    let resources = resources();
    let document = Bytes::from(openapi::document(&resources));
    let serve_document = move || async move {
        ([(header::CONTENT_TYPE, "application/json")], document).into_response()
    };
    let operations: Arc<[_]> =
        resources.iter().flat_map(|resource| resource.operations.iter().cloned()).collect();
    let serve_metrics = move |shared, request| metrics::serve(shared, operations, request);
    let routes = resources.iter().fold(Router::new(), |all, one| all.merge(one.router()));
    Router::new()
        .route(openapi::PATH, get(serve_document))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(serve_metrics))
        .nest("/api/v1", routes)
        .nest("/api/v2", crate::weka::router())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&shared.app), recognise))
        .layer(from_fn(trace))
        .with_state(shared)
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The store takes changes.
async fn readyz(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    on_pool(&shared, |app| app.ready().map(|()| "ok\n")).await
}

async fn no_route(uri: axum::http::Uri) -> Problem {
    let object = format!("resource {}", uri.path());
    let remedy = "/api/v1/openapi.json lists the resources.";
    AppError::new(ErrorKind::NotFound, object, "does not exist", remedy).into()
}

async fn no_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    Problem::method(method.as_str(), uri.path())
}

/// Asks for the end of a use case when it is dropped. A client that goes away has its handler dropped.
struct Leaves(Stop);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Runs a use case and writes its result.
async fn answer<T, F>(shared: &Shared, work: F) -> Result<Response, Problem>
where
    T: Serialize,
    F: FnOnce(&App) -> AppResult<T> + Send + 'static,
{
    // The text is made on the blocking pool too: lists can be long.
    let body = on_pool(shared, |app| json_bytes(&work(app)?)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Runs a use case on the blocking pool. What only reads ends early when the client has gone; what changes something is done to its end.
pub async fn on_pool<T, F>(shared: &Shared, work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(&App) -> AppResult<T> + Send + 'static,
{
    let app = Arc::clone(&shared.app);
    let stop = Stop::default();
    let _leaves = Leaves(stop.clone());
    let span = tracing::Span::current();
    let work = move || {
        let _inside = span.enter();
        let done = until(&stop, || work(&app));
        if stop.is_asked() {
            tracing::info!(
                ended_early = done.is_err(),
                "a client went away before its answer came"
            );
        }
        done
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|e| broken(&e))??)
}

pub fn json_bytes<T: Serialize>(value: &T) -> AppResult<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| broken(&e))
}

fn broken(error: &dyn std::fmt::Display) -> AppError {
    AppError::new(
        ErrorKind::Internal,
        "server",
        format!("the request ended in a defect: {error}"),
        "Look into the log of the server, and report the defect.",
    )
}
