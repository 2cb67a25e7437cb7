//! A temporary store with a server, and the program to talk to it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a program may take before a test calls it stuck.
const STUCK: Duration = Duration::from_secs(180);

/// A folder, perhaps with a running server. Everything ends with it: server, mounts, files.
#[derive(Debug)]
pub struct World {
    /// Where everything is.
    pub dir: tempfile::TempDir,
    /// The line that the server printed.
    pub ready: String,
    program: PathBuf,
    /// How the next server is reached by the kernel: `auto`, `dev`, `uring`.
    pub transport: &'static str,
    /// What the next server logs, as in `TINTYPE_LOG`.
    pub log_level: &'static str,
    /// Where the next server tells how it is, as service managers want it.
    pub notify: Option<PathBuf>,
    server: Option<Child>,
}

impl World {
    /// A folder and no server.
    #[must_use]
    pub fn empty(program: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tintype-test-").tempdir().unwrap();
        // Tests act as other users too, who have to get in.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            dir,
            program: program.into(),
            transport: "auto",
            log_level: "warn",
            notify: None,
            server: None,
            ready: String::new(),
        }
    }

    /// With a server.
    #[must_use]
    pub fn up(program: &str) -> Self {
        Self::over(program, "auto")
    }

    /// With a server that uses this transport.
    #[must_use]
    pub fn over(program: &str, transport: &'static str) -> Self {
        let mut world = Self::empty(program);
        world.transport = transport;
        world.start(&[]);
        world
    }

    /// Starts a server and waits until it is ready.
    pub fn start(&mut self, extra: &[&str]) {
        self.try_start(extra).unwrap_or_else(|said| panic!("the server does not start: {said}"));
    }

    /// Starts a server; what it says when it does not get ready.
    pub fn try_start(&mut self, extra: &[&str]) -> Result<(), String> {
        let log = std::fs::File::create(self.path("server.log")).unwrap();
        let mut child = self
            .command(&["up", "--store"])
            .arg(self.path("store"))
            .args(extra)
            .envs(self.notify.iter().map(|path| ("NOTIFY_SOCKET", path)))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.ready = line.trim_end().to_owned();
        if self.ready.is_empty() {
            child.wait().unwrap();
            return Err(self.log());
        }
        self.server = Some(child);
        Ok(())
    }

    /// What the server wrote to standard error since its start.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.path("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with these arguments.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("TINTYPE_SOCKET", self.path("socket")).env_remove("TINTYPE_STORE");
        command.env("TINTYPE_TRANSPORT", self.transport).env("TINTYPE_LOG", self.log_level);
        command.current_dir(self.dir.path());
        command
    }

    /// Runs a command line and kills it when it is stuck.
    #[must_use]
    pub fn run(&self, line: &str) -> Output {
        let args: Vec<&str> = line.split_whitespace().collect();
        finish(&mut self.command(&args), line)
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

    /// Runs a command that must end with this exit status; its JSON.
    pub fn json_of(&self, line: &str, status: i32) -> Value {
        let output = self.run(&format!("{line} --json"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{line}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a command that must fail with this exit status; what it says.
    pub fn fails(&self, line: &str, status: i32) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(status), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a shell script in the folder, which must succeed; its output.
    pub fn shell(&self, script: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(self.dir.path());
        command.env("TINTYPE_SOCKET", self.path("socket")).env("TINTYPE", &self.program);
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()));
        let output = finish(&mut command, script);
        let (out, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n--- out\n{out}\n--- errors\n{errors}");
        out.into_owned()
    }

    /// The process of the server.
    #[must_use]
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

    /// Waits until the server has nothing to do in the background.
    pub fn idle(&self) {
        let start = Instant::now();
        let mut calm = 0;
        let mut last = Value::Null;
        // Nameless files go every second, commits come every second: calm is longer than both.
        while calm < 14 {
            assert!(start.elapsed() < STUCK, "background work does not end: {last}");
            std::thread::sleep(Duration::from_millis(300));
            let status = self.json("status");
            let same = status["disk_bytes"] == last["disk_bytes"];
            let quiet = status["jobs"].as_array().unwrap().is_empty() && status["dirty_bytes"] == 0;
            calm = if same && quiet { calm + 1 } else { 0 };
            last = status;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = self.stop("-TERM");
        }
        // A server that was killed leaves its mounts; the folder could not be removed.
        for dir in mounts_below(self.dir.path()) {
            let _ = rustix::mount::unmount(&dir, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

fn finish(command: &mut Command, what: &str) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = waits.recv_timeout(STUCK) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            return true;
        }
        false
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    assert!(!guard.join().unwrap(), "stuck: {what}");
    output
}

/// All mounts below a folder, the innermost first.
#[must_use]
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(dir)).collect();
    below.sort();
    below.reverse();
    below
}

/// Whether tests that mount can run. In CI they must.
#[must_use]
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

/// The transports that this machine offers: none without FUSE.
#[must_use]
pub fn transports() -> Vec<&'static str> {
    if !fuse() {
        return Vec::new();
    }
    let switch = std::fs::read_to_string("/sys/module/fuse/parameters/enable_uring");
    if switch.is_ok_and(|text| text.trim() == "Y") {
        return vec!["dev", "uring"];
    }
    eprintln!("SKIPPED: FUSE over io_uring is not enabled, so only /dev/fuse is tested");
    vec!["dev"]
}
