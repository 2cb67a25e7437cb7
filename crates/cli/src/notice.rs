//! What is worth knowing while a command works, on standard error: a line for people, with `--json` an event.
//!
//! How, is decided once for the process: notices come from the middle of work that knows nothing of options.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static EVENTS: AtomicBool = AtomicBool::new(false);

/// Whether notices are events from now on.
pub fn as_events(yes: bool) {
    EVENTS.store(yes, Ordering::Relaxed);
}

/// Tells something that is no failure of the command.
pub fn notice(text: &str) {
    write(|events| line(text, events));
}

/// Writes a whole message to standard error; `message` hears whether it shall be an event.
pub fn write(message: impl FnOnce(bool) -> String) {
    let mut out = std::io::stderr().lock();
    let events = EVENTS.load(Ordering::Relaxed);
    // A line of progress, or the sign of a key, may stand on the terminal.
    let clear = if out.is_terminal() && !events { "\r\x1b[K" } else { "" };
    let text = format!("{clear}{}", message(events));
    // Nobody is left to tell when standard error is gone.
    drop(out.write_all(text.as_bytes()));
}

fn line(text: &str, as_event: bool) -> String {
    if as_event {
        format!("{}\n", serde_json::json!({ "event": "notice", "detail": text }))
    } else {
        format!("tintype: {text}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_one_line() {
        assert_eq!(line("waits", false), "tintype: waits\n");
        assert_eq!(line("a\nb", true), "{\"detail\":\"a\\nb\",\"event\":\"notice\"}\n");
    }
}
