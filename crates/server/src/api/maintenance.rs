//! `/store`, `/status`, `/sync`, `/fsck`, `/scrub`, `/shutdown`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use tintype_app::types::{Empty, FsckRequest, ShutdownInfo, StoreUpdate, SupportInfo, SyncRequest};

use super::operation::{Content, named};
use super::resource::{Resource, json};
use super::{Shared, answer};
use crate::problem::Problem;

pub fn resource() -> Resource {
    Resource::new("server", "The server and its store")
        .get("/store", named("show_store", "How much the store may take and does"), |call| {
            call.app.store_show()
        })
        .patch(
            "/store",
            named("update_store", "Change how much the store may take"),
            |call, update: StoreUpdate| call.app.store_update(&update),
        )
        .get("/status", named("status", "How the server and its store are"), |call| {
            call.app.status()
        })
        .post(
            "/sync",
            named("sync", "Make everything durable now").long(),
            |call, request: SyncRequest| call.app.sync(request.filesystem.as_ref()),
        )
        .post(
            "/fsck",
            named("fsck", "Check the store and its volumes, and repair them if asked to").long(),
            |call, request: FsckRequest| call.app.fsck(request.repair, request.all),
        )
        .post(
            "/scrub",
            named("scrub", "Read all data and check all checksums").long(),
            |call, Empty {}| call.app.scrub(),
        )
        .bare(
            Method::GET,
            "/support",
            named(
                "show_support",
                "What helps those who help: settings, numbers, last lines of the log",
            ),
            Content::Nothing,
            json::<SupportInfo>(),
            support,
        )
        .bare(
            Method::POST,
            "/shutdown",
            named("shutdown", "Stop the server: flush, unmount, close"),
            Content::Nothing,
            json::<ShutdownInfo>(),
            shutdown,
        )
}

async fn support(State(shared): State<Shared>) -> Result<Response, Problem> {
    let known = Arc::clone(&shared.support);
    answer(&shared, move |app| {
        let (settings, log) = (known.settings.clone(), known.log.lines());
        Ok(SupportInfo { settings, figures: app.figures()?, log })
    })
    .await
}

async fn shutdown(State(shared): State<Shared>) -> Result<Response, Problem> {
    shared.stop.notify_one();
    let pid = std::process::id();
    answer(&shared, move |_| Ok(ShutdownInfo { stopped: pid })).await
}
