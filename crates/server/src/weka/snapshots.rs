//! `/snapshots`: made, listed, shown, changed, deleted, restored, copied over another.

use std::collections::HashMap;

use axum::Router;
use axum::routing::MethodFilter;
use serde::{Deserialize, Serialize};
use tintype_app::types::{SnapshotCreate, SnapshotInfo, SnapshotUpdate};
use tintype_app::{AccessPointNaming, App, AppError, AppResult, ErrorKind};
use tintype_model::{
    AccessPoint, SnapshotFilter, SnapshotId, SnapshotName, SnapshotRef, VolumeName,
};

use super::ask::{Ask, Done, Nothing, given, needed, route};
use super::filesystems::number;
use super::uid::{Sort, Uid};
use crate::api::Shared;

/// A snapshot as WEKA tells it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    uid: Uid,
    id: String,
    name: String,
    filesystem: String,
    filesystem_id: String,
    filesystem_uid: Uid,
    access_point: String,
    is_writable: bool,
    is_removing: bool,
    creation_time: jiff::Timestamp,
    locator: &'static str,
    stow_status: &'static str,
    progress: u32,
    multi_obs: bool,
    #[serde(rename = "type")]
    sort: &'static str,
    /// Ours: what deleting it alone would free.
    est_reclaimable_size: u64,
}

#[derive(Deserialize)]
struct Create {
    fs_uid: Option<Uid>,
    name: Option<String>,
    access_point: Option<String>,
    source_snap_uid: Option<Uid>,
    is_writable: Option<bool>,
}

#[derive(Deserialize)]
struct Update {
    new_name: Option<String>,
    access_point: Option<String>,
    is_writable: Option<bool>,
}

/// What becomes of what is overwritten.
#[derive(Deserialize)]
struct Overwrite {
    destination_name: Option<String>,
    preserved_overwritten_snapshot_name: Option<String>,
    preserved_overwritten_snapshot_access_point: Option<String>,
}

/// The setting of the cluster.
#[derive(Serialize, Deserialize)]
struct Naming {
    access_point_naming_convention: Option<AccessPointNaming>,
}

/// What snapshots need to be told.
struct Teller<'a> {
    app: &'a App,
    filesystems: HashMap<VolumeName, u64>,
}

impl<'a> Teller<'a> {
    fn new(app: &'a App) -> AppResult<Self> {
        let all = app.filesystem_ids()?.into_iter();
        Ok(Self { app, filesystems: all.map(|(name, id)| (name, id.0)).collect() })
    }

    /// None for what is no filesystem's.
    fn tell(&self, info: SnapshotInfo) -> AppResult<Option<Snapshot>> {
        let Some(filesystem) = self.filesystems.get(&info.volume).copied() else { return Ok(None) };
        let id = number(&info.id);
        Ok(Some(Snapshot {
            uid: Uid::new(self.app, Sort::Snapshot, id)?,
            id: format!("SnapshotId<{id}>"),
            name: info.name.to_string(),
            filesystem: info.volume.to_string(),
            filesystem_id: format!("FSId<{filesystem}>"),
            filesystem_uid: Uid::new(self.app, Sort::Filesystem, filesystem)?,
            access_point: info.access_point.to_string(),
            is_writable: info.writable,
            is_removing: false,
            creation_time: info.time,
            locator: "",
            stow_status: "NONE",
            progress: 0,
            multi_obs: false,
            sort: "",
            est_reclaimable_size: info.reclaimable_bytes,
        }))
    }
}

fn told(app: &App, info: SnapshotInfo) -> AppResult<Snapshot> {
    let (volume, name) = (info.volume.to_string(), info.name.to_string());
    let told = Teller::new(app)?.tell(info)?;
    told.ok_or_else(|| AppError::no_snapshot(&volume, &name))
}

pub fn routes() -> Router<Shared> {
    let (get, post, one) = (MethodFilter::GET, MethodFilter::POST, "/snapshots/{uid}");
    let all = route(Router::new(), get, "/snapshots", "list_snapshots", list);
    let all = route(all, post, "/snapshots", "create_snapshot", create);
    let all = route(all, get, one, "show_snapshot", |ask, Nothing {}| {
        told(ask.app, ask.app.snapshot_show(&of_filesystem(ask)?)?)
    });
    let all = route(all, MethodFilter::PUT, one, "update_snapshot", update);
    let all = route(all, MethodFilter::DELETE, one, "delete_snapshot", |ask, Nothing {}| {
        ask.app.snapshot_delete(&[of_filesystem(ask)?]).map(|_| Done {})
    });
    let all = route(all, post, "/snapshots/{uid}/copy", "restore_snapshot", copy);
    let path = "/snapshots/accessPointNamingConvention";
    let all = route(all, get, path, "show_store", |ask, Nothing {}| {
        Ok(Naming { access_point_naming_convention: Some(ask.app.access_point_naming()?) })
    });
    let all = route(all, MethodFilter::PUT, path, "update_store", |ask, wish: Naming| {
        let naming = needed(wish.access_point_naming_convention, "access_point_naming_convention")?;
        ask.app.set_access_point_naming(naming)?;
        Ok(Naming { access_point_naming_convention: Some(naming) })
    });
    // The first is the filesystem's.
    route(all, post, "/snapshots/{uid}/{snapshot}/restore", "restore_snapshot", restore)
}

