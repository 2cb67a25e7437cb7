//! A repository in a folder with some files beside it, and the programs that work on them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub struct Fixture {
    pub folder: TempDir,
}

const TINTYPE: &str = env!("CARGO_BIN_EXE_tintype");

impl Fixture {
    /// A folder, nothing in it yet.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A repository, and a folder with some files.
    pub fn new() -> Self {
        let fixture = Self::empty();
        fs::create_dir_all(fixture.source().join("sub/dir")).unwrap();
        fs::write(fixture.source().join("a.txt"), "one\n").unwrap();
        fs::write(fixture.source().join("sub/dir/b.log"), "two\n").unwrap();
        fs::write(fixture.source().join("sub/empty"), "").unwrap();
        fixture.ok(&["repo", "init"]);
        fixture
    }

    /// A file or folder beside the repository.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub fn place(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("TINTYPE_REPOSITORY", self.place())
            .env("RESTIC_REPOSITORY", self.place())
            .env("RESTIC_PASSWORD", "secret")
            .env("TINTYPE_FROM_PASSWORD", "secret")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// The program as a user who is not root: root becomes `nobody`, to whom the repository then belongs.
    pub fn by_somebody(&self, program: &str) -> Command {
        if !is_root() {
            return self.command(program);
        }
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(self.place()).status();
        assert!(owned.unwrap().success());
        // Others may not look where this program lies.
        let own = self.path("tintype");
        if program == TINTYPE && !own.exists() && fs::hard_link(program, &own).is_err() {
            fs::copy(program, &own).unwrap();
        }
        let program = if program == TINTYPE { own.as_os_str() } else { program.as_ref() };
        let mut command = self.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(TINTYPE).args(args).output().unwrap()
    }

    /// The exit status, and all that is printed.
    pub fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    pub fn ok(&self, args: &[&str]) -> String {
        text(self.run(args), args)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    /// What `--json` prints of a command that may fail.
    pub fn json_of_any(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_slice(&self.run(&args).stdout).unwrap_or_else(|e| panic!("{args:?}: {e}"))
    }

    /// The snapshots that pass some filters, oldest first.
    pub fn snapshots(&self, filters: &[&str]) -> Vec<Value> {
        let place = self.place();
        let list = ["snapshot", "list", "--repo", place.to_str().unwrap()];
        let list = self.json(&list.iter().chain(filters).copied().collect::<Vec<_>>());
        list.as_array().unwrap().clone()
    }

    /// Nothing is wrong, by our own judgement and restic's.
    pub fn clean(&self) {
        let text = self.ok(&["check", "--read-data"]);
        assert!(text.contains("0 errors"), "{text}");
        if has_restic() {
            self.restic(&["check", "--read-data"]);
        }
    }

    /// The largest pack.
    pub fn largest_pack(&self) -> PathBuf {
        let ids = self.ok(&["repo", "list", "packs"]);
        let paths = ids.lines().map(|id| self.place().join("data").join(&id[..2]).join(id));
        paths.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }

    pub fn backup(&self, more: &[&str]) -> Value {
        let source = self.source();
        let args: Vec<&str> =
            ["backup", source.to_str().unwrap()].iter().chain(more).copied().collect();
        self.json(&args)
    }

    pub fn restic(&self, args: &[&str]) -> String {
        text(self.command("restic").arg("--no-cache").args(args).output().unwrap(), args)
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub fn text(output: Output, args: &[&str]) -> String {
    let [out, err] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

/// Changes bytes of a file of a repository, which may not be written to: the one at `first`, and every so many behind it.
pub fn damage(path: &Path, first: usize, step: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().skip(first).step_by(step).for_each(|byte| *byte ^= 1);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

pub fn has_restic() -> bool {
    tintype_testkit::programs::has("restic")
}
