//! `tintype disk export NAME[@SNAP] FILE|-`.
//!
//! A file is opened here, and handed over to the server, which writes the image into it. To a pipe, and from a server on another machine,
//! the image comes as one stream. What cannot be made forward is made here, from the moment's data: compressed qcow2, and raw files with
//! holes where nothing can be handed over. A file has a name only when it is whole and synced; where the file system has no files without names, it
//! has a hidden one before.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::HeaderMap;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use serde_json::json;
use tintype_image::{Codec, Format, Head, ImageError, Packer, Sink, Stream};
use tintype_model::{ByteSize, MomentName, SnapshotName};
use tintype_server::ExportLine;
use tintype_server::stream::BodyReader;

use super::path;
use super::transfer::{Counted, Passed, Watch};
use crate::client::escape;
use crate::commands::repo::interrupt;
use crate::commands::repo::progress::{Shown, Style};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `disk export`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// NAME@SNAPSHOT, or NAME for now
    #[arg(value_name = "NAME[@SNAPSHOT]")]
    moment: MomentName,
    /// Where to; - is standard output
    file: PathBuf,
    /// raw, vhd or qcow2; by the file's ending when not given, else raw
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Only what differs from this snapshot; VHD only
    #[arg(long, value_name = "NAME@SNAPSHOT", conflicts_with_all = ["with_snapshot", "compress"])]
    base: Option<MomentName>,
    /// A snapshot that goes with it inside the image; qcow2 only, can be repeated
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "compress")]
    with_snapshot: Vec<SnapshotName>,
    /// Compress clusters by zstd or deflate; qcow2 only, into a file
    #[arg(long, value_name = "zstd|deflate")]
    compress: Option<Codec>,
    /// Show how far it is
    #[arg(long)]
    progress: bool,
}

/// Takes the image from the server, or makes it here.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let format = args.format.unwrap_or_else(|| by_ending(&args.file));
    if args.compress.is_some() && format != Format::Qcow2 {
        return Err(CliError::usage(
            format!("--compress: {format} has no compressed clusters"),
            "Use `--format qcow2`, or compress the file afterwards.",
        ));
    }
    let client = global.client()?;
    interrupt::listen()?;
    let mut out = Target::open(&args.file)?;
    let how = How::of(format, args.compress, &out, client.socket().is_some())?;
    let made_here = matches!(how, How::Packed(_) | How::WithHoles);
    let asked = if made_here { Format::Runs } else { format };
    let passed = Arc::new(Passed::default());
    let style = Style { json: global.json, quiet: false };
    let shown = args.progress.then(|| Shown::start(style, Watch(Arc::clone(&passed))));
    let query = query(args, asked);
    let done = match how {
        How::HandedOver => {
            let file = out.file().try_clone().map_err(|e| failed(args, &ImageError::Write(e)))?;
            let counted = Arc::clone(&passed);
            let follow = move |_: &HeaderMap, body| follow(body, &counted);
            client.download(&format!("{query}&into=file"), Some(&file), follow)
        }
        _ => {
            let counted = Arc::clone(&passed);
            let out = &mut out;
            client.download(&query, None, move |head, body| {
                let told = number(head, "content-length").or(number(head, "tintype-data-bytes"));
                counted.expect(told.unwrap_or(0));
                let size = number(head, "tintype-disk-bytes").unwrap_or(0);
                how.take(Counted { inner: body, passed: counted }, out, size)?;
                Ok::<_, Unwritten>((text(head, "tintype-image"), size))
            })
        }
    };
    drop(shown);
    let (uuid, size) = done?.map_err(|error| error.explain(args))?;
    out.keep().map_err(|e| failed(args, &ImageError::Write(e)))?;
    told(global, args, format, &uuid, size)
}

/// Why there is no image.
enum Unwritten {
    Image(ImageError),
    Told(CliError),
}

