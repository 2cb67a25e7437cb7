//! `tintype backup PATH...`: local files into a repository.

mod sources;

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use jiff::{Timestamp, tz::TimeZone};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};
use tintype_model::{ByteSize, Tags};
use tintype_repo::{
    BackupOptions, BackupProgress, BlobOptions, DeleteOption, Excludes, Index, Level, Lock,
    LockMode, Marker, Moment, RepoError, Repository, Saved, SnapshotFile, SnapshotRequest, Stop,
    StreamFile, absolute_paths, backup, backup_stream, find_snapshot,
};

use super::repo::environment::{host, option_or};
use super::repo::packing::Packing;
use super::repo::progress::{Shown, Style, Watched};
use super::repo::{INCOMPLETE, Place, actor, interrupt};
use crate::error::{CliError, CliResult};
use crate::options::{DeleteOptions, Global, time};
use crate::output;
use sources::Lists;
pub(super) use sources::text_of;

/// The most files that are read at once: more threads only cost memory.
const READERS: usize = 256;

/// Options of `backup`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Files and folders to save
    #[arg(required_unless_present_any = ["files_from", "files_from_verbatim", "files_from_raw", "stdin", "stdin_command"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Read paths to save from a file, one in a line, without space around them, empty lines and lines that begin with `#` (`-`: standard input);
    /// `*`, `?` and `[a-z]` stand for names that are there
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,
    /// Read paths to save from a file, every line as it stands
    #[arg(long, value_name = "FILE")]
    files_from_verbatim: Vec<PathBuf>,
    /// Read paths to save from a file, with a zero byte behind each, as `find -print0` writes
    #[arg(long, value_name = "FILE")]
    files_from_raw: Vec<PathBuf>,
    /// Save standard input as one file
    #[arg(long, conflicts_with_all = ["files_from", "files_from_verbatim", "files_from_raw", "paths"])]
    stdin: bool,
    /// Run the command behind `--` and save what it prints; no snapshot when it fails
    #[arg(long, conflicts_with_all = ["files_from", "files_from_verbatim", "files_from_raw", "stdin"])]
    stdin_command: bool,
    /// The file's name for --stdin and --stdin-command; may have folders, as `dumps/all.sql`
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    stdin_filename: String,
    /// Tags, as `a,b`; may be repeated
    #[arg(long = "tag", value_name = "A,B")]
    tags: Vec<Tags>,
    /// A name for the series of snapshots that this one is part of
    #[arg(long, default_value = "")]
    label: String,
    /// What there is to say about it
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    delete: DeleteOptions,
    /// The name of the machine (default: TINTYPE_HOST, RESTIC_HOST, or this one's)
    #[arg(long)]
    host: Option<String>,
    /// The time of the snapshot, if not now
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// An earlier snapshot whose unchanged files are not read again; may be repeated (default: the latest of these paths and this machine)
    #[arg(long = "parent", value_name = "ID")]
    parents: Vec<SnapshotRequest>,
    /// Read all files, whatever earlier snapshots say
    #[arg(short, long, conflicts_with = "parents")]
    force: bool,
    /// The time of change of an inode does not tell that a file has changed
    #[arg(long)]
    ignore_ctime: bool,
    /// The number of an inode does not tell that a file has changed
    #[arg(long)]
    ignore_inode: bool,
    /// Leave out what fits this pattern; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// As --exclude, whatever the case of letters
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,
    /// Read patterns from a file, one in a line
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Leave out folders that hold this file (`NAME` or `NAME:HOW IT BEGINS`)
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<String>,
    /// Leave out folders that are tagged as caches (CACHEDIR.TAG)
    #[arg(long)]
    exclude_caches: bool,
    /// Leave out of working trees what git ignores: .gitignore in every folder, .git/info/exclude, core.excludesFile; .git itself and
    /// what git tracks is saved
    #[arg(long)]
    gitignore: bool,
    /// Leave out files that are larger
    #[arg(long, value_name = "SIZE")]
    exclude_larger_than: Option<ByteSize>,
    /// Stay on the filesystems of the given paths
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Save the times of last access too
    #[arg(long)]
    with_atime: bool,
    /// off, fastest, auto, better, max, or a zstd level (default: TINTYPE_COMPRESSION, RESTIC_COMPRESSION, or auto)
    #[arg(long, value_name = "LEVEL")]
    compression: Option<Level>,
    #[command(flatten)]
    packing: Packing,
    /// Files that are read at once (default: TINTYPE_READ_CONCURRENCY, RESTIC_READ_CONCURRENCY, or as many as processors)
    #[arg(long, value_name = "N")]
    read_concurrency: Option<usize>,
    /// Do not open and compare what was sealed before it is written
    #[arg(long)]
    no_extra_verify: bool,
    /// Write no snapshot when nothing has changed since the parent
    #[arg(long)]
    skip_if_unchanged: bool,
    /// Read and count all, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Say nothing but failures
    #[arg(short, long)]
    quiet: bool,
}

