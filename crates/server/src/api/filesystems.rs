//! `/filesystems`: make, list, show, change, mount, unmount, delete.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, put};
use tintype_app::types::{FsCreate, FsUpdate, MountRequest};

use super::extract::{Body, Pairs, Path, flag, only, volume};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/filesystems", get(list).post(create))
        .route("/filesystems/{name}", get(show).patch(change).delete(remove))
        .route("/filesystems/{name}/mount", put(mount).delete(unmount))
}

async fn list(State(shared): State<Shared>) -> Result<Response, Problem> {
    answer(&shared, |app| app.fs_list()).await
}

async fn create(
    State(shared): State<Shared>,
    Body(wish): Body<FsCreate>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.fs_create(&wish)).await
}

async fn show(State(shared): State<Shared>, path: Path<String>) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| app.fs_show(&name)).await
}

async fn change(
    State(shared): State<Shared>,
    path: Path<String>,
    Body(update): Body<FsUpdate>,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| app.fs_update(&name, &update)).await
}

async fn remove(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    only(&query, &["force"])?;
    let force = flag(&query, "force");
    answer(&shared, move |app| app.fs_delete(&name, force)).await
}

async fn mount(
    State(shared): State<Shared>,
    path: Path<String>,
    Body(request): Body<MountRequest>,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| app.fs_mount(&name, &request.dir)).await
}

async fn unmount(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    only(&query, &["force"])?;
    let force = flag(&query, "force");
    answer(&shared, move |app| app.fs_unmount(&name, force)).await
}
