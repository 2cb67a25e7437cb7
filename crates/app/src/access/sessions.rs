//! Sessions: a password gives a token for minutes and one to go on with.
//!
//! The second one is good for one use and gives both anew, so a stolen one is noticed by whoever comes second: then the session ends.
//! Only one that was given out can end it: the session's id, which access tokens show, is not enough.

use jiff::{SignedDuration, Timestamp};
use tintype_model::UserName;

use super::records::{Changes, Records, Session};
use super::secret::{Kind, Parts, hash_family, is_password, random, refresh_token, token};
use super::{By, Caller};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{LoginRequest, LogoutInfo, RefreshRequest, SessionMade};

/// How long an access token is good.
pub const ACCESS_SECONDS: u32 = 15 * 60;
/// How long a refresh token is good.
pub const REFRESH_SECONDS: u32 = 7 * 86_400;
/// Sessions of one user; the oldest ends when there is one more.
const SESSIONS_MAX: usize = 64;

impl App {
    /// A session for who knows the password. `address` tells those apart who guess.
    pub fn login(&self, request: &LoginRequest, address: &str) -> AppResult<SessionMade> {
        self.attempt(&request.user, address)?;
        let kept = self.access.records.read().users.get(request.user.as_str()).cloned();
        let right = {
            let _one_at_a_time = self.access.verifying.lock();
            is_password(&request.password, kept.as_ref().map(|user| user.password.as_str()))
        };
        if !right {
            tracing::warn!(user = %request.user, address, "a login failed");
            return Err(refused());
        }
        self.access.throttle.lock().forget(request.user.as_str(), address);
        let now = Timestamp::now();
        let _one_change = self.access.changes.lock();
        // The password may have been changed meanwhile.
        let (known, over) = {
            let records = self.access.records.read();
            let user = records.users.get(request.user.as_str());
            let same = user.map(|user| &user.password) == kept.as_ref().map(|user| &user.password);
            (same, over(&records, &request.user, now))
        };
        if !known {
            return Err(refused());
        }
        let (id, family) = (random(8)?, random(16)?);
        self.go_on(Changes::default().end(&over), (&id, &family), &request.user, now)
    }

    /// The next tokens of a session.
    pub fn refresh(&self, request: &RefreshRequest) -> AppResult<SessionMade> {
        let now = Timestamp::now();
        let parts = Parts::read(&request.refresh_token).filter(|parts| parts.kind == Kind::Refresh);
        let parts = parts.ok_or_else(refused_refresh)?;
        let _one_change = self.access.changes.lock();
        let found = self.access.records.read().sessions.get(parts.id).cloned();
        let session = found.filter(|session| now < session.refresh_expires);
        let session = session.ok_or_else(refused_refresh)?;
        let family = parts.family();
        if hash_family(family) != session.family_hash {
            return Err(refused_refresh());
        }
        if !parts.fits(&session.refresh_hash) {
            // Somebody has used it already: one of the two is no friend.
            tracing::warn!(user = %session.user, "a refresh token came twice: the session ends");
            self.change_access(Changes::default().remove::<Session>(parts.id))?;
            return Err(refused_refresh());
        }
        self.go_on(Changes::default(), (parts.id, family), &session.user, now)
    }

    /// Ends the caller's session.
    pub fn logout(&self, caller: &Caller) -> AppResult<LogoutInfo> {
        let By::Session(id) = &caller.by else { return Ok(LogoutInfo { ended: false }) };
        let _one_change = self.access.changes.lock();
        self.change_access(Changes::default().remove::<Session>(id))?;
        Ok(LogoutInfo { ended: true })
    }

    fn go_on(
        &self,
        changes: Changes,
        (id, family): (&str, &str),
        user: &UserName,
        now: Timestamp,
    ) -> AppResult<SessionMade> {
        let (access_token, access_hash) = token(Kind::Session, id)?;
        let (refresh_token, refresh_hash) = refresh_token(id, family)?;
        let after = |seconds: u32| {
            now.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX)
        };
        let session = Session {
            user: user.clone(),
            access_hash,
            access_expires: after(ACCESS_SECONDS),
            refresh_hash,
            family_hash: hash_family(family),
            refresh_expires: after(REFRESH_SECONDS),
        };
        self.change_access(changes.put(id, session)?)?;
        Ok(SessionMade {
            access_token,
            token_type: "Bearer".to_owned(),
            expires_in: ACCESS_SECONDS.into(),
            refresh_token,
            refresh_expires_in: REFRESH_SECONDS.into(),
        })
    }
}

/// Sessions that have ended, and the oldest of a user with too many.
fn over(records: &Records, user: &UserName, now: Timestamp) -> Vec<String> {
    let ended = records.sessions.iter().filter(|(_, session)| session.refresh_expires <= now);
    let mut over: Vec<String> = ended.map(|(id, _)| id.clone()).collect();
    let mut own: Vec<_> = records
        .sessions
        .iter()
        .filter(|(_, session)| session.user == *user && session.refresh_expires > now)
        .collect();
    own.sort_by_key(|(_, session)| session.refresh_expires);
    let surplus = (own.len() + 1).saturating_sub(SESSIONS_MAX);
    over.extend(own.into_iter().take(surplus).map(|(id, _)| id.clone()));
    over
}

fn refused() -> AppError {
    AppError::new(
        ErrorKind::Unauthenticated,
        "login",
        "is refused: there is no such user, or the password is another one",
        "Check both. The first administrator's secret lies in the store's folder as admin-secret.",
    )
}

fn refused_refresh() -> AppError {
    AppError::new(
        ErrorKind::Unauthenticated,
        "refresh token",
        "is not valid, or was used already",
        "Log in again.",
    )
}
