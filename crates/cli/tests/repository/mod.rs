//! A repository in a folder with some files beside it, and the programs that work on them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub struct Fixture {
    pub folder: TempDir,
}

impl Fixture {
    /// A repository, and a folder with some files.
    pub fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fixture.source().join("sub/dir")).unwrap();
        fs::write(fixture.source().join("a.txt"), "one\n").unwrap();
        fs::write(fixture.source().join("sub/dir/b.log"), "two\n").unwrap();
        fs::write(fixture.source().join("sub/empty"), "").unwrap();
        fixture.ok(&["repo", "init"]);
        fixture
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
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_tintype")).args(args).output().unwrap()
    }

    pub fn ok(&self, args: &[&str]) -> String {
        text(self.run(args), args)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
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

pub fn text(output: Output, args: &[&str]) -> String {
    let [out, err] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

pub fn has_restic() -> bool {
    let there = Command::new("restic").arg("version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: restic is not installed");
    }
    there
}
