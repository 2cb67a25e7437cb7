//! What can be done with volumes of either kind, at the path of the kind: make, list, show, change, delete.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tintype_app::types::DeletedInfo;
use tintype_app::{App, AppResult};
use tintype_model::VolumeName;

use super::extract::{Body, Pairs, Path, flag, only, volume};
use super::{Shared, answer};
use crate::problem::Problem;

/// A kind of volume: its use cases, and what goes in and out.
pub trait Kind: 'static {
    /// A wish for a new one.
    type Create: DeserializeOwned + Send + 'static;
    /// Changes of one.
    type Update: DeserializeOwned + Send + 'static;
    /// One, as it is shown.
    type Info: Serialize;
    /// Where all of them are.
    const PATH: &'static str;

    fn list(app: &App) -> AppResult<Vec<Self::Info>>;
    fn create(app: &App, wish: &Self::Create) -> AppResult<Self::Info>;
    fn show(app: &App, name: &VolumeName) -> AppResult<Self::Info>;
    fn change(app: &App, name: &VolumeName, update: &Self::Update) -> AppResult<Self::Info>;
    fn delete(app: &App, name: &VolumeName, force: bool) -> AppResult<DeletedInfo>;
}

/// The routes of a kind.
pub fn routes<K: Kind>() -> Router<Shared> {
    let one = format!("{}/{{name}}", K::PATH);
    Router::new()
        .route(K::PATH, get(list::<K>).post(create::<K>))
        .route(&one, get(show::<K>).patch(change::<K>).delete(remove::<K>))
}

async fn list<K: Kind>(State(shared): State<Shared>) -> Result<Response, Problem> {
    answer(&shared, |app| K::list(app)).await
}

async fn create<K: Kind>(
    State(shared): State<Shared>,
    Body(wish): Body<K::Create>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| K::create(app, &wish)).await
}

async fn show<K: Kind>(
    State(shared): State<Shared>,
    path: Path<String>,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| K::show(app, &name)).await
}

async fn change<K: Kind>(
    State(shared): State<Shared>,
    path: Path<String>,
    Body(update): Body<K::Update>,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    answer(&shared, move |app| K::change(app, &name, &update)).await
}

async fn remove<K: Kind>(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = volume(&path)?;
    only(&query, &["force"])?;
    let force = flag(&query, "force");
    answer(&shared, move |app| K::delete(app, &name, force)).await
}
