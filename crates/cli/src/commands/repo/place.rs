//! Which repository, and what opens it: options, environment, prompt.
//!
//! Looked for in this order: option, our variable, restic's variable. A password can also come from a file, a command, or the terminal.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tintype_repo::{
    Access, Actor, Backend, Cached, Id, Location, Lock, LockMode, LockWait, Patience, PlaceOptions,
    RepoError, Repository, Secret, SnapshotFile, Stoppable, open_location, variables,
};

use super::{Choice, interrupt};
use crate::error::{CliError, CliResult};
use crate::memory;
use crate::notice::notice;
use crate::paths;

/// Copies that were not used for so long go with `--cleanup-cache`, as with restic.
const CACHE_UNUSED: Duration = Duration::from_hours(30 * 24);

/// Options of every command that works on a repository.
#[derive(clap::Args, Clone, Debug)]
pub struct Place {
    /// The repository: a folder, rest:https://HOST:PORT/PATH/, s3:, sftp:, azure:, gs:, b2:, webdav: or rclone: (default: TINTYPE_REPOSITORY, RESTIC_REPOSITORY)
    #[arg(short, long, value_name = "PLACE")]
    pub repo: Option<String>,
    /// File whose first line is the password (default: TINTYPE_PASSWORD_FILE, RESTIC_PASSWORD_FILE)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_command", "password"])]
    password_file: Option<PathBuf>,
    /// Command that prints the password (default: TINTYPE_PASSWORD_COMMAND, RESTIC_PASSWORD_COMMAND)
    #[arg(long, value_name = "COMMAND", conflicts_with = "password")]
    password_command: Option<String>,
    /// The password itself: others on this machine can see it; TINTYPE_PASSWORD or RESTIC_PASSWORD is safer
    #[arg(long)]
    password: Option<String>,
    /// Check servers against these certificates (PEM) instead of the system's (default: TINTYPE_CACERT, RESTIC_CACERT)
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Keep no copies of what lies far away, and use none
    #[arg(long)]
    no_cache: bool,
    /// Folder for copies of what lies far away (default: TINTYPE_CACHE_DIR, RESTIC_CACHE_DIR, or tintype in the user's cache folder)
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Remove copies of other repositories there that no command has used for 30 days
    #[arg(long, conflicts_with = "no_cache")]
    cleanup_cache: bool,
    /// Fine setting of a kind of place, as rclone.program=PATH; may be given again (see the documentation of places)
    #[arg(short = 'o', long = "option", value_name = "KIND.NAME=VALUE")]
    options: Vec<String>,
    /// Wait this long for other programs that hold the repository's lock, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    retry_lock: u64,
    /// It is the repository that is copied from: its variables have FROM in their names.
    #[arg(skip)]
    source: bool,
}

/// Options of the repository that something is copied from.
#[derive(clap::Args, Clone, Debug)]
pub struct FromPlace {
    /// The repository to copy from (default: TINTYPE_FROM_REPOSITORY, RESTIC_FROM_REPOSITORY)
    #[arg(long, value_name = "PLACE")]
    from_repo: Option<String>,
    /// File whose first line is its password (default: TINTYPE_FROM_PASSWORD_FILE, RESTIC_FROM_PASSWORD_FILE)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_password_command", "from_password"])]
    from_password_file: Option<PathBuf>,
    /// Command that prints its password (default: TINTYPE_FROM_PASSWORD_COMMAND, RESTIC_FROM_PASSWORD_COMMAND)
    #[arg(long, value_name = "COMMAND", conflicts_with = "from_password")]
    from_password_command: Option<String>,
    /// Its password: others on this machine can see it; TINTYPE_FROM_PASSWORD or RESTIC_FROM_PASSWORD is safer
    #[arg(long)]
    from_password: Option<String>,
}

impl FromPlace {
    /// Was the repository named by an option?
    pub fn is_named(&self) -> bool {
        self.from_repo.is_some()
    }

    /// The repository; certificates, settings and patience are those of the other one.
    pub fn place(&self, beside: &Place) -> Place {
        Place {
            repo: self.from_repo.clone(),
            password_file: self.from_password_file.clone(),
            password_command: self.from_password_command.clone(),
            password: self.from_password.clone(),
            cacert: beside.cacert.clone(),
            options: beside.options.clone(),
            no_cache: beside.no_cache,
            cache_dir: beside.cache_dir.clone(),
            cleanup_cache: false,
            retry_lock: beside.retry_lock,
            source: true,
        }
    }
}

fn variable(name: &str) -> Option<String> {
    ["TINTYPE", "RESTIC"].iter().find_map(|who| std::env::var(format!("{who}_{name}")).ok())
}