impl From<ImageError> for Unwritten {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl Unwritten {
    fn explain(self, args: &Args) -> CliError {
        match self {
            Self::Image(error) => failed(args, &error),
            Self::Told(error) => error,
        }
    }
}

/// Reads how far the server is with the file, to the end; answers the image's name and the bytes of the disk.
fn follow(body: BodyReader, passed: &Passed) -> Result<(String, u64), Unwritten> {
    for line in body.lines() {
        let line = line.map_err(ImageError::Read)?;
        let line = serde_json::from_str(&line).map_err(|e| ImageError::Read(e.into()))?;
        match line {
            ExportLine::Begun { bytes } => passed.expect(bytes),
            ExportLine::Reached(at) => passed.reach(at).map_err(ImageError::Read)?,
            ExportLine::Done { image, size } => return Ok((image, size)),
            ExportLine::Unwritable(why) => {
                return Err(ImageError::Write(io::Error::other(why)).into());
            }
            ExportLine::Failed(problem) => return Err(Unwritten::Told(problem.into())),
        }
    }
    Err(ImageError::Read(io::Error::other("the server went away")).into())
}

/// How the image gets into its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The server writes the file.
    HandedOver,
    AsItComes,
    WithHoles,
    Packed(Codec),
}

impl How {
    fn of(format: Format, compress: Option<Codec>, out: &Target, near: bool) -> CliResult<Self> {
        match (format, compress, out) {
            (_, Some(codec), Target::File { .. }) => Ok(Self::Packed(codec)),
            (_, Some(_), Target::Pipe(_)) => Err(CliError::usage(
                "--compress: needs a file, because the tables are written when all lengths are known",
                "Name a file, or leave --compress away and compress the stream.",
            )),
            (_, None, Target::File { .. }) if near => Ok(Self::HandedOver),
            (Format::Raw, None, Target::File { .. }) => Ok(Self::WithHoles),
            (_, None, _) => Ok(Self::AsItComes),
        }
    }

    fn take(
        self,
        mut body: Counted<BodyReader>,
        out: &mut Target,
        size: u64,
    ) -> Result<(), ImageError> {
        match self {
            Self::HandedOver => {}
            Self::AsItComes => copy(&mut body, out.file())?,
            Self::WithHoles => {
                let mut holes = Holes(out.file());
                tintype_image::read(&mut Stream::new(body, None), Some(Format::Runs), &mut holes)?;
            }
            Self::Packed(codec) => {
                let mut packer = Packer::new(out.file(), codec, size).map_err(ImageError::Sink)?;
                tintype_image::read(&mut Stream::new(body, None), Some(Format::Runs), &mut packer)?;
            }
        }
        Ok(())
    }
}

fn copy(from: &mut Counted<BodyReader>, to: &mut File) -> Result<(), ImageError> {
    loop {
        let piece = from.inner.fill_buf().map_err(ImageError::Read)?;
        let count = piece.len();
        if count == 0 {
            return to.flush().map_err(ImageError::Write);
        }
        to.write_all(piece).map_err(ImageError::Write)?;
        from.inner.consume(count);
        from.passed.add(count).map_err(ImageError::Read)?;
    }
}

/// A raw file: what is not told stays a hole.
struct Holes<'f>(&'f mut File);

impl Sink for Holes<'_> {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        self.0.set_len(head.size.unwrap_or(0))
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn zeroes(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
}

/// Where the image goes.
enum Target {
    /// A pipe, a device, standard output.
    Pipe(File),
    /// A file that gets its name when it is whole. Until then it has none, or a hidden one.
    File { file: File, hidden: PathBuf, has_name: bool, name: PathBuf },
}

