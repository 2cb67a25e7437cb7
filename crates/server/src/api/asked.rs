//! What a request names in its path and its query, decoded and checked against its operation.

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use tintype_app::types::Role;
use tintype_app::{App, AppError, AppResult, Caller};
use tintype_model::{MomentName, SnapshotName, SnapshotRef, VolumeName};

use super::operation::{Operation, flag};
use crate::problem::Problem;
use crate::who::Who;

/// The pairs of a query string.
pub type Pairs = Vec<(String, String)>;

/// Names and query of a request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    names: Pairs,
    query: Pairs,
}

impl Asked {
    /// Reads them, and refuses what the operation does not know.
    pub async fn read(parts: &mut Parts, operation: &Operation) -> Result<Self, Problem> {
        let object = format!("resource {}", parts.uri.path());
        let names = RawPathParams::from_request_parts(parts, &()).await.map_err(|e| {
            AppError::invalid(object, e.body_text(), "Escape names as UTF-8: a%20b.")
        })?;
        let names = names.iter().map(|(key, name)| (key.to_owned(), name.to_owned())).collect();
        let query: Query<Pairs> = Query::try_from_uri(&parts.uri).map_err(|e| {
            AppError::invalid("query", e.body_text(), "Escape values as UTF-8: a%20b.")
        })?;
        operation.check(&query.0)?;
        Ok(Self { names, query: query.0 })
    }

    fn name(&self, key: &str) -> &str {
        let found = self.names.iter().find(|(name, _)| name == key);
        found.map(|(_, name)| name.as_str()).unwrap_or_default()
    }

    /// What stands at `{name}`.
    pub fn named(&self) -> &str {
        self.name("name")
    }

    /// What stands at `{id}`.
    pub fn id(&self) -> &str {
        self.name("id")
    }

    /// The volume at `{name}`.
    pub fn volume(&self) -> AppResult<VolumeName> {
        Ok(VolumeName::new(self.named())?)
    }

    /// The volume at `{volume}`, where `{name}` is something else.
    pub fn volume_beside(&self) -> AppResult<VolumeName> {
        Ok(VolumeName::new(self.name("volume"))?)
    }

    /// The snapshot at `{volume}` and `{name}`.
    pub fn snapshot(&self) -> AppResult<SnapshotRef> {
        Ok(SnapshotRef {
            volume: self.volume_beside()?,
            snapshot: SnapshotName::new(self.named())?,
        })
    }

    /// The value of `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of `key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Is `key` there, and not "false"?
    pub fn flag(&self, key: &str) -> bool {
        self.text(key).and_then(flag).unwrap_or_default()
    }

    /// The value of `key`, read.
    pub fn parsed<T>(&self, key: &str) -> AppResult<Option<T>>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| {
            AppError::invalid(
                format!("query {key}"),
                error.to_string(),
                "docs/cli.md describes it.",
            )
        })
    }

    /// The moment that `key` names.
    pub fn moment(&self, key: &str) -> AppResult<MomentName> {
        Ok(self.text(key).unwrap_or_default().parse()?)
    }

    /// The query without `key`, to be sent again.
    pub fn query_without(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        let rest = self.query.iter().filter(move |(name, _)| name != key);
        rest.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A request on its way to a use case.
pub struct Call<'a> {
    /// The use cases.
    pub app: &'a App,
    /// What it names.
    pub asked: &'a Asked,
    /// Who asks.
    pub who: &'a Who,
}

impl Call<'_> {
    /// The caller, which only open operations may lack.
    pub fn caller(&self) -> AppResult<&Caller> {
        self.who.caller()
    }

    /// Where something is mounted is an administrator's choice.
    pub fn may_mount(&self, mount: Option<&std::path::PathBuf>) -> AppResult<()> {
        match mount {
            None => Ok(()),
            Some(dir) => self.caller()?.must_be(Role::Admin, &format!("mount {}", dir.display())),
        }
    }
}
