//! `tintype disk verify NAME[@SNAP]`.

use std::process::ExitCode;

use tintype_app::types::{DiskVerified, VerifyRequest};
use tintype_model::{ByteSize, MomentName};

use crate::client::parse;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `disk verify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The moment: NAME@SNAP, or NAME for now
    #[arg(value_name = "NAME[@SNAP]")]
    moment: MomentName,
}

/// Reads everything; the exit status is 1 when something is damaged.
pub fn run(global: &Global, args: Args) -> CliResult<ExitCode> {
    let body = global.client()?.post("/verify", &VerifyRequest { moment: args.moment })?;
    let clean = parse::<DiskVerified>(&body)?.clean;
    show(global, &body, |verified: DiskVerified| {
        for finding in &verified.findings {
            output::line(&format!("{}: {}", finding.object, finding.problem))?;
        }
        let words = if clean { "is whole" } else { "is damaged" };
        let bytes = ByteSize(verified.bytes);
        output::line(&format!("{} {words}; {bytes} were read and fit", verified.moment))
    })?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
