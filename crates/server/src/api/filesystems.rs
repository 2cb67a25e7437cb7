//! `/filesystems`, as volumes of either kind; mount and unmount.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::put;
use tintype_app::types::{DeletedInfo, FsCreate, FsInfo, FsUpdate, MountRequest};
use tintype_app::{App, AppResult};
use tintype_model::VolumeName;

use super::extract::{Body, Pairs, Path, flag, only, volume};
use super::volumes::{self, Kind};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    volumes::routes::<Filesystems>().route("/filesystems/{name}/mount", put(mount).delete(unmount))
}

/// POSIX trees.
struct Filesystems;

impl Kind for Filesystems {
    type Create = FsCreate;
    type Update = FsUpdate;
    type Info = FsInfo;
    const PATH: &'static str = "/filesystems";

    fn list(app: &App) -> AppResult<Vec<FsInfo>> {
        app.fs_list()
    }

    fn create(app: &App, wish: &FsCreate) -> AppResult<FsInfo> {
        app.fs_create(wish)
    }

    fn show(app: &App, name: &VolumeName) -> AppResult<FsInfo> {
        app.fs_show(name)
    }

    fn change(app: &App, name: &VolumeName, update: &FsUpdate) -> AppResult<FsInfo> {
        app.fs_update(name, update)
    }

    fn delete(app: &App, name: &VolumeName, force: bool) -> AppResult<DeletedInfo> {
        app.fs_delete(name, force)
    }
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
