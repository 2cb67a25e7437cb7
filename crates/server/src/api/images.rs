//! `/disks/{name}/import` and `/disks/{name}/export`: images of disks as bodies, as long as they are; and exports into a file that came with the
//! connection, told line by line.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tintype_app::types::{DiskImport, ImageHead, ImageWish};
use tintype_app::{App, AppError, AppResult};
use tintype_image::{Format, Stream};
use tintype_model::{ByteSize, MomentName, SnapshotName, SnapshotRef, VolumeName};
use tokio::sync::oneshot;

use super::extract::{Pairs, Path, flag, only, value, volume};
use super::{Shared, answer, broken};
use crate::file::FileWriter;
use crate::handed::Handed;
use crate::problem::{Problem, ProblemDocument};
use crate::stream::{PieceWriter, Rest, incoming, outgoing};

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
    handed: Option<Extension<ConnectInfo<Handed>>>,
) -> Result<Response, Problem> {
    only(&query, &["snapshot", "format", "base", "with_snapshot", "into"])?;
    let wish = wish(volume(&path)?, &query)?;
    let app = Arc::clone(&shared.app);
    match value(&query, "into") {
        None => {}
        Some("file") => {
            let handed = handed.map(|Extension(ConnectInfo(handed))| handed).unwrap_or_default();
            return Ok(export_into(app, wish, handed.take()?));
        }
        Some(_) => {
            let object = "query into";
            return Err(AppError::invalid(object, "is not \"file\"", "Leave it away.").into());
        }
    }
    let (told, head) = oneshot::channel();
    let job = tokio::task::spawn_blocking(move || {
        app.disk_export(&wish, |head: ImageHead| {
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

/// A line of the answer to an export into a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportLine {
    /// It begins.
    Begun {
        /// Bytes to come, about.
        bytes: u64,
    },
    /// Bytes of the file so far, with its holes.
    Reached(u64),
    /// The file is whole, and not synced.
    Done {
        /// The name of the image.
        image: String,
        /// Bytes of the disk.
        size: u64,
    },
    /// The file cannot be written.
    Unwritable(String),
    /// It did not end well.
    Failed(ProblemDocument),
}

/// Bytes of a file between two lines.
const STEP: u64 = 16 << 20;

/// Writes the image to the file. The answer is lines: [`ExportLine`]. When nobody takes them any more, it ends.
fn export_into(app: Arc<App>, wish: ImageWish, file: File) -> Response {
    let (lines, body) = outgoing(None);
    tokio::task::spawn_blocking(move || {
        let lines = Lines(Arc::new(Mutex::new(lines)));
        let last = write_into(&app, &wish, file, &lines);
        // Who asked may have gone.
        drop(lines.tell(&last));
    });
    AxumBody::new(body).into_response()
}

#[derive(Clone)]
struct Lines(Arc<Mutex<PieceWriter>>);

impl Lines {
    fn tell(&self, line: &ExportLine) -> std::io::Result<()> {
        let mut out = self.0.lock();
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

fn write_into(app: &App, wish: &ImageWish, file: File, lines: &Lines) -> ExportLine {
    let mut done = None;
    let broken = Arc::new(Mutex::new(None));
    let written = app.disk_export(wish, |head| {
        // Who asked may have gone: then the first piece fails.
        drop(lines.tell(&ExportLine::Begun { bytes: head.length.unwrap_or(head.data) }));
        done = Some(ExportLine::Done { image: head.uuid, size: head.size });
        let (lines, mut told) = (lines.clone(), 0);
        let reached = move |at: u64| {
            if at.saturating_sub(told) < STEP {
                return Ok(());
            }
            told = at;
            lines.tell(&ExportLine::Reached(at))
        };
        Ok(FileWriter::new(file, Arc::clone(&broken), reached))
    });
    match (written, broken.lock().take(), done) {
        (Ok(()), _, Some(done)) => done,
        (_, Some(why), _) => ExportLine::Unwritable(why),
        (Ok(()), None, None) => {
            ExportLine::Failed(Problem(super::broken(&"an export that began nothing")).document())
        }
        (Err(error), None, _) => {
            tracing::warn!(%error, "an export did not end well");
            ExportLine::Failed(Problem(error).document())
        }
    }
}

fn wish(name: VolumeName, query: &Pairs) -> AppResult<ImageWish> {
    let moment = match parsed::<SnapshotName>(query, "snapshot")? {
        None => MomentName::Live(name),
        Some(snapshot) => MomentName::Snapshot(SnapshotRef { volume: name, snapshot }),
    };
    let snapshots = query.0.iter().filter(|(key, _)| key == "with_snapshot");
    let snapshots: Result<Vec<SnapshotName>, _> =
        snapshots.map(|(_, name)| SnapshotName::new(name.as_str())).collect();
    Ok(ImageWish {
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

fn described(head: &ImageHead) -> HeaderMap {
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
