//! `/store`, `/status`, `/sync`, `/fsck`, `/scrub`, `/shutdown`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use tintype_app::types::{FsckRequest, ShutdownInfo, StoreUpdate, SyncRequest};

use super::extract::Body;
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/store", get(show_store).patch(change_store))
        .route("/status", get(status))
        .route("/sync", post(sync))
        .route("/fsck", post(fsck))
        .route("/scrub", post(scrub))
        .route("/shutdown", post(shutdown))
}

async fn show_store(State(shared): State<Shared>) -> Result<Response, Problem> {
    answer(&shared, |app| app.store_show()).await
}

async fn change_store(
    State(shared): State<Shared>,
    Body(update): Body<StoreUpdate>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.store_update(&update)).await
}

async fn status(State(shared): State<Shared>) -> Result<Response, Problem> {
    answer(&shared, |app| app.status()).await
}

async fn sync(
    State(shared): State<Shared>,
    Body(request): Body<SyncRequest>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.sync(request.filesystem.as_ref())).await
}

async fn fsck(
    State(shared): State<Shared>,
    Body(request): Body<FsckRequest>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.fsck(request.repair, request.all)).await
}

async fn scrub(State(shared): State<Shared>) -> Result<Response, Problem> {
    answer(&shared, |app| app.scrub()).await
}

async fn shutdown(State(shared): State<Shared>) -> Result<Response, Problem> {
    shared.stop.notify_one();
    let pid = std::process::id();
    answer(&shared, move |_| Ok(ShutdownInfo { stopped: pid })).await
}
