//! `tintype openapi`: the description of the API, which needs no server.

use crate::error::CliResult;
use crate::output;

/// Prints it: it is JSON with and without `--json`.
pub fn run() -> CliResult<()> {
    output::print(tintype_server::openapi().as_bytes())
}
