//! Logging in, who one is, and what clients ask of a cluster when they begin: `/login`, `/users/whoami`, `/cluster`, `/containers`,
//! `/security/defaultTokensExpiry`.

use axum::Router;
use axum::routing::MethodFilter;
use serde::{Deserialize, Serialize};
use tintype_app::types::{LoginRequest, RefreshRequest, Role, Secret, SessionMade};
use tintype_app::{ACCESS_SECONDS, AppResult, REFRESH_SECONDS};
use tintype_model::UserName;

use super::ask::{Ask, Nothing, needed, route};
use super::uid::{Sort, Uid, number_of};
use crate::api::Shared;

/// The release of WEKA whose abilities a client may rely on: one with filters on lists, and without quotas inside of snapshots.
const RELEASE: &str = "4.1.0";

#[derive(Deserialize)]
struct Login {
    username: Option<String>,
    password: Option<Secret>,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: Option<Secret>,
}

#[derive(Serialize)]
struct Session {
    access_token: Secret,
    token_type: String,
    expires_in: u64,
    refresh_token: Secret,
}

impl From<SessionMade> for Session {
    fn from(made: SessionMade) -> Self {
        let SessionMade { access_token, token_type, expires_in, refresh_token, .. } = made;
        Self { access_token, token_type, expires_in, refresh_token }
    }
}

#[derive(Serialize)]
struct TokensExpiry {
    access_token_expiry: u32,
    refresh_token_expiry: u32,
}

#[derive(Serialize)]
struct Whoami {
    org_id: u32,
    username: String,
    source: &'static str,
    uid: Uid,
    role: &'static str,
    org_name: &'static str,
}

#[derive(Serialize)]
struct Cluster {
    name: String,
    guid: Uid,
    release: &'static str,
    release_hash: &'static str,
    init_stage: &'static str,
    capacity: Capacity,
}

#[derive(Serialize)]
struct Capacity {
    total_bytes: u64,
    hot_spare_bytes: u64,
    unprovisioned_bytes: u64,
}

pub fn routes() -> Router<Shared> {
    let all = route(Router::new(), MethodFilter::POST, "/login", "login", login);
    let all = route(all, MethodFilter::POST, "/login/refresh", "refresh", refresh);
    let path = "/security/defaultTokensExpiry";
    let all = route(all, MethodFilter::GET, path, "whoami", |_, Nothing {}| {
        Ok(TokensExpiry {
            access_token_expiry: ACCESS_SECONDS,
            refresh_token_expiry: REFRESH_SECONDS,
        })
    });
    let all = route(all, MethodFilter::GET, "/users/whoami", "whoami", whoami);
    let all = route(all, MethodFilter::GET, "/cluster", "show_store", cluster);
    // There is one machine, and clients know its address already.
    route(all, MethodFilter::GET, "/containers", "show_store", |_, Nothing {}| Ok([(); 0]))
}

/// There are no organisations: whatever is asked for is the one.
fn login(ask: &Ask<'_>, wish: Login) -> AppResult<Session> {
    let user = UserName::new(needed(wish.username, "username")?)?;
    let password = needed(wish.password, "password")?;
    let request = LoginRequest { user, password };
    ask.app.login(&request, &ask.who.address).map(Session::from)
}

fn refresh(ask: &Ask<'_>, wish: Refresh) -> AppResult<Session> {
    let refresh_token = needed(wish.refresh_token, "refresh_token")?;
    ask.app.refresh(&RefreshRequest { refresh_token }).map(Session::from)
}

fn whoami(ask: &Ask<'_>, _: Nothing) -> AppResult<Whoami> {
    let caller = ask.who.caller()?;
    let username = caller.user().map_or_else(|| "tintype".to_owned(), UserName::to_string);
    Ok(Whoami {
        org_id: 0,
        uid: Uid::new(ask.app, Sort::User, number_of(&username))?,
        username,
        source: "Internal",
        role: role(caller.role()),
        org_name: "Root",
    })
}

/// Quotas are an administrator's here, and whoever is told a higher role will try to set them.
const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "ClusterAdmin",
        Role::Operator => "Regular",
        Role::Reader => "ReadOnly",
    }
}

fn cluster(ask: &Ask<'_>, _: Nothing) -> AppResult<Cluster> {
    let store = ask.app.store_show()?;
    let free = store.free_bytes.unwrap_or_default();
    Ok(Cluster {
        name: ask.app.host().to_owned(),
        guid: Uid::store(ask.app)?,
        release: RELEASE,
        release_hash: concat!("tintype-", env!("CARGO_PKG_VERSION")),
        init_stage: "INITIALIZED",
        capacity: Capacity {
            total_bytes: store.disk_bytes.saturating_add(free),
            hot_spare_bytes: 0,
            unprovisioned_bytes: free,
        },
    })
}
