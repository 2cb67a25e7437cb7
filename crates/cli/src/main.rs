//! The `tintype` program.
//!
//! One file per command under `commands`; each reads its options, sends one request to the server
//! through `client`, and prints through `output`. Only `up`, `fsck --store` and `demo` run the server or the
//! app in this process. Exit status: 0 success, 1 failure, 2 usage; repositories have more (`commands/repo/failure.rs`).

mod client;
mod commands;
mod config;
mod error;
mod log;
mod memory;
mod notice;
mod options;
mod output;
mod paths;
mod remote;
mod signals;
mod usage;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match usage::read() {
        Ok(cli) => cli,
        Err(refused) => return usage::tell(&refused),
    };
    notice::as_events(cli.wants_json());
    commands::run(cli).unwrap_or_else(|error| {
        error.report();
        ExitCode::from(error.status)
    })
}