/// Saves, then prints what was done. Status 3: something could not be read.
pub fn run(global: &Global, args: &Args) -> CliResult<ExitCode> {
    let mut snapshot = describe(args)?;
    let options = options(args)?;
    snapshot.paths = match args.stdin || args.stdin_command {
        true => vec![format!("/{}", args.stdin_filename.trim_start_matches('/'))],
        false => absolute_paths(&options.folder, &options.paths),
    };
    snapshot.excludes = options.excludes.texts();
    let (repo, lock) = open(args)?;
    // Snapshots before the index: the index then knows all that they need.
    let parents = parents(&repo, args, &snapshot)?;
    let index = Arc::new(repo.index_in_use()?);
    let progress = Arc::new(BackupProgress::new(interrupt::stop()));
    let clock = Instant::now();
    let shown =
        Shown::start(Style { json: global.json, quiet: args.quiet }, Watch(Arc::clone(&progress)));
    let saved = match stream(args)? {
        None => backup(&repo, index, &parents, &options, &progress),
        Some(stream) => stream.save(&repo, index, &snapshot, &options, &progress),
    };
    drop(shown);
    let saved = saved?;
    snapshot.tree = saved.tree;
    snapshot.set_parents(parents.iter().map(|parent| parent.id).collect());
    snapshot.summary = Some(saved.summary);
    if let Some(summary) = &mut snapshot.summary {
        summary.command = std::env::args().collect::<Vec<_>>().join(" ");
        summary.total_duration = clock.elapsed().as_secs_f64();
    }
    let unchanged =
        args.skip_if_unchanged && parents.iter().any(|parent| parent.tree == saved.tree);
    if let Some(lock) = lock.filter(|_| !unchanged) {
        interrupt::guard(&lock)?;
        repo.save_snapshot(&mut snapshot)?;
    }
    tell(global, args, &snapshot, unchanged, &progress)?;
    Ok(if progress.failed() > 0 { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
}

/// The repository; a dry run, which writes nothing, takes no lock either.
fn open(args: &Args) -> CliResult<(Repository, Option<Lock>)> {
    if args.dry_run {
        interrupt::listen()?;
        return Ok((args.place.open()?, None));
    }
    let (repo, lock) = args.place.open_locking(LockMode::Shared)?;
    Ok((repo, Some(lock)))
}

/// What is saved instead of files.
struct Stream<'a> {
    args: &'a Args,
    child: Option<Child>,
}

/// The stream that was asked for, its program started.
fn stream(args: &Args) -> CliResult<Option<Stream<'_>>> {
    if args.stdin {
        return Ok(Some(Stream { args, child: None }));
    }
    if !args.stdin_command {
        return Ok(None);
    }
    let (program, rest) = args.paths.split_first().ok_or_else(|| {
        CliError::usage("--stdin-command: no command is given", "Write it behind `--`.")
    })?;
    let child = std::process::Command::new(program).args(rest).stdout(Stdio::piped()).spawn();
    let child = child.map_err(|e| {
        CliError::failure(format!("{}: {e}", program.display()), "Check the command.")
    })?;
    Ok(Some(Stream { args, child: Some(child) }))
}

/// A stream whose reader does not wait for more once a stop was asked for.
struct Stoppable<R> {
    from: R,
    stop: Stop,
}