impl Target {
    fn open(name: &Path) -> CliResult<Self> {
        let cannot = |e: io::Error| {
            CliError::failure(
                format!("{}: cannot be written: {e}", name.display()),
                "Check that its folder exists, that you may write there, and that there is room.",
            )
        };
        if name.as_os_str() == "-" {
            let own = io::stdout().as_fd().try_clone_to_owned();
            return own.map(File::from).map(Self::Pipe).map_err(cannot);
        }
        if name.metadata().is_ok_and(|meta| !meta.is_file()) {
            return OpenOptions::new().write(true).open(name).map(Self::Pipe).map_err(cannot);
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name.file_name().unwrap_or_default());
        hidden.push(format!(".{}.part", std::process::id()));
        let hidden = name.with_file_name(hidden);
        let (file, has_name) = match nameless(folder(name)) {
            Ok(file) => (file, false),
            // Not every file system has such files. If the folder is why, this fails too.
            Err(_) => {
                let opened = OpenOptions::new().write(true).create_new(true).open(&hidden);
                (opened.map_err(cannot)?, true)
            }
        };
        Ok(Self::File { file, hidden, has_name, name: name.to_owned() })
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Pipe(file) | Self::File { file, .. } => file,
        }
    }

    /// It is whole: it gets its name, and outlasts a power loss from here on.
    fn keep(&mut self) -> io::Result<()> {
        let Self::File { file, hidden, has_name, name } = self else { return Ok(()) };
        file.sync_all()?;
        if !*has_name {
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, &*hidden, AtFlags::SYMLINK_FOLLOW)?;
            *has_name = true;
        }
        std::fs::rename(hidden, &*name)?;
        *has_name = false;
        File::open(folder(name))?.sync_all()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::File { hidden, has_name: true, .. } = self {
            // If it stays, its name says what it is.
            drop(std::fs::remove_file(hidden));
        }
    }
}

/// A file in a folder that goes with whoever has it open, whatever ends them.
fn nameless(folder: &Path) -> io::Result<File> {
    // By it the file gets its name at the end.
    std::fs::metadata("/proc/self/fd")?;
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666))?.into())
}

fn folder(name: &Path) -> &Path {
    name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn by_ending(file: &Path) -> Format {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.and_then(|ending| ending.to_lowercase().parse().ok()).unwrap_or(Format::Raw)
}

fn query(args: &Args, format: Format) -> String {
    let mut query = format!("{}/export?format={format}", path(args.moment.volume()));
    if let MomentName::Snapshot(name) = &args.moment {
        query.push_str(&format!("&snapshot={}", escape(name.snapshot.as_str())));
    }
    if let Some(base) = &args.base {
        query.push_str(&format!("&base={}", escape(&base.to_string())));
    }
    for name in &args.with_snapshot {
        query.push_str(&format!("&with_snapshot={}", escape(name.as_str())));
    }
    query
}

fn text(head: &HeaderMap, name: &str) -> String {
    head.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn number(head: &HeaderMap, name: &str) -> Option<u64> {
    text(head, name).parse().ok()
}

fn failed(args: &Args, error: &ImageError) -> CliError {
    match error {
        ImageError::Read(cause) => CliError::failure(
            format!("disk {}: the export ended early: {cause}", args.moment),
            format!(
                "The server's log says why; `tintype disk verify {}` finds damage.",
                args.moment
            ),
        ),
        ImageError::Write(cause) | ImageError::Sink(cause) => CliError::failure(
            format!("{}: cannot be written: {cause}", args.file.display()),
            "Check its disk and its room.",
        ),
        other => CliError::failure(format!("disk {}: {other}", args.moment), other.remedy()),
    }
}

fn told(global: &Global, args: &Args, format: Format, uuid: &str, size: u64) -> CliResult<()> {
    // Standard output is the image's.
    if args.file.as_os_str() == "-" {
        return Ok(());
    }
    let bytes = args.file.metadata().map(|meta| meta.len()).unwrap_or(0);
    if global.json {
        return output::json(&json!({
            "moment": args.moment, "file": args.file, "format": format.to_string(), "image": uuid,
            "base": args.base, "size": size, "bytes": bytes,
        }));
    }
    let (size, bytes) = (ByteSize(size), ByteSize(bytes));
    output::line(&format!(
        "exported {} ({size}) to {}: {format}, {bytes}, image {uuid}",
        args.moment,
        args.file.display()
    ))
}