/// Where copies of what lies far away are kept when no option says so.
fn cache_folder() -> Option<PathBuf> {
    let below = |name: &str, rest: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(|base| PathBuf::from(base).join(rest))
    };
    let named = ["TINTYPE_CACHE_DIR", "RESTIC_CACHE_DIR"].iter().find_map(|name| below(name, ""));
    named.or_else(|| below("XDG_CACHE_HOME", "tintype")).or_else(|| below("HOME", ".cache/tintype"))
}

/// Removes copies that were not used for long. A failure costs room and nothing else.
fn remove_unused(base: &Path, own: Id) {
    let Some(before) = SystemTime::now().checked_sub(CACHE_UNUSED) else { return };
    match Cached::remove_unused(base, own, before) {
        Ok(removed) => removed.iter().for_each(|id| {
            notice(&format!("copies of repository {id} were not used for long: removed"));
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => notice(&format!("{}: unused copies stay: {e}", base.display())),
    }
}

/// Who acts: for key files, locks and snapshots.
pub fn actor() -> Actor {
    Actor { username: paths::user_name(), hostname: paths::host_name() }
}

impl Place {
    /// Was a repository named by an option? Then the verbs that volumes have too are meant for it.
    pub fn is_named(&self) -> bool {
        self.repo.is_some()
    }

    /// A variable that is about this repository alone.
    fn own(&self, name: &str) -> Option<String> {
        if self.source { variable(&format!("FROM_{name}")) } else { variable(name) }
    }

    /// The same for commands that judge the repository: what they read must come from the place itself.
    #[must_use]
    pub fn without_cache(&self) -> Self {
        Self { no_cache: true, ..self.clone() }
    }

    /// The place, not opened.
    pub fn backend(&self) -> CliResult<Arc<dyn Backend>> {
        memory::frugal();
        let place = open_location(&self.location()?, &self.access()?).map_err(RepoError::from)?;
        Ok(Arc::new(Stoppable::new(place, interrupt::stop())))
    }

    fn location(&self) -> CliResult<Location> {
        let text = self.repo.clone().or_else(|| self.own("REPOSITORY")).ok_or_else(|| {
            if self.source {
                let remedy = "Name it with --from-repo, or in TINTYPE_FROM_REPOSITORY.";
                return CliError::usage("no repository to copy from is named", remedy);
            }
            CliError::usage(
                "no repository is named",
                "Name it with --repo, or in TINTYPE_REPOSITORY.",
            )
        })?;
        text.parse::<Location>().map_err(|e| {
            // The text itself may hold a password.
            CliError::usage(
                format!("repository: {e}"),
                "Places are folders, or for example rest:https://HOST:PORT/PATH/.",
            )
        })
    }

    /// What a place asks for, from the environment.
    fn access(&self) -> CliResult<Access> {
        let file = self.cacert.clone().or_else(|| variable("CACERT").map(PathBuf::from));
        let read = |file: PathBuf| {
            std::fs::read(&file).map_err(|e| {
                CliError::failure(
                    format!("certificates {}: {e}", file.display()),
                    "Name a file that you can read.",
                )
            })
        };
        Ok(Access {
            rest_username: variable("REST_USERNAME"),
            rest_password: variable("REST_PASSWORD").map(Secret::new),
            ca_certificates: file.map(read).transpose()?,
            environment: variables()
                .iter()
                .filter_map(|name| {
                    Some((String::from(*name), Secret::new(std::env::var(name).ok()?)))
                })
                .collect(),
            options: PlaceOptions::parse(self.options.iter().map(String::as_str))
                .map_err(|e| CliError::usage(e.to_string(), "See the table of places."))?,
            patience: Patience::default(),
            notice: Some(Arc::new(|e, pause| {
                notice(&format!("{e}; trying again in {:.0} s", pause.as_secs_f64().ceil()));
            })),
        })
    }

    /// The open repository.
    pub fn open(&self) -> CliResult<Repository> {
        let backend = self.backend()?;
        // Without a repository there is no reason to ask for a password.
        if backend.list(tintype_repo::FileKind::Config).map_err(RepoError::from)?.is_empty() {
            return Err(RepoError::NoRepository { location: backend.location() }.into());
        }
        let repo = Repository::open(backend, self.password(false)?.as_bytes())?;
        Ok(if self.no_cache || !self.location()?.is_remote() { repo } else { self.cached(repo) })
    }

    /// With copies near by, where there is a folder for them.
    fn cached(&self, repo: Repository) -> Repository {
        let Some(base) = self.cache_dir.clone().or_else(cache_folder) else {
            eprintln!(
                "tintype: HOME is not set, so there is no folder for copies (--cache-dir DIR)"
            );
            return repo;
        };
        let id = repo.config().id;
        if self.cleanup_cache {
            remove_unused(&base, id);
        }
        repo.around(|place| match Cached::new(Arc::clone(&place), &base, id) {
            // What comes from copies ends with a stop, too.
            Ok(cached) => Arc::new(Stoppable::new(Arc::new(cached), interrupt::stop())),
            Err(e) => {
                eprintln!("tintype: {}: no copies are kept: {e}", base.display());
                place
            }
        })
    }

    /// As [`Place::open_locked`] for who only reads, or asks the lock before anything is removed and before a snapshot is written: the
    /// lock's second look happens meanwhile.
    pub fn open_locking(&self, mode: LockMode) -> CliResult<(Repository, Lock)> {
        if self.retry_lock > 0 {
            return self.open_locked(mode);
        }
        let repo = self.open()?;
        interrupt::listen()?;
        let lock = Lock::begin(&repo, mode, &actor())?;
        Ok((repo, lock))
    }

    /// The open repository with a lock that is held while it lives.
    pub fn open_locked(&self, mode: LockMode) -> CliResult<(Repository, Lock)> {
        let repo = self.open()?;
        interrupt::listen()?;
        let wait = LockWait {
            patience: Duration::from_secs(self.retry_lock),
            stop: &interrupt::stop(),
            notice: &|held| notice(&format!("{held}; waiting for at most {} s", self.retry_lock)),
        };
        let lock = Lock::take_waiting(&repo, mode, &actor(), &wait)?;
        Ok((repo, lock))
    }

    /// The snapshot that was asked for, as `ID`, `latest` or `latest~N` among those of `choice`.
    pub fn snapshot(
        &self,
        repo: &Repository,
        request: &str,
        choice: &Choice,
    ) -> CliResult<SnapshotFile> {
        choice.find(&repo.snapshots()?, request)
    }

    /// The password; `new`: for a repository or key to be made, typed twice.
    pub fn password(&self, new: bool) -> CliResult<String> {
        if let Some(password) = &self.password {
            return Ok(password.clone());
        }
        if let Some(file) = &self.password_file {
            return from_file(file);
        }
        if let Some(command) = &self.password_command {
            return from_command(command);
        }
        if let Some(password) = self.own("PASSWORD") {
            return Ok(password);
        }
        if let Some(file) = self.own("PASSWORD_FILE") {
            return from_file(&PathBuf::from(file));
        }
        match self.own("PASSWORD_COMMAND") {
            Some(command) => from_command(&command),
            None if self.source => from_terminal_for("password of the repository to copy from: "),
            None => from_terminal(new),
        }
    }
}

/// Reads a password for another key, from a file or the terminal.
pub fn new_password(file: Option<&PathBuf>) -> CliResult<String> {
    file.map_or_else(|| from_terminal(true), from_file)
}

fn from_file(file: &PathBuf) -> CliResult<String> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        CliError::failure(
            format!("password file {}: {e}", file.display()),
            "Name a file that you can read.",
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn from_command(command: &str) -> CliResult<String> {
    let failed = |why: String| {
        CliError::failure(
            format!("password command `{command}`: {why}"),
            "Try the command by itself.",
        )
    };
    let output =
        Command::new("sh").args(["-c", command]).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let text = String::from_utf8(output.stdout).map_err(|e| failed(e.to_string()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn from_terminal_for(prompt: &str) -> CliResult<String> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "no password is given and there is no terminal to ask on",
            "Set TINTYPE_PASSWORD, or use --password-file or --password-command (with FROM for the repository to copy from).",
        ));
    }
    hidden(prompt)
}

fn from_terminal(new: bool) -> CliResult<String> {
    let first = from_terminal_for("password: ")?;
    if new && hidden("again: ")? != first {
        return Err(CliError::usage("the two passwords differ", "Try again."));
    }
    Ok(first)
}

/// Asks on the terminal without showing what is typed.
fn hidden(prompt: &str) -> CliResult<String> {
    let failed =
        |e: std::io::Error| CliError::failure(format!("terminal: {e}"), "Use --password-file.");
    let input = std::io::stdin();
    let before = rustix::termios::tcgetattr(&input).map_err(|e| failed(e.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
    let now = rustix::termios::OptionalActions::Now;
    std::io::stderr().write_all(prompt.as_bytes()).map_err(failed)?;
    rustix::termios::tcsetattr(&input, now, &silent).map_err(|e| failed(e.into()))?;
    let mut text = String::new();
    let read = input.lock().read_line(&mut text);
    rustix::termios::tcsetattr(&input, now, &before).map_err(|e| failed(e.into()))?;
    std::io::stderr().write_all(b"\n").map_err(failed)?;
    read.map_err(failed)?;
    Ok(text.trim_end_matches('\n').to_owned())
}
