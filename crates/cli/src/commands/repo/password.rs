//! Passwords: from files, from what commands print, from the terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{CliError, CliResult};

/// Reads a password for another key, from a file or the terminal.
pub fn new_password(file: Option<&PathBuf>) -> CliResult<String> {
    file.map_or_else(|| from_terminal(true), |file| from_file(file))
}

/// The first line of a file, without the space around it, as restic reads it.
pub fn from_file(file: &Path) -> CliResult<String> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        CliError::failure(
            format!("password file {}: {e}", file.display()),
            "Name a file that you can read.",
        )
    })?;
    Ok(first_line(&text))
}

/// The first line that a command prints.
pub fn from_command(command: &str) -> CliResult<String> {
    let failed = |why: String| {
        CliError::failure(
            format!("password command `{command}`: {why}"),
            "Try the command by itself.",
        )
    };
    let output =
        Command::new("sh").args(["-c", command]).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let text = String::from_utf8(output.stdout).map_err(|e| failed(e.to_string()))?;
    Ok(first_line(&text))
}

fn first_line(text: &str) -> String {
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Asks for it.
pub fn from_terminal_for(prompt: &str) -> CliResult<String> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "no password is given and there is no terminal to ask on",
            "Set TINTYPE_PASSWORD, or use --password-file or --password-command (with FROM for the repository to copy from).",
        ));
    }
    hidden(prompt)
}

/// Asks for it, for a new one twice.
pub fn from_terminal(new: bool) -> CliResult<String> {
    let first = from_terminal_for("password: ")?;
    if new && hidden("again: ")? != first {
        return Err(CliError::usage("the two passwords differ", "Try again."));
    }
    Ok(first)
}

/// Asks on the terminal without showing what is typed.
fn hidden(prompt: &str) -> CliResult<String> {
    let failed =
        |e: std::io::Error| CliError::failure(format!("terminal: {e}"), "Use --password-file.");
    let input = std::io::stdin();
    let before = rustix::termios::tcgetattr(&input).map_err(|e| failed(e.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
    let now = rustix::termios::OptionalActions::Now;
    std::io::stderr().write_all(prompt.as_bytes()).map_err(failed)?;
    rustix::termios::tcsetattr(&input, now, &silent).map_err(|e| failed(e.into()))?;
    let mut text = String::new();
    let read = input.lock().read_line(&mut text);
    rustix::termios::tcsetattr(&input, now, &before).map_err(|e| failed(e.into()))?;
    std::io::stderr().write_all(b"\n").map_err(failed)?;
    read.map_err(failed)?;
    Ok(text.trim_end_matches('\n').to_owned())
}
