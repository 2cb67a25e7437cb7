//! `/filesystems/{name}/quotas`: the quotas of directories. One of them is named by its path in the query, `?path=/a/b`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use tintype_app::types::QuotaSet;
use tintype_app::{AppError, AppResult};

use super::extract::{Body, Pairs, Path, only, value, volume};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/filesystems/{name}/quotas", get(list))
        .route("/filesystems/{name}/quota", get(show).put(set).delete(unset))
}

/// The directory that the query names.
fn directory(query: &Pairs) -> AppResult<String> {
    only(query, &["path"])?;
    let path = value(query, "path").ok_or_else(|| {
        AppError::invalid("query path", "is missing", "Write ?path=/a/b, or ?path=/ for all.")
    })?;
    Ok(path.to_owned())
}

async fn list(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    only(&query, &["snapshot"])?;
    let snapshot = value(&query, "snapshot").map(str::to_owned);
    answer(&shared, move |app| app.quota_list(&name, snapshot.as_deref())).await
}

async fn show(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let (name, dir) = (volume(&path)?, directory(&query)?);
    answer(&shared, move |app| app.quota_show(&name, &dir)).await
}

async fn set(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
    Body(wish): Body<QuotaSet>,
) -> Result<Response, Problem> {
    let (name, dir) = (volume(&path)?, directory(&query)?);
    answer(&shared, move |app| app.quota_set(&name, &dir, &wish)).await
}

async fn unset(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let (name, dir) = (volume(&path)?, directory(&query)?);
    answer(&shared, move |app| app.quota_unset(&name, &dir)).await
}
