//! Programs of others that serve a place: what they said last, and their end.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStderr};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "remote")]
use rustix::process::kill_process;
use rustix::process::{Pid, Signal, kill_process_group};

/// Of what a program says.
const LINES_KEPT: usize = 5;
const LINE_MAX: u64 = 4096;
/// How long a program may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(5);

/// The last lines that a program said.
#[derive(Debug, Default)]
pub struct Said(VecDeque<String>);

impl Said {
    /// One more; the oldest goes.
    pub fn add(&mut self, line: String) {
        if self.0.len() == LINES_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// On one line.
    pub fn text(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

/// One line without what would upset a terminal; what is too long comes in pieces. None at the end.
pub fn line(lines: &mut BufReader<ChildStderr>) -> Option<String> {
    let mut bytes = Vec::new();
    let read = lines.take(LINE_MAX).read_until(b'\n', &mut bytes);
    if read.is_err() || bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    Some(text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
}

/// Was there no such program, so that the shell which was to start it said so?
pub fn is_no_program(code: Option<i32>) -> bool {
    matches!(code, Some(126 | 127))
}

/// The failure of a program that is not there.
pub fn no_program(program: &str, option: &str) -> io::Error {
    let why = format!("there is no program `{program}`; install it, or name it with -o {option}");
    io::Error::new(io::ErrorKind::NotFound, why)
}

/// Who is killed when the end takes too long.
#[derive(Clone, Copy)]
pub enum Reach {
    #[cfg(feature = "remote")]
    Process,
    Group,
}

/// Asks by the end of its input, and does not ask twice.
pub fn end(child: &mut Child, reach: Reach) {
    drop(child.stdin.take());
    let until = Instant::now() + END_MAX;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= until {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = match reach {
                    #[cfg(feature = "remote")]
                    Reach::Process => kill_process(pid, Signal::KILL),
                    Reach::Group => kill_process_group(pid, Signal::KILL),
                };
            }
            let _ = child.wait();
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
