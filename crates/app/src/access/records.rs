//! What the store keeps of users, tokens and sessions: documents, read once and written before anybody is answered.
//!
//! Reading goes to memory; a change is durable first and visible then. Secrets are here only as hashes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tintype_model::{TokenName, UserName};
use tintype_store::{DocumentChange, Store};

use crate::convert::store_error;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::types::Role;

const USER: &str = "user";
const TOKEN: &str = "token";
const SESSION: &str = "session";

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub role: Role,
    pub created: Timestamp,
    /// Its hash.
    pub password: String,
}

/// An API token; its id is the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub name: TokenName,
    pub user: Option<UserName>,
    pub role: Role,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub hash: String,
}

/// A session; its id is the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    pub user: UserName,
    pub access_hash: String,
    pub access_expires: Timestamp,
    pub refresh_hash: String,
    /// Of what all refresh tokens of the session share.
    pub family_hash: String,
    pub refresh_expires: Timestamp,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub users: BTreeMap<String, User>,
    pub tokens: BTreeMap<String, Token>,
    pub sessions: BTreeMap<String, Session>,
}

/// What a change does in memory.
type Change = Box<dyn FnOnce(&mut Records) + Send>;

/// Changes that become durable together.
#[derive(Default)]
pub(super) struct Changes {
    documents: Vec<DocumentChange>,
    apply: Vec<Change>,
}

/// A sort of record: where it is kept.
pub(super) trait Record: Serialize + DeserializeOwned + Clone + Send + 'static {
    const KIND: &'static str;
    fn table(records: &mut Records) -> &mut BTreeMap<String, Self>;
}

impl Record for User {
    const KIND: &'static str = USER;
    fn table(records: &mut Records) -> &mut BTreeMap<String, Self> {
        &mut records.users
    }
}

impl Record for Token {
    const KIND: &'static str = TOKEN;
    fn table(records: &mut Records) -> &mut BTreeMap<String, Self> {
        &mut records.tokens
    }
}

impl Record for Session {
    const KIND: &'static str = SESSION;
    fn table(records: &mut Records) -> &mut BTreeMap<String, Self> {
        &mut records.sessions
    }
}

impl Records {
    /// As the store has them.
    pub fn load(store: &Store) -> AppResult<Self> {
        let mut records = Self::default();
        read::<User>(store, &mut records)?;
        read::<Token>(store, &mut records)?;
        read::<Session>(store, &mut records)?;
        Ok(records)
    }
}

fn read<R: Record>(store: &Store, records: &mut Records) -> AppResult<()> {
    let found = store.documents(R::KIND).map_err(|e| store_error("users", &e))?;
    for (key, text) in found {
        let record =
            serde_json::from_slice::<R>(&text).map_err(|e| unreadable(R::KIND, &key, &e))?;
        R::table(records).insert(key, record);
    }
    Ok(())
}

fn unreadable(kind: &str, key: &str, error: &serde_json::Error) -> AppError {
    AppError::new(
        ErrorKind::Damaged,
        format!("{kind} {key}"),
        format!("is not what tintype wrote: {error}"),
        "Run the version of tintype that wrote it, or put the store back from a copy.",
    )
}

impl Changes {
    /// Keeps a record.
    pub fn put<R: Record>(mut self, key: &str, record: R) -> AppResult<Self> {
        let text = serde_json::to_vec(&record).map_err(|e| unreadable(R::KIND, key, &e))?;
        self.document::<R>(key, Some(text));
        let key = key.to_owned();
        self.apply.push(Box::new(move |records| {
            R::table(records).insert(key, record);
        }));
        Ok(self)
    }

    /// Removes a record.
    pub fn remove<R: Record>(mut self, key: &str) -> Self {
        self.document::<R>(key, None);
        let key = key.to_owned();
        self.apply.push(Box::new(move |records| {
            R::table(records).remove(&key);
        }));
        self
    }

    /// Removes these sessions.
    pub fn end(self, sessions: &[String]) -> Self {
        sessions.iter().fold(self, |changes, id| changes.remove::<Session>(id))
    }

    fn document<R: Record>(&mut self, key: &str, value: Option<Vec<u8>>) {
        self.documents.push(DocumentChange { kind: R::KIND, name: key.to_owned(), value });
    }

    /// Writes all of them; what to do in memory then.
    pub fn write(self, store: &Store) -> AppResult<impl FnOnce(&mut Records) + use<>> {
        store.put_documents(&self.documents).map_err(|e| store_error("users", &e))?;
        Ok(move |records: &mut Records| self.apply.into_iter().for_each(|change| change(records)))
    }
}
