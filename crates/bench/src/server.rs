//! A server of the real program with one mounted filesystem, and what a bench does with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::Client;
use crate::options::Options;
use crate::usage;

/// The filesystem of every bench.
pub(crate) const VOLUME: &str = "bench";

/// A running server. It is told to stop when this goes.
pub(crate) struct Server {
    program: PathBuf,
    home: PathBuf,
    transport: &'static str,
    child: Option<Child>,
}

impl Server {
    /// Starts a server whose store lies in `home`; makes and mounts the filesystem where there is none.
    pub(crate) fn start(
        options: &Options,
        home: &Path,
        transport: &'static str,
    ) -> Result<Self, String> {
        std::fs::create_dir_all(home).map_err(|e| format!("{}: {e}", home.display()))?;
        let program = options.tintype.clone();
        let mut server = Self { program, home: home.to_owned(), transport, child: None };
        server.up()?;
        let mut client = server.client()?;
        let known = client.get("/filesystems")?;
        if known.as_array().is_some_and(Vec::is_empty) {
            client.post("/filesystems", &json!({"name": VOLUME}))?;
        }
        Ok(server)
    }

    fn up(&mut self) -> Result<(), String> {
        let mut child = Command::new(&self.program)
            .args(["up", "--snapshot-limits", "off", "--transport", self.transport, "--store"])
            .arg(self.home.join("store"))
            .arg("--socket")
            .arg(self.home.join("socket"))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|e| e.to_string())?;
        }
        self.child = Some(child);
        if line.starts_with("ready") { Ok(()) } else { Err("the server did not start".to_owned()) }
    }

    /// Mounts the filesystem; where.
    pub(crate) fn mount(&mut self) -> Result<PathBuf, String> {
        let dir = self.home.join("mnt");
        let output = self.command(&["fs", "mount", VOLUME]).arg(&dir).output();
        let output = output.map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(dir);
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A command of the program, sent to this server.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--socket").arg(self.home.join("socket"));
        command
    }

    /// A connection.
    pub(crate) fn client(&self) -> Result<Client, String> {
        Client::connect(&self.home.join("socket"))
    }

    /// How requests travel, as the server says.
    pub(crate) fn transport(&self) -> Result<String, String> {
        let status = self.client()?.get("/status")?;
        let first = status.pointer("/mounts/0/transport").and_then(Value::as_str);
        Ok(first.unwrap_or("not mounted").to_owned())
    }

    /// The folder of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.join("store")
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Stops the server and starts it again, with nothing of the store in any cache in between.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        self.stop()?;
        usage::drop_caches()?;
        self.up()
    }

    /// Ends the server in order.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        usage::terminate(child.id())?;
        child.wait().map(drop).map_err(|e| e.to_string())
    }

    /// Waits until nothing runs in the background for a while.
    pub(crate) fn settle(&self) -> Result<(), String> {
        let mut client = self.client()?;
        let mut idle = 0;
        for _ in 0..1200 {
            let before = usage::cpu_seconds(self.pid());
            std::thread::sleep(std::time::Duration::from_millis(250));
            let status = client.get("/status")?;
            let jobs = status.pointer("/jobs").and_then(Value::as_array).map_or(0, Vec::len);
            let busy = usage::cpu_seconds(self.pid()) - before;
            idle = if jobs == 0 && busy < 0.025 { idle + 1 } else { 0 };
            if idle == 4 {
                return Ok(());
            }
        }
        Err("the server's background work does not end".to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("tintype-bench: {error}");
        }
    }
}
