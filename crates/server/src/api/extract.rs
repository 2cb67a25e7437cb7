//! Reading requests so that every refusal is a problem document.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tintype_app::{AppError, AppResult};
use tintype_model::{MomentName, SnapshotRef, VolumeName};

use crate::problem::Problem;

/// A JSON body; an empty one reads as `{}`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let refuse = |text: String| {
            Problem(AppError::invalid("request body", text, "docs/cli.md describes the fields."))
        };
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|e| refuse(e.body_text()))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|e| refuse(e.to_string()))
    }
}

/// The names in a path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        found.map(|path| Self(path.0)).map_err(|e| {
            let object = format!("resource {}", parts.uri.path());
            Problem(AppError::invalid(object, e.body_text(), "Escape names as UTF-8: a%20b."))
        })
    }
}

/// The filesystem of a path.
pub fn volume(Path(name): &Path<String>) -> AppResult<VolumeName> {
    Ok(VolumeName::new(name.as_str())?)
}

/// The snapshot of a path.
pub fn snapshot(Path((volume, name)): &Path<(String, String)>) -> AppResult<SnapshotRef> {
    Ok(SnapshotRef {
        volume: VolumeName::new(volume.as_str())?,
        snapshot: tintype_model::SnapshotName::new(name.as_str())?,
    })
}

/// The pairs of a query string.
pub type Pairs = axum::extract::Query<Vec<(String, String)>>;

/// The first value of `key`.
pub fn value<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    pairs.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
}

/// Is `key` there, and not "false"?
pub fn flag(pairs: &Pairs, key: &str) -> bool {
    value(pairs, key).is_some_and(|v| v != "false" && v != "0")
}

/// Refuses keys that are not in `known`: a misspelt filter must not delete more than was meant.
pub fn only(pairs: &Pairs, known: &[&str]) -> AppResult<()> {
    match pairs.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, _)) => Err(AppError::invalid(
            "query",
            format!("{key:?} is not known here"),
            format!("Known: {}.", known.join(", ")),
        )),
    }
}

/// The moment that `key` names.
pub fn moment(query: &Pairs, key: &str) -> AppResult<MomentName> {
    let text = value(query, key).ok_or_else(|| {
        AppError::invalid(format!("query {key}"), "is missing", "Write VOLUME@NAME or VOLUME.")
    })?;
    Ok(text.parse()?)
}
