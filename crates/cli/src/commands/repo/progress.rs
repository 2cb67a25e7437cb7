//! Shows how far long work is: on a terminal in one line that changes, elsewhere a line every two seconds, with `--json` as events on
//! standard error. Failures are told at once, whatever else is quiet.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::output::printable;

/// What is shown of running work.
pub trait Watched: Send + 'static {
    /// A line for people, given the seconds since the start.
    fn line(&self, seconds: f64) -> String;
    /// The same as fields of an event.
    fn event(&self) -> Value;
    /// Failures since the last call: path and reason.
    fn failures(&self) -> Vec<(String, String)>;
}

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Events instead of text.
    pub json: bool,
    /// Only failures.
    pub quiet: bool,
}

/// Shows until it is dropped.
pub struct Shown {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shown {
    /// Begins to show.
    pub fn start(style: Style, watched: impl Watched) -> Self {
        let (stop, stopped) = channel::<()>();
        let terminal = std::io::stderr().is_terminal() && !style.json && !style.quiet;
        let usual = if terminal { Duration::from_millis(200) } else { Duration::from_secs(2) };
        let pause = super::environment::pause().unwrap_or(usual);
        let thread = std::thread::spawn(move || {
            let since = Instant::now();
            loop {
                let ended = stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                if terminal {
                    drop(std::io::stderr().write_all(b"\r\x1b[K"));
                }
                tell_failures(&watched, style.json);
                if ended {
                    return;
                }
                if !style.quiet {
                    tell(&watched, style.json, terminal, since.elapsed().as_secs_f64());
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn tell(watched: &impl Watched, json: bool, terminal: bool, seconds: f64) {
    let end = if terminal { "" } else { "\n" };
    let line = match json {
        false => watched.line(seconds),
        true => {
            let mut event = watched.event();
            if let Some(fields) = event.as_object_mut() {
                fields.insert("event".to_owned(), "progress".into());
                fields.insert("seconds".to_owned(), seconds.into());
            }
            event.to_string()
        }
    };
    drop(write!(std::io::stderr(), "{line}{end}"));
}

fn tell_failures(watched: &impl Watched, json: bool) {
    for (path, detail) in watched.failures() {
        let line = match json {
            true => serde_json::json!({ "event": "failure", "path": path, "detail": detail })
                .to_string(),
            false => format!("tintype: {}: {detail}", printable(&path)),
        };
        drop(writeln!(std::io::stderr(), "{line}"));
    }
}
