//! A temporary store with a server, and the program to talk to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A folder, perhaps with a running server. Everything ends with it.
pub struct World {
    pub dir: tempfile::TempDir,
    server: Option<Child>,
    pub ready: String,
}

impl World {
    /// A folder and no server.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, server: None, ready: String::new() }
    }

    /// With a server.
    pub fn up() -> Self {
        let mut world = Self::empty();
        world.start(&[]);
        world
    }

    /// Starts a server and waits until it is ready.
    pub fn start(&mut self, extra: &[&str]) {
        let mut child = self
            .command(&["up", "--store"])
            .arg(self.path("store"))
            .args(extra)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.ready = line.trim_end().to_owned();
        self.server = Some(child);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
        command.args(args).env("TINTYPE_SOCKET", self.path("socket")).env_remove("TINTYPE_STORE");
        command.current_dir(self.dir.path());
        command
    }

    pub fn run(&self, line: &str) -> Output {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.command(&args).output().unwrap()
    }

    /// Runs a command that must succeed; its output.
    pub fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed; its JSON.
    pub fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} --json"))).unwrap()
    }

    /// Runs a command that must fail with this exit status; what it says.
    pub fn fails(&self, line: &str, status: i32) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(status), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The process of the server.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Sends a signal and waits for the end.
    pub fn stop(&mut self, signal: &str) -> Option<i32> {
        let mut child = self.server.take()?;
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        child.wait().unwrap().code()
    }

    /// Waits for a server that was told to end.
    pub fn wait(&mut self) -> Option<i32> {
        self.server.take()?.wait().unwrap().code()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop("-TERM");
    }
}

/// Is anything mounted below this folder?
pub fn mounted_below(dir: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.contains(dir.to_str().unwrap())
}

/// Whether tests that mount can run. In CI they must.
pub fn fuse() -> bool {
    let there = std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !there {
        assert!(
            std::env::var_os("TINTYPE_REQUIRE_FUSE").is_none(),
            "FUSE is required, but /dev/fuse cannot be opened"
        );
        eprintln!("SKIPPED: /dev/fuse cannot be opened, so nothing can be mounted");
    }
    there
}
