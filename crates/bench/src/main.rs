//! `tintype-bench`: measurements of our own parts. Each subcommand has a module of its own; this
//! file only dispatches. `docs/performance.md` says how to read the results.

mod api;
mod changes;
mod disks;
mod fill;
mod floor;
mod floor_main;
mod http;
mod images;
mod load;
mod loads;
mod measure;
mod options;
mod policies;
mod report;
mod repos;
mod rows;
mod server;
mod signals;
mod snaps;
mod subject;
mod trees;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let done = match arguments.peek().map(String::as_str) {
        Some("floor") => floor_main::run(arguments.skip(1)),
        Some("load") => load::run(arguments.skip(1)),
        Some("fill-index") => repos::fill_index(arguments.skip(1)),
        _ => options::parse(&mut arguments).and_then(|options| rows::run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("tintype-bench: {text}");
            ExitCode::FAILURE
        }
    }
}
