//! `/disks/{name}/import` and `/disks/{name}/export`: images of disks as bodies, as long as they are.

use std::sync::Arc;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tintype_app::types::{DiskExport, DiskImport, ExportHead};
use tintype_app::{AppError, AppResult};
use tintype_image::{Format, Stream};
use tintype_model::{ByteSize, MomentName, SnapshotName, SnapshotRef, VolumeName};
use tokio::sync::oneshot;

use super::extract::{Pairs, Path, flag, only, value, volume};
use super::{Shared, answer, broken};
use crate::problem::Problem;
use crate::stream::{Rest, incoming, outgoing};

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/disks/{name}/import", post(import).layer(DefaultBodyLimit::disable()))
        .route("/disks/{name}/export", get(export))
}

async fn import(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
    headers: HeaderMap,
    body: AxumBody,
) -> Result<Response, Problem> {
    only(&query, &["format", "force", "capacity", "compression"])?;
    let wish = DiskImport {
        name: volume(&path)?,
        format: format(&query)?,
        force: flag(&query, "force"),
        capacity: parsed::<ByteSize>(&query, "capacity")?.map(|size| size.0),
        compression: parsed(&query, "compression")?.unwrap_or_default(),
    };
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse().ok());
    let (reader, feed) = incoming(body, Rest::Take);
    // It goes on when whoever asked has gone: then the body ends with an error, and so does the import.
    tokio::spawn(feed);
    answer(&shared, move |app| app.disk_import(&wish, &mut Stream::new(reader, length))).await
}

async fn export(
    State(shared): State<Shared>,
    path: Path<String>,
    query: Pairs,
) -> Result<Response, Problem> {
    only(&query, &["snapshot", "format", "base", "with_snapshot"])?;
    let wish = wish(volume(&path)?, &query)?;
    let app = Arc::clone(&shared.app);
    let (told, head) = oneshot::channel();
    let job = tokio::task::spawn_blocking(move || {
        app.disk_export(&wish, |head: ExportHead| {
            let (writer, body) = outgoing(head.length);
            // Who asked may have gone: then the first write fails.
            drop(told.send((head, body)));
            Ok(writer)
        })
        .inspect_err(|error| tracing::warn!(%error, "an export did not end well"))
    });
    match head.await {
        Ok((head, body)) => {
            let mut response = AxumBody::new(body).into_response();
            response.headers_mut().extend(described(&head));
            Ok(response)
        }
        // Nothing was told: it was refused.
        Err(_) => match job.await {
            Ok(Err(error)) => Err(Problem(error)),
            Ok(Ok(())) => Err(Problem(broken(&"an export that began nothing"))),
            Err(error) => Err(Problem(broken(&error))),
        },
    }
}

fn wish(name: VolumeName, query: &Pairs) -> AppResult<DiskExport> {
    let moment = match parsed::<SnapshotName>(query, "snapshot")? {
        None => MomentName::Live(name),
        Some(snapshot) => MomentName::Snapshot(SnapshotRef { volume: name, snapshot }),
    };
    let snapshots = query.0.iter().filter(|(key, _)| key == "with_snapshot");
    let snapshots: Result<Vec<SnapshotName>, _> =
        snapshots.map(|(_, name)| SnapshotName::new(name.as_str())).collect();
    Ok(DiskExport {
        moment,
        format: format(query)?.unwrap_or(Format::Raw),
        base: parsed(query, "base")?,
        snapshots: snapshots?,
    })
}

fn format(query: &Pairs) -> AppResult<Option<Format>> {
    parsed(query, "format")
}

/// The value of `key`, read.
fn parsed<T>(query: &Pairs, key: &str) -> AppResult<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let Some(text) = value(query, key) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| {
        AppError::invalid(format!("query {key}"), error.to_string(), "docs/cli.md describes it.")
    })
}

fn described(head: &ExportHead) -> HeaderMap {
    let plain: String = head
        .file_name
        .chars()
        .map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' })
        .collect();
    let texts = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{plain}\"")),
        (HeaderName::from_static("tintype-image"), head.uuid.clone()),
        (HeaderName::from_static("tintype-disk-bytes"), head.size.to_string()),
        (HeaderName::from_static("tintype-data-bytes"), head.data.to_string()),
    ];
    let value =
        |(name, text): (HeaderName, String)| Some((name, HeaderValue::from_str(&text).ok()?));
    texts.into_iter().filter_map(value).collect()
}
