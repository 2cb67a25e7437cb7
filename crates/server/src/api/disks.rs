//! `/disks`, as volumes of either kind; `/changes` and `/verify`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use tintype_app::types::{DeletedInfo, DiskCreate, DiskInfo, DiskUpdate, VerifyRequest};
use tintype_app::{App, AppError, AppResult};
use tintype_model::VolumeName;

use super::extract::{Body, Pairs, moment, only, value};
use super::volumes::{self, Kind};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    volumes::routes::<Disks>().route("/changes", get(changes)).route("/verify", post(verify))
}

/// Block devices.
struct Disks;

impl Kind for Disks {
    type Create = DiskCreate;
    type Update = DiskUpdate;
    type Info = DiskInfo;
    const PATH: &'static str = "/disks";

    fn list(app: &App) -> AppResult<Vec<DiskInfo>> {
        app.disk_list()
    }

    fn create(app: &App, wish: &DiskCreate) -> AppResult<DiskInfo> {
        app.disk_create(wish)
    }

    fn show(app: &App, name: &VolumeName) -> AppResult<DiskInfo> {
        app.disk_show(name)
    }

    fn change(app: &App, name: &VolumeName, update: &DiskUpdate) -> AppResult<DiskInfo> {
        app.disk_update(name, update)
    }

    fn delete(app: &App, name: &VolumeName, force: bool) -> AppResult<DeletedInfo> {
        app.disk_delete(name, force)
    }
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
