//! The rclone that serves: started, its address found, ended.
//!
//! A shell stands between: it ends rclone when its own input ends, so that rclone also ends when we are killed. rclone gets a process group of its
//! own, for Ctrl-C asks us to stop, and stopping still writes.

use std::io::{self, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Stdio};
use std::thread;

use parking_lot::Mutex;

use crate::backend::child::{self, Reach, Said};

/// Runs the words that follow until they end or our input does, whichever is first.
const KEEPER: &str = r#"exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ cat <&3; kill $child; } >/dev/null 2>&1 &
keeper=$!
exec 3<&-
wait $child
code=$?
kill $keeper 2>/dev/null
exit $code"#;

/// What is started.
pub struct Command {
    pub program: String,
    pub words: Vec<String>,
}

/// A running rclone.
pub struct Served {
    child: Mutex<Child>,
    url: String,
}

impl Command {
    /// Starts it and waits until it tells where it listens.
    pub fn start(&self, username: &str, password: &str) -> io::Result<Served> {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", KEEPER, "sh", &self.program]).args(&self.words);
        command.env("RCLONE_USER", username).env("RCLONE_PASS", password);
        // Where it listens is a notice, and must come to us.
        command.env("RCLONE_LOG_LEVEL", "NOTICE");
        for name in ["QUIET", "VERBOSE", "LOG_FILE", "LOG_SYSTEMD", "SYSLOG", "USE_JSON_LOG"] {
            command.env_remove(format!("RCLONE_{name}"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let mut said = Said::default();
        let mut lines = child.stderr.take().map(BufReader::new);
        let url = lines.as_mut().and_then(|lines| address(lines, &mut said));
        let Some(url) = url else {
            let why = self.why_it_ended(&mut child, &said);
            child::end(&mut child, Reach::Group);
            return Err(why);
        };
        if let Some(lines) = lines {
            // Its pipe must not fill up.
            thread::spawn(move || drain(lines));
        }
        Ok(Served { child: Mutex::new(child), url })
    }

    fn why_it_ended(&self, child: &mut Child, said: &Said) -> io::Error {
        let code = child.wait().ok().and_then(|status| status.code());
        if child::is_no_program(code) {
            return child::no_program(&self.program, "rclone.program=PATH");
        }
        let why = format!("it ended before it served: {}", said.text());
        io::Error::new(io::ErrorKind::InvalidInput, why)
    }
}

impl Served {
    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has it not ended?
    pub fn is_alive(&self) -> bool {
        matches!(self.child.lock().try_wait(), Ok(None))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        child::end(self.child.get_mut(), Reach::Group);
    }
}

/// Reads what it says until it tells its address. None when it ends.
fn address(lines: &mut BufReader<ChildStderr>, said: &mut Said) -> Option<String> {
    loop {
        let line = child::line(lines)?;
        if let Some(url) = url_in(&line) {
            return Some(url);
        }
        said.add(line);
    }
}

/// The address in `Serving restic REST API on http://127.0.0.1:8080/`, with or without brackets around it.
fn url_in(line: &str) -> Option<String> {
    let at = line.find("http://127.0.0.1:")?;
    let rest = line.get(at..)?;
    let end = rest.find(|c: char| c.is_whitespace() || "]\"',".contains(c)).unwrap_or(rest.len());
    Some(format!("{}/", rest.get(..end)?.trim_end_matches('/')))
}

fn drain(mut lines: BufReader<ChildStderr>) {
    let _ = io::copy(&mut lines, &mut io::sink());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for line in [
            "2026/01/01 00:00:00 NOTICE: Serving restic REST API on http://127.0.0.1:4321/",
            "NOTICE: local: Serving restic REST API on [http://127.0.0.1:4321/]",
            "on http://127.0.0.1:4321 now",
        ] {
            assert_eq!(url_in(line).as_deref(), Some("http://127.0.0.1:4321/"));
        }
        assert_eq!(url_in("Failed to create file system for \"x:\""), None);
    }
}
