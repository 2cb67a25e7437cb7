//! `tintype-bench`: measurements of our own parts. Each subcommand has a module of its own; this
//! file only dispatches.

mod floor;
mod floor_main;
mod load;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("floor") => floor_main::run(arguments),
        Some("load") => load::run(arguments),
        _ => Err("usage: tintype-bench floor|load ...".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("tintype-bench: {text}");
            ExitCode::FAILURE
        }
    }
}
