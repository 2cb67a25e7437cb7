//! Which repository, and what opens it: options, then variables (`environment`), then a question on the terminal (`password`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tintype_repo::{
    Access, Actor, Backend, Cached, Id, Location, Lock, LockMode, LockWait, Patience, PlaceOptions,
    RepoError, Repository, Secret, SnapshotFile, Stoppable, open_location, variables,
};

use super::environment::{first, variable};
use super::{Choice, interrupt, password};
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
    #[arg(short, long, value_name = "PLACE", group = "named")]
    repo: Option<String>,
    /// File whose first line names the repository (default: TINTYPE_REPOSITORY_FILE, RESTIC_REPOSITORY_FILE)
    #[arg(long, value_name = "FILE", group = "named")]
    repository_file: Option<PathBuf>,
    /// File whose first line is the password (default: TINTYPE_PASSWORD_FILE, RESTIC_PASSWORD_FILE)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_command", "password"])]
    password_file: Option<PathBuf>,
    /// Command that prints the password (default: TINTYPE_PASSWORD_COMMAND, RESTIC_PASSWORD_COMMAND)
    #[arg(long, value_name = "COMMAND", conflicts_with = "password")]
    password_command: Option<String>,
    /// The password itself: others on this machine can see it; TINTYPE_PASSWORD or RESTIC_PASSWORD is safer
    #[arg(long)]
    password: Option<String>,
    /// Id of the key to try first, or its first digits, where there are many (default: TINTYPE_KEY_HINT, RESTIC_KEY_HINT)
    #[arg(long, value_name = "ID")]
    key_hint: Option<String>,
    /// Check servers against these certificates (PEM) instead of the system's (default: TINTYPE_CACERT, RESTIC_CACERT)
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Certificate with its private key (PEM) for servers that ask for one (default: TINTYPE_TLS_CLIENT_CERT, RESTIC_TLS_CLIENT_CERT)
    #[arg(long, value_name = "FILE")]
    tls_client_cert: Option<PathBuf>,
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

/// The option of commands that only read.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Unlocked {
    /// Take no lock: for places that cannot be written to. A prune of others may then take away what is being read
    #[arg(long)]
    no_lock: bool,
}

/// Options of the repository that something is copied from.
#[derive(clap::Args, Clone, Debug)]
pub struct FromPlace {
    /// The repository to copy from (default: TINTYPE_FROM_REPOSITORY, RESTIC_FROM_REPOSITORY)
    #[arg(long, value_name = "PLACE")]
    from_repo: Option<String>,
    /// File whose first line names it (default: TINTYPE_FROM_REPOSITORY_FILE, RESTIC_FROM_REPOSITORY_FILE)
    #[arg(long, value_name = "FILE", conflicts_with = "from_repo")]
    from_repository_file: Option<PathBuf>,
    /// File whose first line is its password (default: TINTYPE_FROM_PASSWORD_FILE, RESTIC_FROM_PASSWORD_FILE)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_password_command", "from_password"])]
    from_password_file: Option<PathBuf>,
    /// Command that prints its password (default: TINTYPE_FROM_PASSWORD_COMMAND, RESTIC_FROM_PASSWORD_COMMAND)
    #[arg(long, value_name = "COMMAND", conflicts_with = "from_password")]
    from_password_command: Option<String>,
    /// Its password: others on this machine can see it; TINTYPE_FROM_PASSWORD or RESTIC_FROM_PASSWORD is safer
    #[arg(long)]
    from_password: Option<String>,
    /// Id of its key to try first, or its first digits (default: TINTYPE_FROM_KEY_HINT, RESTIC_FROM_KEY_HINT)
    #[arg(long, value_name = "ID")]
    from_key_hint: Option<String>,
}

impl FromPlace {
    /// Was the repository named by an option?
    pub fn is_named(&self) -> bool {
        self.from_repo.is_some() || self.from_repository_file.is_some()
    }

