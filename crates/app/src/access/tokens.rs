//! API tokens: for programs, with a role and perhaps an end. Everybody has own ones; administrators see all.

use jiff::Timestamp;
use tintype_model::TokenName;

use super::records::{Changes, Records, Token};
use super::secret::{Kind, random, token};
use super::{By, Caller};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{DeletedInfo, Role, TokenCreate, TokenInfo, TokenMade};

impl Token {
    fn info(&self) -> TokenInfo {
        TokenInfo {
            name: self.name.clone(),
            user: self.user.clone(),
            role: self.role,
            created: self.created,
            expires: self.expires,
        }
    }

    /// Those that were made on the server's socket are nobody's: each of them has only itself.
    fn is_for(&self, caller: &Caller) -> bool {
        let own = match (caller.user(), &caller.by) {
            (Some(user), _) => self.user.as_ref() == Some(user),
            (None, By::Token(name)) => self.name == *name,
            (None, _) => false,
        };
        own || caller.role() == Role::Admin
    }
}

fn find<'a>(records: &'a Records, name: &TokenName) -> Option<(&'a String, &'a Token)> {
    records.tokens.iter().find(|(_, token)| token.name == *name)
}

/// A token that is lost must be gone when it is deleted or over: it leaves no others behind.
fn refuse_offspring(caller: &Caller) -> AppResult<()> {
    match caller.by {
        By::Token(_) => caller.must_be(Role::Admin, "token made with a token"),
        By::Socket | By::Session(_) => Ok(()),
    }
}

impl App {
    /// Those that the caller may see, by name.
    pub fn token_list(&self, caller: &Caller) -> AppResult<Vec<TokenInfo>> {
        let records = self.access.records.read();
        let mut list: Vec<TokenInfo> =
            records.tokens.values().filter(|token| token.is_for(caller)).map(Token::info).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// A new one, which is the caller's.
    pub fn token_create(&self, caller: &Caller, wish: &TokenCreate) -> AppResult<TokenMade> {
        caller.must_be(wish.role, &format!("token with the role {}", wish.role))?;
        refuse_offspring(caller)?;
        let now = Timestamp::now();
        let _one_change = self.access.changes.lock();
        if find(&self.access.records.read(), &wish.name).is_some() {
            return Err(AppError::new(
                ErrorKind::Exists,
                format!("token {}", wish.name),
                "exists already",
                "Choose another name, or delete that one with `tintype token delete`.",
            ));
        }
        let id = random(8)?;
        let (secret, hash) = token(Kind::Api, &id)?;
        let made = Token {
            name: wish.name.clone(),
            user: caller.user().cloned(),
            role: wish.role,
            created: now,
            expires: wish.expires_after.map(|span| span.after(now)),
            hash,
        };
        self.change_access(Changes::default().put(&id, made.clone())?)?;
        Ok(TokenMade { info: made.info(), token: secret })
    }

    /// Ends one.
    pub fn token_delete(&self, caller: &Caller, name: &TokenName) -> AppResult<DeletedInfo> {
        let _one_change = self.access.changes.lock();
        let id = {
            let records = self.access.records.read();
            let found = find(&records, name).filter(|(_, token)| token.is_for(caller));
            found.map(|(id, _)| id.clone())
        };
        let id = id.ok_or_else(|| {
            AppError::new(
                ErrorKind::NotFound,
                format!("token {name}"),
                "does not exist, or is somebody else's",
                "`tintype token list` shows yours.",
            )
        })?;
        self.change_access(Changes::default().remove::<Token>(&id))?;
        Ok(DeletedInfo { deleted: vec![name.to_string()] })
    }
}
