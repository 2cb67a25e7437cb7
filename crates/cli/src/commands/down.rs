//! `tintype down`: stops the server and waits until it is gone.

use std::path::Path;
use std::time::{Duration, Instant};

use tintype_app::types::{ShutdownInfo, SyncRequest};

use super::show;
use crate::client::{Client, parse};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// How long flushing and unmounting may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options of `down`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Stop also when the disk is full and changes wait for room: they are lost
    #[arg(long)]
    force: bool,
}

/// Makes sure that nothing gets lost, asks, then waits for the process to end.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let client = global.client()?;
    if !args.force {
        keep(&client)?;
    }
    let body = client.post("/shutdown", &serde_json::json!({}))?;
    let info: ShutdownInfo = parse(&body)?;
    // A server on another machine cannot be watched.
    if let Some(socket) = client.socket() {
        wait(socket, info.stopped)?;
    }
    show(global, &body, |info: ShutdownInfo| {
        output::line(&format!("server {} has stopped", info.stopped))
    })
}

/// Refuses to stop while a full disk keeps changes in memory. Whatever else fails is no reason to go on running.
fn keep(client: &Client) -> CliResult<()> {
    let full = |error: &CliError| error.kind.as_deref() == Some("no-space");
    match client.post("/sync", &SyncRequest { filesystem: None }) {
        Err(error) if full(&error) => Err(CliError {
            message: format!(
                "{}: changes wait in memory for room, and stopping would lose them",
                error.message
            ),
            remedy: format!("{} To give them up, use --force.", error.remedy),
            ..error
        }),
        _ => Ok(()),
    }
}

/// The socket goes when the store is closed; the process soon after.
fn wait(socket: &Path, pid: u32) -> CliResult<()> {
    let start = Instant::now();
    while socket.exists() || runs(pid) {
        if start.elapsed() > PATIENCE {
            return Err(CliError::failure(
                format!("server {pid}: still runs after {} s", PATIENCE.as_secs()),
                "Look into its log; programs that use a mount may hold it up.",
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A process that has ended and whose parent has not looked yet does not run.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs() {
        assert!(runs(std::process::id()));
        assert!(!runs(u32::MAX));
    }
}