    /// The repository; certificates, settings and patience are those of the other one.
    pub fn place(&self, beside: &Place) -> Place {
        Place {
            repo: self.from_repo.clone(),
            repository_file: self.from_repository_file.clone(),
            password_file: self.from_password_file.clone(),
            password_command: self.from_password_command.clone(),
            password: self.from_password.clone(),
            key_hint: self.from_key_hint.clone(),
            cacert: beside.cacert.clone(),
            tls_client_cert: beside.tls_client_cert.clone(),
            options: beside.options.clone(),
            no_cache: beside.no_cache,
            cache_dir: beside.cache_dir.clone(),
            cleanup_cache: false,
            retry_lock: beside.retry_lock,
            source: true,
        }
    }
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

/// The place that the first line of a file names.
fn named_in(file: &Path) -> CliResult<String> {
    let wrong = |why: &dyn std::fmt::Display| {
        let remedy = "Name a file whose first line is the place of the repository.";
        CliError::failure(format!("repository file {}: {why}", file.display()), remedy)
    };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
    match text.lines().next().map(str::trim) {
        Some(place) if !place.is_empty() => Ok(place.to_owned()),
        _ => Err(wrong(&"its first line is empty")),
    }
}

/// Who acts: for key files, locks and snapshots.
pub fn actor() -> Actor {
    Actor { username: paths::user_name(), hostname: paths::host_name() }
}

impl Place {
    /// Was a repository named by an option? Then the verbs that volumes have too are meant for it.
    pub fn is_named(&self) -> bool {
        self.repo.is_some() || self.repository_file.is_some()
    }

    /// The first that is set of variables that are about this repository alone, with its number.
    fn own<const N: usize>(&self, names: [&str; N]) -> Option<(usize, String)> {
        if !self.source {
            return first(names);
        }
        let names = names.map(|name| format!("FROM_{name}"));
        first(names.each_ref().map(String::as_str))
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
        let text = match (&self.repo, &self.repository_file) {
            (Some(place), _) => place.clone(),
            (None, Some(file)) => named_in(file)?,
            (None, None) => match self.own(["REPOSITORY", "REPOSITORY_FILE"]) {
                Some((0, place)) => place,
                Some((_, file)) => named_in(Path::new(&file))?,
                None => return Err(self.nowhere()),
            },
        };
        text.parse::<Location>().map_err(|e| {
            // The text itself may hold a password.
            CliError::usage(
                format!("repository: {e}"),
                "Places are folders, or for example rest:https://HOST:PORT/PATH/.",
            )
        })
    }

    fn nowhere(&self) -> CliError {
        if self.source {
            let remedy = "Name it with --from-repo, or in TINTYPE_FROM_REPOSITORY.";
            return CliError::usage("no repository to copy from is named", remedy);
        }
        let remedy = "Name it with --repo, or in TINTYPE_REPOSITORY.";
        CliError::usage("no repository is named", remedy)
    }

    /// What a place asks for, from the environment.
    fn access(&self) -> CliResult<Access> {
        let file = |option: &Option<PathBuf>, name| {
            option.clone().or_else(|| variable(name).map(PathBuf::from))
        };
        let read = |file: PathBuf| {
            std::fs::read(&file).map_err(|e| {
                CliError::failure(
                    format!("certificates {}: {e}", file.display()),
                    "Name a file that you can read.",
                )
            })
        };
        let own = file(&self.tls_client_cert, "TLS_CLIENT_CERT").map(read).transpose()?;
        Ok(Access {
            rest_username: variable("REST_USERNAME"),
            rest_password: variable("REST_PASSWORD").map(Secret::new),
            ca_certificates: file(&self.cacert, "CACERT").map(read).transpose()?,
            client_certificate: own.map(|pem| Secret::new(String::from_utf8_lossy(&pem))),
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
        let hint = self.key_hint.clone().or_else(|| self.own(["KEY_HINT"]).map(|(_, id)| id));
        let password = self.password(false)?;
        let repo =
            Repository::open_hinted(backend, password.as_bytes(), &hint.unwrap_or_default())?;
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

    /// As [`Place::open_locking`]; without a lock where none is wanted.
    pub fn open_reading(
        &self,
        mode: LockMode,
        unlocked: Unlocked,
    ) -> CliResult<(Repository, Option<Lock>)> {
        if !unlocked.no_lock {
            let (repo, lock) = self.open_locking(mode)?;
            return Ok((repo, Some(lock)));
        }
        let repo = self.open()?;
        interrupt::listen()?;
        Ok((repo, None))
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
            return password::from_file(file);
        }
        if let Some(command) = &self.password_command {
            return password::from_command(command);
        }
        match self.own(["PASSWORD_COMMAND", "PASSWORD_FILE", "PASSWORD"]) {
            Some((0, command)) => password::from_command(&command),
            Some((1, file)) => password::from_file(Path::new(&file)),
            Some((_, password)) => Ok(password),
            None if self.source => {
                password::from_terminal_for("password of the repository to copy from: ")
            }
            None => password::from_terminal(new),
        }
    }
}
