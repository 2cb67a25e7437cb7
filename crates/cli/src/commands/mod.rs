//! The commands: what the command line looks like, and which file does the work.

mod backup;
mod check;
mod completions;
mod config;
mod copy;
mod demo;
mod disk;
mod down;
mod forget;
mod fs;
mod fsck;
mod ls;
mod man;
mod merge;
mod mount;
mod openapi;
mod policy;
mod prune;
mod recover;
mod repair;
mod repo;
mod restore;
mod rewrite;
mod scrub;
mod snapshot;
mod status;
mod store;
mod support;
mod sync;
mod systemd;
mod task;
mod token;
mod up;
mod user;
mod weka;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

use crate::client::parse;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Keep every moment of your filesystems and disks
///
/// Tintype gives you filesystems with instant snapshots: look into, compare, clone and restore any moment.
/// Start with `tintype demo`, or with `tintype up` and `tintype fs create home --mount DIR`.
#[derive(Parser, Debug)]
#[command(name = "tintype", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Whether programs read what is printed.
    pub fn wants_json(&self) -> bool {
        self.global.json
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server in the foreground
    Up(up::Args),
    /// Check the configuration file of the server, or print what may stand in it
    #[command(subcommand)]
    Config(config::Command),
    /// Stop the server: flush, unmount, close
    Down(down::Args),
    /// Show how the server and its store are
    Status,
    /// Show how much the store takes, and limit it
    #[command(subcommand)]
    Store(store::Command),
    /// Make, show, change, mount and delete filesystems
    #[command(subcommand)]
    Fs(fs::Command),
    /// Make, show, change, compare and delete disks
    #[command(subcommand)]
    Disk(disk::Command),
    /// Make, list, compare, restore, clone and delete snapshots
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Make, show, change and delete users of the server
    #[command(subcommand)]
    User(user::Command),
    /// Make, list and delete tokens for programs
    #[command(subcommand)]
    Token(token::Command),
    /// Make snapshots by themselves, and let old ones go: schedules and retention
    #[command(subcommand)]
    Policy(policy::Command),
    /// List, show, cancel and wait for long operations of the server
    #[command(subcommand)]
    Task(task::Command),
    /// Make everything written so far durable now
    Sync(sync::Args),
    /// Check the whole store, and repair it if asked to
    Fsck(fsck::Args),
    /// Read all data and verify all checksums
    Scrub(scrub::Args),
    /// Make a repository for backups, and look after it
    #[command(subcommand)]
    Repo(repo::Command),
    /// Save local files into a repository
    Backup(Box<backup::Args>),
    /// Restore a snapshot of a repository, or a part of it, into a folder
    Restore(Box<restore::Args>),
    /// Check that all that a repository promises is there
    Check(check::Args),
    /// Copy snapshots of one repository into another
    Copy(Box<copy::Args>),
    /// Remove snapshots of a repository by rules or by id
    Forget(Box<forget::Args>),
    /// Free what no snapshot of a repository needs
    Prune(prune::Args),
    /// Mend what is damaged in a repository, and keep the rest
    #[command(subcommand)]
    Repair(repair::Command),
    /// Make a snapshot of all that no snapshot of a repository leads to any more
    Recover(recover::Args),
    /// Make one snapshot of a repository out of several
    Merge(merge::Args),
    /// Take files out of snapshots of a repository, or change their host or time
    Rewrite(rewrite::Args),
    /// List what is in a snapshot of a repository
    Ls(ls::LsArgs),
    /// Print a file of a snapshot of a repository
    Dump(ls::DumpArgs),
    /// Find files in the snapshots of a repository
    Find(ls::FindArgs),
    /// Show the snapshots of a repository, or one of them, as folders, until it is told to stop
    Mount(Box<mount::Args>),
    /// Make and list snapshots in the words of WEKA's command line
    #[command(subcommand)]
    Weka(weka::Command),
    /// Play the main job on a temporary store, with real files
    Demo,
    /// Collect what helps those who help into an archive: states, settings, last lines of the log; no data, no secrets
    SupportBundle(support::Args),
    /// Print a unit with which systemd runs the server
    SystemdUnit,
    /// Print the description of the server's API (OpenAPI)
    Openapi,
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages into a folder
    Man(man::Args),
}

/// Runs the command that was asked for.
pub fn run(cli: Cli) -> CliResult<ExitCode> {
    let global = &cli.global;
    let done = |()| ExitCode::SUCCESS;
    let ended = match cli.command {
        Command::Up(args) => up::run(global, args).map(done),
        Command::Config(command) => config::run(global, &command).map(done),
        Command::Down(args) => down::run(global, &args).map(done),
        Command::Status => status::run(global).map(done),
        Command::Store(command) => store::run(global, &command).map(done),
        Command::Fs(command) => fs::run(global, command).map(done),
        Command::Disk(command) => disk::run(global, command),
        Command::Snapshot(command) => snapshot::run(global, command).map(done),
        Command::User(command) => user::run(global, command).map(done),
        Command::Token(command) => token::run(global, command).map(done),
        Command::Policy(command) => policy::run(global, command),
        Command::Task(command) => task::run(global, &command),
        Command::Sync(args) => sync::run(global, args).map(done),
        Command::Fsck(args) => fsck::run(global, &args),
        Command::Scrub(args) => scrub::run(global, &args),
        Command::Repo(command) => repo::run(global, command).map(done),
        Command::Backup(args) => backup::run(global, &args),
        Command::Restore(args) => restore::run(global, &args),
        Command::Check(args) => check::run(global, &args),
        Command::Copy(args) => copy::run(global, &args).map(done),
        Command::Forget(args) => forget::run(global, &args).map(done),
        Command::Prune(args) => prune::run(global, &args).map(done),
        Command::Repair(command) => repair::run(global, &command).map(done),
        Command::Recover(args) => recover::run(global, &args).map(done),
        Command::Merge(args) => merge::run(global, &args).map(done),
        Command::Rewrite(args) => rewrite::run(global, &args).map(done),
        Command::Ls(args) => ls::list(global, &args).map(done),
        Command::Dump(args) => ls::dump(&args).map(done),
        Command::Find(args) => ls::find(global, &args).map(done),
        Command::Mount(args) => mount::run(global, &args).map(done),
        Command::Weka(command) => weka::run(global, command).map(done),
        Command::Demo => demo::run(global).map(done),
        Command::SupportBundle(args) => support::run(global, &args).map(done),
        Command::SystemdUnit => systemd::run().map(done),
        Command::Openapi => openapi::run().map(done),
        Command::Completions(args) => completions::run(global, &args).map(done),
        Command::Man(args) => man::run(global, &args).map(done),
    };
    ended.map_err(repo::interrupt::explain)
}

