//! Users: made, listed, changed and deleted by administrators; everybody changes the own password.

use jiff::Timestamp;
use tintype_model::UserName;

use super::Caller;
use super::records::{Changes, Records, Token, User};
use super::secret::{hash_password, is_password};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{DeletedInfo, PasswordChange, Role, UserCreate, UserInfo, UserUpdate};

fn info(name: &str, user: &User) -> AppResult<UserInfo> {
    Ok(UserInfo { name: UserName::new(name)?, role: user.role, created: user.created })
}

impl App {
    /// All users, by name.
    pub fn user_list(&self) -> AppResult<Vec<UserInfo>> {
        let records = self.access.records.read();
        records.users.iter().map(|(name, user)| info(name, user)).collect()
    }

    /// One.
    pub fn user_show(&self, name: &UserName) -> AppResult<UserInfo> {
        info(name.as_str(), &self.user(name)?)
    }

    /// A new one.
    pub fn user_create(&self, wish: &UserCreate) -> AppResult<UserInfo> {
        let password = hash_password(&wish.password)?;
        let _one_change = self.access.changes.lock();
        if self.access.records.read().users.contains_key(wish.name.as_str()) {
            return Err(AppError::new(
                ErrorKind::Exists,
                format!("user {}", wish.name),
                "exists already",
                "Choose another name, or change that user with `tintype user set`.",
            ));
        }
        let user = User { role: wish.role, created: Timestamp::now(), password };
        self.change_access(Changes::default().put(wish.name.as_str(), user.clone())?)?;
        info(wish.name.as_str(), &user)
    }

    /// Changes of one.
    pub fn user_update(&self, name: &UserName, update: &UserUpdate) -> AppResult<UserInfo> {
        let password = update.password.as_ref().map(hash_password).transpose()?;
        let _one_change = self.access.changes.lock();
        let mut user = self.user(name)?;
        let mut changes = Changes::default();
        if let Some(role) = update.role {
            if role < Role::Admin {
                self.refuse_last_admin(name, "would lose the last administrator's role")?;
            }
            user.role = role;
        }
        if let Some(password) = password {
            user.password = password;
            changes = changes.end(&sessions_of(&self.access.records.read(), name));
        }
        self.change_access(changes.put(name.as_str(), user.clone())?)?;
        info(name.as_str(), &user)
    }

    /// Removes one, with all tokens and sessions.
    pub fn user_delete(&self, name: &UserName) -> AppResult<DeletedInfo> {
        let _one_change = self.access.changes.lock();
        self.user(name)?;
        self.refuse_last_admin(name, "is the last administrator")?;
        let changes = {
            let records = self.access.records.read();
            let tokens =
                records.tokens.iter().filter(|(_, token)| token.user.as_ref() == Some(name));
            let start = Changes::default().end(&sessions_of(&records, name));
            tokens.fold(start, |changes, (id, _)| changes.remove::<Token>(id))
        };
        self.change_access(changes.remove::<User>(name.as_str()))?;
        Ok(DeletedInfo { deleted: vec![name.to_string()] })
    }

    /// Changes the caller's own password. All sessions end, also this one.
    pub fn password_change(
        &self,
        caller: &Caller,
        address: &str,
        change: &PasswordChange,
    ) -> AppResult<UserInfo> {
        let name = caller.user().ok_or_else(nobody)?;
        self.attempt(name, address)?;
        let kept = self.user(name)?.password;
        let right = {
            let _one_at_a_time = self.access.verifying.lock();
            is_password(&change.old, Some(&kept))
        };
        if !right {
            return Err(AppError::new(
                ErrorKind::Forbidden,
                format!("user {name}"),
                "has another password",
                "Write the password of now as the old one.",
            ));
        }
        self.access.throttle.lock().forget(name.as_str(), address);
        let update = UserUpdate { password: Some(change.new.clone()), role: None };
        self.user_update(name, &update)
    }

    pub(super) fn attempt(&self, user: &UserName, address: &str) -> AppResult<()> {
        self.access.throttle.lock().attempt(user.as_str(), address, Timestamp::now())
    }

    fn user(&self, name: &UserName) -> AppResult<User> {
        let found = self.access.records.read().users.get(name.as_str()).cloned();
        found.ok_or_else(|| {
            AppError::new(
                ErrorKind::NotFound,
                format!("user {name}"),
                "does not exist",
                "`tintype user list` shows the users.",
            )
        })
    }

    fn refuse_last_admin(&self, name: &UserName, what: &str) -> AppResult<()> {
        let records = self.access.records.read();
        let admin = |user: &User| user.role == Role::Admin;
        let is_one = records.users.get(name.as_str()).is_some_and(admin);
        let others =
            records.users.iter().any(|(other, user)| other != name.as_str() && admin(user));
        if others || !is_one {
            return Ok(());
        }
        Err(AppError::new(
            ErrorKind::Protected,
            format!("user {name}"),
            what,
            "Make another user with the role admin first.",
        ))
    }
}

fn sessions_of(records: &Records, name: &UserName) -> Vec<String> {
    let sessions = records.sessions.iter().filter(|(_, session)| session.user == *name);
    sessions.map(|(id, _)| id.clone()).collect()
}

fn nobody() -> AppError {
    AppError::invalid(
        "password",
        "can be changed only by who logged in as a user",
        "Use `tintype user set NAME --password-file FILE` on the server's socket.",
    )
}
