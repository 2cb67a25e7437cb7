//! The ssh that carries the file protocol: its words, its start, its end.
//!
//! A shell starts it with Ctrl-C ignored, for that asks us to stop, and stopping still writes. It stays in the foreground all the same, so that it
//! can ask for passwords.

use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::unix::pipe;

use super::session::Session;
use crate::backend::PlaceOptions;
use crate::backend::child::{self, Reach, Said};

const SHELL: &str = r#"trap '' INT QUIT; exec "$@""#;
/// Notices a connection that is dead, after some minutes.
const ALIVE: [&str; 4] = ["-o", "ServerAliveInterval=60", "-o", "ServerAliveCountMax=5"];
/// How long the reason of an end may take to arrive.
const REASON_MAX: Duration = Duration::from_secs(2);

/// What is started.
pub struct Command {
    words: Vec<String>,
}

/// A session and the ssh that carries it. The session goes first, and with it the pipes.
pub struct Connection {
    pub session: Session,
    process: Process,
}

struct Process {
    child: Mutex<Child>,
    said: Arc<Mutex<Said>>,
}

impl Command {
    /// ssh to a machine, or the command that an option names.
    pub fn new(
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        options: &PlaceOptions,
    ) -> io::Result<Self> {
        let split = |key: &str| match options.get(key) {
            None => Ok(Vec::new()),
            Some(text) => shlex::split(text).ok_or_else(|| {
                let why = format!("a quote is left open in the option {key}");
                io::Error::new(io::ErrorKind::InvalidInput, why)
            }),
        };
        let whole = split("sftp.command")?;
        if !whole.is_empty() {
            return Ok(Self { words: whole });
        }
        let mut words = vec!["ssh".to_owned()];
        if let Some(port) = port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = user {
            words.extend(["-l".to_owned(), user.to_owned()]);
        }
        words.extend(ALIVE.map(str::to_owned));
        words.extend(split("sftp.args")?);
        // What begins with a hyphen is no option behind these.
        words.extend(["-s".to_owned(), "--".to_owned(), host.to_owned(), "sftp".to_owned()]);
        Ok(Self { words })
    }

    /// Starts it and says hello to the server.
    pub async fn connect(&self) -> io::Result<Connection> {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", SHELL, "sh"]).args(&self.words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let process = Process::new(child);
        let (Some(input), Some(output)) = (input, output) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let input = pipe::Sender::from_owned_fd(OwnedFd::from(input))?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
        match Session::begin(tokio::io::join(output, input)).await {
            Ok(session) => Ok(Connection { session, process }),
            Err(e) => Err(self.why_it_failed(&process, e)),
        }
    }

    fn why_it_failed(&self, process: &Process, error: io::Error) -> io::Error {
        let code = process.code();
        if child::is_no_program(code) {
            let program = self.words.first().map_or("ssh", String::as_str);
            return child::no_program(program, "sftp.command=COMMAND");
        }
        let said = process.said.lock().text();
        // Refusals of keys and unknown machines stay; a machine that does not answer may come back.
        let stays = ["Permission denied", "Host key verification failed", "Could not resolve"];
        let kind = match code {
            Some(_) if stays.iter().any(|word| said.contains(word)) => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::NotConnected,
        };
        let why = if said.is_empty() { error.to_string() } else { said };
        io::Error::new(kind, why)
    }
}

impl Connection {
    /// Has ssh not ended?
    pub fn is_alive(&self) -> bool {
        self.session.is_open() && matches!(self.process.child.lock().try_wait(), Ok(None))
    }
}

impl Process {
    fn new(mut child: Child) -> Self {
        let said = Arc::new(Mutex::new(Said::default()));
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || listen(BufReader::new(stderr), &said));
        }
        Self { child: Mutex::new(child), said }
    }

    /// How it ended, when it does so at once.
    fn code(&self) -> Option<i32> {
        let mut child = self.child.lock();
        for _ in 0..REASON_MAX.as_millis() / 5 {
            if let Ok(Some(status)) = child.try_wait() {
                // Its last words are on their way.
                thread::sleep(Duration::from_millis(20));
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        child::end(self.child.get_mut(), Reach::Process);
    }
}

fn listen(mut lines: BufReader<ChildStderr>, said: &Mutex<Said>) {
    while let Some(line) = child::line(&mut lines) {
        said.lock().add(line);
    }
}
