//! `/snapshots/diff/prepare` and `/snapshots/diff/getResults`: what differs between two moments, for several readers at once.

use axum::Router;
use axum::routing::MethodFilter;
use serde::{Deserialize, Serialize};
use tintype_app::AppResult;
use tintype_app::types::{ChangeListWish, DiffChange, DiffEntry, DiffObject};

use super::ask::{Ask, given, needed, route};
use super::uid::Uid;
use crate::api::Shared;

/// Parts when nobody says how many.
const PARALLELISM: usize = 4;
/// Entries of a page when nobody says how many.
const LIMIT: usize = 1000;

#[derive(Deserialize)]
struct Prepare {
    fs_uid: Option<Uid>,
    base_snap_uid: Option<Uid>,
    target_snap_uid: Option<Uid>,
    parallelism: Option<usize>,
}

#[derive(Serialize)]
struct Prepared {
    cookies: Vec<String>,
    expires: jiff::Timestamp,
}

#[derive(Deserialize)]
struct GetResults {
    cookie: Option<String>,
    resume_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Results {
    entries: Vec<Entry>,
    resume_token: Option<String>,
    stop_token: String,
}

/// A change as WEKA tells it; what is behind `isRenamed` is ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    op_type: &'static str,
    path: String,
    size: u64,
    is_renamed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_path_hex: Option<String>,
}

impl From<DiffEntry> for Entry {
    fn from(entry: DiffEntry) -> Self {
        Self {
            op_type: op_type(entry.object, entry.change),
            path: entry.path,
            size: entry.size,
            is_renamed: entry.change == DiffChange::Renamed,
            old_path: entry.old_path,
            path_hex: entry.path_hex,
            old_path_hex: entry.old_path_hex,
        }
    }
}

/// What it is, and what happened to it.
const fn op_type(object: DiffObject, change: DiffChange) -> &'static str {
    use DiffChange::{Added, Attributes, Deleted, Modified, Renamed};
    match (object, change) {
        (DiffObject::File, Added) => "FILE_ADD",
        (DiffObject::File, Modified) => "FILE_MODIFY",
        (DiffObject::File, Deleted) => "FILE_DELETE",
        (DiffObject::File, Attributes) => "FILE_ATTRIBUTES",
        (DiffObject::File, Renamed) => "FILE_RENAME",
        (DiffObject::Dir, Added) => "DIR_ADD",
        (DiffObject::Dir, Modified) => "DIR_MODIFY",
        (DiffObject::Dir, Deleted) => "DIR_DELETE",
        (DiffObject::Dir, Attributes) => "DIR_ATTRIBUTES",
        (DiffObject::Dir, Renamed) => "DIR_RENAME",
        (DiffObject::Symlink, Added) => "SYMLINK_ADD",
        (DiffObject::Symlink, Modified) => "SYMLINK_MODIFY",
        (DiffObject::Symlink, Deleted) => "SYMLINK_DELETE",
        (DiffObject::Symlink, Attributes) => "SYMLINK_ATTRIBUTES",
        (DiffObject::Symlink, Renamed) => "SYMLINK_RENAME",
        // Disks have no change list.
        (DiffObject::Other | DiffObject::Disk, Added) => "OTHER_ADD",
        (DiffObject::Other | DiffObject::Disk, Modified) => "OTHER_MODIFY",
        (DiffObject::Other | DiffObject::Disk, Deleted) => "OTHER_DELETE",
        (DiffObject::Other | DiffObject::Disk, Attributes) => "OTHER_ATTRIBUTES",
        (DiffObject::Other | DiffObject::Disk, Renamed) => "OTHER_RENAME",
    }
}

pub fn routes() -> Router<Shared> {
    let post = MethodFilter::POST;
    let all = route(Router::new(), post, "/snapshots/diff/prepare", "diff", prepare);
    route(all, post, "/snapshots/diff/getResults", "diff", get_results)
}

fn prepare(ask: &Ask<'_>, wish: Prepare) -> AppResult<Prepared> {
    let snapshot = |uid: Option<Uid>| uid.map(|uid| uid.snapshot(ask.app)).transpose();
    let list = ask.app.change_list_prepare(&ChangeListWish {
        filesystem: needed(wish.fs_uid, "fs_uid")?.filesystem(ask.app)?,
        from: snapshot(wish.base_snap_uid)?,
        to: snapshot(wish.target_snap_uid)?,
        readers: wish.parallelism.unwrap_or(PARALLELISM),
    })?;
    Ok(Prepared { cookies: list.cookies, expires: list.expires })
}

fn get_results(ask: &Ask<'_>, wish: GetResults) -> AppResult<Results> {
    let cookie = needed(wish.cookie, "cookie")?;
    let resume = given(wish.resume_token.as_ref());
    let page = ask.app.change_list_page(&cookie, resume, wish.limit.unwrap_or(LIMIT))?;
    let stop_token = cookie.rsplit('.').next().unwrap_or_default().to_owned();
    let entries = page.entries.into_iter().map(Entry::from).collect();
    Ok(Results { entries, resume_token: page.resume, stop_token })
}
