//! `/snapshotPolicy`: policies, told as the documents of WEKA's command line, with uid and filesystems beside.

use axum::Router;
use axum::routing::MethodFilter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tintype_app::types::{PolicyInfo, PolicyRun, PolicyRunRequest};
use tintype_app::{App, AppError, AppResult, ErrorKind};
use tintype_model::VolumeName;
use tintype_model::policy::{Class, PolicyDocument, PolicyName};

use super::ask::{Ask, Done, Nothing, needed, route};
use super::uid::{Sort, Uid, number_of};
use crate::api::Shared;

/// Members that are told and never taken.
const TOLD: [&str; 3] = ["uid", "id", "filesystems"];

#[derive(Deserialize)]
struct Filesystems {
    #[serde(default)]
    filesystems: Vec<VolumeName>,
    #[serde(default)]
    fs_uids: Vec<Uid>,
}

#[derive(Deserialize)]
struct Duplicate {
    new_name: Option<PolicyName>,
    #[serde(default)]
    include_attached_filesystems: bool,
}

#[derive(Deserialize)]
struct RunOnce {
    schedule_type: Option<Class>,
}

#[derive(Serialize)]
struct Ran {
    snapshots: Vec<String>,
    failed: Vec<String>,
}

fn told(app: &App, info: &PolicyInfo) -> AppResult<Value> {
    let number = number_of(info.name.as_str());
    let mut told = serde_json::to_value(&info.policy).map_err(|e| defect(&e))?;
    if let Some(members) = told.as_object_mut() {
        members.insert("uid".to_owned(), json!(Uid::new(app, Sort::Policy, number)?));
        members.insert("id".to_owned(), json!(number.to_string()));
        members.insert("filesystems".to_owned(), json!(info.volumes));
    }
    Ok(told)
}

fn defect(error: &serde_json::Error) -> AppError {
    AppError::new(ErrorKind::Internal, "policy", error.to_string(), "Report this defect.")
}

pub fn routes() -> Router<Shared> {
    let (get, post, one) = (MethodFilter::GET, MethodFilter::POST, "/snapshotPolicy/{uid}");
    let all = route(Router::new(), get, "/snapshotPolicy", "list_policies", |ask, Nothing {}| {
        let all = ask.app.policy_list()?;
        all.iter().map(|info| told(ask.app, info)).collect::<AppResult<Vec<_>>>()
    });
    let all = route(all, post, "/snapshotPolicy", "create_policy", |ask, wish: PolicyDocument| {
        told(ask.app, &ask.app.policy_create(&wish)?)
    });
    let all = route(all, get, one, "show_policy", |ask, Nothing {}| told(ask.app, &policy(ask)?));
    let all = route(all, MethodFilter::PUT, one, "update_policy", update);
    let all = route(all, MethodFilter::DELETE, one, "delete_policy", |ask, Nothing {}| {
        ask.app.policy_delete(&policy(ask)?.name, false).map(|_| Done {})
    });
    let path = "/snapshotPolicy/{uid}/filesystems";
    let all = route(all, get, path, "show_policy", |ask, Nothing {}| Ok(policy(ask)?.volumes));
    let path = "/snapshotPolicy/{uid}/filesystems/attach";
    let all = route(all, post, path, "attach_policy", |ask, wish: Filesystems| {
        each(ask, &wish, |name, volume| ask.app.policy_attach(name, volume))
    });
    let path = "/snapshotPolicy/{uid}/filesystems/detach";
    let all = route(all, post, path, "detach_policy", |ask, wish: Filesystems| {
        each(ask, &wish, |name, volume| ask.app.policy_detach(name, volume))
    });
    let all = route(all, post, "/snapshotPolicy/{uid}/duplicate", "create_policy", duplicate);
    route(all, post, "/snapshotPolicy/{uid}/runOnce", "run_policy", run_once)
}

/// The policy of the path.
fn policy(ask: &Ask<'_>) -> AppResult<PolicyInfo> {
    let uid = ask.uid("uid")?;
    let number = uid.number(ask.app, Sort::Policy)?;
    let found = ask.app.policy_list()?.into_iter();
    let mut found = found.filter(|info| number_of(info.name.as_str()) == number);
    found.next().ok_or_else(|| {
        let remedy = "GET /api/v2/snapshotPolicy lists those that there are.";
        AppError::new(ErrorKind::NotFound, format!("policy {uid}"), "does not exist", remedy)
    })
}

fn update(ask: &Ask<'_>, mut wish: Value) -> AppResult<Value> {
    if let Some(members) = wish.as_object_mut() {
        TOLD.iter().for_each(|name| drop(members.remove(*name)));
    }
    told(ask.app, &ask.app.policy_update(&policy(ask)?.name, &wish)?)
}

fn each(
    ask: &Ask<'_>,
    wish: &Filesystems,
    change: impl Fn(&PolicyName, &VolumeName) -> AppResult<PolicyInfo>,
) -> AppResult<Value> {
    let mut info = policy(ask)?;
    let mut all = wish.filesystems.clone();
    for uid in &wish.fs_uids {
        all.push(ask.app.fs_show(&uid.filesystem(ask.app)?)?.name);
    }
    for volume in &all {
        info = change(&info.name, volume)?;
    }
    told(ask.app, &info)
}

fn duplicate(ask: &Ask<'_>, wish: Duplicate) -> AppResult<Value> {
    let info = policy(ask)?;
    let mut whole = serde_json::to_value(&info.policy).map_err(|e| defect(&e))?;
    let name = needed(wish.new_name, "new_name")?;
    if let Some(members) = whole.as_object_mut() {
        members.insert("name".to_owned(), json!(name));
        if wish.include_attached_filesystems {
            members.insert("filesystems".to_owned(), json!(info.volumes));
        }
    }
    let document: PolicyDocument = serde_json::from_value(whole).map_err(|e| defect(&e))?;
    told(ask.app, &ask.app.policy_create(&document)?)
}

fn run_once(ask: &Ask<'_>, wish: RunOnce) -> AppResult<Ran> {
    let request = PolicyRunRequest { class: wish.schedule_type };
    let PolicyRun { made, failed } = ask.app.policy_run(&policy(ask)?.name, &request)?;
    let snapshots = made.iter().map(ToString::to_string).collect();
    Ok(Ran { snapshots, failed: failed.iter().map(ToString::to_string).collect() })
}