impl<R: std::io::Read + AsFd> std::io::Read for Stoppable<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let pause = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        loop {
            self.stop.check().map_err(std::io::Error::other)?;
            let mut wait = [PollFd::new(&self.from, PollFlags::IN)];
            match poll(&mut wait, Some(&pause)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.from.read(buf),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Stream<'_> {
    fn save(
        mut self,
        repo: &Repository,
        index: Arc<Index>,
        snapshot: &SnapshotFile,
        options: &BackupOptions,
        progress: &BackupProgress,
    ) -> Result<Saved, RepoError> {
        let path = self.args.stdin_filename.clone().into_bytes();
        let file = StreamFile { path, uid: snapshot.uid, gid: snapshot.gid };
        let output = self.child.as_mut().and_then(|child| child.stdout.take());
        let from: Box<dyn std::io::Read> = match output {
            Some(output) => Box::new(Stoppable { from: output, stop: interrupt::stop() }),
            None => Box::new(Stoppable { from: std::io::stdin().lock(), stop: interrupt::stop() }),
        };
        backup_stream(repo, index, from, &file, options.blobs, progress, || self.ended())
    }

    /// Did the program end well?
    fn ended(&mut self) -> Result<(), RepoError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let status =
            child.wait().map_err(|e| RepoError::Refused { detail: format!("the command: {e}") })?;
        match status.success() {
            true => Ok(()),
            false => Err(RepoError::Refused {
                detail: format!("the command failed ({status}): no snapshot was made"),
            }),
        }
    }
}

/// What the snapshot says about itself.
fn describe(args: &Args) -> CliResult<SnapshotFile> {
    use tintype_app::types::DeleteWish;
    let (actor, now) = (actor(), Timestamp::now());
    let instant = args.time.as_deref().map_or(Ok(now), |text| time("--time", text))?;
    let local = |instant| Moment::in_zone(instant, &TimeZone::system());
    let mut snapshot = SnapshotFile::new(local(instant), Default::default());
    snapshot.hostname = host(args.host.as_deref()).unwrap_or(actor.hostname);
    snapshot.username = actor.username;
    snapshot.uid = rustix::process::getuid().as_raw();
    snapshot.gid = rustix::process::getgid().as_raw();
    snapshot.tags = Tags::union(&args.tags).into();
    snapshot.label.clone_from(&args.label);
    snapshot.description.clone_from(&args.description);
    snapshot.delete = match args.delete.wish()? {
        None => DeleteOption::NotSet,
        Some(DeleteWish::Never) => DeleteOption::Never,
        Some(DeleteWish::After(time)) => DeleteOption::After(local(time)),
        Some(DeleteWish::AfterSpan(span)) => DeleteOption::After(local(span.after(now))),
    };
    snapshot.program_version = format!("tintype {}", env!("CARGO_PKG_VERSION"));
    Ok(snapshot)
}

fn options(args: &Args) -> CliResult<BackupOptions> {
    let folder = std::env::current_dir().map_err(|e| {
        CliError::failure(format!("current folder: {e}"), "Change to a folder that exists.")
    })?;
    let mut paths = if args.stdin_command { vec![] } else { args.paths.clone() };
    let lists = Lists {
        patterns: &args.files_from,
        lines: &args.files_from_verbatim,
        raw: &args.files_from_raw,
    };
    paths.extend(lists.paths()?);
    if paths.is_empty() && !args.stdin && !args.stdin_command {
        return Err(CliError::usage(
            "there is nothing to save: the lists name no path",
            "Check what --files-from and its kind name.",
        ));
    }
    // When there are others, one that is missing is told and costs only itself: lists of paths outlive what they name.
    let missing = |path: &PathBuf| path.symlink_metadata().is_err();
    if let Some(first) = paths.first().filter(|_| paths.iter().all(missing)) {
        let text = "cannot be saved: there is no such file or folder, or you may not look";
        return Err(CliError::usage(format!("{}: {text}", first.display()), "Check the path."));
    }
    let mut exact = args.exclude.clone();
    for file in &args.exclude_file {
        exact.extend(Excludes::lines(&text_of(file)?).map(str::to_owned));
    }
    let excludes = Excludes::new(
        exact.iter().map(String::as_str),
        args.iexclude.iter().map(String::as_str),
    )
    .map_err(|e| CliError::usage(format!("--exclude: {e}"), "See `tintype backup --help`."))?;
    let mut options = BackupOptions {
        paths,
        folder,
        excludes,
        if_present: args.exclude_if_present.iter().map(|text| marker(text)).collect(),
        caches: args.exclude_caches,
        gitignore: args.gitignore,
        git_user: sources::git_user(),
        larger_than: args.exclude_larger_than.map(|size| size.0),
        one_file_system: args.one_file_system,
        blobs: args.packing.apply(BlobOptions {
            level: option_or(args.compression, "COMPRESSION")?.unwrap_or_default(),
            verify: !args.no_extra_verify,
            dry_run: args.dry_run,
            ..BlobOptions::default()
        })?,
        readers: option_or(args.read_concurrency, "READ_CONCURRENCY")?
            .map_or(0, |n| n.min(READERS)),
        ..BackupOptions::default()
    };
    options.ignore.ctime = args.ignore_ctime;
    options.ignore.inode = args.ignore_inode;
    options.read.with_atime = args.with_atime;
    Ok(options)
}

