//! `/disks/{name}/import` and `/disks/{name}/export`: images of disks as bodies, as long as they are; and exports into a file that came with the
//! connection, told line by line.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body as AxumBody;
use axum::extract::{DefaultBodyLimit, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tintype_app::types::{DiskImport, DiskImported, ImageHead, ImageWish};
use tintype_app::{App, AppError, AppResult, Stop, TaskRun};
use tintype_image::{Format, Stream};
use tintype_model::{ByteSize, MomentName, SnapshotName, SnapshotRef};
use tokio::sync::oneshot;

use super::asked::Asked;
use super::deliver::task;
use super::operation::{Content, Operation, Value, named};
use super::resource::{Resource, json};
use super::{Shared, answer, broken};
use crate::file::FileWriter;
use crate::handed::Handed;
use crate::problem::{Problem, ProblemDocument};
use crate::stream::{PieceWriter, Rest, incoming, outgoing};
use crate::watched::Watched;
use crate::who::Who;

/// Between two looks at whether a task shall end.
const LOOK: Duration = Duration::from_millis(200);

/// Adds them to the disks.
pub fn add(disks: Resource) -> Resource {
    disks
        .bare(
            Method::POST,
            "/disks/{name}/import",
            named("import_disk", "Make a disk from an image, or take a delta upon one")
                .query("format", Value::Text, "raw, vhd or qcow2; found out when absent")
                .query("force", Value::Flag, "take a delta upon something else than it goes upon")
                .query("capacity", Value::Text, "limit of live data and snapshots: 10G")
                .query("compression", Value::Text, "off, lz4, zstd or zstd:LEVEL"),
            Content::Bytes("application/octet-stream"),
            json::<DiskImported>(),
            import.layer(DefaultBodyLimit::disable()),
        )
        .bare(
            Method::GET,
            "/disks/{name}/export",
            named("export_disk", "A moment of a disk as an image")
                .query("format", Value::Text, "raw, vhd or qcow2; raw when absent")
                .query("snapshot", Value::Text, "this snapshot instead of what is live")
                .query("base", Value::Text, "only what differs from this moment")
                .many("with_snapshot", Value::Text, "a snapshot to be put inside of the image")
                .query(
                    "into",
                    Value::Text,
                    "file: write into the open file that came with the connection, on the server's socket only; the answer is lines of JSON",
                ),
            Content::Nothing,
            Content::Bytes("application/octet-stream"),
            export,
        )
}

/// A task that is there as long as the bytes flow.
fn begin(
    shared: &Shared,
    operation: &Operation,
    who: &Who,
    asked: &Asked,
) -> Result<TaskRun, Problem> {
    let place = operation.path.replace("{name}", asked.named());
    Ok(shared.app.task_begin(task(operation, who, place)?)?)
}

/// Waits for the wish that a task ends: whoever reads from a client that sends nothing is not left waiting.
async fn asked_to(stop: Stop) {
    while !stop.is_asked() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn import(
    State(shared): State<Shared>,
    Extension(operation): Extension<Arc<Operation>>,
    Extension(who): Extension<Who>,
    Extension(asked): Extension<Arc<Asked>>,
    headers: HeaderMap,
    body: AxumBody,
) -> Result<Response, Problem> {
    let wish = DiskImport {
        name: asked.volume()?,
        format: asked.parsed("format")?,
        force: asked.flag("force"),
        capacity: asked.parsed::<ByteSize>("capacity")?.map(|size| size.0),
        compression: asked.parsed("compression")?.unwrap_or_default(),
    };
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse().ok());
    let run = begin(&shared, &operation, &who, &asked)?;
    run.progress().expect(length.unwrap_or_default());
    let (reader, feed) = incoming(body, Rest::Take);
    let reader = Watched::new(reader, &run);
    // It goes on when whoever asked has gone: then the body ends with an error, and so does the import.
    let stop = run.stop().clone();
    tokio::spawn(async move {
        tokio::select! {
            () = feed => {}
            () = asked_to(stop) => {}
        }
    });
    answer(&shared, move |app| {
        let import = || app.disk_import(&wish, &mut Stream::new(reader, length));
        run.run(import, |made| serde_json::to_value(made).ok())
    })
    .await
}

async fn export(
    State(shared): State<Shared>,
    Extension(operation): Extension<Arc<Operation>>,
    Extension(who): Extension<Who>,
    Extension(asked): Extension<Arc<Asked>>,
    handed: Option<Extension<Handed>>,
) -> Result<Response, Problem> {
    let wish = wish(&asked)?;
    let app = Arc::clone(&shared.app);
    match asked.text("into") {
        None => {}
        Some("file") => {
            let handed = handed.map(|Extension(handed)| handed).unwrap_or_default();
            let file = handed.take()?;
            let run = begin(&shared, &operation, &who, &asked)?;
            return Ok(export_into(app, wish, file, run));
        }
        Some(_) => {
            let object = "query into";
            return Err(AppError::invalid(object, "is not \"file\"", "Leave it away.").into());
        }
    }
    let (told, head) = oneshot::channel();
    let run = begin(&shared, &operation, &who, &asked)?;
    let (stop, progress) = (run.stop().clone(), run.progress().clone());
    let job = tokio::task::spawn_blocking(move || {
        let begun = |head: ImageHead| {
            progress.expect(head.length.unwrap_or(head.data));
            let (writer, body) = outgoing(head.length);
            // Who asked may have gone: then the first write fails.
            drop(told.send((head, body)));
            Ok(Watched::with(writer, stop, progress))
        };
        run.run(|| app.disk_export(&wish, begun), |()| None)
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
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) => Err(broken(&"an export that began nothing").into()),
            Err(error) => Err(broken(&error).into()),
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
fn export_into(app: Arc<App>, wish: ImageWish, file: File, run: TaskRun) -> Response {
    let (lines, body) = outgoing(None);
    tokio::task::spawn_blocking(move || {
        let lines = Lines(Arc::new(Mutex::new(lines)));
        let last = write_into(&app, &wish, file, &lines, run);
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

fn write_into(app: &App, wish: &ImageWish, file: File, lines: &Lines, run: TaskRun) -> ExportLine {
    let mut done = None;
    let broken = Arc::new(Mutex::new(None));
    let (stop, progress) = (run.stop().clone(), run.progress().clone());
    let begun = |head: ImageHead| {
        progress.expect(head.length.unwrap_or(head.data));
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
        let writer = FileWriter::new(file, head.length, Arc::clone(&broken), reached);
        Ok(Watched::with(writer, stop, progress))
    };
    let written = run.run(|| app.disk_export(wish, begun), |()| None);
    match (written, broken.lock().take(), done) {
        (Ok(()), _, Some(done)) => done,
        (_, Some(why), _) => ExportLine::Unwritable(why),
        (Ok(()), None, None) => ExportLine::Failed(
            Problem::from(super::broken(&"an export that began nothing")).document(),
        ),
        (Err(error), None, _) => {
            tracing::warn!(%error, "an export did not end well");
            ExportLine::Failed(Problem::from(error).document())
        }
    }
}

fn wish(asked: &Asked) -> AppResult<ImageWish> {
    let volume = asked.volume()?;
    let moment = match asked.parsed("snapshot")? {
        None => MomentName::Live(volume),
        Some(snapshot) => MomentName::Snapshot(SnapshotRef { volume, snapshot }),
    };
    let snapshots: Result<Vec<SnapshotName>, _> =
        asked.all("with_snapshot").map(SnapshotName::new).collect();
    Ok(ImageWish {
        moment,
        format: asked.parsed("format")?.unwrap_or(Format::Raw),
        base: asked.parsed("base")?,
        snapshots: snapshots?,
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
