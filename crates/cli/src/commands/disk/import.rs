//! `tintype disk import FILE|- NAME`.
//!
//! The image is read here, where the file is and where it can be read anywhere; the server gets what it holds as one stream. So the server
//! opens no file of the user, and a strange image is looked at with the user's rights.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tintype_app::types::DiskImported;
use tintype_image::{FileSource, Format, ImageError, RunsWriter, Source, Stream};
use tintype_model::{ByteSize, Compression, VolumeName};
use tintype_server::stream::PieceWriter;

use super::path;
use super::transfer::{Counted, Passed, Watch};
use crate::client::{escape, parse};
use crate::commands::repo::interrupt;
use crate::commands::repo::progress::{Shown, Style};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `disk import`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The image; - is standard input
    file: PathBuf,
    /// The disk: a new one, or for a delta the one that it leads on
    name: VolumeName,
    /// raw, vhd or qcow2; found out when not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Take a delta although the disk is not at the image that it goes upon
    #[arg(long)]
    force: bool,
    /// Limit of live data and snapshots together, of a new disk
    #[arg(long, value_name = "SIZE")]
    capacity: Option<ByteSize>,
    /// How data of a new disk is compressed: lz4, zstd, zstd:LEVEL or off
    #[arg(long, default_value = "lz4")]
    compression: Compression,
    /// Show how far it is
    #[arg(long)]
    progress: bool,
}

/// Reads the image and sends what it holds.
pub fn run(global: &Global, args: Args) -> CliResult<()> {
    let client = global.client()?;
    interrupt::listen()?;
    let passed = Arc::new(Passed::default());
    let mut source = open(&args.file, &passed)?;
    passed.expect(source.length().unwrap_or(0));
    let style = Style { json: global.json, quiet: false };
    let shown = args.progress.then(|| Shown::start(style, Watch(Arc::clone(&passed))));
    let format = args.format;
    let sent = client.upload(&query(&args), move |out| send(source.as_mut(), format, out));
    drop(shown);
    let (sent, answer) = sent?;
    // When the server stops to listen, it says why; everything else shows here first.
    let format = match sent {
        Err(error) if !matches!(error, ImageError::Sink(_)) => {
            return Err(refused(&args.file, &error));
        }
        Err(error) => return Err(answer.err().unwrap_or_else(|| refused(&args.file, &error))),
        Ok(format) => format,
    };
    let mut done: DiskImported = parse(&answer?)?;
    done.format = format.to_string();
    if global.json {
        return output::json(&done);
    }
    let how = match &done.base {
        Some(base) => format!("led on from image {base}"),
        None => "imported".to_owned(),
    };
    let size = super::size(&done.disk);
    output::line(&format!(
        "{how}: disk {}, {size}, from {format}; {} were written",
        done.disk.name,
        ByteSize(done.written_bytes)
    ))
}

fn query(args: &Args) -> String {
    let mut query = format!("{}/import?format=runs&force={}", path(&args.name), args.force);
    query.push_str(&format!("&compression={}", escape(&args.compression.to_string())));
    if let Some(capacity) = args.capacity {
        query.push_str(&format!("&capacity={}", capacity.0));
    }
    query
}

fn open(file: &Path, passed: &Arc<Passed>) -> CliResult<Box<dyn Source + Send>> {
    let cannot = |e: std::io::Error| {
        CliError::failure(
            format!("{}: cannot be read: {e}", file.display()),
            "Check that the file exists and that you may read it.",
        )
    };
    let opened = match file.as_os_str() == "-" {
        true => std::io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(file),
    };
    let passed = Arc::clone(passed);
    Ok(match FileSource::new(opened.map_err(cannot)?).map_err(cannot)? {
        Ok(inner) => Box::new(Counted { inner, passed }),
        Err(inner) => Box::new(Stream::new(Counted { inner, passed }, None)),
    })
}

/// Reads the image into the body of the request.
fn send(
    source: &mut dyn Source,
    format: Option<Format>,
    out: PieceWriter,
) -> Result<Format, ImageError> {
    let mut runs = RunsWriter::new(out, 0);
    let read = tintype_image::read(source, format, &mut runs);
    if let Err(error) = &read {
        // The server takes back what it has so far. If it has gone it has done so already.
        drop(runs.fail(&error.to_string()));
    }
    read
}

fn refused(file: &Path, error: &ImageError) -> CliError {
    let name =
        if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() };
    CliError::failure(format!("{name}: {error}"), error.remedy())
}
