//! `/snapshots`, `/volumes/{volume}/snapshots/{name}`, `/diff` and `/space`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use tintype_app::types::{
    CloneRequest, RestoreRequest, SnapshotCreate, SnapshotSet, SnapshotUpdate,
};
use tintype_app::{AppError, AppResult};
use tintype_model::{SnapshotFilter, Tags, VolumeName};

use super::extract::{Body, Pairs, Path, flag, moment, only, snapshot, value};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    let routes = Router::new()
        .route("/snapshots", get(list).post(create))
        .route("/snapshots/delete", post(delete_set))
        .route("/diff", get(diff))
        .route("/space", post(space));
    // A snapshot is reached by the kind of its volume, or without knowing it.
    ["filesystems", "disks", "volumes"].iter().fold(routes, |routes, kind| {
        let one = format!("/{kind}/{{volume}}/snapshots/{{name}}");
        routes
            .route(&one, get(show).patch(change).delete(delete_one))
            .route(&format!("{one}/restore"), post(restore))
            .route(&format!("{one}/clone"), post(clone))
    })
}

async fn list(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    only(&query, &["filesystem", "tag", "label", "after", "before"])?;
    let volume = value(&query, "filesystem").map(VolumeName::new).transpose();
    let volume = volume.map_err(AppError::from)?;
    let filter = filter(&query)?;
    answer(&shared, move |app| app.snapshot_list(volume.as_ref(), &filter)).await
}

fn filter(query: &Pairs) -> AppResult<SnapshotFilter> {
    let time = |key: &str| match value(query, key) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            AppError::invalid(
                format!("query {key}"),
                format!("{text:?} is not a time"),
                "Write it as in RFC 3339: 2026-11-21T10:30:00Z.",
            )
        }),
    };
    let tags = query.0.iter().filter(|(key, _)| key == "tag");
    let tags: Result<Vec<Tags>, _> = tags.map(|(_, list)| list.parse()).collect();
    Ok(SnapshotFilter {
        tags: tags?,
        label: value(query, "label").map(str::to_owned),
        after: time("after")?,
        before: time("before")?,
    })
}

async fn create(
    State(shared): State<Shared>,
    Body(wish): Body<SnapshotCreate>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.snapshot_create(&wish)).await
}

async fn show(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
) -> Result<Response, Problem> {
    let name = snapshot(&path)?;
    answer(&shared, move |app| app.snapshot_show(&name)).await
}

async fn change(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
    Body(update): Body<SnapshotUpdate>,
) -> Result<Response, Problem> {
    let name = snapshot(&path)?;
    answer(&shared, move |app| app.snapshot_update(&name, &update)).await
}

async fn delete_one(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
) -> Result<Response, Problem> {
    let name = snapshot(&path)?;
    answer(&shared, move |app| app.snapshot_delete(&[name])).await
}

async fn delete_set(
    State(shared): State<Shared>,
    Body(set): Body<SnapshotSet>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.snapshot_delete(&set.snapshots)).await
}

async fn restore(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
    Body(request): Body<RestoreRequest>,
) -> Result<Response, Problem> {
    let name = snapshot(&path)?;
    answer(&shared, move |app| app.snapshot_restore(&name, request.keep.as_ref())).await
}

async fn clone(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
    Body(request): Body<CloneRequest>,
) -> Result<Response, Problem> {
    let name = snapshot(&path)?;
    answer(&shared, move |app| app.snapshot_clone(&name, &request)).await
}

async fn diff(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    only(&query, &["from", "to", "ranges"])?;
    let (from, to) = (moment(&query, "from")?, moment(&query, "to")?);
    let ranges = flag(&query, "ranges");
    answer(&shared, move |app| app.diff(&from, &to, ranges)).await
}

async fn space(
    State(shared): State<Shared>,
    Body(set): Body<SnapshotSet>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.space(&set.snapshots)).await
}