/// The snapshot of the path; those of disks are not to be seen here.
fn of_filesystem(ask: &Ask<'_>) -> AppResult<SnapshotId> {
    let id = ask.uid("uid")?.snapshot(ask.app)?;
    told(ask.app, ask.app.snapshot_show(&id)?).map(|_| id)
}

fn list(ask: &Ask<'_>, _: Nothing) -> AppResult<Vec<Snapshot>> {
    let teller = Teller::new(ask.app)?;
    let filesystem = ask.query("filesystem").map(VolumeName::new).transpose()?;
    // As WEKA: a filesystem that does not exist has no snapshots.
    if filesystem.as_ref().is_some_and(|name| !teller.filesystems.contains_key(name)) {
        return Ok(Vec::new());
    }
    let found = ask.app.snapshot_list(filesystem.as_ref(), &SnapshotFilter::default())?;
    let is = |key, value: &str| ask.query(key).is_none_or(|wanted| wanted == value);
    let wanted = |info: &SnapshotInfo| {
        is("name", info.name.as_str()) && is("access_point", info.access_point.as_str())
    };
    let found = found.into_iter().filter(wanted);
    found.filter_map(|info| teller.tell(info).transpose()).collect()
}

fn create(ask: &Ask<'_>, wish: Create) -> AppResult<Snapshot> {
    let id = needed(wish.fs_uid, "fs_uid")?.filesystem(ask.app)?;
    let volume = ask.app.fs_show(&id)?.name;
    let snapshot = SnapshotName::new(needed(wish.name, "name")?)?;
    let source = wish.source_snap_uid.map(|uid| uid.snapshot(ask.app)).transpose()?;
    let source = source.map(|id| ask.app.snapshot_show(&id)).transpose()?;
    let source = source.map(|info| SnapshotRef { volume: info.volume, snapshot: info.name });
    let by_name = ask.app.access_point_naming()? == AccessPointNaming::Name;
    let access_point = match access_point(wish.access_point.as_ref())? {
        None if by_name => Some(snapshot.clone().into()),
        given => given,
    };
    let wish = SnapshotCreate {
        writable: wish.is_writable.unwrap_or_default(),
        source,
        access_point,
        user: ask.who.caller()?.signature(),
        ..SnapshotCreate::plain(SnapshotRef { volume, snapshot })
    };
    told(ask.app, ask.app.snapshot_create(&wish).map_err(taken)?)
}

fn access_point(text: Option<&String>) -> AppResult<Option<AccessPoint>> {
    Ok(given(text).map(AccessPoint::new).transpose()?)
}

/// What is taken, in the words that clients look for.
fn taken(error: AppError) -> AppError {
    if error.kind != ErrorKind::Exists {
        return error;
    }
    let what = if error.detail.contains("access point") { "accessPoint" } else { "name" };
    let detail = format!("{} ({what} already exists)", error.detail);
    AppError { detail, ..error }
}

/// Members that are empty change nothing, and neither does `is_writable: false`: some clients always send them.
fn update(ask: &Ask<'_>, wish: Update) -> AppResult<Snapshot> {
    let update = SnapshotUpdate {
        name: given(wish.new_name.as_ref()).map(SnapshotName::new).transpose()?,
        access_point: access_point(wish.access_point.as_ref())?,
        writable: wish.is_writable.filter(|writable| *writable),
        ..SnapshotUpdate::default()
    };
    told(ask.app, ask.app.snapshot_update(&of_filesystem(ask)?, &update).map_err(taken)?)
}

fn restore(ask: &Ask<'_>, wish: Overwrite) -> AppResult<Snapshot> {
    let filesystem = ask.uid("uid")?.filesystem(ask.app)?;
    let id = ask.uid("snapshot")?.snapshot(ask.app)?;
    let (info, volume) = (ask.app.snapshot_show(&id)?, ask.app.fs_show(&filesystem)?.name);
    if info.volume != volume {
        return Err(AppError::no_snapshot(volume.as_str(), info.name.as_str()));
    }
    let keep = given(wish.preserved_overwritten_snapshot_name.as_ref());
    let keep = keep.map(SnapshotName::new).transpose()?;
    let at = access_point(wish.preserved_overwritten_snapshot_access_point.as_ref())?;
    ask.app.snapshot_restore(&id, keep.as_ref()).map_err(taken)?;
    // It follows from the name unless it is given.
    if let Some(keep) = keep {
        let access_point = Some(at.unwrap_or_else(|| keep.clone().into()));
        let update = SnapshotUpdate { access_point, ..SnapshotUpdate::default() };
        ask.app.snapshot_update(&SnapshotRef { volume, snapshot: keep }, &update).map_err(taken)?;
    }
    told(ask.app, ask.app.snapshot_show(&id)?)
}

fn copy(ask: &Ask<'_>, wish: Overwrite) -> AppResult<Snapshot> {
    let source = of_filesystem(ask)?;
    let to = SnapshotName::new(needed(wish.destination_name, "destination_name")?)?;
    let keep = given(wish.preserved_overwritten_snapshot_name.as_ref());
    let keep = keep.map(SnapshotName::new).transpose()?;
    let at = access_point(wish.preserved_overwritten_snapshot_access_point.as_ref())?;
    told(ask.app, ask.app.snapshot_copy(&source, &to, keep.as_ref(), at).map_err(taken)?)
}
