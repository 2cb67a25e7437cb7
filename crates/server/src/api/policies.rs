//! `/policies`, `/policies/{name}` with `/volumes/{volume}`, `/run` and `/forecast`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post, put};
use tintype_app::types::PolicyRunRequest;
use tintype_app::{AppError, AppResult};
use tintype_model::VolumeName;
use tintype_model::policy::{PolicyDocument, PolicyName};

use super::extract::{Body, Pairs, Path, flag, only, value};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/policies", get(list).post(create))
        .route("/policies/{name}", get(show).patch(change).delete(delete))
        .route("/policies/{name}/volumes/{volume}", put(attach).delete(detach))
        .route("/policies/{name}/run", post(run))
        .route("/policies/{name}/forecast", get(forecast))
}

fn name(Path(name): &Path<String>) -> AppResult<PolicyName> {
    Ok(PolicyName::new(name.as_str())?)
}

async fn list(State(shared): State<Shared>, query: Pairs) -> Result<Response, Problem> {
    only(&query, &[])?;
    answer(&shared, |app| app.policy_list()).await
}

async fn create(
    State(shared): State<Shared>,
    Body(document): Body<PolicyDocument>,
) -> Result<Response, Problem> {
    answer(&shared, move |app| app.policy_create(&document)).await
}

async fn show(State(shared): State<Shared>, path: Path<String>) -> Result<Response, Problem> {
    let name = name(&path)?;
    answer(&shared, move |app| app.policy_show(&name)).await
}

async fn change(
    State(shared): State<Shared>,
    path: Path<String>,
    Body(patch): Body<serde_json::Value>,
) -> Result<Response, Problem> {
    let name = name(&path)?;
    answer(&shared, move |app| app.policy_update(&name, &patch)).await
}

async fn delete(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = name(&path)?;
    only(&query, &["force"])?;
    let force = flag(&query, "force");
    answer(&shared, move |app| app.policy_delete(&name, force)).await
}

fn pair(Path((name, volume)): &Path<(String, String)>) -> AppResult<(PolicyName, VolumeName)> {
    Ok((PolicyName::new(name.as_str())?, VolumeName::new(volume.as_str())?))
}

async fn attach(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
) -> Result<Response, Problem> {
    let (name, volume) = pair(&path)?;
    answer(&shared, move |app| app.policy_attach(&name, &volume)).await
}

async fn detach(
    State(shared): State<Shared>,
    path: Path<(String, String)>,
) -> Result<Response, Problem> {
    let (name, volume) = pair(&path)?;
    answer(&shared, move |app| app.policy_detach(&name, &volume)).await
}

async fn run(
    State(shared): State<Shared>,
    path: Path<String>,
    Body(request): Body<PolicyRunRequest>,
) -> Result<Response, Problem> {
    let name = name(&path)?;
    answer(&shared, move |app| app.policy_run(&name, &request)).await
}

async fn forecast(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    let name = name(&path)?;
    only(&query, &["days"])?;
    let days = value(&query, "days").unwrap_or("7");
    let days = days.parse().map_err(|_| {
        AppError::invalid(
            "query days",
            format!("{days:?} is no number of days"),
            "Write a whole number such as 30.",
        )
    })?;
    answer(&shared, move |app| app.policy_forecast(&name, days)).await
}