fn marker(text: &str) -> Marker {
    let (name, header) = text.split_once(':').unwrap_or((text, ""));
    Marker { name: name.into(), header: header.as_bytes().to_vec() }
}

/// The snapshots whose unchanged files are not read again.
fn parents(repo: &Repository, args: &Args, new: &SnapshotFile) -> CliResult<Vec<SnapshotFile>> {
    if args.force {
        return Ok(vec![]);
    }
    let all = repo.snapshots()?;
    let sorted = |paths: &[String]| {
        let mut paths = paths.to_vec();
        paths.sort_unstable();
        paths
    };
    let wanted = sorted(&new.paths);
    let similar = |old: &SnapshotFile| {
        old.hostname == new.hostname && sorted(&old.paths) == wanted && old.time <= new.time
    };
    if args.parents.is_empty() {
        return Ok(find_snapshot(&all, &SnapshotRequest::Latest(0), similar).into_iter().collect());
    }
    args.parents.iter().map(|request| Ok(find_snapshot(&all, request, similar)?)).collect()
}

struct Watch(Arc<BackupProgress>);

impl Watched for Watch {
    fn line(&self, seconds: f64) -> String {
        let rate = ByteSize((self.0.bytes_read() as f64 / seconds.max(0.001)) as u64);
        format!("{} files, {}, reading {rate}/s", self.0.files(), ByteSize(self.0.bytes()))
    }

    fn event(&self) -> Value {
        json!({ "files": self.0.files(), "bytes": self.0.bytes(), "bytes_read": self.0.bytes_read() })
    }

    fn failures(&self) -> Vec<(String, String)> {
        let all = self.0.take_failures().into_iter();
        all.map(|failure| {
            (failure.path.to_string_lossy().into_owned(), format!("not saved: {}", failure.detail))
        })
        .collect()
    }
}

fn tell(
    global: &Global,
    args: &Args,
    snapshot: &SnapshotFile,
    unchanged: bool,
    progress: &BackupProgress,
) -> CliResult<()> {
    let summary = snapshot.summary.clone().unwrap_or_default();
    if global.json {
        let id = (!unchanged && !args.dry_run).then_some(snapshot.id);
        return output::json(&json!({
            "event": "summary", "dry_run": args.dry_run, "snapshot_id": id, "tree": snapshot.tree, "failures": progress.failed(), "summary": summary
        }));
    }
    if args.quiet {
        return Ok(());
    }
    output::line(&format!(
        "{} files ({} new, {} changed, {} unmodified), {}; added {} ({} stored) in {:.1} s",
        summary.total_files_processed,
        summary.files_new,
        summary.files_changed,
        summary.files_unmodified,
        ByteSize(summary.total_bytes_processed),
        ByteSize(summary.data_added),
        ByteSize(summary.data_added_packed),
        summary.total_duration
    ))?;
    if progress.failed() > 0 {
        output::line(&format!(
            "{} files or folders could not be read and are missing",
            progress.failed()
        ))?;
    }
    match (unchanged, args.dry_run) {
        (true, _) => output::line("nothing has changed: no snapshot was made"),
        (_, true) => output::line("nothing was written: --dry-run"),
        _ => output::line(&format!("saved snapshot {}", snapshot.id.0.short())),
    }
}
