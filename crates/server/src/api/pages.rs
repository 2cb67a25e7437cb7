//! Lists in pages: `limit` and `page_after`, with the address of the next page in the header `Link`.
//!
//! A page begins behind the key of the last one's end, not at a number: what comes and goes between two pages neither repeats nor hides
//! anything else. Without `limit` the whole list is the answer.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tintype_app::AppResult;
use tintype_app::types::{DiskInfo, FsInfo, SnapshotInfo};

use super::asked::{Asked, Call};
use super::operation::{Spec, Value};
use super::pattern::fits;
use super::{Shared, json_bytes, on_pool};
use crate::disk_server::escaped;
use crate::problem::Problem;
use crate::who::Who;

/// Something that lists hold, each with a key of its own.
pub trait Listed {
    /// Whether they have names that people give.
    const NAMED: bool = true;

    /// Sorts as the list does.
    fn key(&self) -> String;

    /// Its name.
    fn name(&self) -> String {
        self.key()
    }
}

impl Listed for FsInfo {
    fn key(&self) -> String {
        self.name.to_string()
    }
}

impl Listed for DiskInfo {
    fn key(&self) -> String {
        self.name.to_string()
    }
}

impl Listed for SnapshotInfo {
    /// Oldest first. Times before the epoch come first in any order.
    fn key(&self) -> String {
        let time = self.time.as_nanosecond().max(0);
        format!("{time:022}.{}@{}", self.volume, self.name)
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}

/// An operation with the parameters of pages.
pub fn parameters<T: Listed>(spec: Spec) -> Spec {
    let text = "only those whose names fit this pattern: * stands for any letters, ? for one";
    let spec = if T::NAMED { spec.query("name", Value::Text, text) } else { spec };
    spec.query("limit", Value::Number, "at most so many; the header Link names the next page")
        .query("page_after", Value::Text, "go on behind this place of the list, as Link says")
}

/// Runs `work` and answers with the page that was asked for.
pub async fn answer<T, F>(
    shared: &Shared,
    path: String,
    asked: Arc<Asked>,
    who: Who,
    work: F,
) -> Result<Response, Problem>
where
    T: Serialize + Listed + Send + 'static,
    F: Fn(&Call) -> AppResult<Vec<T>> + Send + 'static,
{
    let (body, link) = on_pool(shared, move |app| {
        let mut items = work(&Call { app, asked: &asked, who: &who })?;
        if let Some(pattern) = asked.text("name") {
            items.retain(|item| fits(pattern, &item.name()));
        }
        let (items, next) = page(items, asked.parsed("limit")?, asked.text("page_after"));
        let link = next.map(|key| link(&path, &asked, &key));
        Ok((json_bytes(&items)?, link))
    })
    .await?;
    Ok(response(body, link))
}

fn response(body: Bytes, link: Option<String>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    let link = link.and_then(|link| HeaderValue::from_str(&link).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    response
}

/// Those behind `after`, at most `limit`; and the key of the last one if more follow.
fn page<T: Listed>(
    mut items: Vec<T>,
    limit: Option<usize>,
    after: Option<&str>,
) -> (Vec<T>, Option<String>) {
    if limit.is_none() && after.is_none() {
        return (items, None);
    }
    items.sort_by_cached_key(Listed::key);
    items.retain(|item| after.is_none_or(|after| item.key().as_str() > after));
    let limit = limit.unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(Listed::key);
    (items, next)
}

fn link(path: &str, asked: &Asked, key: &str) -> String {
    let pairs = asked.query_without("page_after").chain([("page_after", key)]);
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", escaped(value.as_bytes()))).collect();
    format!("<{path}?{}>; rel=\"next\"", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Listed for &str {
        fn key(&self) -> String {
            (*self).to_owned()
        }
    }

    #[test]
    fn pages_go_on_behind_the_last_one_whatever_comes_and_goes() {
        assert_eq!(page(vec!["b", "a"], None, None), (vec!["b", "a"], None));
        assert_eq!(page(vec!["c", "a", "b"], Some(2), None), (vec!["a", "b"], Some("b".into())));
        // What the first page ended with is gone, and something came before it.
        assert_eq!(page(vec!["a", "aa", "c", "d"], Some(2), Some("b")), (vec!["c", "d"], None));
        assert_eq!(page(vec!["a"], Some(0), None), (vec![], None));
    }
}
