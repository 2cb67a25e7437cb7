//! `/disks`: make, list, show, change, delete; `/changes` and `/verify`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use tintype_app::types::{DiskCreate, DiskUpdate, VerifyRequest};
use tintype_app::{AppError, AppResult};

use super::extract::{Body, Pairs, Path, flag, moment, only, value, volume};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/disks", get(list).post(create))
        .route("/disks/{name}", get(show).patch(change).delete(remove))
        .route("/changes", get(changes))
        .route("/verify", post(verify))
}

async fn list(State(shared): State<Shared>) -> Result<Response, Problem> {
    answer(&shared, |app| app.disk_list()).await
}

async fn create(
    State(shared): State<Shared>,
    Body(wish): Body<DiskCreate>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.disk_create(&wish)).await
}

async fn show(State(shared): State<Shared>, path: Path<String>) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| app.disk_show(&name)).await
}

async fn change(
    State(shared): State<Shared>,
    path: Path<String>,
    Body(update): Body<DiskUpdate>,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| app.disk_update(&name, &update)).await
}

async fn remove(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    only(&query, &["force"])?;
    let force = flag(&query, "force");
    answer(&shared, move |app| app.disk_delete(&name, force)).await
}

async fn changes(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    only(&query, &["from", "to", "granularity"])?;
    let (from, to) = (moment(&query, "from")?, moment(&query, "to")?);
    let unit = granularity(&query)?;
    answer(&shared, move |app| app.disk_changes(&from, &to, unit)).await
}

fn granularity(query: &Pairs) -> AppResult<u64> {
    let Some(text) = value(query, "granularity") else { return Ok(4096) };
    text.parse().map_err(|_| {
        AppError::invalid(
            "query granularity",
            format!("{text:?} is no number of bytes"),
            "Write a power of two from 4096 to 1073741824.",
        )
    })
}

async fn verify(
    State(shared): State<Shared>,
    Body(request): Body<VerifyRequest>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.disk_verify(&request.moment)).await
}
