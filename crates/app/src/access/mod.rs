//! Who may do what: users with roles, API tokens, sessions.
//!
//! [`App::identify`] tells whose a token is, from memory. Everything else changes records, one at a time, durable before the answer. Which
//! role an operation needs is the edge's table; what a caller may do with the records of others is decided here. Whoever comes in on the
//! server's own socket is [`Caller::local`]: the system has let in only the server's user and root.

mod first;
mod records;
mod secret;
mod sessions;
mod throttle;
mod tokens;
mod users;

pub use self::sessions::{ACCESS_SECONDS, REFRESH_SECONDS};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use tintype_model::{TokenName, UserName};
use tintype_store::Store;

use self::records::{Changes, Records};
use self::secret::{Kind, Parts};
use self::throttle::Throttle;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{Role, Secret, WhoamiInfo};

/// What the app knows of users.
#[derive(Debug)]
pub(crate) struct Access {
    records: RwLock<Records>,
    /// Held while records change: what was looked at is still so when it is written.
    changes: Mutex<()>,
    throttle: Mutex<Throttle>,
    /// Held while a password is looked at: that takes memory and time, and strangers can ask for it.
    verifying: Mutex<()>,
}

/// How somebody was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    Socket,
    /// The token's name.
    Token(TokenName),
    /// The session's id.
    Session(String),
}

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    user: Option<UserName>,
    role: Role,
    by: By,
}

impl Caller {
    /// The server's own user, or root, on the server's socket.
    #[must_use]
    pub const fn local() -> Self {
        Self { user: None, role: Role::Admin, by: By::Socket }
    }

    /// What may be done.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The user, unless it is the server's own.
    #[must_use]
    pub const fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// In whose name things are done: the user, or the token that is nobody's. On the server's socket who asks says it.
    #[must_use]
    pub fn signature(&self) -> Option<String> {
        match (&self.user, &self.by) {
            (Some(user), _) => Some(user.to_string()),
            (None, By::Token(name)) => Some(format!("token {name}")),
            (None, By::Socket | By::Session(_)) => None,
        }
    }

    /// Is it the same user, or the same token that is nobody's?
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.user, &other.user) {
            (None, None) => self.by == other.by,
            (one, other) => one == other,
        }
    }

    /// Refuses whoever may not do `what`.
    pub fn must_be(&self, role: Role, what: &str) -> AppResult<()> {
        if self.role >= role {
            return Ok(());
        }
        Err(AppError::new(
            ErrorKind::Forbidden,
            what,
            format!("needs the role {role}, and this is {}", self.role),
            "Ask an administrator of the server.",
        ))
    }

    /// In words.
    #[must_use]
    pub fn info(&self) -> WhoamiInfo {
        let by = match self.by {
            By::Socket => "socket",
            By::Token(_) => "token",
            By::Session(_) => "session",
        };
        WhoamiInfo { user: self.user.clone(), role: self.role, by: by.to_owned() }
    }
}

impl Access {
    /// As the store has it.
    pub fn load(store: &Store) -> AppResult<Self> {
        Ok(Self {
            records: RwLock::new(Records::load(store)?),
            changes: Mutex::default(),
            throttle: Mutex::default(),
            verifying: Mutex::default(),
        })
    }
}

impl App {
    /// Whose token it is.
    ///
    /// # Errors
    /// Nobody's, or not any more.
    pub fn identify(&self, token: &Secret, now: Timestamp) -> AppResult<Caller> {
        let parts = Parts::read(token).ok_or_else(unknown_token)?;
        let records = self.access.records.read();
        let (user, limit, by) = match parts.kind {
            Kind::Api => {
                let token = records.tokens.get(parts.id).filter(|token| parts.fits(&token.hash));
                let token = token.filter(|token| token.expires.is_none_or(|end| now < end));
                let token = token.ok_or_else(unknown_token)?;
                (token.user.clone(), token.role, By::Token(token.name.clone()))
            }
            Kind::Session => {
                let session = records.sessions.get(parts.id);
                let session =
                    session.filter(|s| parts.fits(&s.access_hash) && now < s.access_expires);
                let session = session.ok_or_else(unknown_token)?;
                (Some(session.user.clone()), Role::Admin, By::Session(parts.id.to_owned()))
            }
            Kind::Refresh => return Err(unknown_token()),
        };
        // A token can do no more than its user can now.
        let role = match &user {
            None => limit,
            Some(name) => {
                let user = records.users.get(name.as_str()).ok_or_else(unknown_token)?;
                limit.min(user.role)
            }
        };
        Ok(Caller { user, role, by })
    }

    /// Makes changes durable, then visible. The caller holds `access.changes`.
    fn change_access(&self, changes: Changes) -> AppResult<()> {
        let apply = changes.write(&*self.store()?)?;
        apply(&mut self.access.records.write());
        Ok(())
    }
}

fn unknown_token() -> AppError {
    AppError::new(
        ErrorKind::Unauthenticated,
        "token",
        "is not valid, or not any more",
        "Log in again, or make another one with `tintype token create`.",
    )
}

#[cfg(test)]
mod tests;
