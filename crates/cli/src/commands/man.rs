//! `tintype man DIR`: manual pages, generated from the definitions of the commands.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `man`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder for the pages; made when it is not there
    dir: PathBuf,
}

/// Writes one page for each command.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let failed = |error: &std::io::Error| {
        CliError::failure(
            format!("folder {}: cannot be written: {error}", args.dir.display()),
            "Choose a folder that you may write to.",
        )
    };
    std::fs::create_dir_all(&args.dir).map_err(|e| failed(&e))?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &args.dir)
        .map_err(|e| failed(&e))?;
    let files = pages(&args.dir).map_err(|e| failed(&e))?;
    if global.json {
        return output::json(&serde_json::json!({"files": files}));
    }
    output::line(&format!("wrote {} pages into {}", files.len(), args.dir.display()))
}

fn pages(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("tintype")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
