//! `/fileSystems`: made, listed, shown, resized, deleted; and inodes found by their paths.

use axum::Router;
use axum::routing::MethodFilter;
use serde::{Deserialize, Serialize};
use tintype_app::types::{FsCreate, FsInfo, FsUpdate};
use tintype_app::{App, AppError, AppResult, ErrorKind};
use tintype_model::{Compression, VolumeName};

use super::ask::{Ask, Done, Nothing, given, needed, route};
use super::uid::{Sort, Uid};
use crate::api::Shared;

/// There are no groups: all filesystems are in this one.
const GROUP: &str = "default";

/// A filesystem as WEKA tells it.
#[derive(Serialize)]
struct FileSystem {
    id: String,
    name: String,
    uid: Uid,
    group_id: &'static str,
    group_name: &'static str,
    status: &'static str,
    is_removing: bool,
    is_creating: bool,
    is_ready: bool,
    is_encrypted: bool,
    auth_required: bool,
    total_budget: u64,
    used_total: u64,
    used_total_data: u64,
    available_total: u64,
    free_total: u64,
    ssd_budget: u64,
    used_ssd: u64,
    used_ssd_data: u64,
    used_ssd_metadata: u64,
    available_ssd: u64,
    available_ssd_metadata: u64,
    free_ssd: u64,
    metadata_budget: u64,
    auto_max_files: bool,
    is_thinly_provisioned: bool,
    thin_provisioning_min_ssd: u64,
    thin_provisioning_max_ssd: u64,
    obs_buckets: [(); 0],
    object_storages: [(); 0],
    kms_key_identifier: &'static str,
    kms_namespace: &'static str,
    kms_role: &'static str,
}

#[derive(Deserialize)]
struct Create {
    name: Option<String>,
    total_capacity: Option<u64>,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    auth_required: bool,
}

#[derive(Deserialize)]
struct Update {
    new_name: Option<String>,
    total_capacity: Option<u64>,
}

#[derive(Serialize)]
struct Inode {
    inode_id: String,
}

#[derive(Serialize)]
struct MountToken {
    mount_token: &'static str,
    filesystem_name: String,
}

/// The number behind an id as records tell it.
pub fn number(id: &str) -> u64 {
    id.parse().unwrap_or_default()
}

fn told(app: &App, info: FsInfo) -> AppResult<FileSystem> {
    let used = info.live_bytes.saturating_add(info.snapshot_bytes);
    let total = match info.capacity {
        Some(capacity) => capacity,
        // Without a limit of its own it may grow as far as the store can.
        None => used.saturating_add(app.store_show()?.free_bytes.unwrap_or_default()),
    };
    let (free, id) = (total.saturating_sub(used), number(&info.id));
    Ok(FileSystem {
        id: format!("FSId<{id}>"),
        name: info.name.to_string(),
        uid: Uid::new(app, Sort::Filesystem, id)?,
        group_id: "FSGroupId<0>",
        group_name: GROUP,
        status: "READY",
        is_removing: false,
        is_creating: false,
        is_ready: true,
        is_encrypted: false,
        auth_required: false,
        total_budget: total,
        used_total: used,
        used_total_data: info.referenced_bytes.unwrap_or(info.live_bytes),
        available_total: total,
        free_total: free,
        ssd_budget: total,
        used_ssd: used,
        used_ssd_data: used,
        used_ssd_metadata: 0,
        available_ssd: total,
        available_ssd_metadata: 0,
        free_ssd: free,
        metadata_budget: 0,
        auto_max_files: true,
        is_thinly_provisioned: false,
        thin_provisioning_min_ssd: 0,
        thin_provisioning_max_ssd: 0,
        obs_buckets: [],
        object_storages: [],
        kms_key_identifier: "",
        kms_namespace: "",
        kms_role: "",
    })
}

pub fn routes() -> Router<Shared> {
    let (get, one) = (MethodFilter::GET, "/fileSystems/{uid}");
    let all = route(Router::new(), get, "/fileSystems", "list_filesystems", list);
    let all = route(all, MethodFilter::POST, "/fileSystems", "create_filesystem", create);
    let all = route(all, get, one, "show_filesystem", |ask, Nothing {}| {
        told(ask.app, ask.app.fs_show(&ask.uid("uid")?.filesystem(ask.app)?)?)
    });
    let all = route(all, MethodFilter::PUT, one, "update_filesystem", update);
    let all = route(all, MethodFilter::DELETE, one, "delete_filesystem", |ask, Nothing {}| {
        ask.app.fs_delete(&ask.uid("uid")?.filesystem(ask.app)?, false).map(|_| Done {})
    });
    let path = "/fileSystems/{uid}/resolvePath";
    let all = route(all, get, path, "show_filesystem", resolve_path);
    let path = "/fileSystems/{uid}/mountToken";
    route(all, get, path, "show_filesystem", mount_token)
}

fn list(ask: &Ask<'_>, _: Nothing) -> AppResult<Vec<FileSystem>> {
    let wanted = |info: &FsInfo| {
        let is = |key, value: &str| ask.query(key).is_none_or(|wanted| wanted == value);
        is("name", info.name.as_str()) && is("group_name", GROUP)
    };
    let all = ask.app.fs_list()?.into_iter().filter(wanted);
    all.map(|info| told(ask.app, info)).collect()
}

fn create(ask: &Ask<'_>, wish: Create) -> AppResult<FileSystem> {
    let name = VolumeName::new(needed(wish.name, "name")?)?;
    if wish.encrypted || wish.auth_required {
        return Err(AppError::invalid(
            format!("filesystem {name}"),
            "cannot be encrypted or have mounts of its own right",
            "Leave encrypted and auth_required out; encrypt the disk below the store.",
        ));
    }
    let capacity = Some(needed(wish.total_capacity, "total_capacity")?);
    let compression = Compression::default();
    let wish = FsCreate { name, quota: None, capacity, compression, mount: None };
    told(ask.app, ask.app.fs_create(&wish)?)
}

fn update(ask: &Ask<'_>, wish: Update) -> AppResult<FileSystem> {
    let id = ask.uid("uid")?.filesystem(ask.app)?;
    let name = given(wish.new_name.as_ref()).map(VolumeName::new).transpose()?;
    let update = FsUpdate { name, capacity: wish.total_capacity.map(Some), ..FsUpdate::default() };
    told(ask.app, ask.app.fs_update(&id, &update)?)
}

fn resolve_path(ask: &Ask<'_>, _: Nothing) -> AppResult<Inode> {
    let id = ask.uid("uid")?.filesystem(ask.app)?;
    ask.app.fs_show(&id)?;
    let path = needed(ask.query("path"), "path")?;
    let inode = ask.app.inode_at(&id, path).map_err(|error| match error.kind {
        // Clients look for this word, and for a status of 400.
        ErrorKind::NotFound => AppError::invalid(error.object, "PATH_NOT_FOUND", error.remedy),
        _ => error,
    })?;
    Ok(Inode { inode_id: inode.to_string() })
}

/// An inode in decimal digits.
pub fn inode_number(text: &str) -> AppResult<u64> {
    text.parse().map_err(|_| {
        let text: String = text.chars().take(80).collect();
        AppError::invalid(
            format!("inode {text:?}"),
            "is no number",
            "Send the inode that `stat` shows.",
        )
    })
}

/// No token is needed to mount.
fn mount_token(ask: &Ask<'_>, _: Nothing) -> AppResult<MountToken> {
    let info = ask.app.fs_show(&ask.uid("uid")?.filesystem(ask.app)?)?;
    Ok(MountToken { mount_token: "", filesystem_name: info.name.to_string() })
}
