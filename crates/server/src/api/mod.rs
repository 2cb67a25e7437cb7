//! `/api/v1`: one file per resource. Every handler reads the request, calls one use case on the
//! blocking pool, and writes JSON.

mod disks;
mod extract;
mod filesystems;
mod images;
mod maintenance;
mod policies;
mod quotas;
mod snapshots;
mod volumes;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tintype_app::{App, AppError, AppResult, ErrorKind, Stop, until};
use tokio::sync::Notify;

use crate::problem::Problem;

pub use images::ExportLine;

/// What every handler shares.
#[derive(Clone)]
pub struct Shared {
    /// The use cases.
    pub app: Arc<App>,
    /// Rings when the server shall stop.
    pub stop: Arc<Notify>,
}

/// Large enough for a list of every snapshot of a store.
const BODY_BYTES_MAX: usize = 64 << 20;

/// All routes.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .nest(
            "/api/v1",
            filesystems::routes()
                .merge(disks::routes())
                .merge(images::routes())
                .merge(snapshots::routes())
                .merge(quotas::routes())
                .merge(policies::routes())
                .merge(maintenance::routes()),
        )
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

async fn no_route(uri: axum::http::Uri) -> Problem {
    Problem(AppError::new(
        ErrorKind::NotFound,
        format!("resource {}", uri.path()),
        "does not exist",
        "docs/cli.md lists the resources under /api/v1.",
    ))
}

async fn no_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    Problem(AppError::invalid(
        format!("resource {}", uri.path()),
        format!("does not know the method {method}"),
        "docs/cli.md lists the methods of each resource.",
    ))
}

/// Asks for the end of a use case when it is dropped. A client that goes away has its handler dropped.
struct Leaves(Stop);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Runs a use case and writes its result. What only reads ends early when the client has gone; what changes something is done to its end.
async fn answer<T, F>(shared: &Shared, work: F) -> Result<Response, Problem>
where
    T: Serialize,
    F: FnOnce(&App) -> AppResult<T> + Send + 'static,
{
    let app = Arc::clone(&shared.app);
    let stop = Stop::default();
    let _leaves = Leaves(stop.clone());
    // The text is made on the blocking pool too: lists can be long.
    let work = move || {
        let done = until(&stop, || work(&app));
        if stop.is_asked() {
            tracing::info!(
                ended_early = done.is_err(),
                "a client went away before its answer came"
            );
        }
        done.and_then(|value| json(&value))
    };
    let body = tokio::task::spawn_blocking(work).await.map_err(|e| Problem(broken(&e)))??;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn json<T: Serialize>(value: &T) -> AppResult<Bytes> {
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