/// Prints an answer: as it came, or as `human` tells it.
fn show<T: DeserializeOwned>(
    global: &Global,
    body: &Bytes,
    human: impl FnOnce(T) -> CliResult<()>,
) -> CliResult<()> {
    if global.json { output::raw_json(body) } else { human(parse(body)?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lines_of_the_manual_are_understood() {
        for line in [
            "up --store d --listen 127.0.0.1:0 --socket s",
            "fs create home --quota 10G --capacity 1.5TiB --compression zstd:7 --mount d",
            "fs set home --quota none --json",
            "fs quota set home:/a/b --hard 10G --soft 9G --grace 7d --owner me@example.org",
            "fs quota set home: --hard none --soft 1G --grace none",
            "fs quota list home@a --json",
            "store set --quota 10G",
            "store set --quota none --json",
            "fs quota unset home:/a",
            "snapshot create home@a --writable --source home@b --access-point x --tag a,b --tag c \
             --label l --description d --delete-after 30d",
            "snapshot list home --tag a --after 2026-01-01 --before 1d",
            "snapshot update home@a --writable --delete-never",
            "snapshot delete home@a home@b",
            "snapshot restore home@a --keep b",
            "snapshot diff home@a home --ranges",
            "snapshot space home@a home@b --json",
            "fsck --repair --store d",
            "up --listen 0.0.0.0:1 --tls-cert c --tls-key k",
            "up --listen 0.0.0.0:1 --tls-self-signed",
            "up --listen 0.0.0.0:1 --insecure-listen",
            "user create a --role operator --new-password-file f",
            "user set a --role reader",
            "user password a --new-password-file f",
            "token create t --role reader --expires 30d",
            "status --server https://box:8400 --token-file t --ca c",
            "disk import - d --format vhd --force --progress --compression off --capacity 1G",
            "disk export d@a f.vhd --format vhd --base d@b --progress",
            "disk export d f.qcow2 --compress zstd",
            "disk export d - --format qcow2 --with-snapshot a --with-snapshot b",
            "repair index --read-all --dry-run",
            "repair packs 12ab 34 --copies d",
            "repair snapshots latest --forget",
            "merge 12 34 latest~1 --delete --label l --tag a,b --description d --host h --time 2026-01-01",
            "mount d --host h --tag a,b --path /p --label l --no-lock --allow-other --owner-root --json",
            "mount latest:/p d",
            "policy create p --daily time=22:05;retention=7 --cron off --time-zone UTC --skip-unchanged true --attach home",
            "policy import - --name p --detached --json",
            "policy set p --hourly off --keep last=3;within=1y --enabled false",
            "policy attach p home disk",
            "policy run p --class daily",
            "policy run p --dry-run --days 30",
            "policy show p --next 30 --json",
            "policy export p --full",
            "weka fs snapshot --filesystem home --name a -o uid,name --no-header",
            "weka fs snapshot list --file-system home --json",
            "weka fs snapshot add home a --access-point x --source-snapshot b --writable",
            "weka fs snapshot create home a --is-writable",
            "weka fs snapshot copy home a b --preserved-overwritten-snapshot-name c \
             --preserved-overwritten-snapshot-access-point d",
            "weka fs snapshot update home a --access-point x --new-name b",
            "weka fs snapshot delete home a -f",
            "weka fs snapshot access-point-naming-convention update NAME",
            "weka fs restore home a --force --preserved-overwritten-snapshot-name c",
            "up --config f --log warn,access=info --log-format json",
            "config check f --json",
            "support-bundle f --fsck",
            "systemd-unit",
            "scrub --task",
            "task list --state running --json",
            "task wait 0123456789abcdef",
            "rewrite 12 -e a --iexclude b --exclude-file f --forget --new-host h --new-time 2026-01-01 --all-trees",
        ] {
            let words = std::iter::once("tintype").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn contradictions_and_bad_names_are_usage_errors() {
        for line in [
            "snapshot create home",
            "snapshot create home@a --delete-never --delete-after 1d",
            "fs create a/b",
            "fs create a --quota much",
            "fs quota set a:/b",
            "store set",
            "fs quota set a --hard 1G",
            "fs quota show a/b:/c",
            "snapshot delete",
            "status --server https://box --socket s",
            "user create a --role root",
        ] {
            let words = std::iter::once("tintype").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
