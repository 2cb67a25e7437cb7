//! `tintype disk changes NAME@A NAME[@B]`.

use tintype_app::types::DiskChanges;
use tintype_model::{ByteSize, MomentName};

use crate::client::escape;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `disk changes`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// From this moment: NAME@A, or NAME for now
    #[arg(value_name = "A")]
    from: MomentName,
    /// To this moment
    #[arg(value_name = "B")]
    to: MomentName,
    /// The unit of ranges: a power of two from 4K to 1G
    #[arg(long, value_name = "SIZE", default_value = "4K")]
    granularity: ByteSize,
}

/// Shows the ranges that differ, one in each line: offset, length.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (from, to) = (escape(&args.from.to_string()), escape(&args.to.to_string()));
    let unit = args.granularity.0;
    let body = global.client()?.get(&format!("/changes?from={from}&to={to}&granularity={unit}"))?;
    show(global, &body, |changes: DiskChanges| {
        let lines =
            changes.ranges.iter().map(|range| format!("{} {}\n", range.offset, range.length));
        output::print(lines.collect::<String>().as_bytes())
    })
}
