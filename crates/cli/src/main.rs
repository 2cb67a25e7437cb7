//! The `tintype` program.
//!
//! One file per command under `commands`; each reads its options, sends one request to the server
//! through `client`, and prints through `output`. Only `up`, `fsck --store` and `demo` run the server or the
//! app in this process. Exit status: 0 success, 1 failure, 2 usage.

mod client;
mod commands;
mod error;
mod log;
mod options;
mod output;
mod paths;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            error.report();
            ExitCode::from(error.status)
        }
    }
}
