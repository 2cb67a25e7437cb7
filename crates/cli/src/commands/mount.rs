//! `tintype mount DIR`: the snapshots of a repository as folders to look into, until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tintype_fuse::{
    FuseError, Options, Session, Transport as Way, WhenBusy, others_permitted, repair_dead_mount,
};
use tintype_repo::{Lock, LockMode, Repository};
use tintype_repomount::{RepoTree, TreeOptions};

use super::repo::{Choice, Place, Unlocked, interrupt};
use crate::error::{CliError, CliResult};
use crate::options::{Global, Transport};
use crate::{log, output};

/// How often it is looked whether the end has come.
const PAUSE: Duration = Duration::from_millis(200);

/// Options of `mount`.
#[derive(clap::Args, Debug)]
#[command(allow_missing_positional = true)]
pub struct Args {
    /// Only this snapshot - id, `latest`, `latest~N` - or a folder in it
    #[arg(value_name = "SNAP[:PATH]")]
    what: Option<String>,
    /// The folder that it is shown at; it must be there
    #[arg(value_name = "DIR", required = true)]
    dir: PathBuf,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    unlocked: Unlocked,
    /// Let other users in; as saved, rights of files hold for them
    #[arg(long)]
    allow_other: bool,
    /// With --allow-other: everybody may read everything
    #[arg(long, requires = "allow_other")]
    no_default_permissions: bool,
    /// All files belong to root
    #[arg(long)]
    owner_root: bool,
    /// How the kernel reaches this program
    #[arg(long, value_name = "WHICH", default_value = "auto", env = "TINTYPE_TRANSPORT")]
    transport: Transport,
}

/// Shows until a signal or an unmount.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    log::start();
    if args.allow_other && !others_permitted() {
        return Err(CliError::failure(
            "--allow-other: this user may not let others into mounts",
            "Write `user_allow_other` into /etc/fuse.conf, or leave the option out.",
        ));
    }
    let (repo, lock) = args.place.open_reading(LockMode::Shared, args.unlocked)?;
    let tree = tree(args, repo.clone())?;
    repair_dead_mount(&args.dir).map_err(explain)?;
    let session = Session::mount(Arc::new(tree), &args.dir, &options(args)).map_err(explain)?;
    announce(global, &repo, &session)?;
    let ended = wait(&session, lock.as_ref());
    // It goes before the lock does.
    leave(&session)?;
    ended
}

fn tree(args: &Args, repo: Repository) -> CliResult<RepoTree> {
    let options = TreeOptions {
        owner_root: args.owner_root,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let Some(what) = &args.what else {
        let choice = args.choice.clone();
        let filter = Box::new(move |snapshot: &_| choice.fits(snapshot));
        return Ok(RepoTree::of_all(repo, filter, options)?);
    };
    let (name, path) = what.split_once(':').unwrap_or((what, ""));
    let snapshot = args.place.snapshot(&repo, name, &args.choice)?;
    Ok(RepoTree::of_one(repo, &snapshot, path.as_bytes(), options)?)
}

fn options(args: &Args) -> Options {
    Options {
        fsname: "tintype-repo".to_owned(),
        read_only: true,
        allow_other: args.allow_other,
        // Who opened the repository can read all of it in other ways too.
        permissions: args.allow_other && !args.no_default_permissions,
        // What lies in a backup is to be read, not to be run with the rights of others.
        nosuid: true,
        nodev: true,
        transport: args.transport.into(),
        readdirplus_auto: true,
        ..Options::default()
    }
}

fn announce(global: &Global, repo: &Repository, session: &Session) -> CliResult<()> {
    let (place, dir) = (repo.backend().location(), session.dir().display());
    if global.json {
        let transport = match session.transport() {
            Way::Dev => "dev-fuse",
            Way::Uring => "io-uring",
        };
        return output::json(&json!({
            "ready": true, "pid": std::process::id(), "repository": place, "dir": session.dir(), "transport": transport,
        }));
    }
    output::line(&format!("ready: {place} is shown at {dir}; Ctrl-C or `umount {dir}` ends it"))
}

/// Returns when it is to end: after a signal, or when the mount was taken away.
fn wait(session: &Session, lock: Option<&Lock>) -> CliResult<()> {
    while !session.wait(Some(PAUSE)) {
        if interrupt::stop().is_asked() {
            break;
        }
        lock.map_or(Ok(()), Lock::check)?;
    }
    Ok(())
}

fn leave(session: &Session) -> CliResult<()> {
    match session.unmount(WhenBusy::Fail) {
        Err(error @ FuseError::Busy { .. }) => {
            eprintln!("tintype: {error}; what they have open fails from now on");
            session.unmount(WhenBusy::Detach).map_err(explain)
        }
        other => other.map_err(explain),
    }
}

fn explain(error: FuseError) -> CliError {
    let remedy = match &error {
        FuseError::MountPoint { .. } => "Make the folder first, or name another one.",
        FuseError::Device(_) | FuseError::Mount { .. } => {
            "Check that FUSE is there: /dev/fuse, and fusermount3 (package fuse3) for users other than root."
        }
        _ => "",
    };
    CliError::failure(error.to_string(), remedy)
}
