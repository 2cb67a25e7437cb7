//! `/api/v2`: the API in the shape that WEKA's clients speak, over the same use cases as `/api/v1`.
//!
//! One file per resource; `ask.rs` is what they share: a request read, its caller's role checked, the answer put into WEKA's envelope.
//! Requests are in snake_case; snapshots are told in camelCase and everything else in snake_case, as WEKA does. Roles, users and limits are
//! those of `/api/v1`: an operation here needs what the one there needs that it is named after. docs/weka.md lists what differs.

mod ask;
mod changes;
mod filesystems;
mod policies;
mod quotas;
mod session;
mod snapshots;
mod uid;

use axum::Router;

use crate::api::Shared;

/// All routes, below `/api/v2`.
pub fn router() -> Router<Shared> {
    let routes = [
        session::routes(),
        filesystems::routes(),
        snapshots::routes(),
        quotas::routes(),
        policies::routes(),
        changes::routes(),
    ];
    let all = routes.into_iter().fold(Router::new(), Router::merge);
    all.fallback(ask::no_route).method_not_allowed_fallback(ask::no_method)
}
