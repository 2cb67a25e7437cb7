//! `/fileSystems/{uid}/quota`: the quotas of directories, named by their inodes.
//!
//! WEKA tells no limit as 0 or as the largest number, and a hard quota as two equal limits; here the absent one is absent.

use axum::Router;
use axum::routing::MethodFilter;
use serde::{Deserialize, Serialize};
use tintype_app::types::{QuotaInfo, QuotaSet, QuotaState};
use tintype_app::{AppError, AppResult, ErrorKind};
use tintype_model::{Span, VolumeId};

use super::ask::{Ask, Done, Nothing, route};
use super::filesystems::inode_number;
use crate::api::Shared;

/// What clients send for a limit that is none.
const UNLIMITED: u64 = i64::MAX as u64;
const BLOCK: u64 = 4096;

/// A quota as WEKA tells it.
#[derive(Serialize)]
struct Quota {
    quota_id: String,
    inode_id: u64,
    full_path: String,
    path: String,
    #[serde(rename = "fsName")]
    fs_name: String,
    #[serde(rename = "snapName")]
    snap_name: &'static str,
    snap_view_id: u32,
    total_bytes: u64,
    data_blocks: u64,
    metadata_blocks: u64,
    hard_limit_bytes: u64,
    soft_limit_bytes: u64,
    grace_seconds: Option<u64>,
    time_over_soft_limit: u64,
    owner: String,
    status: &'static str,
}

#[derive(Deserialize)]
struct Limits {
    hard_limit_bytes: Option<u64>,
    soft_limit_bytes: Option<u64>,
    grace_seconds: Option<u64>,
    owner: Option<String>,
}

fn limit(bytes: Option<u64>) -> Option<u64> {
    bytes.filter(|bytes| (1..UNLIMITED).contains(bytes))
}

impl Limits {
    /// All limits as they are to be: what is not sent is none.
    fn all(self) -> QuotaSet {
        let (hard, soft) = (limit(self.hard_limit_bytes), limit(self.soft_limit_bytes));
        // A soft limit at the hard one says nothing more.
        let soft = soft.filter(|soft| hard != Some(*soft));
        let grace = limit(self.grace_seconds).filter(|_| soft.is_some()).map(Span::from_seconds);
        QuotaSet { hard: Some(hard), soft: Some(soft), grace: Some(grace), owner: self.owner }
    }

    /// Only those that are sent.
    fn some(self) -> QuotaSet {
        let grace = self.grace_seconds;
        QuotaSet {
            hard: self.hard_limit_bytes.map(|bytes| limit(Some(bytes))),
            soft: self.soft_limit_bytes.map(|bytes| limit(Some(bytes))),
            grace: grace.map(|seconds| limit(Some(seconds)).map(Span::from_seconds)),
            owner: self.owner,
        }
    }
}

fn told(filesystem: &str, info: QuotaInfo) -> Quota {
    let over = info.soft_since.map(|since| jiff::Timestamp::now().duration_since(since));
    let over = over.and_then(|over| u64::try_from(over.as_secs()).ok()).unwrap_or_default();
    Quota {
        quota_id: format!("{:#018x}:0", info.inode),
        inode_id: info.inode,
        full_path: format!("{filesystem}:{}", info.path),
        path: info.path,
        fs_name: filesystem.to_owned(),
        snap_name: "",
        snap_view_id: 0,
        total_bytes: info.used_bytes,
        data_blocks: info.used_bytes / BLOCK,
        metadata_blocks: 0,
        hard_limit_bytes: info.hard.unwrap_or(UNLIMITED),
        // Clients take a quota for a hard one when the soft limit is not below the hard one.
        soft_limit_bytes: info.soft.or(info.hard).unwrap_or(UNLIMITED),
        grace_seconds: info.grace.map(Span::seconds),
        time_over_soft_limit: over,
        owner: info.owner,
        status: match info.state {
            QuotaState::Active => "ACTIVE",
            QuotaState::Counting => "ADDING",
        },
    }
}

pub fn routes() -> Router<Shared> {
    let (get, one) = (MethodFilter::GET, "/fileSystems/{uid}/quota/{inode}");
    let path = "/fileSystems/{uid}/quota";
    let all = route(Router::new(), get, path, "list_quotas", |ask, Nothing {}| {
        let id = filesystem(ask)?;
        let name = ask.app.fs_show(&id)?.name;
        let all = ask.app.quota_list(&id, None)?.into_iter();
        Ok(all.map(|info| told(name.as_str(), info)).collect::<Vec<_>>())
    });
    let all = route(all, get, one, "show_quota", show);
    let all =
        route(all, MethodFilter::PUT, one, "set_quota", |ask, wish: Limits| set(ask, &wish.all()));
    let all = route(all, MethodFilter::PATCH, one, "set_quota", |ask, wish: Limits| {
        set(ask, &wish.some())
    });
    let all = route(all, MethodFilter::DELETE, one, "unset_quota", unset);
    // Some clients ask for the deletion there.
    route(all, MethodFilter::DELETE, "/fileSystems/{uid}/quotas/{inode}", "unset_quota", unset)
}

fn filesystem(ask: &Ask<'_>) -> AppResult<VolumeId> {
    ask.uid("uid")?.filesystem(ask.app)
}

fn show(ask: &Ask<'_>, _: Nothing) -> AppResult<Quota> {
    let (id, inode) = (filesystem(ask)?, inode_number(ask.name("inode"))?);
    let name = ask.app.fs_show(&id)?.name;
    let found = ask.app.quota_list(&id, None)?.into_iter().find(|info| info.inode == inode);
    let found = found.ok_or_else(|| {
        let object = format!("quota of inode {inode} of {name}");
        // Clients look for these words.
        let (detail, remedy) = ("Directory has no quota", "Set one with PUT.");
        AppError::new(ErrorKind::NotFound, object, detail, remedy)
    })?;
    Ok(told(name.as_str(), found))
}

fn set(ask: &Ask<'_>, wish: &QuotaSet) -> AppResult<Quota> {
    let (id, inode) = (filesystem(ask)?, inode_number(ask.name("inode"))?);
    let path = ask.app.path_of(&id, inode)?;
    let info = ask.app.quota_set(&id, &path, wish)?;
    Ok(told(ask.app.fs_show(&id)?.name.as_str(), info))
}

fn unset(ask: &Ask<'_>, _: Nothing) -> AppResult<Done> {
    let (id, inode) = (filesystem(ask)?, inode_number(ask.name("inode"))?);
    let path = ask.app.path_of(&id, inode)?;
    ask.app.quota_unset(&id, &path).map(|_| Done {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_clients_send_them() {
        let sent = |hard, soft| Limits {
            hard_limit_bytes: hard,
            soft_limit_bytes: soft,
            grace_seconds: Some(0),
            owner: None,
        };
        let hard = sent(Some(10), Some(10)).all();
        assert_eq!((hard.hard, hard.soft, hard.grace), (Some(Some(10)), Some(None), Some(None)));
        let soft = sent(Some(UNLIMITED), Some(10)).all();
        assert_eq!((soft.hard, soft.soft), (Some(None), Some(Some(10))));
        let some = sent(None, Some(0)).some();
        assert_eq!((some.hard, some.soft), (None, Some(None)));
    }
}
